"""Operations as rows that a person can read: what is missing, extra or changed, both sides, and the fields that differ.

missing: WPS has to get it · extra: WPS has to lose it · changed: WPS has something else
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select

from db import guards, mirror, rolls
from db.tables import mirror as mirror_table
from domain.plans import Operation
from domain.settlement import Mirrored, Verb
from usecases.sync.planning import CoursePlan

WHAT: Final = {Verb.CREATE: "missing", Verb.DELETE: "extra", Verb.UPDATE: "changed"}
_FIELDS: Final = ("summary", "description", "start_ms", "end_ms", "location")
_TIMES: Final = ("start_ms", "end_ms")
_NAMED: Final = 20  # people of a difference who are named


_KINDS: Final = {"cal": "calendar", "mem": "members", "evt": "event"}


def kind_of(target: str) -> str:
    """What a target is: its name says it."""
    return _KINDS[target.partition(":")[0]]


def rows_of(ours: Connection, theirs: Connection, plans: Sequence[CoursePlan], *, tenant: str) -> list[dict[str, Any]]:
    """The operations of a page. `ours` has the timetable, `theirs` the mirror and what was sent: the same, but for a dry run."""
    found = []
    for plan in plans:
        by_target = _mirrored(theirs, plan, tenant)
        sent = _sent(theirs, plan, by_target, tenant)
        for operation in plan.operations:
            there = by_target.get(operation.target)
            row = {
                "kind": operation.kind,
                "verb": operation.verb.value,
                "what": WHAT[operation.verb],
                "target": operation.target,
                "lane": plan.lane,
                "term": plan.term,
                "label": operation.label,
            }
            if operation.kind == "members":
                found.append({**row, **_members(ours, theirs, plan, tenant)})
            elif operation.kind == "calendar":
                found.append({**row, **_calendar(theirs, plan, operation, there, tenant)})
            else:
                found.append({**row, **_event(operation, there, sent)})
    return found


def _mirrored(tx: Connection, plan: CoursePlan, tenant: str) -> dict[str, Mirrored]:
    rows = mirror.group_rows(tx, tenant=tenant, term=plan.term, group_id=plan.group)
    return {row.target: row for row in rows if row.state == "live"}


def _sent(
    tx: Connection, plan: CoursePlan, by_target: Mapping[str, Mirrored], tenant: str
) -> dict[tuple[str, str], str]:
    targets = [one.target for one in plan.operations if one.kind == "event" and one.target in by_target]
    return guards.sent_payloads(tx, tenant=tenant, groups=[plan.group], targets=targets) if targets else {}


def _event(operation: Operation, there: Mirrored | None, sent: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    wanted = operation.desired
    ours = _shown(json.loads(wanted.payload)) if wanted is not None else None
    theirs: dict[str, Any] | None = None
    if there is not None:
        known = sent.get((there.target, there.sent_hash))
        # What was sent long ago may be known by its times only.
        times = {"start_ms": there.from_ms, "end_ms": there.until_ms}
        theirs = _shown(json.loads(known)) if known is not None else times
    return {"ours": ours, "theirs": theirs, "changed": _changed(ours, theirs)}


def _shown(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {name: payload.get(name) for name in _FIELDS}


def _changed(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None) -> list[str]:
    if ours is None or theirs is None:
        return []
    return [name for name in theirs if ours.get(name) != theirs[name]]


def _calendar(
    tx: Connection, plan: CoursePlan, operation: Operation, there: Mirrored | None, tenant: str
) -> dict[str, Any]:
    ours = None if operation.desired is None else {"name": json.loads(operation.desired.payload)["name"]}
    theirs = None if there is None else {"name": there.name}
    row = {"ours": ours, "theirs": theirs, "changed": _changed(ours, theirs)}
    if operation.verb is not Verb.DELETE:
        return row
    where = (
        mirror_table.c.tenant_id == tenant,
        mirror_table.c.term == plan.term,
        mirror_table.c.group_id == operation.target,
        mirror_table.c.kind == "event",
        mirror_table.c.state == "live",
    )
    events = tx.execute(select(func.count()).select_from(mirror_table).where(*where)).scalar_one()
    return {**row, "events": int(events)}


def _members(ours: Connection, theirs: Connection, plan: CoursePlan, tenant: str) -> dict[str, Any]:
    wanted = _people(ours, plan, tenant)
    present = mirror.present_members(theirs, tenant=tenant, term=plan.term, group_id=plan.group)
    add = sorted(user for user, role in wanted.items() if present.get(user, ("", ""))[0] != role)
    remove = sorted(user for user, (role, _) in present.items() if wanted.get(user) != role)
    return {
        "ours": {"people": len(wanted)},
        "theirs": {"people": len(present)},
        "changed": ["people"],
        "add": add[:_NAMED],
        "add_count": len(add),
        "remove": remove[:_NAMED],
        "remove_count": len(remove),
    }


def _people(ours: Connection, plan: CoursePlan, tenant: str) -> dict[str, str]:
    """Who shall be in the calendar: those of the course, or the person whose own it is."""
    if plan.offering_id is None:
        code = plan.sources.get(plan.group)
        return {} if code is None else rolls.reader(ours, tenant=tenant, code=code)
    found = rolls.wanted_members(ours, tenant=tenant, term=plan.term, offering_ids=[plan.offering_id])
    return found.get(plan.offering_id, {})
