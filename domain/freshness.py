"""How fresh a timetable is, and when it will be: shares, and ranges of time from what was really done of late.

A promise is a range. The fastest and the slowest of several spans within the last fifteen minutes say how fast the lanes may
go; what so small a sample cannot know widens it. Without progress in those minutes nothing is promised.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_MS: Final = 15 * 60_000
_SPANS_MS: Final = (60_000, 2 * 60_000, 4 * 60_000, 8 * 60_000, WINDOW_MS)
_LEAST_MS: Final = 20_000  # less than this says nothing about a rate
_DRIFT: Final = 1.3  # what the coming minutes may be faster or slower than any of the last
_GROWS: Final = 0.15  # more of that, the farther away: for the root of each quarter of an hour
_SPREAD: Final = 2.0  # deviations of the count itself


@dataclass(frozen=True, slots=True)
class Sample:
    """How much had been done in all by an instant."""

    at_ms: int
    done: int


@dataclass(frozen=True, slots=True)
class Range:
    """From now: not before `soonest_ms`, and by `latest_ms` unless something happens."""

    soonest_ms: int
    latest_ms: int


def added_up(samples: Mapping[str, Sequence[Sample]]) -> list[Sample]:
    """Samples of several runs as those of all together. What a run had done before its first one does not count."""
    grown: dict[int, int] = {}
    for of_run in samples.values():
        ordered = sorted(of_run, key=lambda one: one.at_ms)
        for n, one in enumerate(ordered):
            before = ordered[n - 1].done if n else one.done
            grown[one.at_ms] = grown.get(one.at_ms, 0) + max(0, one.done - before)
    found, done = [], 0
    for at_ms in sorted(grown):
        done += grown[at_ms]
        found.append(Sample(at_ms, done))
    return found


def rates(samples: Sequence[Sample], *, now_ms: int) -> tuple[float, float] | None:
    """The slowest and the fastest that the lanes may go, per ms; None where the last minutes do not say.

    `samples` are in the order of time.
    """
    recent = [one for one in samples if now_ms - WINDOW_MS <= one.at_ms <= now_ms]
    if len(recent) < 2 or recent[-1].at_ms - recent[0].at_ms < _LEAST_MS:
        return None
    slow, fast, last = math.inf, 0.0, recent[-1]
    for span in _SPANS_MS:
        since = next(one for one in recent if one.at_ms >= last.at_ms - span)
        # Up to now and not to the last sample: a standstill that goes on is slow already.
        took, done = max(now_ms - since.at_ms, _LEAST_MS), last.done - since.done
        if done <= 0:
            continue
        doubt = _SPREAD / math.sqrt(done)
        slow = min(slow, done / took / (_DRIFT + doubt))
        fast = max(fast, done / max(last.at_ms - since.at_ms, _LEAST_MS) * (_DRIFT + doubt))
    return None if fast == 0 else (slow, fast)


def eta(samples: Sequence[Sample], left: int, *, now_ms: int, held: int = 0, held_until_ms: int = 0) -> Range | None:
    """When `left` jobs will be closed, and behind them `held` ones that nobody sends before `held_until_ms`.

    None where nothing was closed of late: there is nothing to go by, but for what is done already.
    """
    if left + held == 0:
        return Range(0, 0)
    found = rates(samples, now_ms=now_ms)
    if found is None:
        return None
    slow, fast = found
    soonest, latest = _sooner(left / fast), _later(left / slow)
    if held:
        waits = max(0, held_until_ms - now_ms)
        soonest, latest = max(soonest, waits) + _sooner(held / fast), max(latest, waits) + _later(held / slow)
    return Range(math.floor(soonest), math.ceil(latest))


def _later(took_ms: float) -> float:
    """The farther away, the less the last minutes say of it."""
    return took_ms * (1 + _GROWS * math.sqrt(took_ms / WINDOW_MS))


def _sooner(took_ms: float) -> float:
    return took_ms / (1 + _GROWS * math.sqrt(took_ms / WINDOW_MS))


def percent(total: int, open_: int) -> int:
    """How much of it is as it should be; 100 only when all of it is."""
    if total <= 0 or open_ <= 0:
        return 100 if open_ <= 0 else 0
    return max(0, min(99, (total - open_) * 100 // total))


def up_to(counts: Mapping[int, int], tier: int) -> int:
    """What goes before or with a tier: lower tiers go first."""
    return sum(count for of, count in counts.items() if of <= tier)


def least(tiers: Iterable[int | None]) -> int | None:
    """The lowest of the tiers that are there."""
    return min((one for one in tiers if one is not None), default=None)
