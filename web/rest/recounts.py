"""Counting attendance again: begin, follow, cancel, and what was found to be wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from db import recounts as rows
from db.engine import reading
from db.tables import AnyRow
from db.timetable import load_terms
from domain.tenancy import Scope, Thing
from usecases import recounts
from web import idempotency, site
from web.envelope import Answer
from web.errors import ApiError, Detail
from web.paging import PartQuery, cursor_of, page_meta, read_cursor
from web.policy import needs, needs_some, whole_school
from web.routes import Feature
from web.schemas import statistics as shapes
from web.schemas.base import instant

feature = Feature("recounts", "重算 counting attendance again")


def recount_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The recount that the address names: it is of the whole school."""
    row = rows.get(tx, said["path"].recount_id, tenant=scope.tenant)
    return None if row is None else Thing(scope.tenant)


@feature.post(
    "/attendance/recounts", needs("consistency.repair", whole_school), data=shapes.Recount, status=202
)  # fmt: skip
def begin_recount(body: shapes.BeginRecount) -> Answer:
    """Have counters and statistics counted again by a worker; follow it at /attendance/recounts. One goes on at a time."""
    with reading(site.deps().engine) as tx:
        unknown = sorted(set(body.terms) - load_terms(tx, site.scope().tenant).keys())
    if unknown:
        raise ApiError("TERM_UNKNOWN", Detail("terms", f"there is no term {', '.join(unknown)}", "see /api/v1/terms"))
    recount_id = recounts.begin(
        site.deps(), actor=site.actor(), terms=body.terms, mends=body.mend,
        also=lambda tx, one: idempotency.stored_with(tx, _begun(_row(tx, one))),
    )  # fmt: skip
    with reading(site.deps().engine) as tx:
        return _begun(_row(tx, recount_id))


def _begun(row: AnyRow) -> Answer:
    return Answer(_shape(row).as_json(), 202, headers={"Location": f"/api/v1/attendance/recounts/{row.id}/drift"})


@feature.get("/attendance/recounts", needs_some("consistency.read"), items=shapes.Recount)
def list_recounts(query: PartQuery) -> Answer:
    """Recounts, newest first: how far each is, and how many counters and sums were wrong in the whole school."""
    after = None
    if query.cursor is not None:
        made, recount_id = read_cursor(query.cursor)
        after = (int(made), str(recount_id))
    with reading(site.deps().engine) as tx:
        found = rows.listing(tx, tenant=site.scope().tenant, limit=query.size + 1, after=after, offset=query.offset)
    shown = found[: query.size]
    cursor = cursor_of(shown[-1].created_ms, shown[-1].id) if shown else None
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor)
    return Answer({"items": [_shape(row).as_json() for row in shown]}, page=page)


@feature.get("/attendance/recounts/<recount_id>/drift", needs_some("consistency.read"), items=shapes.Drift)
def list_drift(path: shapes.RecountPath, query: PartQuery) -> Answer:
    """What a recount has found to be wrong, up to a thousand; a secretary sees what is about the college."""
    after = -1 if query.cursor is None else int(read_cursor(query.cursor)[0])
    with reading(site.deps().engine) as tx:
        _row(tx, path.recount_id)
        found = rows.drift_of(
            tx, path.recount_id, tenant=site.scope().tenant, colleges=site.colleges("consistency.read"),
            limit=query.size + 1, after=after, offset=query.offset,
        )  # fmt: skip
    shown = found[: query.size]
    page = page_meta(
        query, shown=shown, more=len(found) > query.size, cursor=cursor_of(shown[-1].number) if shown else None
    )
    return Answer({"items": [_drift(row).as_json() for row in shown]}, page=page)


@feature.post(
    "/attendance/recounts/<recount_id>/cancel", needs("consistency.repair", recount_of), data=shapes.Recount, errors=(409,)
)  # fmt: skip
def cancel_recount(path: shapes.RecountPath) -> Answer:
    """Let a recount go no further. What it has mended stays."""
    recounts.cancel(
        site.deps(), path.recount_id, actor=site.actor(),
        also=lambda tx: idempotency.stored_with(tx, Answer(_shape(_row(tx, path.recount_id)).as_json())),
    )  # fmt: skip
    with reading(site.deps().engine) as tx:
        return Answer(_shape(_row(tx, path.recount_id)).as_json())


def _row(tx: Connection, recount_id: str) -> AnyRow:
    row = rows.get(tx, recount_id, tenant=site.scope().tenant)
    if row is None:
        raise ApiError("NOT_FOUND")
    return row


def _shape(row: AnyRow) -> shapes.Recount:
    same = ("id", "state", "asked_by", "mends", "compared", "expected", "differing", "mended")
    return shapes.Recount(
        **{name: getattr(row, name) for name in same}, terms=json.loads(row.terms),
        created_at=instant(row.created_ms) or "", finished_at=instant(row.finished_ms),
    )  # fmt: skip


def _drift(row: AnyRow) -> shapes.Drift:
    return shapes.Drift(
        number=row.number, of=row.kind, term=row.term, subject=row.subject, course_id=row.course_id or None, period=row.period,
        college=row.college or None, was=json.loads(row.was), now=json.loads(row.now),
    )  # fmt: skip
