"""Discrepancies as people and programs read them: cause, both sides, what a repair would do, and what to do oneself."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from db import discrepancies
from db.tables import AnyRow, mirror, users
from domain.verification import SURPLUS, Action, What, action_for
from usecases.deps import Deps
from usecases.sync import layout
from usecases.sync.repairing import changing_targets

_CAUSE = {
    What.CALENDAR_GONE: "the calendar was deleted in WPS",
    What.CALENDAR_RENAMED: "the calendar was renamed in WPS",
    What.CALENDAR_COPY: "there is a second calendar of the course",
    What.EVENT_MISSING: "the event was deleted in WPS",
    What.EVENT_EDITED: "the event was changed in WPS",
    What.EVENT_REPLACED: "the event was deleted in WPS, and a copy of it is there",
    What.EVENT_COPY: "there is a second copy of the event",
    What.EVENT_UNKNOWN: "an event carries a mark of ours that belongs to nothing",
    What.MEMBER_MISSING: "a person was taken off the calendar in WPS",
    What.MEMBER_EXTRA: "a person was put on the calendar in WPS",
    What.MEMBER_ROLE: "a person's role was changed in WPS",
}
_REMEDY = {
    Action.CREATE: "a repair creates it again",
    Action.UPDATE: "a repair makes it what the timetable says",
    Action.ADOPT: "a repair takes the copy for the event",
    Action.DELETE: "a repair deletes it",
    Action.RENAME: "a repair gives the name back",
    Action.REBUILD: "a repair creates the calendar and everything in it again",
    Action.MEMBERS: "a repair makes its people those of the roll",
    Action.LOOK_AGAIN: "a second look decides",
    Action.TICKET: "the timetable has changed too: see both sides; a sync sends what it says now",
}
_COMMAND = {Action.TICKET: "obsync sync"}


def listing(
    connection: Connection, deps: Deps, *, run_id: str | None = None, states: Sequence[str], limit: int, **narrowed: Any
) -> list[dict[str, Any]]:
    """Discrepancies, newest first, each with what a repair that looks once more would do about it; `narrowed` as
    `db.discrepancies.listing` has it."""
    rows = discrepancies.listing(
        connection, tenant=deps.tenant, run_id=run_id, states=states, limit=limit, **narrowed
    )  # fmt: skip
    return described(connection, deps, rows)


def described(connection: Connection, deps: Deps, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """Rows as people read them."""
    planner = layout.planner_in(connection, deps.engine, deps.tenant, deps.secret)
    changing: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if (row.term, row.group_id) not in changing:
            plan = planner.of_calendar(connection, term=row.term, group_id=row.group_id)
            mine = [one.target for one in rows if (one.term, one.group_id) == (row.term, row.group_id)]
            changing[row.term, row.group_id] = changing_targets(plan, mine)
    names = _names(connection, deps.tenant, rows)
    people = _people(connection, deps.tenant, rows)
    found = []
    for row in rows:
        one = _as_dict(row, changing[row.term, row.group_id])
        one["calendar_name"] = names.get((row.term, row.group_id))
        if row.kind == "member":
            one["person"] = people.get(row.thing)
        found.append(one)
    return found


def _names(connection: Connection, tenant: str, rows: Sequence[AnyRow]) -> dict[tuple[str, str], str | None]:
    """The names that we gave to the calendars."""
    found: dict[tuple[str, str], str | None] = {}
    for part in _parts(sorted({row.group_id for row in rows})):
        where = (mirror.c.tenant_id == tenant, mirror.c.target.in_(part))
        for row in connection.execute(select(mirror.c.term, mirror.c.target, mirror.c.name).where(*where)):
            found[row.term, row.target] = row.name
    return found


def _people(connection: Connection, tenant: str, rows: Sequence[AnyRow]) -> dict[str, dict[str, str]]:
    """WPS id → number and name of the people the rows are about, as far as the school knows them."""
    found: dict[str, dict[str, str]] = {}
    for part in _parts(sorted({row.thing for row in rows if row.kind == "member"})):
        where = (users.c.tenant_id == tenant, users.c.wps_id.in_(part))
        for row in connection.execute(select(users.c.wps_id, users.c.code, users.c.name).where(*where)):
            found[row.wps_id] = {"code": row.code, "name": row.name}
    return found


def _parts(values: list[str]) -> list[list[str]]:
    return [values[start : start + 500] for start in range(0, len(values), 500)]


def _as_dict(row: AnyRow, changing: set[str]) -> dict[str, Any]:
    what = What(row.what)
    action = action_for(what, row.target, looks=row.scans + 1, changing=changing)
    return {
        "id": row.id,
        "what": row.what,
        "kind": row.kind,
        "state": row.state,
        "term": row.term,
        "lane": row.lane,
        "calendar": row.group_id,
        "target": row.target or None,
        "thing": row.thing,
        "ours": json.loads(row.ours),
        "theirs": json.loads(row.theirs),
        "cause": _CAUSE[what],
        "action": action.value,
        "remedy": _REMEDY[action],
        "command": _COMMAND.get(action, "obsync repair"),
        "surplus": what in SURPLUS,
        "scans": row.scans,
        "first_scan_ms": row.first_scan_ms,
        "last_scan_ms": row.last_scan_ms,
        "healed_ms": row.healed_ms,
        "history": json.loads(row.history),
    }
