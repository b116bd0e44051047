"""The next peak of check-ins, from what the timetable and the rosters say, and how many processes it takes.

    classes (start, students) ─ × who comes ─▶ spread over an arrival curve ─▶ check-ins of each minute ─▶ the highest one
    highest a second × burst × headroom ÷ what one process takes ─▶ processes, never fewer for more load

The curve says what share of a class checks in how many minutes from its start. The default is an assumption, not a measured
figure: check-in opens a quarter of an hour before, few come then, and half of a class comes in the two minutes around the bell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from math import ceil
from typing import Any, Final

MINUTE_MS: Final = 60_000
DEFAULT_ARRIVALS: Final = ("-15:2", "-10:8", "-5:20", "-2:20", "-1:25", "0:15", "2:5", "5:5")


class BadArrivals(ValueError):
    """The text is no arrival curve; says why."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Share of a class for each minute from its start; the shares add up to 1."""

    shares: Mapping[int, float]

    @classmethod
    def parse(cls, steps: Sequence[str]) -> Arrivals:
        """From steps ``minute:percent``: so many percent come from that minute up to the next step, evenly; the last step is
        one of five minutes. Percentages are taken in proportion. Raises `BadArrivals`."""
        read = [_step(one) for one in steps]
        total = sum(percent for _, percent in read)
        if not read or total <= 0 or any(a[0] >= b[0] for a, b in pairwise(read)):
            raise BadArrivals("give steps minute:percent, the minutes rising, the percentages not all 0")
        ends = [minute for minute, _ in read[1:]] + [read[-1][0] + _LAST_MIN]
        shares: dict[int, float] = {}
        for (minute, percent), end in zip(read, ends, strict=True):
            for at in range(minute, end):
                shares[at] = percent / total / (end - minute)
        return cls(shares)


_LAST_MIN = 5
_FARTHEST_MIN = 240


def _step(text: str) -> tuple[int, float]:
    minute, _, percent = text.partition(":")
    try:
        step = int(minute), float(percent)
    except ValueError:
        raise BadArrivals(f"{text!r} is not minute:percent") from None
    if abs(step[0]) > _FARTHEST_MIN or not 0 <= step[1] <= 100:
        raise BadArrivals(f"{text!r}: a minute is within {_FARTHEST_MIN}, a percentage within 0 and 100")
    return step


def per_minute(
    classes: Iterable[tuple[int, float]], arrivals: Arrivals, *, from_ms: int, minutes: int, came: float = 1.0
) -> list[float]:
    """Check-ins of each minute from `from_ms` on. `classes` are (start in ms UTC, students); `came` is the share that comes."""
    found = [0.0] * minutes
    for start_ms, students in classes:
        first = (start_ms - from_ms) // MINUTE_MS
        for at, share in arrivals.shares.items():
            if 0 <= first + at < minutes:
                found[first + at] += students * came * share
    return found


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one process takes, a second; `burst`: how much faster the busiest second of a minute is than its mean; `headroom`:
    what is kept free, as a share; `drain_s`: in how long writers shall be through with what waits already."""

    web_per_s: float = 200.0
    writer_per_s: float = 1_000.0
    lane_threads: int = 8
    lane_per_s: float = 45.0
    burst: float = 2.0
    headroom: float = 0.3
    drain_s: float = 60.0

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Capacity:
        """From settings by the names of the fields; what is not said is as it is by default."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in said.items() if name in names})


@dataclass(frozen=True, slots=True)
class Load:
    """Check-ins of the busiest minute to come, those that wait to be written now, lanes with something to do, and the calls a
    second that WPS grants."""

    highest_per_minute: float = 0.0
    waiting: int = 0
    lanes_due: int = 0
    wps_rate_per_s: float = 0.0


def suggested(load: Load, capacity: Capacity) -> dict[str, int]:
    """How many processes of each kind: at least one. Lanes get no more than WPS has calls for."""
    rate = load.highest_per_minute / 60 * capacity.burst * (1 + capacity.headroom)
    writers = rate + load.waiting / capacity.drain_s
    lanes = _needed(load.lanes_due, capacity.lane_threads)
    return {
        "web": _needed(rate, capacity.web_per_s),
        "checkins": _needed(writers, capacity.writer_per_s),
        "lanes": min(lanes, _needed(load.wps_rate_per_s, capacity.lane_per_s)),
    }


def _needed(load: float, each: float) -> int:
    return max(1, ceil(load / each))
