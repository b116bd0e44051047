"""Hours in which far work may go: clock times of a school, past midnight too."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.jobs import state_after_put
from domain.off_peak import BadHours, Hours, read_hours
from domain.tiers import FAR, MIDDLE

SHANGHAI = ZoneInfo("Asia/Shanghai")
_CLOCKS = st.times().map(lambda one: one.replace(second=0, microsecond=0))


def at(text: str, zone: ZoneInfo = SHANGHAI) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def hours(since: str = "22:00", until: str = "06:00", tier: str = "middle") -> Hours:
    found = read_hours({"from": since, "until": until, "tier": tier})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("now", "off_peak"),
    [
        ("2024-09-02T21:59", False),
        ("2024-09-02T22:00", True),
        ("2024-09-03T00:00", True),
        ("2024-09-03T05:59", True),
        ("2024-09-03T06:00", False),
        ("2024-09-03T12:00", False),
    ],
)
def test_hours_past_midnight_last_until_the_morning(now: str, off_peak: bool) -> None:
    """A night is two dates and one span."""
    assert hours().are_now(at(now), SHANGHAI) is off_peak


def test_hours_within_a_day_end_the_same_day() -> None:
    """Somebody may prefer the lunch break."""
    lunch = hours("12:00", "14:00")
    said = [lunch.are_now(at(f"2024-09-02T{clock}"), SHANGHAI) for clock in ("11:59", "12:00", "13:59", "14:00")]
    assert said == [False, True, True, False]


def test_the_next_hours_begin_today_or_tomorrow() -> None:
    """The time that people read is the time at which held work is let go."""
    assert hours().begin_ms(at("2024-09-02T09:30"), SHANGHAI) == at("2024-09-02T22:00")
    assert hours("01:00", "05:00").begin_ms(at("2024-09-02T09:30"), SHANGHAI) == at("2024-09-03T01:00")


@given(since=_CLOCKS, until=_CLOCKS, minutes=st.integers(0, 3 * 366 * 24 * 60))
def test_when_hours_begin_they_are_there(since, until, minutes) -> None:
    """In a zone with daylight saving too: a promise for 02:30 on the day without one would never be kept."""
    if since == until:
        return
    zone = ZoneInfo("Europe/Berlin")
    one, now = Hours(since, until, MIDDLE), at("2024-01-01T00:00", zone) + minutes * 60_000
    begins = one.begin_ms(now, zone)
    assert now <= begins <= now + 26 * 3_600_000
    assert begins == now or not one.are_now(now, zone)
    assert one.are_now(begins, zone) or begins + 3_600_000 >= begins


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"from": "25:00", "until": "06:00"}, "25:00"),
        ({"from": "22:00", "until": "6"}, "'6'"),
        ({"from": "22:00", "until": "22:00"}, "22:00"),
        ({"from": "22:00", "until": "06:00", "tier": "near"}, "near"),
        ({"until": "06:00"}, "''"),
    ],
)
def test_hours_that_cannot_be_kept_are_refused_by_name(said: dict[str, str], names: str) -> None:
    """Whoever typed them reads what is wrong and what to write."""
    with pytest.raises(BadHours, match=names) as caught:
        read_hours(said)
    assert caught.value.remedy


def test_a_setting_is_read_as_it_was_kept() -> None:
    """No setting means that nothing waits."""
    assert read_hours(None) is None
    assert read_hours(hours(tier="far").as_dict()) == hours(tier="far")
    assert hours(tier="far").tier == FAR


@pytest.mark.parametrize(
    ("open_state", "moved", "may_wait", "becomes"),
    [
        (None, False, True, "held"),
        (None, False, False, "queued"),
        ("queued", True, True, "queued"),  # a call of it may be in flight
        ("queued", False, True, "held"),
        ("held", True, True, "held"),
        ("held", True, False, "queued"),  # it has come near, or somebody hurries it
        ("held", False, False, "queued"),
        ("blocked", False, True, "held"),
    ],
)
def test_only_what_may_wait_is_held(open_state: str | None, moved: bool, may_wait: bool, becomes: str) -> None:
    """Whoever puts last says whether it waits."""
    assert state_after_put(open_state=open_state, moved=moved, may_wait=may_wait) == becomes
