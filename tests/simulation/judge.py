"""The verdict on a history that has come to rest: nothing lost, nothing doubled, nobody blamed who did nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.world import Violation

if TYPE_CHECKING:
    from tests.simulation.history import Universe


def judge(world: Universe) -> None:
    """Raises Violation."""
    dead = _dead(world)
    if world.people_asked and not world.people_known:
        raise Violation("WPS was never asked who people are")
    _no_lane_held_by_nobody(world)
    remote = world.remote
    expected: dict[str, int] = {}
    for target, (_, wanted) in world.wanted.items():
        row = world.mirror[target]
        hash_ = wanted
        calendar = world.mirror[row.group_id]
        if target in dead or calendar.target in dead or target in world.open:
            continue
        if world.wanted[calendar.target][1] == "":
            hash_ = ""
        if row.kind == "calendar":
            same = [id_ for id_, name in remote.calendars.items() if name.startswith(target)]
            _one(target, same, hash_, row)
            if hash_ and world.hash_of[remote.calendars[same[0]]] != hash_:
                raise Violation(f"{target} is called {remote.calendars[same[0]]}, which is not what was asked for")
            expected[target] = 1
            continue
        events = remote.events.get(calendar.remote_id or "", {})
        if row.kind == "event":
            same = [id_ for id_, one in events.items() if one[0].startswith(f"{target}#")]
            _one(target, same, hash_, row)
            if hash_ and events[same[0]][1] != hash_:
                raise Violation(f"{target} says {events[same[0]][1]}, and {hash_} was asked for")
        elif hash_:
            people = remote.members.get(calendar.remote_id or "", {})
            if {user: role for user, (role, _) in people.items()} != world.rolls[row.group_id]:
                raise Violation(f"{target}: {people} are there, and {world.rolls[row.group_id]} were asked for")
            if world.members[row.group_id] != people:
                raise Violation(f"{target}: the mirror has {world.members[row.group_id]}, WPS {people}")


def _one(target: str, found: list[str], hash_: str, row) -> None:
    if not hash_:
        if found:
            raise Violation(f"{target} should be gone, and is there as {found}")
        if row.state == "live":
            raise Violation(f"{target} is gone, and the mirror has it")
        return
    if not found:
        raise Violation(f"{target} is lost")
    if len(found) > 1:
        raise Violation(f"{target} is doubled: {found}")
    if row.state != "live" or row.remote_id != found[0] or row.sent_hash != hash_:
        raise Violation(f"{target} is {found[0]}, and the mirror has {row.state} {row.remote_id} {row.sent_hash}")


def _dead(world: Universe) -> set[str]:
    dead = world.dead()
    for job in (*world.closed, *world.open.values()):
        if job.attempts > job.alone:
            raise Violation(f"{job.target} was charged {job.attempts} attempts and was alone in {job.alone} calls")
    guilty = world.poison | world.refused | world.deadly
    for target in dead - guilty:
        raise Violation(f"{target} is a dead letter and has done nothing wrong")
    for job in world.open.values():
        if job.state != "blocked" or job.group_id not in dead:
            raise Violation(f"{job.target} is left {job.state}")
    for task in world.tasks:
        if task.state == "dead" and not task.deadly:
            raise Violation(f"run {task.id} was given up")
        if task.state == "done" and task.cursor < len(task.pages):
            raise Violation(f"run {task.id} ended after page {task.cursor} of {len(task.pages)}")
    return dead


def _no_lane_held_by_nobody(world: Universe) -> None:
    held = {one.lane for one in world.processes if one.alive and one.lane is not None}
    for name, lane in world.lanes.items():
        if lane.owner is not None and lane.lease_until > world.now + world.times.lease_ms and name not in held:
            raise Violation(f"lane {name} is held by {lane.owner}, which is dead")
