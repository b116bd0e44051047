"""People change things by hand, and looks at WPS are asked for; what they find is repaired, as `obsync repair` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.jobs import HELD, QUEUED
from domain.settlement import Verb, verb_for
from tests.simulation.rows import Row, Task
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from tests.simulation.history import Universe
    from tests.simulation.world import World


PATIENCE_MS = 10_000


class Scan(Task):
    """A run that asks for a look at every calendar, or for a repair, and waits for the lanes."""

    __slots__ = ("word",)

    def __init__(self, id_: int, word: str, run_at: int) -> None:
        super().__init__(id_, 0, [], run_at)
        self.word = word

    def step(self, world: World, at: int) -> bool | None:
        """All calendars are one page."""
        if at == 0:
            ask(world, self.word, self.id)
            return True
        return super().step(world, at)


def ask(world: World, word: str, run: int = 0) -> None:
    """Put the jobs of a look at every calendar that is there; what was found in one that has gone is over."""
    world.noted = {group: found for group, found in world.noted.items() if world.mirror[group].state == "live"}
    for row in list(world.mirror.values()):
        if row.kind == "calendar" and row.state == "live" and not row.target.startswith("sur:"):
            world.put("verify", f"v{row.target}", row.target, row.lane, word, 0, run)


def meddle(world: Universe) -> None:
    """Somebody deletes, edits or copies an event, deletes a calendar, or takes people off it."""
    ours = [one for one in world.mirror.values() if one.state == "live" and one.kind == "event" and one.intent is None]
    if not ours and world.now < PATIENCE_MS:  # there is nothing yet that they could spoil
        world.at(world.now + 400, lambda: meddle(world))
        return
    world.future -= 1
    if not ours:
        return
    world.meddled = True
    row = ours[int(world.rnd() * len(ours))]
    calendar = world.mirror[row.group_id].remote_id or ""
    draw = world.rnd()
    if draw < 0.25:
        world.say("somebody", f"deletes the calendar {row.group_id}")
        world.remote.delete_calendar(calendar)
    elif calendar in world.remote.calendars:
        _event(world, row, calendar, draw)


def _event(world: Universe, row: Row, calendar: str, draw: float) -> None:
    events, id_ = world.remote.events[calendar], row.remote_id or ""
    if draw < 0.6 or id_ not in events:
        world.say("somebody", f"deletes {row.target}")
        events.pop(id_, None)
    elif draw < 0.8:
        world.say("somebody", f"edits {row.target}")
        events[id_][1] = "theirs"
    elif draw < 0.9:
        world.say("somebody", f"copies {row.target}")
        events[world.remote.id("e")] = [row.marker, "theirs", world.now]
    else:
        world.say("somebody", f"takes everybody off {row.group_id}")
        world.remote.members[calendar].clear()


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


def put_right(world: Universe) -> None:
    """Two looks, of which the second puts right, and the next sync; a look after that finds nothing."""
    for word in ("verify", "repair"):
        ask(world, word)
        world.play()
    replan(world)
    world.play()
    ask(world, "verify")
    world.play()
    dead = world.dead()
    for group, found in world.noted.items():
        left = [one for one in found if group not in dead and one[1] not in dead]
        if left:
            raise Violation(f"a look at {group} finds {left} after its repair")


def replan(world: Universe) -> None:
    """The next sync: whatever the mirror does not have as it is wanted is asked for."""
    for target, (_, hash_) in world.wanted.items():
        row = world.mirror[target]
        gone = world.wanted[row.group_id][1] == ""
        if not gone and verb_for(row, desired_hash=hash_ or None) is not Verb.NOTHING:
            world.again(target)
