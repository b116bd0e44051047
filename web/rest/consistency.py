"""What differs at WPS, looks at it and repairs; nothing here asks WPS, the lanes do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection

from db import discrepancies as rows
from db import sync_runs
from db.engine import reading
from domain.lane_of import SHARED_LANE
from domain.tenancy import Scope, Thing
from usecases import discrepancies
from usecases.sync import dry_runs, runs
from web import idempotency, site
from web.envelope import Answer
from web.errors import ApiError
from web.paging import PartQuery, cursor_of, page_meta, read_cursor
from web.policy import needs, needs_some, whole_school
from web.routes import Feature
from web.schemas import consistency as shapes
from web.schemas.base import instant

feature = Feature("consistency", "一致性 what differs at WPS, looks and repairs")
_LOOKS: Final = 5


def discrepancy_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The discrepancy that the address names, with the college of its lane."""
    row = rows.one(tx, said["path"].discrepancy_id, tenant=scope.tenant)
    return None if row is None else Thing(scope.tenant, frozenset({row.lane} - {SHARED_LANE}))


@feature.get("/consistency", needs_some("consistency.read"), data=shapes.Consistency)
def show_consistency() -> Answer:
    """What is not as it should be at WPS, as far as the last looks saw, and these looks."""
    lanes = site.colleges("consistency.read")
    with reading(site.deps().engine) as tx:
        counted = rows.counts(tx, tenant=site.scope().tenant, lanes=lanes)
        looks = _looks(tx) if lanes is None else []
    counts = [shapes.DiscrepancyCount(what=what, state=state, count=count) for what, state, count in counted]
    open_ = sum(one.count for one in counts)
    shape = shapes.Consistency(consistent=open_ == 0, open=open_, counts=counts, looks=looks)
    return Answer(shape.as_json())


def _looks(tx: Connection) -> list[shapes.Look]:
    """The newest runs that looked at WPS."""
    found = sync_runs.page(tx, tenant=site.scope().tenant, kinds=("verify", "repair"), limit=_LOOKS)
    return [
        shapes.Look(
            id=row.id,
            kind=row.kind,
            state=row.state,
            created_at=instant(row.created_ms) or "",
            finished_at=instant(row.finished_ms),
            **rows.totals(tx, tenant=site.scope().tenant, run_id=row.id),
        )
        for row in found
    ]


@feature.get("/consistency/calendars", needs_some("consistency.read"), items=shapes.LookedAt)
def list_calendars(query: PartQuery) -> Answer:
    """When each calendar was seen as a whole, and what was in it."""
    after = None
    if query.cursor is not None:
        term, target = read_cursor(query.cursor)
        after = (str(term), str(target))
    with reading(site.deps().engine) as tx:
        found = rows.looked_at(
            tx,
            tenant=site.scope().tenant,
            lanes=site.colleges("consistency.read"),
            after=after,
            limit=query.size + 1,
            offset=query.offset,
        )
    shown = found[: query.size]
    cursor = cursor_of(shown[-1].term, shown[-1].target) if shown else None
    same = ("term", "name", "lane", "run_id", "events", "strangers", "members", "differences")
    items = [
        shapes.LookedAt(
            **{name: getattr(row, name) for name in same},
            calendar=row.target,
            verified_at=instant(row.verified_ms) or "",
        ).as_json()
        for row in shown
    ]
    return Answer({"items": items}, page=page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor))


@feature.get("/discrepancies", needs_some("consistency.read"), items=shapes.Discrepancy)
def list_discrepancies(query: shapes.DiscrepanciesQuery) -> Answer:
    """What is not as it was sent, newest first: both sides, why, and what a repair does about it."""
    deps, after = site.deps(), None
    if query.cursor is not None:
        last, first, seen = read_cursor(query.cursor)
        after = (int(last), int(first), str(seen))
    with reading(deps.engine) as tx:
        found = discrepancies.listing(
            tx,
            deps,
            run_id=query.run_id,
            states=query.state or rows.NOT_HEALED,
            limit=query.size + 1,
            lanes=site.colleges("consistency.read"),
            what=None if query.what is None else query.what.value,
            offset=query.offset,
            after=after,
        )
    shown = found[: query.size]
    last_of = ("last_scan_ms", "first_scan_ms", "id")
    cursor = cursor_of(*(shown[-1][name] for name in last_of)) if shown else None
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor)
    return Answer({"items": [shapes.Discrepancy.of(one).as_json() for one in shown]}, page=page)


@feature.get("/discrepancies/<discrepancy_id>", needs("consistency.read", discrepancy_of), data=shapes.Discrepancy)
def show_discrepancy(path: shapes.DiscrepancyPath) -> Answer:
    """One discrepancy with its history."""
    deps = site.deps()
    with reading(deps.engine) as tx:
        row = rows.one(tx, path.discrepancy_id, tenant=deps.tenant)
        if row is None:
            raise ApiError("NOT_FOUND")
        (found,) = discrepancies.described(tx, deps, [row])
    return Answer(shapes.Discrepancy.of(found).as_json())


# --- looking and putting right ------------------------------------------------------------------------------------------


@feature.post(
    "/consistency/verifications",
    needs("consistency.repair", whole_school),
    data=shapes.LookStarted,
    status=202,
    errors=(409,),
    limit="10/minute",
)
def start_verification(body: shapes.StartVerify) -> Answer:
    """Read calendars in WPS and note what is not as it was sent; nothing is changed there."""
    return _begin("verify", sample=body.sample, fields=body.fields)


@feature.post(
    "/consistency/repairs",
    needs("consistency.repair", whole_school),
    data=shapes.LookStarted,
    status=202,
    errors=(409,),
    limit="10/minute",
)
def start_repair() -> Answer:
    """Look again at calendars in which something was found, put right what is simple, and look once more.

    What is much it asks before it does it, as every run.
    """
    return _begin("repair")


def _begin(kind: str, *, sample: int | None = None, fields: bool = False) -> Answer:
    run_id = runs.begin_look(
        site.deps(),
        kind=kind,
        sample=sample,
        fields=fields,
        actor=site.actor(),
        also=lambda tx, run_id: idempotency.stored_with(tx, _begun(run_id, kind)),
    )
    return _begun(run_id, kind)


def _begun(run_id: str, kind: str) -> Answer:
    data = shapes.LookStarted(id=run_id, kind=kind).as_json()
    return Answer(data, 202, headers={"Location": f"/api/v1/sync/runs/{run_id}"})


@feature.get("/consistency/repairs/preview", needs("consistency.repair", whole_school), data=shapes.RepairPreview)
def preview_repair() -> Answer:
    """What a repair would ask first; what it would do about each is in /discrepancies."""
    asked, lanes = dry_runs.of_repair(site.deps())
    return Answer(shapes.RepairPreview(questions=[asdict(one) for one in asked], lanes=lanes).as_json())
