"""Putting right what two walks have seen: the mirror becomes what WPS really has, and the planner's differences become jobs.

The jobs are ordinary ones and go the ordinary way, intent and settlement included. Events that come back say so in a line of
their description. What a person has to decide stays a ticket: above all where the timetable has changed too.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from db import discrepancies, imports, jobs, mirror
from db.clock import now_ms
from db.jobs import Put
from db.mirror import SentRow
from domain.ids import key_of
from domain.plans import PRIORITY, members_target
from domain.rolls import roll_hash
from domain.settlement import Mirrored
from domain.tiers import FAR
from domain.verification import KIND, Action, Difference, SeenCalendar, action_for
from observability.log import get_logger
from usecases.sync.planning import CoursePlan, Planner
from usecases.sync.recording import Scope, forget_calendar, gone
from usecases.sync.work import Verifying

log = get_logger("repairs")

Named = tuple[str, Difference, int]  # id of its row, what differs, how many walks have seen it

_STATE = {Action.LOOK_AGAIN: discrepancies.OPEN, Action.TICKET: discrepancies.TICKET}
_DOES_NOT_CHANGE = frozenset(_STATE)


def changing_targets(plan: CoursePlan | None, targets: Sequence[str]) -> set[str]:
    """The targets for which the timetable asks for something else than was sent; all, where the course has left it."""
    if plan is None:
        return set(targets)
    return {one.target for one in plan.operations}


def heal(
    connection: Connection,
    scope: Scope,
    work: Verifying,
    rows: Sequence[Mirrored],
    seen: SeenCalendar,
    named: Sequence[Named],
    *,
    planner: Planner,
    plan: CoursePlan | None,
    unfinished: Collection[str],
) -> None:
    """Act on the differences of one calendar. The lane has been entered by the same unit.

    `unfinished` are targets that an earlier repair asked for and that have not been sent yet: they are asked for again, which
    brings dead letters back.
    """
    changing = changing_targets(plan, [difference.target for _, difference, _ in named])
    now, run_id = now_ms(connection), work.wanted.run_id
    by_target = {row.target: row for row in rows}
    healed: list[tuple[Difference, Action]] = []
    for row_id, difference, looks in named:
        action = action_for(difference.what, difference.target, looks=looks, changing=changing)
        state = _STATE.get(action, discrepancies.REPAIRING)
        discrepancies.did(
            connection, row_id, tenant=scope.tenant, state=state, what=action.value, run_id=run_id, now=now
        )
        log.info("repair", discrepancy=row_id, what=difference.what.value, action=action.value, run_id=run_id)
        if action not in _DOES_NOT_CHANGE:
            healed.append((difference, action))
    if not healed and not unfinished:
        return
    import_no = imports.latest_complete(connection, scope.tenant) or 0
    if any(action is Action.REBUILD for _, action in healed):
        forget_calendar(connection, scope, term=work.ref.term, group_id=work.ref.group_id)
    else:
        for difference, action in healed:
            _face(connection, scope, work, difference, action, by_target)
        if any(action is Action.MEMBERS for _, action in healed):
            _face_members(connection, scope, work, by_target, seen)
    puts = _puts(connection, scope, work, healed, planner, unfinished)
    puts += [_delete(scope, work, difference) for difference, action in healed if action is Action.DELETE]
    puts.sort(key=lambda one: one.target)
    for start in range(0, len(puts), 500):
        jobs.put(
            connection,
            puts[start : start + 500],
            tenant=scope.tenant,
            import_no=import_no,
            run_id=run_id,
            new_id=scope.deps.new_id,
        )
    _face_surplus(connection, work, healed, tenant=scope.tenant)


def _face(
    connection: Connection,
    scope: Scope,
    work: Verifying,
    difference: Difference,
    action: Action,
    by_target: dict[str, Mirrored],
) -> None:
    """The mirror of a target becomes what is really there, so that the planner sees the difference too."""
    key = {"tenant": scope.tenant, "term": work.ref.term}
    if action is Action.CREATE:
        gone(connection, scope, by_target[difference.target], term=work.ref.term)
    elif action is Action.RENAME:
        row = by_target[difference.target]
        sent = SentRow(row.target, row.remote_id or "", key_of(difference.seen), None, None, row.list_max)
        mirror.write_sent(connection, [sent], **key)
    elif action in (Action.UPDATE, Action.ADOPT):
        row, there = by_target[difference.target], difference.theirs
        assert there is not None
        # An event that lost nothing but its marker has the content we sent, and is sent again all the same.
        hash_ = there.hash if there.marker == row.marker else "unmarked"
        mirror.write_sent(
            connection, [SentRow(row.target, there.id, hash_, there.start_ms, there.end_ms, row.list_max)], **key
        )


def _face_members(
    connection: Connection, scope: Scope, work: Verifying, by_target: dict[str, Mirrored], seen: SeenCalendar
) -> None:
    key = {"tenant": scope.tenant, "term": work.ref.term}
    mirror.drop_members(connection, None, group_id=work.ref.group_id, **key)
    given = [(one.user_id, one.role, one.permission_id) for one in seen.members]
    mirror.add_members(connection, given, group_id=work.ref.group_id, **key)
    row = by_target.get(members_target(_key(work)))
    if row is not None and row.state == "live":
        hash_ = roll_hash({one.user_id: one.role for one in seen.members})
        mirror.write_sent(connection, [SentRow(row.target, "", hash_, None, None, row.list_max)], **key)


def _key(work: Verifying) -> str:
    """What the targets of the calendar are made of."""
    return work.ref.group_id.partition(":")[2]


def _puts(
    connection: Connection,
    scope: Scope,
    work: Verifying,
    healed: Sequence[tuple[Difference, Action]],
    planner: Planner,
    unfinished: Collection[str],
) -> list[Put]:
    """What the planner asks for now, as far as it is about what is being healed."""
    targets = {one.target for one, action in healed if action not in (Action.DELETE, Action.MEMBERS)}
    targets |= set(unfinished)
    rebuild = any(action is Action.REBUILD for _, action in healed)
    plan = planner.of_calendar(connection, term=work.ref.term, group_id=work.ref.group_id)
    if plan is None:
        return []
    chosen = [one for one in plan.operations if one.desired is not None and (rebuild or one.target in targets)]
    found = [restored(planner.as_put(plan, one)) for one in chosen]
    if any(action is Action.MEMBERS for _, action in healed) and not any(one.kind == "members" for one in found):
        found += _members_put(scope, work, plan)
    return found


def restored(one: Put) -> Put:
    """The same job; an event will say that it is back because of the timetable."""
    if one.kind != "event":
        return one
    return replace(one, payload=json.dumps({**json.loads(one.payload), "restored": True}, ensure_ascii=False))


def _members_put(scope: Scope, work: Verifying, plan: CoursePlan) -> list[Put]:
    """Asked for whether or not the roll has changed: the job compares the roll with who is really there."""
    want = plan.wanted.get(members_target(_key(work)))
    if want is None:
        return []
    rank = (plan.tiers.get(want.target, FAR), plan.priority * len(PRIORITY) + PRIORITY["members"])
    return [Put("members", want.target, work.ref.group_id, work.ref.term, scope.lane, want.payload, want.hash, *rank)]


def _copy_target(difference: Difference) -> str:
    return f"sur:{key_of(difference.remote_id or '')}"


def _delete(scope: Scope, work: Verifying, difference: Difference) -> Put:
    """A copy is a target of its own that should not exist; that of a calendar is a group of its own too."""
    kind, target = KIND[difference.what], _copy_target(difference)
    group = target if kind == "calendar" else work.ref.group_id
    return Put(kind, target, group, work.ref.term, scope.lane, jobs.GONE, "", 0, PRIORITY[kind])


def _face_surplus(
    connection: Connection, work: Verifying, healed: Sequence[tuple[Difference, Action]], *, tenant: str
) -> None:
    """The mirror of a copy: it is there."""
    for difference, action in healed:
        if action is Action.DELETE and difference.remote_id is not None:
            there = difference.theirs
            from_ms, until_ms = (there.start_ms, there.end_ms) if there is not None else (None, None)
            row = SentRow(_copy_target(difference), difference.remote_id, "surplus", from_ms, until_ms, 1)
            mirror.write_sent(connection, [row], tenant=tenant, term=work.ref.term)
