"""Processes as their heartbeats show them, and when a lane may be through."""

from collections.abc import Sequence
from typing import Final

from domain.freshness import Range, Sample, rates

BEAT_MS: Final = 3_000
SILENT_MS: Final = 15_000  # five beats were missed: it is dead, frozen, or cut off from the database
GONE_MS: Final = 600_000  # nobody waits for it any more: its counts are added to those of the ones before it

RUNNING, DRAINING, ENDED, SILENT, GONE = "running", "draining", "ended", "silent", "gone"
DRAIN: Final = "drain"
DRAINABLE: Final = ("jobs", "lanes", "checkins", "scheduler")
"""Kinds of processes that end when they are told to. A `web` process is drained by the load balancer in front of it."""


def shown_state(stored: str, *, age_ms: int) -> str:
    """The state to show of a process that beat so long ago."""
    return SILENT if stored in (RUNNING, DRAINING) and age_ms > SILENT_MS else stored


def is_over(stored: str, *, age_ms: int) -> bool:
    """Whether its row may go. One that comes back later writes another."""
    return stored == ENDED or (stored != GONE and age_ms > GONE_MS)


def lane_eta(samples: Sequence[Sample], pending: int, *, of_all: int, now_ms: int) -> Range | None:
    """From now, when a lane with so many pending jobs is through, of `of_all` in the school. None: nothing was sent of late.

    Lanes go side by side on one limit: not sooner than if all of it went to this one, not later than when all are through.
    """
    if pending == 0:
        return Range(0, 0)
    found = rates(samples, now_ms=now_ms)
    if found is None:
        return None
    slow, fast = found
    return Range(int(pending / fast), int(max(pending, of_all) / slow) + 1)
