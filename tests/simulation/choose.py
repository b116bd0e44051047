"""The next work of a lane, chosen from the rows as the product's SQL does."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from domain.jobs import is_to_settle
from domain.outcomes import is_worn_out
from domain.settlement import MAX_ATTEMPTS, Candidate, MemberCall, Verb, choose_events, member_call, verb_for
from tests.simulation.rows import LOOK_UPS, Job, Row
from tests.simulation.world import World

URGENCY = attrgetter("priority", "id")


class Wanted:
    """A job as it was read, with the row of its target."""

    __slots__ = ("attempts", "hash", "job", "rev", "row")

    def __init__(self, job: Job, row: Row | None) -> None:
        self.job = job
        self.rev = job.rev
        self.hash = job.hash
        self.attempts = job.attempts
        self.row = row


class Call:
    """One call to WPS."""

    __slots__ = ("calendar_id", "group", "kind", "lane", "members", "verb", "wanted")

    def __init__(
        self,
        kind: str,
        verb: Verb,
        lane: str,
        group: str,
        wanted: list[Wanted],
        calendar_id: str,
        members: MemberCall | None = None,
    ) -> None:
        self.kind = kind
        self.verb = verb
        self.lane = lane
        self.group = group
        self.wanted = wanted
        self.calendar_id = calendar_id
        self.members = members

    @property
    def alone(self) -> bool:
        return len(self.wanted) == 1 and (self.members is None or len(self.members.add) <= 1)


class Close:
    """Jobs whose target is what they ask for."""

    __slots__ = ("wanted",)

    def __init__(self, wanted: list[Wanted]) -> None:
        self.wanted = wanted


class Worn:
    """A job that used up its attempts."""

    __slots__ = ("job", "rev")

    def __init__(self, job: Job) -> None:
        self.job, self.rev = job, job.rev


class Settle:
    """A calendar whose open intents can be answered now; the rows as they were read."""

    __slots__ = ("calendar", "group", "lane", "open")

    def __init__(self, lane: str, group: str, calendar: Row, open_: list[Row]) -> None:
        self.lane = lane
        self.group = group
        self.calendar = calendar
        self.open = open_


class Verify:
    """A calendar that is to be read as a whole."""

    __slots__ = ("calendar_id", "group", "lane", "wanted")

    def __init__(self, lane: str, group: str, calendar_id: str, wanted: Wanted) -> None:
        self.lane = lane
        self.group = group
        self.calendar_id = calendar_id
        self.wanted = wanted


Work = Call | Close | Worn | Settle | Verify


def choose(world: World, lane: str, busy: Sequence[str] = ()) -> Work | None:
    """What to do next; the calendars `busy` are left out."""
    now, mirror = world.now, world.mirror
    due: Row | None = None
    for row in world.doubted.values():
        if row.lane != lane or row.group_id in busy:
            continue
        if is_to_settle(settle_at=row.settle_at, parked_until=mirror[row.group_id].parked_until, now=now) and (
            due is None or row.settle_at < due.settle_at
        ):
            due = row
    if due is not None:
        group = due.group_id
        open_ = [one.as_read() for one in world.groups[group] if one.intent is not None]
        return Settle(lane, group, mirror[group].as_read(), open_)
    is_due = world.is_due
    ready = [
        one
        for one in world.open.values()
        if one.run_at <= now and one.lane == lane and one.group_id not in busy and is_due(one)
    ]
    if not ready:
        return None
    if len(ready) > 1:
        ready.sort(key=URGENCY)
    first = ready[0]
    mine = [one for one in ready if one.group_id == first.group_id]
    for job in mine:
        if is_worn_out(job.attempts, max_attempts=MAX_ATTEMPTS):
            return Worn(job)
    if first.kind in LOOK_UPS:
        return Call(first.kind, Verb.NOTHING, lane, first.group_id, [Wanted(first, None)], "")
    return _of_calendar(world, lane, mirror[first.group_id], mine)


def _of_calendar(world: World, lane: str, calendar: Row, jobs: list[Job]) -> Work | None:
    """The work of one calendar; `jobs` by urgency."""
    group = calendar.target
    kinds: dict[str, list[Wanted]] = {}
    mirror = world.mirror
    for job in jobs:
        row = mirror.get(job.target)
        if row is None or may_go(row, job):
            kinds.setdefault(job.kind, []).append(Wanted(job, row))
    if "calendar" in kinds:
        one = kinds["calendar"][0]
        verb = verb_for(one.row, desired_hash=one.hash or None)
        if verb is Verb.NOTHING:
            return Close([one])
        return Call("calendar", verb, lane, group, [one], calendar.remote_id or "")
    if calendar.state != "live" or calendar.remote_id is None:
        return None
    if "members" in kinds:
        one = kinds["members"][0]
        call = member_call(wanted=world.rolls[group], present=world.members.get(group, {}), list_max=one.row.list_max)
        if call is None:
            return Close([one])
        return Call("members", Verb.CREATE if call.add else Verb.DELETE, lane, group, [one], calendar.remote_id, call)
    if "event" in kinds:
        return _events(lane, group, kinds["event"], calendar.remote_id)
    if "verify" in kinds:
        return Verify(lane, group, calendar.remote_id, kinds["verify"][0])
    return None


def may_go(row: Row, job: Job) -> bool:
    """A target whose last write is in doubt is settled before anything else is sent for it."""
    return row.intent is None


def _events(lane: str, group: str, wanted: list[Wanted], calendar_id: str) -> Work:
    candidates = [
        Candidate(str(at), verb_for(one.row, desired_hash=one.hash or None), 1 if one.attempts else one.row.list_max)
        for at, one in enumerate(wanted)
    ]
    verb, targets = choose_events(candidates)
    chosen = [wanted[int(at)] for at in targets]
    if verb is Verb.NOTHING:
        return Close(chosen)
    return Call("event", verb, lane, group, chosen, calendar_id)
