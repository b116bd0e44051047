"""Many at once: everything due in one moment, one college with far too much, everybody asking for everything twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from domain.lanes import SLICE_CALLS
from observability.failpoints import FailedOnPurpose
from tests.faults.checker import all_is_well
from tests.faults.processes import Processes, until
from tests.integration.drain_rig import LANE, World, calendar, event, members

pytestmark = pytest.mark.integration

RATE, BURST = 100, 5
HUGE = 100
TURNED_AWAY = 3
CALLS = 3 * SLICE_CALLS


def lane_of(call: dict[str, str]) -> str:
    return call["lane"].partition("/")[2]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # about the limiter, which is in Redis
def test_a_herd_after_an_outage_keeps_to_the_rate_and_to_its_turns(here: World, processes: Processes) -> None:
    """WPS comes back and everything is due. It must not be knocked over again by us, and no college may be served last only
    because of its name."""
    lanes = [f"学院{n}" for n in range(6)]
    for n, lane in enumerate(lanes):
        here.put(*(calendar(f"c{n}x{k}", name=f"c{n}x{k} ·abcdefg", lane=lane) for k in range(CALLS)))
    here.simulator.desk("settings", {"latency_ms": 10})
    throttled = {"do": "throttle", "params": {"retry_after_s": 0.5}, "times": TURNED_AWAY}
    here.faults({"match": {"method": "POST"}, **throttled})
    worker = processes.start("lanes", OBSYNC_WPS_RATE=str(RATE), OBSYNC_WPS_BURST=str(BURST))
    until(here.at_rest, worker.said, every_s=0.1)
    until(lambda: all(here.lane_row(lane).owner is None for lane in lanes), "a lane was not given back")
    calls = sorted(here.log("/v7/"), key=lambda one: float(one["start"]))
    starts = [one["start"] for one in calls]
    most = max(sum(at <= other < at + 1 for other in starts) for at in starts)
    assert most <= RATE + BURST + 1, f"{most} calls in a second"
    served = [lane_of(call) for call in calls[TURNED_AWAY:]]
    # Who was turned away rests as told, and others go on meanwhile: turns are counted from when all have begun.
    begun = max(served.index(lane) for lane in lanes)
    left, done = Counter(served[begun:]), Counter[str]()
    for lane in served[begun:]:
        done[lane] += 1
        waiting = [done[one] for one in lanes if done[one] < left[one]]
        assert not waiting or max(done.values()) - min(waiting) <= 2 * SLICE_CALLS, done
    all_is_well(here)
    assert len(here.calendars()) == len(lanes) * CALLS


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # about whose turn it is, which is in Redis
def test_small_colleges_do_not_wait_for_a_huge_one(here: World, processes: Processes) -> None:
    """One worker with one thread, and a college with fifty times the work that came first: the others wait for a slice of it,
    not for its end."""
    here.simulator.desk(
        "settings", {"latency_ms": 40}
    )  # so that the huge one takes far longer than it takes to put the others
    here.put(*(calendar(f"big{k}", name=f"big{k} ·abcdefg", lane="大") for k in range(HUGE)))
    worker = processes.start("lanes", OBSYNC_LANE_THREADS="1")
    until(lambda: here.log("/v7/"), worker.said)
    small = [f"小{n}" for n in range(4)]
    for n, lane in enumerate(small):
        here.put(calendar(f"s{n}", name=f"s{n} ·abcdefg", lane=lane), event(0, f"s{n}", lane=lane))
    put_after = len(here.log("/v7/"))
    until(here.at_rest, worker.said, every_s=0.1)
    calls = sorted(here.log("/v7/"), key=lambda one: float(one["start"]))
    last = max(index for index, one in enumerate(calls) if lane_of(one) in small)
    of_the_big_one = sum(lane_of(one) == "大" for one in calls[put_after:last])
    assert of_the_big_one < HUGE - put_after, "the small ones came last"
    all_is_well(here)


@pytest.mark.parametrize("point", ["db.before_complete", "settle.after_walk"])
def test_a_defect_at_any_point_costs_a_lease_and_nothing_else(
    here: World, arm: Callable[[str], None], point: str
) -> None:
    """Out of memory, or a mistake of ours: the drain ends in the middle, its lane comes back, and nothing is done twice."""
    here.enrol([("student", "S1")], "c1")
    here.faults({"match": {"path": "events/batch_create"}, "do": "applied_reply_lost", "times": 1})
    here.put(calendar(), event(1), event(2), members("c1"))
    arm(f"{point}:raise@1")
    with pytest.raises(FailedOnPurpose):
        here.drain()
    assert here.holdings.names() == []
    here.drain()
    calls = sorted((one["start"], one["end"]) for one in here.log("/v7/") if lane_of(one) == LANE)
    assert all(end <= start for (_, end), (start, _) in pairwise(calls))
    assert len(here.events()) == 2
    all_is_well(here)
