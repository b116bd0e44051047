"""What a call or a look came to, written in one fenced transaction."""

from __future__ import annotations

from domain.outcomes import Reaction, reaction
from domain.settlement import Aftermath, Finding, Verb, aftermath, longer, shorter
from tests.simulation.choose import Call, Close, Settle, Wanted
from tests.simulation.exchange import Answer
from tests.simulation.look import Answers
from tests.simulation.rows import LOOK_UPS, Row, Walk
from tests.simulation.world import World

LOOK_AGAIN_MS = 150


def record(world: World, call: Call, answer: Answer) -> int:
    """Write the outcome; returns how long the lane rests."""
    if answer.failure is None:
        _DONE[call.kind](world, call, answer)
        return 0
    one = call.wanted[0]
    what = reaction(
        answer.failure,
        writes=call.kind not in LOOK_UPS,
        alone=call.alone,
        names_people=call.members is not None and bool(call.members.add),
        attempts=one.attempts,
    )
    if what is Reaction.SETTLE_LATE:
        return 0
    if what is Reaction.SETTLE_SOON:
        look_again(world, call, call.wanted)
        return 0
    if call.kind not in LOOK_UPS:
        for each in call.wanted:
            each.row.clear()
        world.mirror[call.group].parked_until = 0
    elif what is not Reaction.REST:
        one.job.attempts += 1
        one.job.alone += 1
        world.walk = None if call.kind == "walk" else world.walk
    if what is Reaction.REST:
        give_back(call)
        return 40
    if what is Reaction.MAKE_ANEW:
        if call.kind == "event" and call.verb is Verb.UPDATE:
            one.row.gone()
        else:
            world.forget_calendar(call.group)
            world.put_calendar_again(call.group, call.lane)
    elif what is Reaction.HALVE:
        blame(world, call)
    elif what is Reaction.BURY:
        world.bury(one.job, one.rev)
    elif what is Reaction.RETRY:
        one.job.run_at = world.now + 50
    return 0


def take_back(world: World, call: Call) -> None:
    """Promised and not sent: as if nobody had promised it."""
    for each in call.wanted:
        each.row.clear()
    world.mirror[call.group].parked_until = 0
    give_back(call)


def blame(world: World, call: Call) -> None:
    """Nobody knows which of them it was: half as many go next time."""
    for each in call.wanted:
        each.row.list_max = shorter(100, failed=len(call.wanted))


def give_back(call: Call) -> None:
    """Return the attempt that was counted before the call."""
    if call.kind not in LOOK_UPS and call.alone:
        job = call.wanted[0].job
        job.attempts = max(0, job.attempts - 1)


def look_again(world: World, call: Call, wanted: list[Wanted]) -> None:
    """WPS has answered: only the lag of its lists has to pass."""
    at = world.now + world.times.lag_ms
    for one in wanted:
        one.row.settle_at = at
    world.mirror[call.group].parked_until = at


def _calendar(world: World, call: Call, answer: Answer) -> None:
    one = call.wanted[0]
    if call.verb is not Verb.DELETE:
        one.row.sent(answer.made[0][0], one.hash)
    closed = world.close(one.job, one.rev)
    if call.verb is Verb.DELETE:
        world.calendar_deleted(call.group, wanted_again=not closed)
    world.mirror[call.group].parked_until = 0


def matched(call: Call, made: list[tuple[str, str]]) -> dict[str, str]:
    """Target → id, by marker: WPS promises no order."""
    by_marker = {one.row.marker: one.job.target for one in call.wanted}
    return {by_marker[marker]: id_ for id_, marker in made if marker in by_marker}


def _event(world: World, call: Call, answer: Answer) -> None:
    if call.verb is Verb.DELETE:
        one = call.wanted[0]
        one.row.gone()
        world.close(one.job, one.rev)
        world.mirror[call.group].parked_until = 0
        return
    ids = matched(call, answer.made)
    missing = []
    for one in call.wanted:
        if one.job.target in ids:
            one.row.sent(ids[one.job.target], one.hash)
            one.row.list_max = longer(one.row.list_max)
            world.close(one.job, one.rev)
        else:
            missing.append(one)
    if missing:
        look_again(world, call, missing)
    else:
        world.mirror[call.group].parked_until = 0


