"""The quarantine: rows of the source that were not used, wait, or look odd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from db import quarantine
from db.engine import reading
from domain.tenancy import Scope, Thing
from web import site
from web.envelope import Answer
from web.errors import ApiError
from web.paging import cursor_of, page_meta, read_cursor
from web.policy import needs, needs_some, whole_school
from web.routes import Feature
from web.schemas import quarantine as shapes
from web.schemas.base import to_ms

feature = Feature("quarantine", "隔离区 rows that were not used, wait, or look odd")
_LOOKED_THROUGH: Final = 2_000
"""Entries that a page for some colleges reads at most: which college one is about is only in its row."""


def entry_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The entry that the address names, with the college that its row names."""
    found = quarantine.one(tx, said["path"].entry_id, tenant=scope.tenant)
    return None if found is None else Thing(scope.tenant, frozenset({quarantine.college_of(found)} - {""}))


@feature.get("/quarantine", needs_some("quarantine.read"), items=shapes.QuarantineEntry)
def list_quarantine(query: shapes.QuarantineQuery) -> Answer:
    """Open entries."""
    after = None if query.cursor is None else str(read_cursor(query.cursor)[0])
    colleges = site.colleges("quarantine.read")
    since_ms = 0 if query.updated_after is None else to_ms(query.updated_after)
    narrowed = colleges is not None or since_ms > 0
    with reading(site.deps().engine) as tx:
        rows = quarantine.page(
            tx,
            tenant=site.scope().tenant,
            kind=query.kind,
            reason=query.reason,
            after=after,
            limit=_LOOKED_THROUGH if narrowed else query.size + 1,
            offset=0 if narrowed else query.offset,
        )
    if narrowed:
        whole = len(rows) < _LOOKED_THROUGH
        seen = [row for row in rows if row["opened_ms"] > since_ms and _reaches(row, colleges)][query.offset :]
        more, last = (len(seen) > query.size or not whole), rows[-1:]
    else:
        seen, more, last = rows, len(rows) > query.size, rows[-1:]
    shown = seen[: query.size]
    ends_at = shown[-1:] if len(seen) > query.size else last
    cursor = cursor_of(ends_at[0]["id"]) if ends_at else None
    page = page_meta(query, shown=shown, more=more, cursor=cursor)
    return Answer({"items": [shapes.QuarantineEntry.of(one).as_json() for one in shown]}, page=page)


def _reaches(row: dict[str, Any], colleges: tuple[str, ...] | None) -> bool:
    return colleges is None or quarantine.college_of(row) in colleges


@feature.get("/quarantine/summary", needs("quarantine.read", whole_school), items=shapes.QuarantineCount)
def summarise_quarantine() -> Answer:
    """How many open entries there are of each kind and reason, of the whole school."""
    with reading(site.deps().engine) as tx:
        items = quarantine.summary(tx, tenant=site.scope().tenant)
    return Answer({"items": [shapes.QuarantineCount(**one).as_json() for one in items]})


@feature.get("/quarantine/<entry_id>", needs("quarantine.read", entry_of), data=shapes.QuarantineEntry)
def show_quarantine_entry(path: shapes.EntryPath) -> Answer:
    """One entry, with the row as the source has it."""
    with reading(site.deps().engine) as tx:
        found = quarantine.one(tx, path.entry_id, tenant=site.scope().tenant)
    if found is None:
        raise ApiError("NOT_FOUND")
    return Answer(shapes.QuarantineEntry.of(found).as_json())
