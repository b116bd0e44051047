"""The drain against a real simulator: exactly one of everything, whatever happens to calls and workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, update
from sqlalchemy import event as sqlalchemy_event

from db import lanes
from db.engine import in_unit
from db.jobs import Put
from db.tables import lanes as lane_table
from db.tables import mirror, rolls, users
from domain.settlement import MAX_ATTEMPTS
from tests.contract.simulator_process import Simulator, running
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
    world,
)
from usecases.lanes import Holding
from usecases.sync.draining import drain_slice

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with running() as one:
        yield one


@pytest.fixture
def here(simulator: Simulator, database: Engine, valkey: Valkey, data_dir: Path) -> Iterator[World]:
    with world(simulator, database, valkey, data_dir) as made:
        yield made


def test_a_course_gets_its_calendar_its_events_and_its_people(here: World) -> None:
    """The whole point."""
    here.enrol([("teacher", "T1"), ("student", "S1"), ("student", "S2")])
    here.put(calendar(), members(), *(event(n) for n in range(120)))
    here.drain()
    assert here.the_calendar()["summary"] == "线性代数 ·abcdefg"
    assert [one["summary"] for one in here.events()] == [f"线性代数 {n}" for n in range(120)]
    assert here.readers() == {"T1": "writer", "S1": "reader", "S2": "reader"}
    assert here.count("calendar") == (1, 1, 0, 0)
    assert here.count("event") == (120, 120, 0, 0)
    assert here.count("members") == (1, 1, 0, 0)
    assert len(here.log("events/batch_create")) == 2


def test_a_changed_session_changes_its_event_and_a_vanished_one_takes_it_away(here: World) -> None:
    """An update keeps the event people have; only what left the timetable goes."""
    here.put(calendar(), *(event(n) for n in range(3)))
    here.drain()
    before = {one["summary"]: one["id"] for one in here.events()}
    here.put(event(0, room="202"), gone(event(2)), import_no=2)
    here.drain()
    events = here.events()
    assert [one["summary"] for one in events] == ["线性代数 0", "线性代数 1"]
    assert [one["locations"][0]["name"] for one in events] == ["东上院202", "东上院101"]
    assert [one["id"] for one in events] == [before["线性代数 0"], before["线性代数 1"]]


def test_putting_the_same_again_makes_no_call(here: World) -> None:
    """A second run over an unchanged term costs WPS nothing."""
    puts = [calendar(), members(roll=""), event(1), event(2)]
    here.put(*puts)
    here.drain()
    calls = len(here.log("/v7/"))
    here.put(*puts, import_no=2, run_id="second")
    here.drain()
    assert len(here.log("/v7/")) == calls
    assert here.count("event", run_id="second") == (2, 2, 0, 0)


def test_a_calendar_that_is_not_wanted_goes_with_everything_in_it(here: World) -> None:
    """One call, not one for each event; and the course may come back with all of its events."""
    here.put(calendar(), event(1), event(2))
    here.drain()
    here.put(gone(calendar()), import_no=2)
    here.drain()
    assert here.calendars() == []
    assert here.log("events/") == here.log("events/batch_create")
    here.put(calendar(), event(1), event(2), import_no=3)
    here.drain()
    assert [one["summary"] for one in here.events()] == ["线性代数 1", "线性代数 2"]


ACCIDENTS: dict[str, dict[str, object]] = {
    "reply lost": {"do": "applied_reply_lost"},
    "reset": {"do": "applied_reply_lost", "params": {"reset": True}},
    "never arrived": {"do": "refused_connection_drop"},
    "500 but done": {"do": "error_500_applied"},
    "500 not done": {"do": "error_500_not_applied"},
    "half an answer": {"do": "half_body"},
    "done later": {"do": "late", "params": {"delay_s": 0.15}},
    "too slow": {"do": "slow", "params": {"delay_s": 0.5}},
    "half done": {"do": "partial_batch", "params": {"fraction": 0.5}},
    "half done, 500": {"do": "partial_batch", "params": {"fraction": 0.5, "reply": "error_500"}},
    "502 but done": {"do": "status", "params": {"status": 502, "code": 0, "applied": True}},
}


def course_of(accident: str) -> tuple[str, str]:
    """A course and a lane of its own for each accident, so that all are waited for at the same time."""
    return f"c{list(ACCIDENTS).index(accident)}", f"学院 {accident}"


def calendars_with_events(here: World, accidents: Iterable[str], *, events: int) -> None:
    """One course for each accident, already at WPS."""
    for accident in accidents:
        course, lane = course_of(accident)
        name = f"{accident} ·abcdefg"
        here.put(calendar(course, name=name, lane=lane), *(event(n, course, lane=lane) for n in range(events)))
    here.drain()


def test_lists_of_events_in_doubt_are_never_doubled_nor_lost(here: World) -> None:
    """WPS has no idempotency key: a create whose answer is lost must be looked for, and only then repeated."""
    calendars_with_events(here, ACCIDENTS, events=0)
    here.faults(
        *(
            {"match": {"path": f"{here.id_of(course_of(name)[0])}/events/batch_create"}, "times": 1, **what}
            for name, what in ACCIDENTS.items()
        )
    )
    for name in ACCIDENTS:
        course, lane = course_of(name)
        here.put(*(event(n, course, lane=lane) for n in range(6)), import_no=2)
    here.drain(within_s=15)
    every = [(f"线性代数 {n}", "101") for n in range(6)]
    assert {name: here.say(course_of(name)[0]) for name in ACCIDENTS} == dict.fromkeys(ACCIDENTS, every)
    assert here.count("event") == (66, 66, 0, 0)


SINGLE = ["reply lost", "never arrived", "500 but done", "500 not done", "half an answer"]


@pytest.mark.parametrize("verb", ["update", "delete"])
def test_changes_in_doubt_are_looked_up_and_end_right(here: World, verb: str) -> None:
    """Repeating an update is harmless; not knowing whether a delete happened must not leave an event behind."""
    calendars_with_events(here, SINGLE, events=2)
    here.faults(
        *(
            {"match": {"path": f"{here.id_of(course_of(name)[0])}/events/.*/{verb}$"}, "times": 1, **ACCIDENTS[name]}
            for name in SINGLE
        )
    )
    for name in SINGLE:
        course, lane = course_of(name)
        changed = event(0, course, lane=lane, room="202")
        here.put(changed if verb == "update" else gone(changed), import_no=2)
    here.drain(within_s=15)
    left = [("线性代数 0", "202"), ("线性代数 1", "101")] if verb == "update" else [("线性代数 1", "101")]
    assert {name: here.say(course_of(name)[0]) for name in SINGLE} == dict.fromkeys(SINGLE, left)


@pytest.mark.parametrize("do", ["applied_reply_lost", "refused_connection_drop", "error_500_applied"])
def test_a_calendar_in_doubt_is_found_by_its_name_in_a_walk(here: World, do: str) -> None:
    """A second calendar for a course would be seen by every student of it. The lane `_` need not exist before."""
    here.faults({"match": {"path": "calendars/create"}, "times": 1, "do": do})
    here.put(calendar(), event(1))
    here.drain()
    assert [one["summary"] for one in here.events()] == ["线性代数 1"]
    walks = here.log("/v7/calendars?")
    assert walks and {one["lane"] for one in walks} == {"t1/_"}


def test_one_walk_answers_for_many_calendars(here: World) -> None:
    """A hundred lost answers must not cost a hundred walks of ten thousand calendars."""
    here.faults(lost("calendars/create"))
    here.put(*(calendar(f"c{n}", name=f"课程{n} ·abcdef{n}") for n in range(6)))
    here.drain()
    assert sorted(one["summary"] for one in here.calendars()) == [f"课程{n} ·abcdef{n}" for n in range(6)]
    assert len(here.log("/v7/calendars?")) <= 3


@pytest.mark.parametrize("do", ["applied_reply_lost", "refused_connection_drop"])
def test_a_course_that_comes_back_after_a_delete_in_doubt_has_its_events(here: World, do: str) -> None:
    """The events went with the calendar: a mirror that still believes in them would never create them again."""
    here.put(calendar(), event(1), event(2))
    here.drain()
    here.faults({"match": {"path": "calendars/[^/]+/delete$"}, "times": 1, "do": do})
    here.put(gone(calendar()), import_no=2)
    here.drain()
    assert here.calendars() == []
    here.put(calendar(), event(1), event(2), import_no=3)
    here.drain()
    assert [one["summary"] for one in here.events()] == ["线性代数 1", "线性代数 2"]


def test_one_bad_event_of_twenty_dies_alone(here: World) -> None:
    """A row with a title that WPS refuses must not hold up nineteen classes, nor be dropped silently."""
    here.put(calendar(), *(event(n, summary="长" * 1201 if n == 13 else None) for n in range(20)))
    here.drain(within_s=15)
    assert len(here.events()) == 19
    dead = here.job(event(13).target)
    assert (dead.state, dead.error_code) == ("dead", "bad_request")
    assert here.count("event") == (20, 19, 1, 0)


def test_an_event_that_somebody_deleted_is_made_again_when_it_changes(here: World) -> None:
    """404 on an update is news about the world, not the end of the job."""
    here.put(calendar(), event(1))
    here.drain()
    at, old = here.the_calendar()["id"], here.events()[0]["id"]
    here.simulator.ok("POST", f"/v7/calendars/{at}/events/{old}/delete")
    here.put(event(1, room="202"), import_no=2)
    here.drain()
    (one,) = here.events()
    assert one["locations"][0]["name"] == "东上院202"
    assert one["id"] != old


def test_a_throttle_costs_no_attempt_and_rests_the_lane(here: World) -> None:
    """The service is busy: that says nothing about the event, and all lanes have to wait."""
    here.put(calendar())
    here.drain()
    here.faults({"match": {"path": "batch_create"}, "times": 1, "do": "throttle"})
    here.put(event(1), event(2), event(3), import_no=2)
    here.slice()
    row = here.lane_row()
    assert {here.job(event(n).target).attempts for n in (1, 2, 3)} == {0}
    assert here.unsettled() == []
    assert row.owner is None
    assert row.not_before > row.lease_until - TIMES.lease_ms
    assert "throttled" in row.note
    here.drain()
    assert len(here.events()) == 3
    assert len(here.log("batch_create")) == 2, "the list was not cut in pieces for it"


def test_a_throttled_single_write_gets_its_attempt_back(here: World) -> None:
    """Attempts are counted before the call, so that one that kills its worker ends; a throttle is not such a one."""
    here.put(calendar(), event(1))
    here.drain()
    here.faults({"match": {"path": "/update$"}, "times": 1, "do": "throttle"})
    here.put(event(1, room="202"), import_no=2)
    here.slice()
    assert (here.job(event(1).target).state, here.job(event(1).target).attempts) == ("queued", 0)
    assert here.unsettled() == []
    here.drain()
    assert here.job(event(1).target).state == "done"
    assert [one["locations"][0]["name"] for one in here.events()] == ["东上院202"]


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
        holding = here.claim(lane, within_s=1)
        assert holding is not None
        with pytest.raises(KilledHere):
            drain_slice(here.dying(after=after), here.holdings, holding, here.executor)
        assert here.lane_row(lane).owner is not None, "a killed worker gives nothing back"
    here.drain(within_s=15)
    assert len(here.calendars()) == len(WRITES)
    for what, many in WRITES.items():
        room = "202" if what == "update" else "101"
        assert here.say(what) == [(f"线性代数 {n}", room) for n in range(many)], what
        assert here.readers(what) == ({"S1": "reader", "S2": "reader"} if what == "members" else {}), what


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


def _taken(here: World) -> Holding:
    """The lane, taken over from a killed worker without waiting for its lease, with nothing in doubt any more."""
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
    holding = here.claim()
    assert holding is not None
    holding.deadline -= (TIMES.lease_ms - TIMES.budget_ms / 2) / 1000
    assert drain_slice(here.deps, here.holdings, holding, here.executor).calls <= 2
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
    here.drain(within_s=1.5, until=lambda: here.job(event(2, course="c2").target).state == "done")
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


# --- people


def test_one_account_that_left_does_not_keep_the_others_out(here: World) -> None:
    """WPS refuses a list for one unknown person in it, without saying whom: halving finds them, and costs no attempts."""
    ids = here.enrol([("student", f"S{n:03d}") for n in range(60)])
    here.simulator.desk("reset", {})
    here.simulator.desk("people", {"people": [{"ex_user_id": f"S{n:03d}", "user_name": "人"} for n in range(59)]})
    assert ids
    here.put(calendar(), members())
    here.drain(within_s=15)
    assert len(here.readers()) == 59
    assert here.job("mem:c1").state == "done"


def test_a_reader_who_became_the_teacher_gets_the_other_role(here: World) -> None:
    """WPS cannot change a role: take away, then give."""
    here.enrol([("student", "P1"), ("student", "P2")])
    here.put(calendar(), members())
    here.drain()
    with here.engine.begin() as tx:
        tx.execute(update(rolls).where(rolls.c.code == "P1").values(kind="teacher"))
        tx.execute(update(users).where(users.c.code == "P1").values(kind="teacher"))
        tx.execute(delete(rolls).where(rolls.c.code == "P2"))
    here.put(members(roll="another"), import_no=2)
    here.drain()
    assert here.readers() == {"P1": "writer"}
    assert here.job("mem:c1").state == "done"


@pytest.mark.parametrize("verb", ["batch_create", "delete"])
def test_permissions_in_doubt_end_right(here: World, verb: str) -> None:
    """The whole list is read after a doubt, and the rest is sent."""
    accidents = ["reply lost", "never arrived", "half done"]
    for name in accidents:
        course, lane = course_of(name)
        here.enrol([("student", "S1"), ("student", "S2"), ("student", "S3")], course)
        first = [members(course, lane=lane)] if verb == "delete" else []
        here.put(calendar(course, name=f"{name} ·abcdefg", lane=lane), *first)
    here.drain()
    if verb == "delete":
        with here.engine.begin() as tx:
            tx.execute(delete(rolls).where(rolls.c.code == "S2"))
    here.faults(
        *(
            {"match": {"path": f"{here.id_of(course_of(name)[0])}/permissions.*{verb}$"}, "times": 1, **ACCIDENTS[name]}
            for name in accidents
        )
    )
    for name in accidents:
        here.put(members(course_of(name)[0], roll="another", lane=course_of(name)[1]), import_no=2)
    here.drain()
    people = dict.fromkeys(["S1", "S3"] if verb == "delete" else ["S1", "S2", "S3"], "reader")
    assert {name: here.readers(course_of(name)[0]) for name in accidents} == dict.fromkeys(accidents, people)


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
            worker.drain(within_s=25, until=lambda: over.is_set() or worker.at_rest())

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
