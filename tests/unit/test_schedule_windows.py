"""Hours of the day and load: when a schedule is due, by tables."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from domain.schedules import BREAKER, QUEUE, THROTTLED, BadWindow, backs_off, due_in, read_window, read_windows
from usecases import cron

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def shown(slots: list[int], zone: ZoneInfo) -> list[str]:
    return [datetime.fromtimestamp(slot / 1000, UTC).astimezone(zone).strftime("%H:%M%z")[:-2] for slot in slots]


@pytest.mark.parametrize(
    ("window", "after", "until", "due"),
    [
        ("07:00-22:00=15", "2025-09-01T06:50", "2025-09-01T07:30", ["07:00", "07:15", "07:30"]),
        ("07:00-22:00=15", "2025-09-01T21:40", "2025-09-01T23:00", ["21:45"]),
        ("22:00-07:00=120", "2025-09-01T21:00", "2025-09-02T07:30", ["22:00", "00:00", "02:00", "04:00", "06:00"]),
        ("00:00-24:00=480", "2025-09-01T00:00", "2025-09-02T00:00", ["08:00", "16:00", "00:00"]),
    ],
)
def test_a_window_is_due_from_its_beginning_on(window: str, after: str, until: str, due: list[str]) -> None:
    """Every quarter of an hour by day is what the wall says, whatever UTC says."""
    found = list(due_in([read_window(window)], SHANGHAI, after_ms=at(after, SHANGHAI), until_ms=at(until, SHANGHAI)))
    assert shown(found, SHANGHAI) == [f"{one}+08" for one in due]


@pytest.mark.parametrize(
    ("after", "until", "due"),
    [
        ("2025-03-30T01:00", "2025-03-30T04:00", ["01:30+01", "03:00+02", "03:30+02", "04:00+02"]),
        ("2025-10-26T01:30", "2025-10-26T03:00", ["02:00+02", "02:30+02", "02:00+01", "02:30+01", "03:00+01"]),
    ],
)
def test_an_hour_that_is_left_out_or_comes_twice(after: str, until: str, due: list[str]) -> None:
    """The night in which clocks change neither stops a schedule nor makes it start twice at one instant."""
    window = [read_window("00:00-06:00=30")]
    found = list(due_in(window, BERLIN, after_ms=at(after, BERLIN), until_ms=at(until, BERLIN)))
    assert shown(found, BERLIN) == due
    assert len(set(found)) == len(found)


def test_a_window_stands_for_the_cron_in_its_hours() -> None:
    """Hourly by night and every quarter of an hour by day: not both by day."""
    windows = read_windows(["07:00-09:00=15"])
    found = cron.newest_due(
        "30 * * * *",
        zone=SHANGHAI,
        after_ms=at("2025-09-01T05:00", SHANGHAI),
        until_ms=at("2025-09-01T10:00", SHANGHAI),
        most=25,
        windows=windows,
    )
    quarters = [f"{hour:02d}:{minute:02d}" for hour in (7, 8) for minute in (0, 15, 30, 45)]
    assert shown(found, SHANGHAI) == [f"{one}+08" for one in ["05:30", "06:30", *quarters, "09:30"]]
    following = cron.next_due("30 * * * *", zone=SHANGHAI, after_ms=at("2025-09-01T08:46", SHANGHAI), windows=windows)
    assert shown([following], SHANGHAI) == ["09:30+08"]
    alone = cron.next_due("", zone=SHANGHAI, after_ms=at("2025-09-01T09:00", SHANGHAI), windows=windows)
    assert shown([alone], SHANGHAI) == ["07:00+08"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (["07:00-22:00"], "write it as"),
        (["7-22=15"], "no time of day"),
        (["07:00-25:00=15"], "no time of day"),
        (["07:00-22:00=0"], "number of minutes"),
        (["07:00-07:10=15"], "shorter than 15"),
        (["07:00-12:00=15", "11:00-13:00=5"], "overlaps with 07:00-12:00=15"),
        (["22:00-07:00=60", "06:00-08:00=5"], "overlaps"),
    ],
)
def test_a_window_that_means_nothing_is_refused(said: list[str], problem: str) -> None:
    """Whoever mistypes hours is told what is wrong with them, before they are in force."""
    with pytest.raises(BadWindow, match=problem):
        read_windows(said)


@pytest.mark.parametrize(
    ("signs", "since_min", "busy_every", "starts"),
    [
        (set(), 1, None, True),
        ({QUEUE}, 600, None, False),
        ({QUEUE}, 59, 60, False),
        ({QUEUE, THROTTLED}, 60, 60, True),
        ({THROTTLED}, None, 60, True),
        ({BREAKER}, 600, 60, False),
    ],
)
def test_load_makes_a_schedule_rarer(
    signs: set[str], since_min: int | None, busy_every: int | None, starts: bool
) -> None:
    """More runs would only queue up behind what the lanes have to do already."""
    since = None if since_min is None else since_min * 60_000
    assert (backs_off(signs, since_start_ms=since, busy_every_min=busy_every) is None) is starts
