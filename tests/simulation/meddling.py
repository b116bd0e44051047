"""People change things by hand; afterwards two scans find the differences and repair them, as `obsync repair` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.jobs import HELD, QUEUED
from domain.settlement import Verb, verb_for
from domain.verification import Action, SeenCalendar, SeenEvent, SeenMember, What, action_for, compare

if TYPE_CHECKING:
    from tests.simulation.history import Universe


def meddle(world: Universe) -> None:
    """Somebody deletes an event, or a whole calendar."""
    world.future -= 1
    remote = world.remote
    ours = [one for one in world.mirror.values() if one.state == "live" and one.kind == "event" and one.intent is None]
    if not ours:
        return
    world.meddled = True
    row = ours[int(world.rnd() * len(ours))]
    calendar = world.mirror[row.group_id].remote_id or ""
    if world.rnd() < 0.25:
        world.say("somebody", f"deletes the calendar {row.group_id}")
        remote.delete_calendar(calendar)
    else:
        world.say("somebody", f"deletes {row.target}")
        remote.events.get(calendar, {}).pop(row.remote_id or "", None)


def hold(world: Universe) -> None:
    """The off-peak hours end: what is far and queued is held, a call in flight or not."""
    world.future -= 1
    world.peak = True
    for job in world.open.values():
        if job.state == QUEUED and world.may_wait(job.kind, job.target):
            world.say("keeper", f"holds {job.target}")
            job.state = HELD


def let_go(world: Universe) -> None:
    """They begin again."""
    world.future -= 1
    world.peak = False
    for job in world.open.values():
        if job.state == HELD:
            world.say("keeper", f"lets {job.target} go")
            job.state, job.run_at = QUEUED, world.now


def seen(world: Universe, calendar_id: str) -> SeenCalendar:
    """What a whole walk of the calendar sees."""
    remote = world.remote
    if calendar_id not in remote.calendars:
        return SeenCalendar(gone=True)
    events = tuple(
        SeenEvent(id_, marker, hash_, 0, 0, "", None) for id_, (marker, hash_, _) in remote.events[calendar_id].items()
    )
    members = tuple(SeenMember(user, role, id_) for user, (role, id_) in remote.members[calendar_id].items())
    return SeenCalendar(False, remote.calendars[calendar_id], events, members)


def differences(world: Universe) -> list:
    """What a scan of every calendar finds."""
    found = []
    for row in list(world.mirror.values()):
        if row.kind == "calendar" and row.state == "live":
            members = {user: role for user, (role, _) in world.members.get(row.target, {}).items()}
            rows = world.groups[row.target]
            verdict = compare(calendar=row, rows=rows, members=members, seen=seen(world, row.remote_id or ""))
            found += [(row, one) for one in verdict.differences]
    return found


def scan_twice(world: Universe) -> None:
    """Two scans; what both have seen is put right. Then the lanes send what that asks for."""
    first = {(one.what, one.target, one.thing) for _, one in differences(world)}
    for row, one in differences(world):
        looks = 2 if (one.what, one.target, one.thing) in first else 1
        action = action_for(one.what, one.target, looks=looks, changing=())
        world.say("repair", f"{one.what}: {action} {one.target}")
        if action is Action.REBUILD:
            world.forget_calendar(row.target)
            for each in world.groups[row.target]:
                again(world, each.target)
        elif action is Action.CREATE:
            world.mirror[one.target].gone()
            again(world, one.target)
        else:
            assert one.what is What.CALENDAR_GONE, one
    replan(world)
    world.play()


def replan(world: Universe) -> None:
    """The next sync: whatever the mirror does not have as it is wanted is asked for."""
    for target, (_, hash_) in world.wanted.items():
        row = world.mirror[target]
        gone = world.wanted[row.group_id][1] == ""
        if not gone and verb_for(row, desired_hash=hash_ or None) is not Verb.NOTHING:
            again(world, target)


def again(world: Universe, target: str) -> None:
    """What the timetable wants of the target is asked for again; a person's dead letters stay."""
    row = world.mirror[target]
    hash_ = world.wanted.get(target, (0, ""))[1]
    dead = world.dead()
    if hash_ and target not in dead and row.group_id not in dead:
        world.put(row.kind, target, row.group_id, row.lane, hash_, row.import_no)
