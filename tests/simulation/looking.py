"""A lane's job that only looks: a calendar is read page by page, compared with its mirror, and what differs is put right.

Between two pages the lane may have to give way, and the worker may die. What was kept is gone on with, unless something of the
calendar was sent meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from domain.lanes import slice_is_over
from domain.verification import (
    SURPLUS,
    Action,
    Difference,
    SeenCalendar,
    SeenEvent,
    SeenMember,
    action_for,
    compare,
    doubtful,
    fingerprint,
)
from tests.simulation import record
from tests.simulation.choose import Verify
from tests.simulation.look import page_of, read
from tests.simulation.rows import Row
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from tests.simulation.drain import Worker

CALENDAR, MEMBERS, DOUBTS, DONE = 0, 3, 4, 5  # the phases between the first two are the pages of events


class Look:
    """How far the walk of a calendar has come, and what it has seen."""

    __slots__ = ("doubts", "events", "fingerprint", "gone", "members", "name", "phase")

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.phase = CALENDAR
        self.gone = False
        self.name = ""
        self.events: dict[str, tuple[str | None, str]] = {}
        self.members: dict[str, tuple[str, str]] = {}
        self.doubts: list[str] | None = None

    def as_kept(self) -> Look:
        """A copy, which does not go on with the walk."""
        copy = Look(self.fingerprint)
        copy.phase, copy.gone, copy.name = self.phase, self.gone, self.name
        copy.events, copy.members = dict(self.events), dict(self.members)
        copy.doubts = None if self.doubts is None else list(self.doubts)
        return copy

    def seen(self) -> SeenCalendar:
        """What a finished walk saw."""
        events = tuple(SeenEvent(id_, marker, hash_, 0, 0, "", None) for id_, (marker, hash_) in self.events.items())
        members = tuple(SeenMember(user, role, id_) for user, (role, id_) in self.members.items())
        return SeenCalendar(self.gone, self.name, events, members)


def verify(worker: Worker, work: Verify) -> Iterator[int]:
    """Read the calendar to its end, or as far as the lane may, and write down what there is to write."""
    world = worker.world
    look = prepare(world, work)
    if look is None:
        worker.enter(work.lane)
        work.wanted.job.run_at = world.now + world.times.lag_ms
        return
    while look.phase != DONE:
        done = may_go_on(worker) and (yield from page(worker, work, look))
        if not done:
            worker.enter(work.lane)
            world.looks[work.group] = look.as_kept()
            worker.rest(int(world.rnd() * 300))
    yield 1
    worker.enter(work.lane)
    written(world, work, look)


def may_go_on(worker: Worker) -> bool:
    """Whether the lane need not give way to another one, or to the limiter."""
    world = worker.world
    return not slice_is_over(calls=worker.calls, elapsed_ms=world.now - worker.began) and world.rnd() > 0.15


def is_too_fresh(world: World, group: str) -> bool:
    """Whether lists may not show yet what was sent last."""
    return world.sent_at.get(group, -(1 << 40)) + world.times.lag_ms > world.now


def is_of_now(world: World, group: str, look: Look) -> bool:
    """Whether nothing of the calendar was sent since the walk began."""
    return look.fingerprint == fingerprint(world.groups[group], world.members.get(group, {}))


def prepare(world: World, work: Verify) -> Look | None:
    """The walk to carry on with; None while it is too early."""
    if is_too_fresh(world, work.group):
        return None
    kept = world.looks.get(work.group)
    if kept is not None and is_of_now(world, work.group, kept):
        return kept.as_kept()
    return Look(fingerprint(world.groups[work.group], world.members.get(work.group, {})))


def page(worker: Worker, work: Verify, look: Look) -> Iterator[int]:
    """One reading call more; False when it did not come about."""
    world, remote = worker.world, worker.world.remote
    if look.phase == DOUBTS and look.doubts is None:
        seen = {one.id: one for one in look.seen().events}
        look.doubts = doubtful(world.groups[work.group], seen)
    if look.phase == DOUBTS and not look.doubts:
        look.phase = DONE
        return True
    worker.calls += 1
    if not (yield from read(worker, work.lane)):
        return False
    if work.calendar_id not in remote.calendars:
        look.gone, look.phase = True, DONE
    elif look.phase == DOUBTS:
        assert look.doubts
        one = look.doubts.pop(0)
        there = remote.events[work.calendar_id].get(one)
        if there is None:
            look.events.pop(one, None)
        else:
            look.events[one] = (there[0], there[1])
    else:
        _list(world, work.calendar_id, look)
    return True


def _list(world: World, calendar_id: str, look: Look) -> None:
    """The calendar itself, a page of its events, or its people."""
    remote = world.remote
    if look.phase == CALENDAR:
        look.name = remote.calendars[calendar_id]
    elif look.phase == MEMBERS:
        look.members = dict(remote.members[calendar_id])
    else:
        for id_, marker, hash_ in page_of(world, calendar_id, look.phase - 1):
            look.events[id_] = (marker, hash_)
    look.phase += 1


def written(world: World, work: Verify, look: Look) -> None:
    """What a finished walk found; where the calendar has changed since, only that it was in vain."""
    group = work.group
    world.looks.pop(group, None)
    if not is_of_now(world, group, look):
        return
    people = {user: role for user, (role, _) in world.members.get(group, {}).items()}
    rows = world.groups[group]
    found = compare(calendar=world.mirror[group], rows=rows, members=people, seen=look.seen()).differences
    if found and not world.meddled:
        raise Violation(f"a look at {group} finds {[(one.what.value, one.target) for one in found]}; nobody did that")
    before = world.noted.get(group, {})
    noted = world.noted[group] = {key(one): before.get(key(one), 0) + 1 for one in found}
    if work.wanted.hash == "repair":
        heal(world, rows, look, [(one, noted[key(one)]) for one in found])
    world.close(work.wanted.job, work.wanted.rev)


def key(one: Difference) -> tuple[str, str, str]:
    """What one difference is known by from look to look."""
    return one.what.value, one.target, one.thing


def heal(world: World, rows: list[Row], look: Look, found: list[tuple[Difference, int]]) -> None:
    """Act on what two walks have seen: the mirror becomes what is there, and what is wanted is asked for again."""
    group = rows[0].group_id
    leaves = world.wanted.get(group, (0, ""))[1] == ""  # the course has left the timetable
    changing = {one.target for one in rows if leaves or world.wanted.get(one.target, (0, ""))[1] != one.sent_hash}
    doing = [(one, action_for(one.what, one.target, looks=looks, changing=changing)) for one, looks in found]
    for one, action in doing:
        world.say("repair", f"{one.what}: {action} {one.target} {one.thing}")
    if any(action is Action.REBUILD for _, action in doing):
        world.forget_calendar(group)
        for row in list(rows):
            world.again(row.target)
        return
    members = next((one for one in rows if one.kind == "members"), None)
    for one, action in doing:
        if one.what in SURPLUS and action is Action.DELETE:
            record.put_surplus(world, world.mirror[group], "event", one.thing)
        elif action is Action.MEMBERS:
            world.members[group] = dict(look.members)
            if members is not None:
                world.again(members.target)
        elif action not in (Action.LOOK_AGAIN, Action.TICKET):
            face(world.mirror[one.target], one, action)
            world.again(one.target)


def face(row: Row, one: Difference, action: Action) -> None:
    """The mirror of a target becomes what is really there."""
    if action is Action.CREATE:
        row.gone()
        return
    assert one.theirs is not None, one
    row.sent(one.theirs.id, one.theirs.hash if one.theirs.marker == row.marker else "unmarked")
