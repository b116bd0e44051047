"""WPS is down for a while: work waits in the database, one probe at a time goes out, and nothing is lost or doubled."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from bench.limiter import worst_excess
from db import lanes
from db.engine import in_unit, reading
from db.tables import jobs, tenants
from db.tables import lanes as lane_table
from domain.lanes import DOWN
from ratelimit.breaker import TRIP_STREAK
from ratelimit.limiter import Limits
from ratelimit.redis_limiter import RedisLimiter
from remote.wps.client import WpsClient
from remote.wps.credentials import Credentials
from remote.wps.transport import Transport
from tests.contract.simulator_process import APP_ID, APP_KEY
from tests.contract.wps_rig import closed_port, wait_until
from tests.fixtures_stores import Valkey
from tests.integration.drain_rig import TENANT, TIMES, World, calendar, event
from usecases import limits as decisions
from usecases.deps import Deps, Remote
from usecases.sync.draining import drain_lanes
from workers.outage import OutageWatch

pytestmark = pytest.mark.integration

COLLEGES = [f"学院{n}" for n in range(6)]
DOWN_503 = {"match": {"path": "/v7/"}, "do": "status", "params": {"status": 503}}


@pytest.fixture(autouse=True)
def tenant(here: World) -> None:
    """What an admin decides is kept with the tenant."""
    row = {"id": TENANT, "zone": "Asia/Shanghai", "settings": "{}", "wps_app_id": "", "wps_app_key": ""}
    in_unit(here.engine, lambda tx: tx.execute(tenants.insert().values(**row, last_import_no=0, created_ms=0)))


def courses(college: str, count: int) -> list[str]:
    return [f"{COLLEGES.index(college)}-{n}" for n in range(count)]


def name_of(course: str) -> str:
    return f"课程{course} ·abcdefg"


def put_courses(here: World, count: int, *, events: int) -> None:
    """The same amount of work for each college."""
    for college in COLLEGES:
        names = courses(college, count)
        calendars = [calendar(course, name=name_of(course), lane=college) for course in names]
        here.put(*calendars, *(event(n, course, lane=college) for course in names for n in range(events)))


def state(here: World) -> str:
    return here.deps.remote.limiter.breaker(here.deps.remote.limiter_key).state


@contextmanager
def workers(here: World, deps: Deps, *, threads: int) -> Iterator[None]:
    """Threads that drain whatever is due, and a keeper's duties, until the block ends."""
    over, watch = threading.Event(), OutageWatch(deps)

    def work() -> None:
        while not over.is_set():
            drain_lanes(deps, here.holdings, here.executor, cap=lambda: threads)
            over.wait(0.02)

    def keep() -> None:
        while not over.wait(0.2):
            watch.refresh()
            with reading(deps.engine) as tx:
                due = lanes.due(tx)
            deps.hints.mark(due)

    running = [threading.Thread(target=work) for _ in range(threads)] + [threading.Thread(target=keep)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in running:
            thread.join()


def overlapping(calls: Sequence[Any], *, since: float) -> int:
    """How many calls began, after `since`, while another one was under way."""
    later = sorted((one["start"], one["end"]) for one in calls if one["start"] >= since)
    return sum(b[0] < a[1] for a, b in pairwise(later))


def test_while_wps_is_down_work_waits_and_afterwards_each_object_is_there_once(here: World) -> None:
    """An outage of their service must cost nothing but time: no dead letters, no attempts, no second copies."""
    put_courses(here, 4, events=3)
    here.faults(DOWN_503)
    with workers(here, here.deps, threads=4):
        assert wait_until(lambda: state(here) != "closed", at_most_s=60)
        # What was under way when it opened comes to its end; the first probe is a second away.
        opened_s = max(one["end"] for one in here.log("/v7/")) + 0.5

        def probes_s() -> list[float]:
            return sorted(one["start"] for one in here.log("/v7/") if one["start"] > opened_s)

        assert wait_until(lambda: len(probes_s()) >= 2, at_most_s=60)
        # One that has nothing but doubts left waits for the walk over the calendars, and that walk for WPS.
        assert wait_until(lambda: bool(resting(here)), at_most_s=60)
        assert min(after - before for before, after in pairwise(probes_s())) >= 1.9, "the pause doubles from 1 s"
        assert overlapping(here.log("/v7/"), since=opened_s) == 0
        assert totals(here) == {"queued": len(COLLEGES) * 4 * 4}
        here.faults()
        assert wait_until(here.at_rest, at_most_s=80), here.queued()
    assert state(here) == "closed"
    assert sorted(one["summary"] for one in here.calendars()) == sorted(
        name_of(course) for college in COLLEGES for course in courses(college, 4)
    )
    assert {len(one["events"]) for one in here.calendars()} == {3}
    assert totals(here) == {"done": len(COLLEGES) * 4 * 4}


def resting(here: World) -> list[str]:
    with reading(here.engine) as tx:
        return list(tx.execute(select(lane_table.c.lane).where(lane_table.c.note == DOWN)).scalars())


def totals(here: World) -> dict[str, int]:
    with reading(here.engine) as tx:
        kinds = jobs.c.kind.in_(("calendar", "event"))
        found = tx.execute(select(jobs.c.state, func.count()).where(kinds).group_by(jobs.c.state)).all()
    return {row[0]: row[1] for row in found}


def test_nobody_home_costs_no_attempt(here: World) -> None:
    """Connection refused for an hour must not turn single writes into dead letters."""
    put_courses(here, 1, events=1)
    deps = elsewhere(here, f"http://127.0.0.1:{closed_port()}")
    with workers(here, deps, threads=3):
        assert wait_until(lambda: state(here) != "closed", at_most_s=60)
        assert wait_until(lambda: len(resting(here)) >= len(COLLEGES) - 1, at_most_s=60)
    with reading(here.engine) as tx:
        assert set(tx.execute(select(jobs.c.attempts)).scalars()) == {0}
    assert here.unsettled() == []
    here.drain()
    assert len(here.calendars()) == len(COLLEGES)


def elsewhere(here: World, url: str, *, limits: Limits | None = None, valkey: Valkey | None = None) -> Deps:
    """Deps whose calls go to another address, or under other limits."""
    limiter = here.deps.remote.limiter
    if limits is not None and valkey is not None:
        limiter = RedisLimiter(valkey.client(), limits=limits)
        limiter.configure("wps", limits)
    transport = Transport(
        base_url=url,
        credentials=Credentials(APP_ID, APP_KEY),
        limiter=limiter,
        limiter_key="wps",
        budget_s=TIMES.budget_ms / 1000,
        clock=lambda: datetime.now(UTC),
        label_lanes=True,
    )
    client = WpsClient(transport, zone=ZoneInfo("Asia/Shanghai"))
    return replace(here.deps, remote=Remote(client, transport, limiter, "wps"))


def test_the_end_of_an_outage_is_met_by_one_probe_then_by_all_colleges_under_the_limit(
    here: World, valkey: Valkey
) -> None:
    """Twenty thousand jobs have piled up: a rush would bring WPS down again, and no college may have to wait for another."""
    limits = Limits(rate_per_s=60, burst=5, max_in_flight=20)
    deps = elsewhere(here, f"http://127.0.0.1:{here.simulator.port}", limits=limits, valkey=valkey)
    put_courses(here, 34, events=97)  # 19,992 jobs
    for _ in range(TRIP_STREAK):
        on = deps.remote.limiter.acquire("wps", hold_ms=1_000, max_wait_ms=5_000)
        deps.remote.limiter.report("wps", slot=on.slot, trip=on.trip, failed=True, why="down")  # type: ignore[union-attr]
    assert state(here) == "open"
    with workers(here, deps, threads=6):
        assert wait_until(lambda: state(here) == "closed", at_most_s=60)
        assert wait_until(lambda: len(here.log("/v7/")) > 200, at_most_s=60)
    calls = sorted(here.log("/v7/"), key=lambda one: one["start"])
    assert calls[0]["end"] <= calls[1]["start"], "the probe was alone"
    starts_s = [one["start"] for one in calls]
    # Times of arrival: a busy machine may hold up each of the six threads between paying and sending.
    assert worst_excess(starts_s, rate_per_s=60, burst=5) <= 6
    first = [one["lane"].partition("/")[2] for one in calls[1:151]]
    shares = [first.count(college) for college in COLLEGES]
    assert min(shares) >= 0.3 * 150 / len(COLLEGES), shares


def test_an_admin_stops_all_calls_and_keepers_repeat_it_to_a_flushed_redis(here: World, valkey: Valkey) -> None:
    """Before planned work at WPS: nothing is sent, whatever becomes of Redis, and one command ends it."""
    in_unit(here.engine, lambda tx: decisions.hold_breaker(tx, tenant=TENANT, why="maintenance until 06:00"))
    watch = OutageWatch(here.deps)
    watch.refresh()
    valkey.client().flushall()
    watch.refresh()
    held = here.deps.remote.limiter.breaker("wps")
    assert (held.state, held.held, held.why) == ("open", True, "maintenance until 06:00")
    here.put(calendar())
    here.slice()
    assert here.lane_row().note == DOWN
    assert here.log("/v7/") == []
    in_unit(here.engine, lambda tx: decisions.hold_breaker(tx, tenant=TENANT, why=None))
    here.deps.remote.limiter.close_breaker("wps")
    watch.refresh()
    assert here.lane_row().not_before == 0
    here.drain()
    assert len(here.calendars()) == 1


def test_waking_leaves_a_lane_alone_that_rests_after_a_take_over(here: World) -> None:
    """Its last owner's call may still be under way: WPS would see two calls of one college at once."""
    here.put(calendar())
    holding = here.claim()
    assert holding is not None
    here.holdings.forget(holding)
    assert wait_until(lambda: here.claim() is None and here.lane_row().owner is None, at_most_s=30)
    rests_until = here.lane_row().not_before
    OutageWatch(here.deps).refresh()
    assert here.lane_row().not_before == rests_until
