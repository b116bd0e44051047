"""Workers that stop for longer than their lease and come back: a full disk, a suspended machine, a call that hangs."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from db import lanes
from db.engine import in_unit
from remote.wps.client import WpsClient
from remote.wps.transport import Transport
from tests.contract.wps_rig import wait_until
from tests.faults.checker import all_is_well
from tests.faults.processes import Processes, until
from tests.integration.drain_rig import LANE, TENANT, World, another_worker, calendar, event

pytestmark = pytest.mark.integration

FROZEN_AT = ("lanes.after_intent", "wps.before_send")


def courses(here: World, name: str, *, lane: str, many: int = 2) -> None:
    """Calendars with two events each, in a lane of their own."""
    for n in range(many):
        course = f"{name}{n}"
        here.put(
            calendar(course, name=f"{course} ·abcdefg", lane=lane), *(event(k, course, lane=lane) for k in range(2))
        )


def pause(here: World, lane: str, *, paused: bool) -> None:
    """Let nobody claim the lane, or anybody."""
    in_unit(here.engine, lambda tx: lanes.set_paused(tx, tenant=TENANT, names=[lane], paused=paused))


def test_a_frozen_owner_wakes_up_and_its_call_does_not_go_out(here: World, processes: Processes) -> None:
    """It was stopped between its promise and its call, another worker has found out that nothing came of the promise and has
    made the calendar: a call now would make a second one."""
    for n, point in enumerate(FROZEN_AT):
        courses(here, f"z{n}", lane=f"学院{n}")
        worker = processes.start("lanes", failpoints=f"{point}:stop@1", OBSYNC_LANE_THREADS="1")
        worker.stops()
        pause(here, f"学院{n}", paused=True)  # the next worker may be slow to start, and would take it over
    assert all(here.lane_row(f"学院{n}").owner is not None for n in range(2)), "each of them holds a lane"
    for n in range(2):
        pause(here, f"学院{n}", paused=False)
    here.drain()
    done = len(here.log("/v7/"))
    all_is_well(here)
    for worker in processes.all:
        worker.goes_on()
    for worker in processes.all:
        until(lambda worker=worker: "lanes.fence_lost" in worker.said(), lambda worker=worker: worker.said())  # type: ignore[misc]
    assert [one["path"] for one in here.log("/v7/")[done:]] == [], "a call of a former owner reached WPS"
    here.drain()
    all_is_well(here)


def test_a_frozen_owner_cannot_write_the_answer_it_got(here: World, processes: Processes) -> None:
    """Its answer is true and comes too late: who owns the lane now has asked WPS itself."""
    courses(here, "late", lane=LANE)
    worker = processes.start("lanes", failpoints="wps.after_reply:stop@1")
    worker.stops()
    here.drain()
    before = here.mirrored("cal:late0")
    worker.goes_on()
    until(lambda: "lanes.fence_lost" in worker.said(), worker.said)
    assert here.mirrored("cal:late0") == before
    all_is_well(here)


class HangingClient(WpsClient):
    """A client whose writes hang before they leave, until they are let go."""

    def __init__(self, transport: Transport, let_go: threading.Event) -> None:
        super().__init__(transport, zone=ZoneInfo("Asia/Shanghai"))
        self._let_go = let_go

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("create_"):
            self._let_go.wait(60)
        return super().__getattribute__(name)


def test_a_lane_that_makes_no_step_loses_its_lease(here: World) -> None:
    """A thread may hang for ever while its process renews all leases as before: a lease is for work, not for being alive."""
    courses(here, "stuck", lane=LANE, many=1)
    let_go = threading.Event()
    hanging = replace(here.deps.remote, client=HangingClient(here.deps.remote.transport, let_go))
    stuck = here.executor.submit(here.slice, deps=replace(here.deps, remote=hanging))
    try:
        wait_until(lambda: bool(here.unsettled()))
        with another_worker(here) as other:
            other.drain(until=lambda: here.job("cal:stuck0").state == "done")
            assert not stuck.done(), "the lane came back only with its stuck thread"
            let_go.set()
            stuck.result(timeout=60)
            other.drain()
    finally:
        let_go.set()
    calls = sorted((one["start"], one["end"]) for one in here.log("/v7/"))
    assert all(end <= start for (_, end), (start, _) in pairwise(calls))
    all_is_well(here)
