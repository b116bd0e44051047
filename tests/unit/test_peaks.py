"""The predicted peak, as tables."""

from __future__ import annotations

import pytest

from domain.configs import CONFIGS
from domain.peaks import MINUTE_MS, Arrivals, BadArrivals, Capacity, Load, per_minute, suggested

AT_ONCE = Arrivals({0: 1.0})
ONE = Capacity(web_per_s=100, writer_per_s=100, lane_threads=4, lane_per_s=10, burst=1, headroom=0, drain_s=10)


@pytest.mark.parametrize(
    ("classes", "came", "wanted"),
    [
        ([], 1.0, [0, 0, 0]),
        ([(0, 60)], 1.0, [60, 0, 0]),
        ([(MINUTE_MS, 60), (MINUTE_MS + 59_999, 40)], 1.0, [0, 100, 0]),
        ([(MINUTE_MS, 60)], 0.5, [0, 30, 0]),
        ([(-MINUTE_MS, 60), (3 * MINUTE_MS, 60)], 1.0, [0, 0, 0]),
    ],
)
def test_who_is_expected_in_which_minute(classes: list[tuple[int, float]], came: float, wanted: list[float]) -> None:
    """By the classes that start then; what lies outside of the hours is left out."""
    assert per_minute(classes, AT_ONCE, from_ms=0, minutes=3, came=came) == wanted


def test_a_class_is_spread_over_the_arrival_curve_and_none_of_it_is_lost() -> None:
    """Steps are taken in proportion, each evenly up to the next."""
    curve = Arrivals.parse(["-2:50", "0:25"])
    found = per_minute([(5 * MINUTE_MS, 90)], curve, from_ms=0, minutes=12)
    assert found[3:5] == pytest.approx([30, 30]) and found[5:10] == pytest.approx([6] * 5)
    default = Arrivals.parse(CONFIGS["peak.arrivals"].default)
    assert sum(default.shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "steps", [[], ["0"], ["x:5"], ["0:0"], ["5:10", "0:10"], ["0:10", "0:20"], ["0:101"], ["999:1"]]
)
def test_what_is_no_curve_is_refused(steps: list[str]) -> None:
    """A typing error makes no forecast."""
    with pytest.raises(BadArrivals):
        Arrivals.parse(steps)


@pytest.mark.parametrize(
    ("load", "web", "checkins", "lanes"),
    [
        (Load(), 1, 1, 1),
        (Load(6_000), 1, 1, 1),
        (Load(6_001), 2, 2, 1),
        (Load(60_000), 10, 10, 1),
        (Load(0, waiting=3_000), 1, 3, 1),
        (Load(0, lanes_due=9, wps_rate_per_s=50), 1, 1, 3),
        (Load(0, lanes_due=100, wps_rate_per_s=20), 1, 1, 2),
    ],
)
def test_how_many_processes_a_load_takes(load: Load, web: int, checkins: int, lanes: int) -> None:
    """At least one of each; lanes no more than WPS has calls for."""
    assert suggested(load, ONE) == {"web": web, "checkins": checkins, "lanes": lanes}
