"""Changes go into the staging that they are based on, a page at a time, and become the latest import.

    read ─▶ rebase ─▶ apply, apply, … ─▶ complete
                        └── a crash: whoever comes next goes on

A page leaves the buffer in the unit that applies it, and a row that is there already stays as it is: nothing is applied
by halves, and twice is once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine

from db import changes, import_bases, imports
from db.changes import Group
from db.engine import in_unit, reading
from db.imports import Import
from domain.changes import WHOLE, StagedRow, merge, slot_of
from remote.sources.base import newer_than
from usecases.sync.bulk import PAGE_ROWS, PAUSE_S, Fence

Key = tuple[str, str]
"""Term and offering."""


def rebase(engine: Engine, at: Import, *, tenant: str, fence: Fence) -> Import:
    """Let the changes go in on top of what is the latest now. There must be a complete import."""

    def work(connection: Connection) -> Import:
        fence(connection)
        latest = imports.latest_complete(connection, tenant)
        assert latest is not None
        return import_bases.rebase(connection, at, tenant=tenant, to_no=latest)

    return in_unit(engine, work)


def apply_page(
    engine: Engine,
    *,
    tenant: str,
    import_no: int,
    staging_no: int,
    buffer_no: int,
    fence: Fence,
    covered_until: str | None = None,
    source_no: int = 0,
) -> int:
    """Let the next page of the buffer go into the staging. Returns how many rows that were; 0: the buffer is empty.

    What the source changed up to the watermark `covered_until` is in the staging already, perhaps in a newer form.
    """
    with reading(engine) as connection:
        groups = changes.next_groups(connection, tenant=tenant, buffer_no=buffer_no, limit=PAGE_ROWS)
    if not groups:
        return 0

    def work(connection: Connection) -> None:
        fence(connection)
        there = _Staging(connection, tenant, staging_no, source_no)
        touched = there.replace([_newer(group, covered_until) for group in groups if group.part == changes.MEETINGS])
        for group in groups:
            if group.part == changes.ENROLMENTS:
                touched |= there.enrol(group)
        changes.touch(connection, touched, tenant=tenant, import_no=import_no)
        changes.forget(connection, groups, tenant=tenant, buffer_no=buffer_no)

    in_unit(engine, work)
    time.sleep(PAUSE_S)
    return sum(len(group.lines) for group in groups)


def _newer(group: Group, covered_until: str | None) -> Group:
    """Without the changes that are covered. What is all of a number always counts."""
    left = tuple(one for one in group.changes if one.op == WHOLE or newer_than(covered_until, one.sj))
    return replace(group, changes=left)


class _Staging:
    """What stands in a staging, and what a page of changes makes of it."""

    def __init__(self, connection: Connection, tenant: str, import_no: int, source_no: int) -> None:
        self._connection = connection
        self._of: Any = {"tenant": tenant, "import_no": import_no, "source_no": source_no}
        self._tenant = tenant

    def replace(self, groups: Sequence[Group]) -> set[Key]:
        """Returns the offerings of which something changed."""
        there = self._there(groups)
        gone: list[StagedRow] = []
        fresh: list[StagedRow] = []
        for group in groups:
            found = merge(there.get((group.term, group.kkh, group.slot), []), group.changes)
            gone += found.gone
            fresh += found.fresh
        changes.replace_meetings(self._connection, gone=gone, fresh=fresh, **self._of)
        return {(row["term"], row["offering_id"]) for row in (*gone, *fresh)}

    def _there(self, groups: Sequence[Group]) -> dict[tuple[str, str, str], list[StagedRow]]:
        """The rows that stand where the groups belong: by slot, and for whole numbers under a blank one."""
        whole = {(group.term, group.kkh) for group in groups if not group.slot}
        ids = {change.row["offering_id"] for group in groups for change in group.changes}
        for term in sorted({term for term, _ in whole}):
            kkhs = [kkh for its, kkh in whole if its == term]
            known = changes.offerings_of(self._connection, tenant=self._tenant, term=term, kkhs=kkhs)
            ids.update(*known.values())
        rows = changes.staged_of(self._connection, offering_ids=sorted(ids), **self._of)
        found: dict[tuple[str, str, str], list[StagedRow]] = {}
        for row in rows:
            slot = "" if (row["term"], row["kkh"]) in whole else slot_of(row)
            found.setdefault((row["term"], row["kkh"], slot), []).append(row)
        return found

    def enrol(self, group: Group) -> set[Key]:
        """Returns the offerings whose roll changed."""
        rows = [change.row for change in group.changes if change.row]
        changed = changes.replace_enrolments(self._connection, term=group.term, kkh=group.kkh, rows=rows, **self._of)
        if not changed:
            return set()
        known = changes.offerings_of(self._connection, tenant=self._tenant, term=group.term, kkhs=[group.kkh])
        return {(group.term, one) for one in known.get(group.kkh, ())}


def complete(engine: Engine, *, tenant: str, import_no: int, fence: Fence, also: Callable[[Connection], None]) -> None:
    """The changes are in: they are the latest import now. `also` writes in the same unit."""

    def work(connection: Connection) -> None:
        fence(connection)
        imports.complete(connection, tenant=tenant, import_no=import_no, findings=0)
        also(connection)

    in_unit(engine, work)


def discard_stale(engine: Engine, *, tenant: str, fence: Fence) -> None:
    """Remove what nobody will apply: the buffers of imports that have ended."""
    with reading(engine) as connection:
        stale = changes.stale_buffers(connection, tenant=tenant)
    for buffer_no in stale:
        while _discard(engine, tenant=tenant, buffer_no=buffer_no, fence=fence):
            time.sleep(PAUSE_S)


def _discard(engine: Engine, *, tenant: str, buffer_no: int, fence: Fence) -> int:
    def work(connection: Connection) -> int:
        fence(connection)
        return changes.discard(connection, tenant=tenant, buffer_no=buffer_no)

    return in_unit(engine, work)
