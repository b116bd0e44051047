"""The drain when things come in between: new wishes, a pause, the death of a worker, people at work in WPS."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import update

from bootstrap.wiring import new_id
from db import lanes
from db.engine import in_unit
from db.jobs import Put
from db.tables import lanes as lane_table
from db.tables import mirror
from domain.settlement import MAX_ATTEMPTS
from tests.contract.wps_rig import wait_until
from tests.fixtures_stores import Valkey
from tests.integration.drain_rig import (
    LANE,
    TENANT,
    TIMES,
    KilledHere,
    World,
    another_worker,
    calendar,
    event,
    gone,
    lost,
    members,
)
from usecases.deps import Deps
from usecases.lanes import Holding, Holdings
from usecases.sync.draining import drain_slice

pytestmark = pytest.mark.integration


# --- replaced, paused, killed


def test_an_event_put_again_while_its_call_is_in_flight_is_sent_again(here: World) -> None:
    """The answer says what was sent, not what is wanted by now."""
    here.put(calendar(), event(1))
    here.drain()
    here.faults({"match": {"path": "/update$"}, "times": 1, "do": "slow", "params": {"delay_s": 0.3}})
    here.put(event(1, room="202"), import_no=2)
    slice_ = here.executor.submit(here.slice)
    wait_until(lambda: bool(here.unsettled()))
    here.put(event(1, room="303"), import_no=3, run_id="later")
    slice_.result()
    here.drain()
    assert [one["locations"][0]["name"] for one in here.events()] == ["东上院303"]
    assert len(here.log("/update")) == 2
    assert (here.count()[3], here.count(run_id="later")) == (1, (1, 1, 0, 0))


def test_a_course_wanted_again_while_its_calendar_is_being_deleted_keeps_its_events(here: World) -> None:
    """The delete that comes back must not cancel what was put after it was sent."""
    here.put(calendar(), event(1))
    here.drain()
    here.faults({"match": {"path": "/delete$"}, "times": 1, "do": "slow", "params": {"delay_s": 0.3}})
    here.put(gone(calendar()), import_no=2)
    slice_ = here.executor.submit(here.slice)
    wait_until(lambda: bool(here.unsettled()))
    here.put(calendar(), event(1), event(2), import_no=3)
    slice_.result()
    here.drain()
    assert [one["summary"] for one in here.events()] == ["线性代数 1", "线性代数 2"]


def test_a_paused_lane_stops_between_two_calls(here: World) -> None:
    """Somebody pressed the button: at most the call in flight still goes out."""
    here.put(*(calendar(f"c{n}", name=f"课程{n} ·abcdef{n}") for n in range(6)))
    here.simulator.desk("settings", {"latency_ms": 100})
    slice_ = here.executor.submit(here.slice)
    wait_until(lambda: bool(here.unsettled()))
    in_unit(here.engine, lambda tx: lanes.set_paused(tx, tenant=TENANT, names=None, paused=True))
    assert slice_.result().calls <= 3
    assert here.lane_row().owner is None
    assert here.claim() is None
    assert here.unsettled() == []
    in_unit(here.engine, lambda tx: lanes.set_paused(tx, tenant=TENANT, names=[LANE], paused=False))
    here.drain()
    assert len(here.calendars()) == 6


WRITES = {"calendar": 2, "events": 5, "one event": 2, "update": 1, "delete": 1, "members": 1}  # events in the end


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the answer"])
def test_workers_killed_around_a_write_leave_exactly_one_of_everything(here: World, after: bool) -> None:
    """kill -9 at the worst moment: the next owner knows from the mirror that something is in doubt, and finds out."""
    lane_of = {what: f"学院 {what}" for what in WRITES}
    here.enrol([("student", "S1"), ("student", "S2")], course="members")
    for what, lane in lane_of.items():
        if what != "calendar":
            here.put(calendar(what, name=f"{what} ·abcdefg", lane=lane), event(0, what, lane=lane))
    here.put(event(1, "delete", lane=lane_of["delete"]))
    here.drain()
    for what, lane in lane_of.items():
        here.put(*_write_to_die_in(what, lane), import_no=2)
        with pytest.raises(KilledHere):
            _drain_for_ever(here, lane, here.dying(after=after))
        assert here.lane_row(lane).owner is not None, "a killed worker gives nothing back"
    here.drain()
    assert len(here.calendars()) == len(WRITES)
    for what, many in WRITES.items():
        room = "202" if what == "update" else "101"
        assert here.say(what) == [(f"线性代数 {n}", room) for n in range(many)], what
        assert here.readers(what) == ({"S1": "reader", "S2": "reader"} if what == "members" else {}), what


def _drain_for_ever(here: World, lane: str, deps: Deps) -> None:
    """Slice after slice: on a busy machine the send guard may refuse the first one."""
    while True:
        holding = here.claim(lane, within_s=10)
        assert holding is not None
        drain_slice(deps, here.holdings, holding, here.executor)


def _write_to_die_in(what: str, lane: str) -> list[Put]:
    if what == "calendar":
        return [calendar(what, name=f"{what} ·abcdefg", lane=lane), *(event(n, what, lane=lane) for n in range(2))]
    if what == "events":
        return [event(n, what, lane=lane) for n in range(5)]
    if what == "members":
        return [members(what, lane=lane)]
    one = event(1 if what in ("one event", "delete") else 0, what, lane=lane, room="202" if what == "update" else "101")
    return [gone(one) if what == "delete" else one]


def test_a_job_that_kills_its_worker_every_time_becomes_a_dead_letter(here: World) -> None:
    """Without the attempt counted before the call it would kill one worker after the other, for ever."""
    here.put(calendar(), event(1))
    here.drain()
    here.put(event(1, room="202"), import_no=2)
    with pytest.raises(KilledHere):
        here.slice(deps=here.dying(after=False))
    for _ in range(MAX_ATTEMPTS - 1):
        with pytest.raises(KilledHere):
            drain_slice(here.dying(after=False), here.holdings, _taken(here), here.executor)
    _taken(here)
    here.drain(until=lambda: here.job(event(1).target).state == "dead")
    assert here.job(event(1).target).error_code == "attempts"
    assert here.count("event")[1:3] == (1, 1)
    here.put(event(2), import_no=3)
    here.drain()
    assert here.say("c1") == [("线性代数 1", "101"), ("线性代数 2", "101")], "the lane goes on without it"


def _taken(here: World) -> Holding:
    """The lane, taken over from a killed worker without waiting for its lease, with nothing in doubt any more."""
    while here.lane_row().owner is not None:  # whoever renews leases may have been about to
        with here.engine.begin() as tx:
            tx.execute(update(lane_table).values(lease_until=1))
        assert here.claim() is None
    with here.engine.begin() as tx:
        tx.execute(update(lane_table).values(not_before=0))
        tx.execute(update(mirror).values(parked_until=0))
        tx.execute(update(mirror).where(mirror.c.settle_at.is_not(None)).values(settle_at=1))
    holding = here.claim()
    assert holding is not None
    return holding


def test_a_defect_in_a_call_does_not_keep_its_lane_for_ever(here: World) -> None:
    """The keeper renews what the process holds: a drain that ended by an error of ours must not be among it."""
    here.put(calendar())
    with pytest.raises(KilledHere):
        here.slice(deps=here.dying(after=False))
    assert here.holdings.names() == []


def test_a_drain_whose_lease_is_nearly_over_gives_the_lane_back(here: World) -> None:
    """The guard lets no call out that the lease might not outlast; trying again under it would only spin and pay."""
    here.put(*(calendar(f"c{n}", name=f"课程{n} ·abcdef{n}") for n in range(3)))
    holdings = Holdings(here.engine, TIMES, new_id)  # of a worker whose keeper does not come round to renewing
    holding = holdings.claim(TENANT, LANE)
    assert holding is not None
    holding.deadline -= (TIMES.lease_ms - TIMES.budget_ms / 2) / 1000
    assert drain_slice(here.deps, holdings, holding, here.executor).calls <= 2
    assert here.lane_row().owner is None
    assert here.unsettled() == []
    here.drain()
    assert len(here.calendars()) == 3
    assert {here.job(f"cal:c{n}").attempts for n in range(3)} <= {0, 1}


def test_a_call_whose_intent_took_too_long_to_commit_does_not_go_out(here: World) -> None:
    """The settlement wait counts from the time in the intent: a call that starts long after it could land after the look."""
    here.put(calendar())

    def slow(_: object) -> None:
        time.sleep(2 * TIMES.guard_ms / 1000)

    sqlalchemy_event.listen(here.engine, "commit", slow)
    here.slice()
    sqlalchemy_event.remove(here.engine, "commit", slow)
    assert here.log("/v7/") == []
    assert (here.unsettled(), here.job("cal:c1").attempts) == ([], 0)
    here.drain()
    assert len(here.calendars()) == 1


# --- what people do in WPS meanwhile


def test_a_calendar_deleted_by_somebody_does_not_block_its_lane(here: World) -> None:
    """Events in doubt in a calendar that is not there any more can never be looked up."""
    here.put(calendar(), calendar("c2", name="离散数学 ·abcdefh"))
    here.drain()
    at = next(one["id"] for one in here.calendars() if one["summary"].startswith("线性"))
    here.simulator.ok("POST", f"/v7/calendars/{at}/delete")
    here.put(event(1), event(2), event(3, course="c2"))
    here.drain()
    found = {one["summary"]: [e["summary"] for e in one["events"]] for one in here.calendars()}
    assert {name: sorted(events) for name, events in found.items()} == {
        "线性代数 ·abcdefg": ["线性代数 1", "线性代数 2"],
        "离散数学 ·abcdefh": ["线性代数 3"],
    }


def test_a_calendar_that_cannot_be_read_does_not_hold_up_the_others(here: World) -> None:
    """Only that calendar is parked: the rest of the college goes on."""
    here.put(calendar(), calendar("c2", name="离散数学 ·abcdefh"))
    here.drain()
    at = here.mirrored("cal:c1").remote_id
    here.faults(lost(f"{at}/events/batch_create", times=1), {"match": {"path": f"{at}/events[?]"}, "do": "status"})
    here.put(event(1), import_no=2)
    here.drain(until=lambda: here.mirrored(event(1).target).intent_verb is not None)
    here.drain(until=lambda: len(here.log(f"{at}/events?")) > 0)
    here.put(event(2, course="c2"), import_no=2)
    here.drain(until=lambda: here.job(event(2, course="c2").target).state == "done")
    here.faults()
    here.drain()
    assert len(here.log(f"{at}/events/batch_create")) == 1


def test_a_second_copy_of_an_event_is_found_and_deleted(here: World) -> None:
    """The promise in words: at most one extra copy, and not for long."""
    here.put(calendar(), event(1))
    here.faults(lost("events/batch_create", times=1))
    here.drain(until=lambda: here.unsettled() == [event(1).target] and bool(here.events()))
    (made,) = here.events()
    copy = {name: made[name] for name in ("summary", "description", "start_time", "end_time", "locations")}
    here.simulator.ok("POST", f"/v7/calendars/{here.the_calendar()['id']}/events/create", copy)
    assert len(here.events()) == 2
    here.drain()
    assert len(here.events()) == 1
    assert here.events()[0]["id"] == here.mirrored(event(1).target).remote_id


@pytest.mark.parametrize("wanted", [True, False], ids=["update", "delete"])
def test_an_event_that_somebody_moved_far_away_is_still_ours(here: World, wanted: bool) -> None:
    """A change of it is in doubt, and no list of its old week or its new one has it: it must not be made a second time."""
    here.put(calendar(), event(1))
    here.drain()
    (made,) = here.events()
    hours = (("start_time", "08"), ("end_time", "09"))
    far = {name: {"datetime": f"2025-06-02T{hour}:00:00+08:00"} for name, hour in hours}
    path = f"/v7/calendars/{here.the_calendar()['id']}/events/{made['id']}/update"
    here.simulator.ok("POST", path, far)
    here.faults({"match": {"path": "/(update|delete)$"}, "times": 1, "do": "refused_connection_drop"})
    changed = event(1, room="202")
    here.put(changed if wanted else gone(changed), import_no=2)
    here.drain()
    assert [one["id"] for one in here.events()] == ([made["id"]] if wanted else [])


# --- several workers


def test_calls_of_one_lane_never_overlap(here: World) -> None:
    """One request at a time is what the college's calendars are promised."""
    here.simulator.desk("settings", {"latency_ms": 15})
    for n in range(3):
        here.put(calendar(f"c{n}", name=f"课程{n} ·abcdef{n}"), *(event(k, course=f"c{n}") for k in range(3)))
    here.drain()
    calls = sorted((one["start"], one["end"]) for one in here.log("/v7/") if one["lane"] == f"{TENANT}/{LANE}")
    assert len(calls) == 6
    assert all(end <= start for (_, end), (start, _) in pairwise(calls))


