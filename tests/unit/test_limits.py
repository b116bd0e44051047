"""What can be said of a limit before anyone calls: whether it makes sense, and whether it was kept."""

import pytest

from bench.limiter import worst_excess
from ratelimit.limiter import Limits


def test_the_window_check_counts_like_a_person_would() -> None:
    """Everything below rests on this check: it is compared with counting every window by hand."""
    starts = [0.0, 0.0, 0.01, 0.5, 0.5, 0.5, 0.9, 2.0, 2.001]
    by_hand = max(
        sum(1 for at in starts if first <= at <= last) - (2 + 3 * (last - first) + 1)
        for first in starts
        for last in starts
        if first <= last
    )
    assert worst_excess(starts, rate_per_s=3, burst=2) == pytest.approx(by_hand)
    assert worst_excess([0.0] * 20, rate_per_s=3, burst=2) == pytest.approx(17)


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0.5, 1), (1, 1, 0), (float("inf"), 1, 1), (1, float("nan"), 1)])
def test_limits_that_could_never_admit_a_call_are_refused(wrong: tuple[float, float, int]) -> None:
    """A bucket smaller than one call would park every lane for ever, without an error anywhere."""
    with pytest.raises(ValueError, match="must be"):
        Limits(*wrong)
