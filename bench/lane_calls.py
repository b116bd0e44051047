"""What the simulator's call log says about lanes. Pure counting: nothing here knows how the product works."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench.report import Figure


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call of a lane; seconds of the simulator's clock, from its first byte read to its last byte written."""

    lane: str
    start_s: float
    end_s: float
    items: int


def of_lanes(entries: Sequence[Mapping[str, Any]]) -> dict[str, list[LoggedCall]]:
    """Lane → its calls by start. Calls without a lane (the token) are left out."""
    found: dict[str, list[LoggedCall]] = {}
    for one in entries:
        if one["lane"]:
            found.setdefault(one["lane"], []).append(LoggedCall(one["lane"], one["start"], one["end"], one["items"]))
    return {lane: sorted(calls, key=lambda call: call.start_s) for lane, calls in sorted(found.items())}


def busy_s(calls: Sequence[LoggedCall]) -> float:
    """How long at least one of the calls (sorted by start) was in flight."""
    total, until = 0.0, float("-inf")
    for call in calls:
        total += max(0.0, call.end_s - max(call.start_s, until))
        until = max(until, call.end_s)
    return total


def overlaps(calls: Sequence[LoggedCall]) -> int:
    """How many calls (sorted by start) began before one that had begun earlier was over."""
    count, until = 0, float("-inf")
    for call in calls:
        count += call.start_s < until
        until = max(until, call.end_s)
    return count


def most_in_flight(calls: Sequence[LoggedCall]) -> int:
    """The most of the calls that were in flight at the same moment; one that ends when another starts is over."""
    moments = sorted([(call.end_s, -1) for call in calls] + [(call.start_s, 1) for call in calls])
    now = most = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most


def figures(lanes: Mapping[str, Sequence[LoggedCall]], *, latency_ms: float, fewest_calls: int) -> dict[str, Figure]:
    """The figures of the bench. A lane's wall begins with the first call of all lanes: who starts late has waited."""
    calls = [call for one in lanes.values() for call in one]
    began_s = min(call.start_s for call in calls)
    ended_s = max(call.end_s for call in calls)
    walls = {lane: one[-1].end_s - began_s for lane, one in lanes.items()}
    shares = [busy_s(one) / walls[lane] for lane, one in lanes.items()]
    nominal = [len(one) * latency_ms / 1000 / walls[lane] for lane, one in lanes.items()]
    gaps_ms = [(later.start_s - earlier.end_s) * 1000 for one in lanes.values() for earlier, later in pairwise(one)]
    percentiles = statistics.quantiles(gaps_ms, n=100)
    return {
        "busy_share": round(statistics.mean(shares), 4),
        "busy_share_min": round(min(shares), 4),
        "nominal_ratio": round(statistics.mean(nominal), 4),
        "max_in_flight_per_lane": max(most_in_flight(one) for one in lanes.values()),
        "overlapping_calls": sum(overlaps(one) for one in lanes.values()),
        "calls": len(calls),
        "fewest_calls": fewest_calls,
        "calls_per_s": round(len(calls) / (ended_s - began_s), 2),
        "wall_s": round(ended_s - began_s, 3),
        "call_ms": round(statistics.mean((call.end_s - call.start_s) * 1000 for call in calls), 2),
        "gap_p50_ms": round(percentiles[49], 2),
        "gap_mean_ms": round(statistics.mean(gaps_ms), 2),
        "gap_p99_ms": round(percentiles[98], 2),
        "items_made": sum(call.items for call in calls),
    }
