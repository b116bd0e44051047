"""Clocks: of a machine that is wrong, of a zone that jumps, and of a day that begins while a class goes on."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from datetime import time as clock
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendars import EventBody
from domain.timetable import local_ms
from remote.wps.payloads import event_in, event_out
from tests.faults.checker import all_is_well
from tests.faults.processes import Processes, until
from tests.integration.drain_rig import TENANT, World, calendar, event

pytestmark = pytest.mark.integration

# Every clock of the process but the monotonic one, which no administrator sets.
SKEWED = """
import datetime, time
import bootstrap.wiring
_time, _time_ns = time.time, time.time_ns
_started = time.monotonic()
def by_s():
    return {by_s} if time.monotonic() - _started < {for_s} else -{by_s}
time.time = lambda: _time() + by_s()
time.time_ns = lambda: _time_ns() + by_s() * 10**9
class Skewed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.now(tz) + datetime.timedelta(seconds=by_s())
bootstrap.wiring.datetime = Skewed
"""

LANES = ("数学", "物理", "化学", "生物")


FOR_EVER_S = 1e9
WRONG = {
    "two minutes ahead": (120, FOR_EVER_S),
    "two minutes behind": (-120, FOR_EVER_S),
    "a week ahead": (7 * 86_400, FOR_EVER_S),
    "stepping back by four minutes": (120, 0.7),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_machine_with_a_wrong_clock_steals_nothing_and_forgets_nothing(
    here: World, processes: Processes, wrong: str
) -> None:
    """Leases, rests and waits are compared by the database alone: no lane has two owners because two machines disagree
    about the time, and no dead letter is a week old because one of them thinks so."""
    by_s, for_s = WRONG[wrong]
    here.simulator.desk("settings", {"latency_ms": 25})
    here.faults(
        {
            "match": {"path": "calendars/create$"},
            "times": 1,
            "do": "status",
            "params": {"status": 403, "code": 403000001},
        }
    )
    here.put(calendar("dead", name="dead ·abcdefg"))
    here.drain(until=lambda: here.job("cal:dead").state == "dead")
    for n, lane in enumerate(LANES):
        for k in range(2):
            course = f"c{n}{k}"
            events = (event(day, course, lane=lane) for day in range(3))
            here.put(calendar(course, name=f"{course} ·abcdefg", lane=lane), *events)
    # A lease that a starved machine does not outlast; by its own clock the worker could call it over at once.
    patient = {"OBSYNC_LANE_LEASE_S": "30", "OBSYNC_LANE_THREADS": "2"}
    worker = processes.start("lanes", prelude=SKEWED.format(by_s=by_s, for_s=for_s), **patient)
    made = len(here.log("/v7/"))
    until(lambda: len(here.log("/v7/")) > made + 2, worker.said)
    here.drain()
    until(lambda: all(here.lane_row(lane).owner is None for lane in LANES), "a lane was not given back")
    assert "fence_lost" not in worker.said(), "one of the two took the other for dead"
    for lane in LANES:
        calls = sorted((one["start"], one["end"]) for one in here.log("/v7/") if one["lane"] == f"{TENANT}/{lane}")
        assert all(end <= start for (_, end), (start, _) in pairwise(calls)), lane
    assert here.job("cal:dead").state == "dead"
    all_is_well(here)


ZONES = (
    "Asia/Shanghai",
    "Europe/Lisbon",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
)


@given(
    st.dates(date(2015, 1, 1), date(2037, 12, 31)),
    st.integers(0, 86_399),
    st.integers(1, 240),
    st.sampled_from(ZONES),
)
def test_a_class_is_on_the_day_and_at_the_hour_of_its_row(day: date, second: int, minutes: int, name: str) -> None:
    """At 00:30 and at 23:50, on 29 February and 31 December, and in the night in which the clocks change: what people read in
    WPS is the hour of the timetable, unless that hour does not exist on that day."""
    zone = ZoneInfo(name)
    start_ms = local_ms(day, second, zone)
    body = EventBody("课", "", start_ms, start_ms + minutes * 60_000, None)
    out = event_out(body, zone)
    start: dict[str, str] = out["start_time"]  # type: ignore[assignment]
    shown = datetime.fromisoformat(start["datetime"])
    assert shown.timestamp() * 1000 == start_ms
    wanted = datetime.combine(day, clock.min) + timedelta(seconds=second)
    if _exists(wanted, zone):
        assert shown.replace(tzinfo=None) == wanted
    back = event_in({"id": "e", **out}, zone).body
    assert (back.start_ms, back.end_ms) == (body.start_ms, body.end_ms)
    assert back.content_hash() == body.content_hash()


def _exists(wanted: datetime, zone: ZoneInfo) -> bool:
    there = wanted.replace(tzinfo=zone)
    return datetime.fromtimestamp(there.timestamp(), zone).replace(tzinfo=None) == wanted


@pytest.mark.parametrize("second", [1_800, 85_800], ids=["00:30", "23:50"])
def test_a_class_around_midnight_is_shown_on_its_own_day(second: int) -> None:
    """An evening class that moved to the day before or after would be missed by everybody."""
    zone = ZoneInfo("Asia/Shanghai")
    start_ms = local_ms(date(2024, 2, 29), second, zone)
    out = event_out(EventBody("课", "", start_ms, start_ms + 2_700_000, None), zone)
    assert str(out["start_time"]).startswith("{'datetime': '2024-02-29T") and "+08:00" in str(out["start_time"])