def _members(world: World, call: Call, answer: Answer) -> None:
    one = call.wanted[0]
    assert call.members is not None
    present = world.members.setdefault(call.group, {})
    if call.members.remove is not None:
        present.pop(call.members.remove[0], None)
    for user, role, permission in answer.made:
        present[user] = (role, permission)
    one.row.clear()
    world.mirror[call.group].parked_until = 0
    one.row.list_max = longer(one.row.list_max)
    if call.members.left_after:
        give_back(call)
    else:
        one.row.sent("", one.hash)
        world.close(one.job, one.rev)


def begin_walk(world: World) -> None:
    """The walk in progress goes on, or a new one starts now."""
    if world.walk is None:
        world.walk = Walk(world.now)


def _walk(world: World, call: Call, answer: Answer) -> None:
    names, more = answer.page
    walk = world.walk
    if walk is None:
        return
    walk.names += names
    if names:
        walk.last = names[-1][1]
    if not more:
        walk.finished = world.now
        world.done_walk, world.walk = walk, None
        one = call.wanted[0]
        world.close(one.job, one.rev)


def _users(world: World, call: Call, answer: Answer) -> None:
    world.people_known = True
    world.close(call.wanted[0].job, call.wanted[0].rev)


_DONE = {"calendar": _calendar, "members": _members, "event": _event, "walk": _walk, "users": _users}


def close(world: World, work: Close) -> None:
    """Close jobs whose target already is what they ask for."""
    for one in work.wanted:
        if one.job.kind == "members":
            one.row.sent("", one.hash)
        if world.close(one.job, one.rev) and one.job.kind == "calendar" and not one.hash:
            world.calendar_deleted(one.job.group_id, wanted_again=False)


# --- settled ----------------------------------------------------------------------------------------------------------


def settled(world: World, work: Settle, answers: Answers) -> None:
    """Write the answers down; the calendar is free again."""
    calendar = world.mirror[work.group]
    if answers.waits_for_walk:
        world.put("walk", "walk", "walk", "_", "", 0)
        calendar.parked_until = world.now + LOOK_AGAIN_MS
        return
    if answers.gone:
        world.forget_calendar(work.group)
        world.put_calendar_again(work.group, work.lane)
        calendar.parked_until = 0
        return
    retry = sum(1 for _, _, one in answers.settled if one.finding is Finding.NOT_APPLIED)
    for read, intent, one in answers.settled:
        row = world.mirror[read.target]
        if world.log is not None:
            world.say("settled", f"{row.target} {intent.verb}: {one.finding}")
        follows = aftermath(intent.verb, one.finding)
        if follows is Aftermath.SENT:
            row.sent(one.remote_id or "", intent.hash)
            world.close_target(row.target, intent.rev)
        elif follows is Aftermath.DELETED:
            closed = world.close_target(row.target, intent.rev)
            if row.kind == "calendar":
                world.calendar_deleted(row.target, wanted_again=not closed)
            else:
                row.gone()
        elif follows is Aftermath.LOST and row.kind == "calendar":
            world.forget_calendar(row.target)
        elif follows is Aftermath.LOST:
            row.gone()
        else:
            row.clear()
            row.list_max = shorter(row.list_max, failed=retry)
        for copy in one.surplus:
            put_surplus(world, row, row.kind, copy)
    if answers.members is not None:
        _members_seen(world, work, answers.members)
    calendar.parked_until = 0


def _members_seen(world: World, work: Settle, found: dict[str, tuple[str, str]]) -> None:
    world.members[work.group] = dict(found)
    for row in work.open:
        if row.kind == "members" and row.intent is not None:
            named = row.intent_ids
            there = world.mirror[row.target]
            there.clear()
            if named and not all(user in found for user in named):
                there.list_max = shorter(there.list_max, failed=len(named))


def put_surplus(world: World, row: Row, kind: str, remote_id: str) -> None:
    """A second copy: a target of its own that should not exist. `row`: that of which it is one, or its calendar's."""
    copy = f"sur:{remote_id}"
    group = copy if kind == "calendar" else row.group_id
    world.put(kind, copy, group, row.lane, "", row.import_no)
    world.mirror[copy].sent(remote_id, "surplus")
