"""The drain against a real simulator: exactly one of everything, whatever happens to calls and workers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from sqlalchemy import delete, update

from db.tables import rolls, users
from tests.integration.drain_rig import (
    TIMES,
    World,
    calendar,
    event,
    gone,
    lost,
    members,
)

pytestmark = pytest.mark.integration


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


def test_a_course_dropped_before_its_calendar_was_made_leaves_nothing_waiting(here: World) -> None:
    """Its events would wait for a calendar that nobody wants: queued for ever, and their run with them."""
    here.put(calendar(), members(), event(1), event(2))
    here.put(gone(calendar()), import_no=2)
    here.drain()
    assert here.queued() == []
    assert here.job(event(1).target).state == "cancelled"
    assert here.calendars() == []
    here.put(calendar(), event(1), import_no=3)
    here.drain()
    assert [one["summary"] for one in here.events()] == ["线性代数 1"]


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
    "half done, and said so": {"do": "partial_batch", "params": {"fraction": 0.5, "reply": "items"}},
    "back to front": {"do": "other_order"},
    "each twice": {"do": "doubled_items"},
    "HTML and done": {"do": "html", "params": {"applied": True}},
    "HTML and not done": {"do": "html"},
    "too long": {"do": "huge_body"},
    "gzip bomb": {"do": "gzip_bomb"},
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
    here.drain()
    every = [(f"线性代数 {n}", "101") for n in range(6)]
    assert {name: here.say(course_of(name)[0]) for name in ACCIDENTS} == dict.fromkeys(ACCIDENTS, every)
    assert here.count("event")[:2] == (6 * len(ACCIDENTS), 6 * len(ACCIDENTS))


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
    here.drain()
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
    here.put(*(calendar(f"c{n}", name=f"课程{n} ·abcdef{n}") for n in range(20)))
    here.drain()
    names = [f"课程{n} ·abcdef{n}" for n in range(20)]
    assert sorted(one["summary"] for one in here.calendars()) == sorted(names)
    # Three on a quiet machine; a slow one lets some of the doubts ripen later than others.
    assert len(here.log("/v7/calendars?")) <= len(names) // 2


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
    """A row with times that WPS refuses must not hold up nineteen classes, nor be dropped silently."""
    here.put(calendar(), *(event(n, minutes=-5 if n == 13 else 95) for n in range(20)))
    here.drain()
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


# --- people


def test_one_account_that_left_does_not_keep_the_others_out(here: World) -> None:
    """WPS refuses a list for one unknown person in it, without saying whom: halving finds them, and costs no attempts."""
    ids = here.enrol([("student", f"S{n:03d}") for n in range(60)])
    here.simulator.desk("reset", {})
    here.simulator.desk("people", {"people": [{"ex_user_id": f"S{n:03d}", "user_name": "人"} for n in range(59)]})
    assert ids
    here.put(calendar(), members())
    here.drain()
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
