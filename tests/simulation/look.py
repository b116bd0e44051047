"""Settling: read everything that the open intents of a calendar may have left behind, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from domain.lanes import may_send
from domain.settlement import Intent, Seen, Settled, Verb, settle
from tests.simulation.choose import Settle
from tests.simulation.exchange import occupy
from tests.simulation.rows import Row
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.drain import Worker

Found = list[tuple[Row, Intent, Settled]]


class Answers:
    """What the looking found."""

    __slots__ = ("gone", "members", "settled", "waits_for_walk")

    def __init__(self) -> None:
        self.settled: Found = []
        self.members: dict[str, tuple[str, str]] | None = None
        self.gone = False
        self.waits_for_walk = False


def look(worker: Worker, work: Settle) -> Iterator[int]:
    """The answers; None when the lane may not look any more, or WPS did not show it."""
    world, remote = worker.world, worker.world.remote
    answers = Answers()
    calendar = work.calendar
    if calendar.intent is not None:
        if calendar.intent.verb is Verb.CREATE:
            ids = world.find(calendar.name or "", calendar.settle_at or 0)
            if ids is None:
                answers.waits_for_walk = True
                return answers
            seen = [Seen(one, calendar.name, calendar.intent.hash) for one in ids]
            answers.settled.append((calendar, calendar.intent, settle(calendar, key=calendar.name, seen=seen)))
            return answers
        if not (yield from read(worker, work.lane)):
            return None
        id_ = calendar.remote_id or ""
        seen = (
            [Seen(id_, remote.calendars[id_], world.hash_of[remote.calendars[id_]])] if id_ in remote.calendars else []
        )
        answers.settled.append((calendar, calendar.intent, settle(calendar, key=None, seen=seen)))
        return answers
    id_ = calendar.remote_id or ""
    created = []
    for row in work.open:
        if row.kind != "event":
            continue
        if row.remote_id is None:
            created.append(row)
            continue
        if not (yield from read(worker, work.lane)):
            return None
        events = remote.events.get(id_)
        if events is None:
            answers.gone = True
            return answers
        there = events.get(row.remote_id)
        seen = [] if there is None else [Seen(row.remote_id, there[0], there[1])]
        answers.settled.append((row, row.intent, settle(row, key=row.marker, seen=seen)))
    if created:
        seen = []
        for page in (0, 1):
            if not (yield from read(worker, work.lane)):
                return None
            events = remote.events.get(id_)
            if events is None:
                answers.gone = True
                return answers
            seen += [Seen(one, marker, hash_) for one, marker, hash_ in page_of(world, id_, page)]
        answers.settled += [(row, row.intent, settle(row, key=row.marker, seen=seen)) for row in created]
    if any(row.kind == "members" for row in work.open):
        if not (yield from read(worker, work.lane)):
            return None
        if id_ not in remote.members:
            answers.gone = True
            return answers
        answers.members = dict(remote.members[id_])
    return answers


def page_of(world: World, calendar_id: str, page: int) -> list[tuple[str, str | None, str]]:
    """One of two pages of the list of events: what is shown by now, some of it on both, and what was there a moment ago."""
    now, rnd = world.now, world.rnd
    shown = [
        (one, marker, hash_)
        for one, (marker, hash_, shown) in world.remote.events[calendar_id].items()
        if shown <= now and (int(one[-1]) % 2 == page or rnd() < 0.1)
    ]
    for calendar, one, (marker, hash_, until) in world.remote.ghosts:
        if until > now and calendar == calendar_id and int(one[-1]) % 2 == page:
            shown.append((one, marker, hash_))
    return shown


def read(worker: Worker, lane: str) -> Iterator[int]:
    """One reading call, within the lease."""
    world = worker.world
    worker.step_at = world.now
    yield 1
    if not may_send(since_commit_ms=0, lease_left_ms=worker.deadline - world.now, times=world.times):
        return False
    took = 10 + int(world.rnd() * 30)
    occupy(world, worker, lane, took)
    yield took
    world.remote.until(world.now)
    return world.rnd() > 0.02
