"""Disasters, drawn from a seed: which process is hurt, how, and when."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.arena import Arena

_SHARES: Final = {
    "kill lanes": 36,
    "freeze lanes": 14,
    "kill jobs": 12,
    "kill scheduler": 4,
    "kill broker": 10,
    "flush broker": 18,
    "kill database": 6,
    "kill checkins": 8,
    "kill stream": 5,
}
"""Disaster → how often, of all these together."""
SURE: Final = ("kill checkins", "kill stream", "kill database")
"""What no storm is without: at a quarter, a half and three quarters of it."""
_OF_CHECK_INS: Final = frozenset(SURE)

_DELAYING: Final = {"kill lanes", "freeze lanes", "kill broker", "kill database"}
"""Disasters that put off the return of a lane that was hurt before; the others must not."""

_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.8, 2.8
_DATABASE_AWAY_S = (0.2, 1.2)
_UNRENEWED_S = 0.9  # leases are renewed every quarter of 1.6 s
_SHARE_LEFT_ALONE = 0.6  # of kills that nothing follows before the lanes must be back, so that recovery is seen


@dataclass(frozen=True, slots=True)
class Orphans:
    """Lanes that had work and lost their owner at `at` (seconds since 1970)."""

    at: float
    lanes: tuple[str, ...]


@dataclass
class Storm:
    """A seeded sequence of disasters and what they did."""

    rng: random.Random
    lease_s: float
    done: Counter[str] = field(default_factory=Counter)
    orphans: list[Orphans] = field(default_factory=list)
    troubles: list[float] = field(default_factory=list)  # when something that delays the return of a lane was done
    check_in_troubles: list[float] = field(default_factory=list)  # when something of the check-ins' was killed
    next_at: float = 0.0
    _seen: dict[str, tuple[str, int]] = field(default_factory=dict)
    _seen_at: float = 0.0

    def rage(self, arena: Arena, now: float) -> None:
        """Do the next disaster if it is due."""
        if self._seen and now >= self._seen_at + _UNRENEWED_S:
            self._find_orphans(arena)
        if now < self.next_at:
            return
        self.next_at = now + self.rng.uniform(_LEAST_PAUSE_S, _MOST_PAUSE_S)
        name = self.rng.choices(list(_SHARES), weights=list(_SHARES.values()))[0]
        self.strike(name, arena, now)

    def strike(self, name: str, arena: Arena, now: float) -> None:
        """This disaster, now; nothing where there is nothing to hurt."""
        if self._do(name, arena, now):
            self.done[name] += 1
            if name in _OF_CHECK_INS:
                self.check_in_troubles.append(now)
            if name in _DELAYING:
                self.troubles.append(now)

    def _do(self, name: str, arena: Arena, now: float) -> bool:
        if name == "kill lanes":
            return self._kill_lanes(arena, now)
        if name == "freeze lanes":
            return self._freeze_lanes(arena, now)
        if name == "kill checkins":
            return self._kill_writers(arena)
        if name == "flush broker":
            return arena.flush_broker()
        if name == "kill database":
            return self._kill_database(arena, now)
        pid = arena.product.children().get(name.removeprefix("kill "))
        return pid is not None and _hurt(pid, signal.SIGKILL)

    def _kill_writers(self, arena: Arena) -> bool:
        pids = arena.writers()
        chosen = pids if self.rng.random() < 0.5 else pids[:1]
        hurt = [_hurt(pid, signal.SIGKILL) for pid in chosen]
        return any(hurt)

    def _kill_lanes(self, arena: Arena, now: float) -> bool:
        pids = arena.lanes_workers()
        if not pids:
            return False
        # Both at once now and then: a machine that goes down takes all of its workers along.
        chosen = pids if self.rng.random() < 0.3 else [self.rng.choice(pids)]
        hurt = [_hurt(pid, signal.SIGKILL) for pid in chosen]
        self._seen, self._seen_at = _owned_with_work(arena), now
        if self.rng.random() < _SHARE_LEFT_ALONE:
            self.next_at = now + self.lease_s * 4
        return any(hurt)

    def _find_orphans(self, arena: Arena) -> None:
        """Lanes whose owner has not renewed since the kill: it was the one that was killed."""
        rows = arena.rows("SELECT lane, owner, lease_until FROM lanes")
        if rows is not None:
            now = {row["lane"]: (row["owner"], row["lease_until"]) for row in rows}
            lanes = tuple(sorted(lane for lane, claim in self._seen.items() if now.get(lane) == claim))
            self.orphans.append(Orphans(self._seen_at, lanes))
        self._seen = {}

    def _freeze_lanes(self, arena: Arena, now: float) -> bool:
        pids = arena.lanes_workers()
        if not pids:
            return False
        pid = self.rng.choice(pids)
        arena.frozen[pid] = now + self.lease_s * self.rng.uniform(1.2, 2.0)
        return _hurt(pid, signal.SIGSTOP)

    def _kill_database(self, arena: Arena, now: float) -> bool:
        if arena.database_back_at is not None:
            return False
        arena.mariadb.kill()
        arena.database_back_at = now + self.rng.uniform(*_DATABASE_AWAY_S)
        # It answers some time after it was started; recovery counts from then at the earliest.
        self.troubles.append(arena.database_back_at + 2)
        return True


def _owned_with_work(arena: Arena) -> dict[str, tuple[str, int]]:
    """Lanes with an owner and at least three calendars to send something of (no settlement wait parks them all), with
    that owner and the end of its lease."""
    rows = arena.rows(
        "SELECT lanes.lane, lanes.owner, lanes.lease_until, count(DISTINCT jobs.group_id) AS calendars "
        "FROM lanes JOIN jobs ON jobs.lane = lanes.lane "
        "WHERE lanes.owner IS NOT NULL AND jobs.state = 'queued' AND jobs.attempts = 0 "
        "GROUP BY lanes.lane, lanes.owner, lanes.lease_until"
    )
    return {row["lane"]: (row["owner"], row["lease_until"]) for row in rows or () if row["calendars"] >= 3}


def _hurt(pid: int, number: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
