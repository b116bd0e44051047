"""Whose turn it is: runs over the same part of the timetable go one after the other, all others beside each other.

A run is asked for, and waits as `queued` while an earlier one with an overlapping scope has not ended. A run of which only
held jobs are left keeps nobody waiting: a later one may take them over. Reading a source and making sessions is done by one
run at a time whatever the scopes, because an import is of the whole timetable.
"""

import json
from typing import Any, Final

from sqlalchemy import Connection

from db import sync_runs
from db.sync_runs import RunActive
from db.tables import AnyRow
from domain.runs import ASKS
from domain.scopes import Scope, of_dict

KINDS: Final = ("full", "incremental", "users", "import", "undo", "archive")
"""Kinds of runs that read or carry out the timetable, take back what one has done, or put a term away."""
ONLY: Final = "only"
"""Where the stored scope of a run says what part of the timetable it is about."""


def scope_of(run: AnyRow) -> Scope:
    """The part of the timetable that a run is about."""
    return of_dict(json.loads(run.scope).get(ONLY, {}))


def refuse_a_second(
    connection: Connection, *, tenant: str, kind: str, scope: dict[str, Any], only: Scope, may_wait: bool
) -> None:
    """Raise `RunActive` when a run that does just the same has not ended; with `may_wait` false, also when one overlaps.

    An incremental run that has begun may have read its source already: one more may wait for it.
    """
    shown = sync_runs.shown_scope(json.dumps(scope))
    for one in sync_runs.going_on(connection, tenant=tenant, kinds=KINDS):
        if one.held_until is not None:
            continue
        same = one.kind == kind and sync_runs.shown_scope(one.scope) == shown
        begun = kind == "incremental" and one.state != "queued"
        if (same and not begun) or (not may_wait and only.overlaps(scope_of(one))):
            raise RunActive(one.id, one.kind, json.loads(one.scope), one.state)


def refuse_behind_a_question(connection: Connection, *, tenant: str, only: Scope) -> None:
    """Raise `RunActive` while an overlapping run waits for a person's answer: that may take a weekend, and whatever starts by
    itself would pile up behind it."""
    for one in sync_runs.going_on(connection, tenant=tenant, kinds=KINDS):
        if one.state == ASKS and only.overlaps(scope_of(one)):
            raise RunActive(one.id, one.kind, json.loads(one.scope), one.state)


def refuse_beside_others(connection: Connection, *, tenant: str) -> None:
    """Raise `RunActive` while any run over the timetable has not ended; one of which only held jobs are left says so."""
    for one in sync_runs.going_on(connection, tenant=tenant, kinds=KINDS):
        raise RunActive(one.id, one.kind, json.loads(one.scope), one.state, held=one.held_until is not None)


def asking(connection: Connection, *, tenant: str, kind: str, only: Scope) -> AnyRow | None:
    """A run that waits for an answer and that a new one stands for: one of its kind, or any where all is read anew."""
    for one in sync_runs.going_on(connection, tenant=tenant, kinds=KINDS):
        stands_for = kind in ("full", "import") or kind == one.kind
        if one.state == ASKS and stands_for and only.overlaps(scope_of(one)):
            return one
    return None


def first_before(connection: Connection, run: AnyRow) -> AnyRow | None:
    """The earliest run that has not ended, was asked for before this one, and overlaps with it."""
    mine = scope_of(run)
    for one in sync_runs.going_on(connection, tenant=run.tenant_id, kinds=KINDS):
        if one.id == run.id:
            return None
        if one.held_until is None and mine.overlaps(scope_of(one)):
            return one
    return None
