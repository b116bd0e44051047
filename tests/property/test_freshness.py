"""A range that is promised contains what comes, in nine of ten histories, however the pace changes."""

from __future__ import annotations

import itertools
import math
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from domain.freshness import Range, Sample, added_up, eta, percent, rates

STEP_MS = 10_000


def history(rng: Random) -> tuple[list[int], int]:
    """Jobs closed in each ten seconds of some hours; the pace drifts, jumps now and then, and sometimes nearly stops."""
    pace, closed = rng.uniform(0.5, 40), []
    usual = pace
    slow = 0
    for _ in range(360 * 4):
        pace *= math.exp(rng.gauss(0, 0.04)) * (usual / pace) ** 0.05
        if rng.random() < 0.002:
            usual *= rng.choice((0.5, 0.7, 1.5, 2.0))
        if rng.random() < 0.003:
            slow = rng.randint(2, 12)
        slow = max(0, slow - 1)
        expected = pace * (0.3 if slow else 1) * STEP_MS / 1000
        closed.append(max(0, round(rng.gauss(expected, math.sqrt(expected)))))
    return closed, rng.randint(90, 360)


def outcome(rng: Random) -> tuple[Range, int]:
    """What is promised at some time, and how long it took really."""
    while True:
        closed, now = history(rng)
        # As much as an hour or so brings: what lies beyond is another day.
        left = max(1, round(sum(closed[now : now + rng.randint(6, 500)])))
        done, samples = 0, []
        for n in range(now + 1):
            samples.append(Sample(n * STEP_MS, done))
            done += closed[n]
        truth, sent = 0, 0
        while sent < left and now + truth < len(closed):
            sent += closed[now + truth]
            truth += 1
        promised = eta(samples[: now + 1], left, now_ms=now * STEP_MS)
        if sent >= left and promised is not None:
            return promised, truth * STEP_MS


def test_the_range_contains_the_truth_in_nine_of_ten_histories() -> None:
    """People plan by it: a range that is wrong every third time is worse than none."""
    rng = Random(20240902)
    found = [outcome(rng) for _ in range(400)]
    inside = [
        promised.soonest_ms <= truth + STEP_MS and truth - STEP_MS <= promised.latest_ms for promised, truth in found
    ]
    assert sum(inside) >= 0.9 * len(found), sum(inside)
    # And it says something: anything is within "some time between now and next month".
    wide = sorted(promised.latest_ms / max(1, promised.soonest_ms) for promised, _ in found)
    assert wide[len(wide) // 2] < 6


@given(
    steps=st.lists(st.integers(0, 500), min_size=1, max_size=120),
    left=st.integers(0, 100_000),
    more=st.integers(0, 10_000),
    held=st.integers(0, 10_000),
    waits=st.integers(0, 36_000_000),
)
def test_a_promise_is_ordered_and_grows_with_the_work(steps, left, more, held, waits) -> None:
    """More work is never promised sooner, and what is held never before its hour."""
    samples = [Sample(n * STEP_MS, sum(steps[:n])) for n in range(len(steps))]
    now = len(steps) * STEP_MS
    one, two = eta(samples, left, now_ms=now), eta(samples, left + more, now_ms=now)
    if one is None or two is None:
        assert rates(samples, now_ms=now) is None
        return
    if rates(samples, now_ms=now) is None:
        return  # nothing is left, which needs no pace
    assert 0 <= one.soonest_ms <= one.latest_ms
    assert one.soonest_ms <= two.soonest_ms and one.latest_ms <= two.latest_ms
    behind = eta(samples, left, now_ms=now, held=held, held_until_ms=now + waits)
    assert behind is not None
    assert behind.soonest_ms >= one.soonest_ms and behind.latest_ms >= one.latest_ms
    if held:
        assert behind.soonest_ms >= waits


@given(
    runs=st.dictionaries(
        st.text(min_size=1, max_size=3),
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100)), max_size=20),
        max_size=4,
    )
)
def test_samples_of_several_runs_never_go_backwards(runs) -> None:
    """A run that ends takes nothing away from what was done."""
    samples = {}
    for name, steps in runs.items():
        at, done, kept = 0, 0, []
        for wait, count in steps:
            at, done = at + wait + 1, done + count
            kept.append(Sample(at * STEP_MS, done))
        samples[name] = kept
    found = added_up(samples)
    assert [one.at_ms for one in found] == sorted({one.at_ms for one in found})
    assert all(a.done <= b.done for a, b in itertools.pairwise(found))
    grown = sum(of[-1].done - of[0].done for of in samples.values() if of)
    assert (found[-1].done if found else 0) == grown


@given(total=st.integers(0, 10**6), open_=st.integers(0, 10**6))
def test_a_hundred_per_cent_means_all_of_it(total, open_) -> None:
    """99.9 % of a term is not the term."""
    assert (percent(total, open_) == 100) is (open_ == 0)
    assert 0 <= percent(total, open_) <= 100