def test_several_workers_with_lost_answers_and_an_emptied_redis_do_everything_once(here: World, valkey: Valkey) -> None:
    """The acceptance in small: three workers race for five lanes, every eighth write's answer is lost, Redis forgets."""
    here.simulator.desk("settings", {"latency_ms": 10})
    here.faults({"match": {"method": "POST"}, "rate": 0.12, "do": "applied_reply_lost"})
    courses = {f"c{n}": f"学院{n % 5}" for n in range(10)}
    for course, lane in courses.items():
        here.put(
            calendar(course, name=f"{course} ·abcdefg", lane=lane), *(event(n, course, lane=lane) for n in range(5))
        )
    over = threading.Event()

    def work() -> None:
        with another_worker(here) as worker:
            worker.drain(until=lambda: over.is_set() or worker.at_rest())

    def forget() -> None:
        client = valkey.client()
        while not over.wait(0.15):
            client.flushall()

    with ThreadPoolExecutor(max_workers=4) as threads:
        forgetting = threads.submit(forget)
        workers = [threads.submit(work) for _ in range(3)]
        try:
            for worker in workers:
                worker.result()
        finally:
            over.set()
        forgetting.result()
    every = [(f"线性代数 {n}", "101") for n in range(5)]
    assert {course: here.say(course) for course in courses} == dict.fromkeys(courses, every)
    assert len(here.calendars()) == len(courses)
    assert (here.count("calendar"), here.count("event")) == ((10, 10, 0, 0), (50, 50, 0, 0))
    for lane in set(courses.values()):
        calls = sorted((one["start"], one["end"]) for one in here.log("/v7/") if one["lane"] == f"{TENANT}/{lane}")
        assert all(end <= start for (_, end), (start, _) in pairwise(calls)), lane
