"""The arithmetic of `breaker.lua`, line by line, for the limiter in memory. Not locked: its limiter is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ratelimit.breaker import (
    FIRST_PAUSE_US,
    HELD_POLL_MS,
    LONGEST_PAUSE_US,
    PROBING_POLL_MS,
    STEADY_US,
    TRIP_LEAST,
    TRIP_SHARE,
    TRIP_STREAK,
    WHY_CHARS,
    WINDOW_US,
    BreakerState,
    Change,
    told_state,
)


@dataclass(slots=True)
class MemoryBreaker:
    """One breaker; the fields are described in `breaker.lua`. `slots` is slot → its deadline in µs."""

    open: bool = False
    held: bool = False
    since_us: float = 0
    streak: int = 0
    trip: int = 0
    window_us: float = 0
    calls: int = 0
    bad: int = 0
    pause_us: float = 0
    next_us: float = 0
    probe: str = ""
    why: str = ""

    def at(self, now_us: float) -> "MemoryBreaker":
        """Itself, with a clock that was set back made good."""
        self.next_us = min(self.next_us, now_us + self.pause_us)
        self.since_us = min(self.since_us, now_us)
        if self.window_us > now_us:
            self.window_us = 0
        return self

    def gate(self, slots: Mapping[str, float], now_us: float) -> int | None:
        """How many ms to wait before asking again; None: go on, as the probe where it is open."""
        if not self.open:
            return None
        if self.held:
            return HELD_POLL_MS
        if now_us < self.next_us:
            return math.ceil((self.next_us - now_us) / 1000)
        return PROBING_POLL_MS if self._probing(slots, now_us) else None

    def started(self, slot: str, now_us: float) -> None:
        """A call was let through."""
        if self.open:
            self.probe = slot
        elif self.window_us > 0 and now_us < self.window_us + WINDOW_US:
            self.calls += 1

    def report(self, slot: str, *, trip: int, failed: bool, why: str, now_us: float) -> Change | None:
        """What came of a call; returns what changed."""
        if trip != self.trip or (self.open and (slot != self.probe or self.held)):
            return None
        if failed:
            self.why = why[:WHY_CHARS]
            return self._failed_probe(now_us) if self.open else self._failed_while_closed(now_us)
        if self.open:
            self._close(now_us)
            return "closed"
        self.streak = 0
        return None

    def hold(self, why: str, now_us: float) -> None:
        """Open it and keep it open."""
        if not self.open:
            self._open(now_us)
        self.held, self.why, self.probe = True, why[:WHY_CHARS], ""

    def close(self, now_us: float) -> None:
        """Close it, whoever opened it."""
        if self.open:
            self._close(now_us)

    def state(self, slots: Mapping[str, float], now_us: float) -> BreakerState:
        """As told to others."""
        waiting = self.open and not self.held
        next_ms = max(0, math.ceil((self.next_us - now_us) / 1000)) if waiting else 0
        for_ms = math.floor((now_us - self.since_us) / 1000) if self.since_us > 0 else 0
        probing = waiting and self._probing(slots, now_us)
        name = told_state(open_=self.open, held=self.held, next_ms=next_ms)
        return BreakerState(name, self.held, for_ms, self.streak, next_ms, probing, self.trip, self.why)

    def _probing(self, slots: Mapping[str, float], now_us: float) -> bool:
        return slots.get(self.probe, 0) > now_us

    def _failed_while_closed(self, now_us: float) -> Change | None:
        if self.window_us == 0 or now_us >= self.window_us + WINDOW_US:
            self.window_us, self.calls, self.bad = now_us, 1, 0
        self.streak += 1
        self.bad += 1
        if self.streak < TRIP_STREAK and (self.bad < TRIP_LEAST or self.bad < TRIP_SHARE * self.calls):
            return None
        self._open(now_us)
        return "opened"

    def _failed_probe(self, now_us: float) -> Change:
        self.pause_us = min(LONGEST_PAUSE_US, 2 * self.pause_us)
        self.next_us, self.probe = now_us + self.pause_us, ""
        return "still open"

    def _open(self, now_us: float) -> None:
        again = self.pause_us > 0 and now_us - self.since_us < STEADY_US
        self.pause_us = min(LONGEST_PAUSE_US, 2 * self.pause_us) if again else FIRST_PAUSE_US
        self.open, self.since_us, self.next_us, self.probe = True, now_us, now_us + self.pause_us, ""
        self.trip += 1

    def _close(self, now_us: float) -> None:
        self.open = self.held = False
        self.since_us, self.streak, self.window_us, self.calls, self.bad, self.probe = now_us, 0, 0, 0, 0, ""
