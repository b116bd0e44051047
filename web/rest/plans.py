"""Plans: what a sync would send, worked out by a worker and read page by page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from db import plans as rows
from db.engine import reading
from db.tables import AnyRow
from domain.scopes import of_dict
from domain.tenancy import Scope, Thing, may
from usecases import plans
from usecases.sync import starting
from web import idempotency, site
from web.envelope import Answer
from web.errors import ApiError, Detail
from web.paging import PartQuery, cursor_of, page_meta, read_cursor
from web.policy import needs, needs_some
from web.rest.runs import part_of_body
from web.routes import Feature
from web.schemas import consistency as shapes
from web.schemas.base import instant

feature = Feature("plans", "试运行 what a sync would send")
_SAID = ("kind", "verb", "what", "target", "lane", "term", "label", "ours", "theirs", "changed")


def plan_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The plan that the address names, with the colleges that it is about."""
    row = rows.get(tx, said["path"].plan_id, tenant=scope.tenant)
    return None if row is None else _thing(tx, row)


def _thing(tx: Connection, row: AnyRow) -> Thing:
    only = of_dict(json.loads(row.scope))
    return Thing(row.tenant_id, starting.colleges_of(tx, only, tenant=row.tenant_id))


@feature.post(
    "/plans", needs("run.start", part_of_body), data=shapes.PlanStarted, status=202, errors=(409,), limit="10/minute"
)
def start_plan(body: shapes.StartPlan) -> Answer:
    """Work out what a sync would send, without sending it; follow it at /plans/{id}."""
    only = body.scope.as_scope()
    if body.basis == plans.TIMETABLE and not only.is_everything:
        raise ApiError("INVALID", Detail("scope", "the timetable is planned as a whole", "leave scope out"))
    plan_id = plans.begin(
        site.deps(),
        basis=body.basis,
        only=only,
        actor=site.actor(),
        also=lambda tx, plan_id: idempotency.stored_with(tx, _begun(plan_id)),
    )
    return _begun(plan_id)


def _begun(plan_id: str) -> Answer:
    data = shapes.PlanStarted(id=plan_id, state=rows.WORKING).as_json()
    return Answer(data, 202, headers={"Location": f"/api/v1/plans/{plan_id}"})


@feature.get("/plans", needs_some("run.read"), items=shapes.Plan)
def list_plans() -> Answer:
    """The plans that are kept, newest first."""
    scope = site.scope()
    with reading(site.deps().engine) as tx:
        seen = [row for row in plans.listing(site.deps()) if may(scope, "run.read", _thing(tx, row))]
    return Answer({"items": [_shape(row).as_json() for row in seen]})


@feature.get("/plans/<plan_id>", needs("run.read", plan_of), data=shapes.Plan)
def show_plan(path: shapes.PlanPath) -> Answer:
    """One plan: how far it is, its totals, and what a run would ask."""
    return Answer(_shape(_row(path.plan_id)).as_json())


@feature.get("/plans/<plan_id>/rows", needs("run.read", plan_of), items=shapes.PlanRow)
def list_plan_rows(path: shapes.PlanPath, query: PartQuery) -> Answer:
    """The operations of a plan, row by row: missing, extra or changed, with both sides."""
    after = query.offset - 1 if query.cursor is None else int(read_cursor(query.cursor)[0])
    with reading(site.deps().engine) as tx:
        found = rows.rows_after(
            tx, path.plan_id, tenant=site.scope().tenant, after=after, limit=query.size + 1
        )  # fmt: skip
    shown = found[: query.size]
    cursor = cursor_of(shown[-1].number) if shown else None
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor)
    return Answer({"items": [_row_shape(row).as_json() for row in shown]}, page=page)


def _row(plan_id: str) -> AnyRow:
    with reading(site.deps().engine) as tx:
        row = rows.get(tx, plan_id, tenant=site.scope().tenant)
    if row is None:
        raise ApiError("NOT_FOUND")
    return row


def _shape(row: AnyRow) -> shapes.Plan:
    found = json.loads(row.found) if row.found else {}
    same = ("id", "basis", "state", "made_by", "operations", "listed", "error")
    return shapes.Plan(
        **{name: getattr(row, name) for name in same},
        scope=json.loads(row.scope),
        created_at=instant(row.created_ms) or "",
        finished_at=instant(row.finished_ms),
        counts=[shapes.PlanCount(**one) for one in found.get("counts", [])],
        questions=found.get("questions", []),
        unmapped_people=found.get("unmapped_people", 0),
        read=found.get("read"),
    )


def _row_shape(row: AnyRow) -> shapes.PlanRow:
    said = json.loads(row.said)
    more = {name: value for name, value in said.items() if name not in _SAID}
    return shapes.PlanRow(number=row.number, **{name: said[name] for name in _SAID}, more=more)
