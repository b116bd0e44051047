"""One call over the wire: what WPS makes of it, when, and what of its answer comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from domain.outcomes import About, Failure, is_definite
from domain.settlement import Verb
from tests.simulation.choose import Call, Wanted
from tests.simulation.rows import LOOK_UPS
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from tests.simulation.drain import Worker

THROTTLED = Failure(True, True, About.WORLD)
NOT_SENT = Failure(True, False, About.WORLD)
REJECTED = Failure(True, True, About.DATA, to_person=True)
GONE = Failure(True, True, About.OBJECT_GONE, retries=1)
NO_ANSWER = Failure(False, False, About.DATA, retries=5)
LIST_REFUSED = Failure(False, True, About.DATA, to_person=True)
MOST_DEATHS = 25


class Answer:
    """What came back: a failure, or what was made. `chosen`: the work chosen while the call was in flight; `promised`: the
    time since which it is promised, if it is."""

    __slots__ = ("chosen", "failure", "kills", "made", "page", "promised", "took")

    def __init__(self, failure: Failure | None = None, took: int = 1) -> None:
        self.failure = failure
        self.took = took
        self.made: list[Any] = []
        self.kills = False
        self.chosen: Any = None
        self.promised: int | None = None
        self.page: Any = None


def occupy(world: World, worker: Worker, lane: str, took: int) -> None:
    """A call of the lane is in flight; WPS must never see two."""
    other = world.flying.get(lane)
    if other is not None and other[0] > world.now and other[1] is not worker:
        raise Violation(f"two calls of lane {lane} in flight: {worker.name} beside {other[1].name}")
    world.flying[lane] = (world.now + took, worker)
    world.calls += 1


def send(world: World, worker: Worker, call: Call, guarded: int) -> Answer:
    """The first byte leaves. Whatever is applied is applied within budget and lateness of the guard."""
    rnd = world.rnd
    answer = Answer(took=20 + int(rnd() * 60))
    if call.kind in LOOK_UPS:
        occupy(world, worker, call.lane, answer.took)
        if rnd() < 0.03:
            answer.failure = NO_ANSWER
        elif call.kind == "walk":
            world.remote.later(world.now + answer.took - 1, lambda at: _page(world, answer, at))
        return answer
    world.operations += len(call.wanted)
    if world.deadly:
        for one in call.wanted:
            if one.job.target in world.deadly:
                return _deadly(world, worker, call, answer, one.job.target)
    draw = rnd()
    world.doubt_in -= 1
    if draw < 0.05 and world.doubt_in != 0:
        answer.failure = THROTTLED if draw < 0.03 else NOT_SENT
        if draw < 0.03:
            occupy(world, worker, call.lane, answer.took)
        return answer
    apply = _APPLY[call.kind](world, call, answer)
    if draw > 0.87 or world.doubt_in == 0:
        _in_doubt(world, call, answer, apply, guarded)
    elif (world.poison or world.refused) and is_refused(world, call):
        _refused(world, call, answer)
    else:
        world.remote.later(world.now + answer.took - 1, apply)
    occupy(world, worker, call.lane, answer.took)
    if world.log is not None:
        names = ", ".join(one.job.target for one in call.wanted)
        world.say(worker.name, f"sends {call.verb} {names}" + ("" if answer.failure is None else "  (in doubt)"))
    return answer


def is_refused(world: World, call: Call) -> bool:
    """Whether WPS will not have something of it."""
    return any(one.job.target in world.poison or one.job.target in world.refused for one in call.wanted)


def _deadly(world: World, worker: Worker, call: Call, answer: Answer, target: str) -> Answer:
    deaths = world.deaths[target] = world.deaths.get(target, 0) + 1
    if deaths > MOST_DEATHS:
        raise Violation(f"{target} has killed {deaths} workers and is never buried")
    world.say(worker.name, f"sends {target}, which kills it")
    answer.kills = True
    occupy(world, worker, call.lane, answer.took)
    return answer


def _in_doubt(world: World, call: Call, answer: Answer, apply: Callable[[int], None], guarded: int) -> None:
    """Nobody will know from the answer."""
    rnd, remote, times = world.rnd, world.remote, world.times
    world.doubts += 1
    draw = rnd()
    latest = guarded + times.budget_ms + times.late_ms
    if len(call.wanted) > 1 and draw < 0.35:
        if draw < 0.2:
            _refused(world, call, answer)
        else:  # a success that names only some of them
            _APPLY["event"](world, call, answer, world.rng.randrange(len(call.wanted)), rnd() < 0.5)(world.now)
        return
    answer.failure = NO_ANSWER
    if draw < 0.75:
        answer.took = times.budget_ms  # it timed out
    if draw < 0.5 or draw > 0.9:
        # As late as can be, more often than chance would have it: that is where waits are too short.
        at = latest if rnd() < 0.5 else world.now + int(rnd() * (latest - world.now))
        remote.later(at, apply)
    elif draw < 0.65:
        remote.later(world.now + 5, apply)


def _refused(world: World, call: Call, answer: Answer) -> None:
    """A data error. Of a list, WPS may have made the first few, and they show in its lists after the lag."""
    answer.failure = LIST_REFUSED
    if is_definite(list_write=call.kind == "event", alone=call.alone, answered=True, throttled=False):
        answer.failure = REJECTED
    if not call.alone:
        world.doubts += 1
        part = 1 + int(world.rnd() * (len(call.wanted) - 1))
        made = [one for one in call.wanted[:part] if one.job.target not in world.poison]
        _Events(world, call, answer, made)(world.now)
        answer.made = []


def _calendar(world: World, call: Call, answer: Answer) -> Callable[[int], None]:
    one, remote = call.wanted[0], world.remote
    shown = int(world.rnd() * (world.times.lag_ms + 1))
    name = one.row.name or ""

    def apply(at: int) -> None:
        if call.verb is Verb.CREATE:
            answer.made = [(remote.create_calendar(name, shown=at + shown), None)]
        elif call.verb is Verb.DELETE:
            remote.delete_calendar(call.calendar_id)
        elif call.calendar_id not in remote.calendars:
            answer.failure = answer.failure or GONE
        else:
            remote.calendars[call.calendar_id] = name
            answer.made = [(call.calendar_id, None)]

    return apply


def _members(world: World, call: Call, answer: Answer) -> Callable[[int], None]:
    remote, members = world.remote, call.members
    assert members is not None

    def apply(at: int) -> None:
        there = remote.members.get(call.calendar_id)
        if there is None:
            answer.failure = answer.failure or GONE
            return
        if members.remove is not None:
            there.pop(members.remove[0], None)
        for user, role in members.add:
            there[user] = (role, remote.id("p"))
            answer.made.append((user, *there[user]))

    return apply


def _event(
    world: World, call: Call, answer: Answer, named: int | None = None, applied: bool = True
) -> Callable[[int], None]:
    if call.verb is Verb.CREATE:
        if named is not None:
            return _Events(world, call, answer, call.wanted[:named] if not applied else call.wanted, named)
        return _Events(world, call, answer, call.wanted)
    one, remote = call.wanted[0], world.remote
    event_id, hash_ = one.row.remote_id, one.hash
    hidden = int(world.rnd() * (world.times.lag_ms + 1))

    def apply(at: int) -> None:
        events = remote.events.get(call.calendar_id)
        if call.verb is Verb.DELETE:
            remote.delete_event(call.calendar_id, event_id, shown=at + hidden)
        elif events is None or event_id not in events:
            answer.failure = answer.failure or GONE
        else:
            events[event_id][1] = hash_
            answer.made = [(event_id, one.row.marker)]

    return apply


class _Events:
    """Makes events of a list; the answer has them in any order, perhaps not all."""

    def __init__(self, world: World, call: Call, answer: Answer, wanted: list[Wanted], named: int | None = None):
        self.world, self.answer, self.calendar_id, self.named = world, answer, call.calendar_id, named
        self.bodies = [(one.row.marker, one.hash) for one in wanted]

    def __call__(self, at: int) -> None:
        world, answer, remote = self.world, self.answer, self.world.remote
        events = remote.events.get(self.calendar_id)
        if events is None:
            answer.failure = answer.failure or GONE
            return
        for marker, hash_ in self.bodies:
            made = remote.id("e")
            events[made] = [marker, hash_, at + int(world.rnd() * (world.times.lag_ms + 1))]
            answer.made.append((made, marker))
        if len(answer.made) > 1:
            world.rng.shuffle(answer.made)
        if self.named is not None:
            answer.made = answer.made[: self.named]


_APPLY: dict[str, Any] = {"calendar": _calendar, "members": _members, "event": _event}


def _page(world: World, answer: Answer, at: int) -> None:
    """The next page of the list of calendars, one a page: what is shown by now."""
    walk = world.walk
    last = walk.last if walk is not None else ""
    remote = world.remote
    shown = [one for one in sorted(remote.calendars) if one > last and remote.shown_from[one] <= at]
    answer.page = ([(remote.calendars[one], one) for one in shown[:1]], len(shown) > 1)
