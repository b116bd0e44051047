"""Promises as pure functions: samples in, ranges of time out."""

from __future__ import annotations

import pytest

from domain.freshness import WINDOW_MS, Range, Sample, added_up, eta, least, percent, rates, up_to

NOW = 100 * WINDOW_MS
MINUTE = 60_000


def steady(per_minute: int, *, minutes: int = 10, until: int = NOW) -> list[Sample]:
    """A sample each minute, the last one at `until`."""
    return [Sample(until - ago * MINUTE, (minutes - ago) * per_minute) for ago in range(minutes, -1, -1)]


@pytest.mark.parametrize(
    ("total", "open_", "said"),
    [
        (0, 0, 100), (10, 0, 100), (10, 10, 0), (10, 5, 50), (1_000_000, 1, 99), (3, 1, 66), (10, 12, 0), (0, 3, 0),
        (10, -1, 100), (1000, 999, 0),
    ],
)  # fmt: skip
def test_a_hundred_percent_is_said_only_of_all(total: int, open_: int, said: int) -> None:
    """One class that is missing stands before a locked room, and 100 % would say that nobody does."""
    assert percent(total, open_) == said


@pytest.mark.parametrize(
    ("counts", "tier", "said"), [({}, 2, 0), ({-2: 1, -1: 2, 0: 4, 2: 8}, -1, 3), ({0: 4, 2: 8}, 1, 4), ({3: 5}, 2, 0)]
)
def test_what_goes_before_a_tier_is_all_that_is_as_near(counts: dict[int, int], tier: int, said: int) -> None:
    """Far classes wait for near ones, never the other way."""
    assert up_to(counts, tier) == said


@pytest.mark.parametrize(
    ("tiers", "said"), [([], None), ([None], None), ([None, 2, 0, None], 0), ([-2, 1], -2)]
)  # fmt: skip
def test_the_lowest_tier_leaves_out_those_that_are_not_there(tiers: list[int | None], said: int | None) -> None:
    """Tier 0 is a tier, and not nothing."""
    assert least(tiers) == said


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ({}, []),
        ({"a": [(1, 100), (2, 130)]}, [(1, 0), (2, 30)]),
        ({"a": [(2, 130), (1, 100)]}, [(1, 0), (2, 30)]),
        ({"a": [(1, 0), (3, 10)], "b": [(2, 500), (3, 505)]}, [(1, 0), (2, 0), (3, 15)]),
        ({"a": [(1, 10), (2, 4), (3, 6)]}, [(1, 0), (2, 0), (3, 2)]),
    ],
    ids=["none", "one", "unordered", "together", "counted down"],
)
def test_runs_are_added_up_by_what_they_did_while_looked_at(
    runs: dict[str, list[tuple[int, int]]], said: list[tuple[int, int]]
) -> None:
    """A run that had done half a million before its first sample was not that fast."""
    found = added_up({run: [Sample(*one) for one in some] for run, some in runs.items()})
    assert [(one.at_ms, one.done) for one in found] == said


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [Sample(NOW, 5)],
        [Sample(NOW - 19_000, 0), Sample(NOW, 50)],
        [Sample(NOW - 5 * MINUTE, 7), Sample(NOW, 7)],
        steady(60, until=NOW - WINDOW_MS - 1),
        [Sample(NOW - 2 * WINDOW_MS, 0), Sample(NOW, 900)],
        [Sample(NOW + 1, 0), Sample(NOW + MINUTE, 60)],
    ],
    ids=["none", "one", "too short", "standstill", "long ago", "one of late", "to come"],
)
def test_without_progress_of_late_nothing_is_promised(samples: list[Sample]) -> None:
    """No number is better than one that people plan by and that nothing stands behind."""
    assert rates(samples, now_ms=NOW) is None
    assert eta(samples, 5, now_ms=NOW) is None


@pytest.mark.parametrize("per_minute", [1, 60, 6000])
def test_the_rates_of_a_steady_drain_lie_about_it(per_minute: int) -> None:
    """The range holds the truth, and is narrower the more was counted."""
    found = rates(steady(per_minute), now_ms=NOW)
    assert found is not None
    slow, fast = (rate * MINUTE for rate in found)
    assert slow < per_minute < fast
    if per_minute >= 60:
        assert fast / slow < 4


def test_a_standstill_that_goes_on_makes_the_slowest_rate_slower() -> None:
    """Lanes that rest since eight minutes are not as fast as they were before."""
    fresh, stale = rates(steady(60), now_ms=NOW), rates(steady(60, until=NOW - 4 * MINUTE), now_ms=NOW)
    assert fresh is not None and stale is not None
    assert stale[0] < fresh[0]


@pytest.mark.parametrize("left", [1, 60, 6_000, 600_000])
def test_a_promise_holds_what_a_steady_drain_will_take(left: int) -> None:
    """Both ends of the range are kept where nothing changes, however far away."""
    promised = eta(steady(60), left, now_ms=NOW)
    assert promised is not None
    assert promised.soonest_ms <= left * 1000 <= promised.latest_ms


def test_more_work_is_never_promised_sooner() -> None:
    """Neither end goes back when something is added."""
    found = [eta(steady(60), left, now_ms=NOW) for left in (1, 10, 100, 1_000, 10_000)]
    ends = [(one.soonest_ms, one.latest_ms) for one in found if one is not None]
    assert len(ends) == 5 and ends == sorted(ends) and [late for _, late in ends] == sorted(late for _, late in ends)


def test_what_is_done_needs_no_measurement() -> None:
    """Nothing left is through now, whatever the lanes did."""
    assert eta([], 0, now_ms=NOW) == Range(0, 0)


@pytest.mark.parametrize(("until", "waits"), [(NOW + 60 * MINUTE, 60 * MINUTE), (NOW - MINUTE, 0)])
def test_held_jobs_are_promised_for_after_their_hour(until: int, waits: int) -> None:
    """Nobody sends them before; and an hour that has begun is no wait."""
    promised = eta(steady(60), 60, now_ms=NOW, held=60, held_until_ms=until)
    alone = eta(steady(60), 60, now_ms=NOW)
    assert promised is not None and alone is not None
    assert promised.soonest_ms > max(waits, alone.soonest_ms)
    assert promised.latest_ms > max(waits, alone.latest_ms)
