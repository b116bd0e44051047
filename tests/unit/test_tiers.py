"""What goes first, by date and by person."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.tiers import (
    ATTENDS,
    CLASS_WITHIN_TWO_WEEKS,
    FAR,
    MIDDLE,
    NEAR,
    NOBODY_WAITS,
    TEACHES,
    TEACHES_THIS_WEEK,
    TODAY,
    Horizon,
)

ZONE = ZoneInfo("Asia/Shanghai")
WEDNESDAY = date(2024, 9, 4)


def at(day: date, hour: int = 8, zone: ZoneInfo = ZONE) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=zone).timestamp()) * 1000


def after(days: int) -> int:
    return at(WEDNESDAY + timedelta(days=days))


@pytest.mark.parametrize(
    ("days", "tier"),
    [
        (-30, FAR), (-3, FAR), (-2, NEAR), (-1, NEAR), (0, TODAY), (1, TODAY), (2, NEAR), (18, NEAR), (19, MIDDLE),
        (74, MIDDLE), (75, FAR), (300, FAR),
    ],
)  # fmt: skip
def test_weeks_count_from_the_monday_of_this_one(days: int, tier: int) -> None:
    """This week and the next two, then weeks three to ten, then the rest; today and tomorrow before all."""
    assert Horizon.of(WEDNESDAY, ZONE).tier(after(days)) == tier


@pytest.mark.parametrize("today", [date(2024, 9, 2), date(2024, 9, 8)])
def test_on_monday_and_on_sunday_the_week_is_the_same(today: date) -> None:
    """A Sunday's plan must not take the week that is over for the one that comes."""
    horizon = Horizon.of(today, ZONE)
    assert horizon.tier(at(date(2024, 9, 22), 23)) == NEAR
    assert horizon.tier(at(date(2024, 9, 23), 0)) == MIDDLE


def test_a_day_begins_at_midnight_of_the_zone_and_may_have_twenty_three_hours() -> None:
    """Spans are of days, not of hours: on the day after a lost hour, eight o'clock is still the day after."""
    berlin = ZoneInfo("Europe/Berlin")
    horizon = Horizon.of(date(2024, 3, 30), berlin)
    assert horizon.tier(at(date(2024, 3, 31), 23, berlin)) == TODAY
    assert horizon.tier(at(date(2024, 4, 1), 0, berlin)) == NEAR


def test_a_calendar_is_as_near_as_its_nearest_class() -> None:
    """Whoever waits for tomorrow's class waits for its calendar first."""
    horizon = Horizon.of(WEDNESDAY, ZONE)
    assert horizon.least([after(100), after(30), after(5)]) == NEAR
    assert horizon.least([]) == FAR


@pytest.mark.parametrize(
    ("days", "teaches", "priority"),
    [
        ([-1], True, TEACHES_THIS_WEEK), ([2, 90], True, TEACHES_THIS_WEEK), ([8], True, CLASS_WITHIN_TWO_WEEKS),
        ([8], False, CLASS_WITHIN_TWO_WEEKS), ([0], False, CLASS_WITHIN_TWO_WEEKS), ([20], True, TEACHES),
        ([-20], True, TEACHES), ([20], False, ATTENDS), ([-1], False, NOBODY_WAITS), ([], False, NOBODY_WAITS),
    ],
)  # fmt: skip
def test_five_kinds_of_people(days: list[int], teaches: bool, priority: int) -> None:
    """Teachers of this week, anybody with a class soon, other teachers, active students, the rest."""
    assert Horizon.of(WEDNESDAY, ZONE).priority([after(one) for one in days], teaches=teaches) == priority
