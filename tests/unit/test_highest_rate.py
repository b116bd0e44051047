"""The search of a bench for the highest rate that is held."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.highest import highest_held


@pytest.mark.parametrize("true", [55.0, 130.0, 599.0, 601.0, 1_480.0, 2_900.0])
@pytest.mark.parametrize("slow", [False, True])
def test_it_finds_the_rate_also_where_every_rate_meets_a_slow_minute_once(true: float, slow: bool) -> None:
    """To within a step, and without trying anything more than twice."""
    tried = Counter[float]()

    def held(rate: float) -> bool:
        tried[rate] += 1
        return rate <= true and not (slow and tried[rate] == 1)

    found = highest_held(held, first=600, step=50)
    assert found is not None and true - 50 <= found <= true
    assert max(tried.values()) <= 2 and len(tried) <= 12


def test_where_none_is_held_or_all_are_it_ends() -> None:
    """A machine that can do nothing, and one that the bench cannot fill."""
    assert highest_held(lambda _rate: False, first=600, step=50) is None
    assert highest_held(lambda _rate: True, first=600, step=50, most=2_000) == 2_000
