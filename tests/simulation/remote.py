"""WPS as the simulation has it: applies late, lists with a lag, answers lists in any order, and is used by people too."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from domain.lanes import Times

Event = list  # [marker, hash, shown from]


class Remote:
    """What is over there. Writes are applied at a time of their own, whatever became of who asked for them."""

    __slots__ = ("calendars", "events", "ghosts", "members", "pending", "seq", "shown_from")

    def __init__(self) -> None:
        self.calendars: dict[str, str] = {}  # id → name
        self.shown_from: dict[str, int] = {}
        self.events: dict[str, dict[str, Event]] = {}
        self.ghosts: list[tuple[str, str, Event]] = []  # calendar, id and event that lists show until it is over
        self.members: dict[str, dict[str, tuple[str, str]]] = {}  # calendar → user → (role, permission)
        self.pending: list[tuple[int, int, Callable[[int], None]]] = []
        self.seq = 0

    def later(self, at: int, apply: Callable[[int], None]) -> None:
        """`apply` happens at `at`; every look at WPS first lets happen what is due."""
        self.seq += 1
        heapq.heappush(self.pending, (at, self.seq, apply))

    def until(self, now: int) -> None:
        """Let everything happen that is due by `now`."""
        pending = self.pending
        while pending and pending[0][0] <= now:
            at, _, apply = heapq.heappop(pending)
            apply(at)

    def id(self, kind: str) -> str:
        self.seq += 1
        return f"{kind}{self.seq:04d}"

    def create_calendar(self, name: str, *, shown: int) -> str:
        made = self.id("c")
        self.calendars[made] = name
        self.shown_from[made] = shown
        self.events[made] = {}
        self.members[made] = {}
        return made

    def delete_event(self, calendar: str, event: str, *, shown: int) -> None:
        """Gone at once, and in lists from `shown` on."""
        there = self.events.get(calendar, {}).pop(event, None)
        if there is not None:
            self.ghosts.append((calendar, event, [there[0], there[1], shown]))

    def delete_calendar(self, calendar: str) -> None:
        self.calendars.pop(calendar, None)
        self.events.pop(calendar, None)
        self.members.pop(calendar, None)


# A campus that is a hundred times as fast as ours; what matters is that the times stand in the same order.
TIMES = Times(budget_ms=400, lease_ms=1000, late_ms=300, lag_ms=100, guard_ms=50)
