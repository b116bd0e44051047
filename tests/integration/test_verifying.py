"""Verify and repair against the simulator: what people change by hand is found, put right once two looks saw it, and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.calendars import RESTORED_LINE
from tests.integration.drain_rig import World
from tests.integration.verify_rig import Term

pytestmark = pytest.mark.integration

STRANGER: dict[str, Any] = {
    "summary": "答疑",
    "description": "自己加的",
    "start_time": {"datetime": "2024-09-03T19:00:00+08:00"},
    "end_time": {"datetime": "2024-09-03T20:00:00+08:00"},
}


@pytest.fixture
def term(here: World) -> Term:
    """Two courses, the first over ten weeks and with people, as a sync has left them in WPS."""
    made = Term(here)
    made.imported()
    made.course("c1", days=10)
    made.course("c2", days=2)
    here.enrol([("teacher", "T1"), ("student", "S1"), ("student", "S2")])
    made.sync()
    assert made.plan() == {}
    return made


def test_an_untouched_term_has_nothing_to_report(term: Term) -> None:
    """A verification that cries wolf is switched off within a week."""
    run = term.verify()
    assert term.rows() == []
    told = {name: run["report"][name] for name in ("calendars", "events", "members", "strangers", "discrepancies")}
    assert told == {"calendars": 2, "events": 12, "members": 3, "strangers": 0, "discrepancies": 0}


def test_what_people_changed_by_hand_is_found_and_nothing_else(term: Term) -> None:
    """The list is worth reading only if each row is true and none is missing."""
    by_hand(term)
    run = term.verify()
    assert sorted(what for what, _ in term.open()) == [
        "calendar_renamed", "event_copy", "event_edited", "event_missing", "member_missing",
    ]  # fmt: skip
    assert run["report"]["strangers"] == 1
    assert run["report"]["discrepancies"] == 5


def test_a_repair_brings_back_what_was_sent_and_leaves_strangers_alone(term: Term) -> None:
    """The timetable wins over slips of the finger; what people add for themselves is theirs."""
    before = term.everything()
    stranger = by_hand(term)
    term.verify()
    would_do = term.would_do()
    run = term.repair()
    assert term.has_done(run["id"]) == would_do
    assert sorted(would_do.values()) == ["create", "delete", "members", "rename", "update"]
    assert term.open() == []
    after = term.everything()
    assert "答疑" in [event[0] for event in after["课c1 ·" + tag(before)]]
    after = {name: [event for event in events if event[0] != "答疑"] for name, events in after.items()}
    assert after == before
    assert stranger in [one["id"] for one in term.here.calendar_of("c1")["events"]]
    assert term.here.readers() == {"T1": "writer", "S1": "reader", "S2": "reader"}
    assert term.verify()["report"]["discrepancies"] == 0
    assert term.plan() == {}


def test_an_event_that_comes_back_says_why(term: Term) -> None:
    """Whoever deleted it should not have to guess who is working against them."""
    term.deletes("c1", 1)
    term.changes("c1", 2, summary="改了")
    term.verify()
    term.repair()
    for day in (1, 2):
        lines = term.event_at("c1", day)["description"].split("\n")
        assert lines[:2] == ["教师：鲍老师", RESTORED_LINE]
    assert RESTORED_LINE not in term.event_at("c1", 3)["description"]
    assert term.plan() == {}
    term.move("c1", 2, room="303")
    term.sync()
    assert RESTORED_LINE not in term.event_at("c1", 2)["description"]


def test_a_copy_is_deleted_only_when_two_walks_saw_it(term: Term) -> None:
    """One look at a list that lags proves little, and a deletion by mistake does not come back."""
    term.verify()
    copy = term.copies("c1", 4)
    assert term.repair()["report"]["calendars"] == 0
    term.verify()
    assert [row.scans for row in term.rows()] == [1]
    assert copy in live_events(term)
    term.repair()
    assert copy not in live_events(term)
    assert term.open() == []


def test_a_mark_of_ours_that_nothing_belongs_to_is_surplus(term: Term) -> None:
    """A request that WPS carried out far too late leaves such an event behind."""
    late = term.adds("c2", **{**STRANGER, "description": "教师：鲍老师\n⟦ob:abcdefghij234567abcd⟧"})
    term.verify()
    assert [what for what, _ in term.open()] == ["event_unknown"]
    term.repair()
    assert late not in live_events(term, "c2")
    assert term.open() == []


def test_an_event_moved_out_of_every_window_is_edited_not_missing(term: Term) -> None:
    """Creating it anew would leave two of it."""
    there = {"datetime": "2029-03-01T08:00:00+08:00"}, {"datetime": "2029-03-01T09:35:00+08:00"}
    term.changes("c1", 3, start_time=there[0], end_time=there[1])
    before = term.event_at("c1", 3)["id"]
    term.verify()
    assert [what for what, _ in term.open()] == ["event_edited"]
    term.repair()
    assert term.event_at("c1", 3)["id"] == before
    assert term.event_at("c1", 3)["start_time"]["datetime"].startswith("2024-09-23")
    assert term.open() == []


def test_an_event_that_lost_its_mark_gets_it_back(term: Term) -> None:
    """Without the mark the next call whose answer is lost could not find it."""
    marker = term.event_at("c1", 5)["description"].split("\n")[-1]
    term.changes("c1", 5, description="教师：鲍老师")
    term.verify()
    assert [what for what, _ in term.open()] == ["event_edited"]
    term.repair()
    assert term.event_at("c1", 5)["description"].endswith(marker)
    assert term.open() == []


def test_a_deleted_calendar_comes_back_with_everything_in_it(term: Term) -> None:
    """A course without a calendar is a course nobody goes to."""
    before = term.everything()
    term.deletes("c1")
    term.verify()
    assert term.open() == [("calendar_gone", "open")]
    term.repair()
    assert term.open() == []
    assert term.everything() == before
    assert term.here.readers() == {"T1": "writer", "S1": "reader", "S2": "reader"}
    assert term.plan() == {}


def test_a_stranger_on_a_calendar_without_a_roll_is_taken_off(term: Term) -> None:
    """The smallest roll is an empty one."""
    user = term.here.enrol([("student", "S9")], course="other")["S9"]
    body = {"permissions": [{"user_id": user, "role": "writer"}]}
    term.here.simulator.ok("POST", f"{term.path('c2')}/permissions/batch_create", body)
    term.verify()
    assert term.open() == [("member_extra", "open")]
    term.repair()
    assert term.open() == []
    assert term.here.readers("c2") == {}


def test_where_the_timetable_changed_too_a_person_is_asked(term: Term) -> None:
    """Both sides have changed: before one is lost somebody should have seen it."""
    term.changes("c1", 2, summary="改了")
    term.verify()
    term.move("c1", 2, room="404")
    assert list(term.would_do().values()) == ["ticket"]
    term.repair()
    assert term.open() == [("event_edited", "ticket")]
    assert term.event_at("c1", 2)["summary"] == "改了"
    (row,) = term.rows()
    assert json.loads(row.theirs)["summary"] == "改了"
    term.sync()
    assert term.verify()["report"]["discrepancies"] == 0
    assert term.open() == []


def test_a_course_that_left_the_timetable_is_not_repaired(term: Term) -> None:
    """Bringing it back only for the next sync to delete it helps nobody."""
    term.deletes("c2", 0)
    term.drop("c2")
    term.verify()
    term.repair()
    assert term.open() == [("event_missing", "ticket")]
    term.sync()
    term.verify()
    assert term.open() == []


def test_the_sample_takes_those_not_looked_at_for_longest(term: Term) -> None:
    """A little every hour sees everything in the end."""
    assert term.verify(sample=1)["report"]["events"] == 10
    assert term.verify(sample=1)["report"]["events"] == 2
    assert term.verify(sample=1)["report"]["events"] == 10


def by_hand(term: Term) -> str:
    """Somebody deletes, moves, copies and adds an event, renames the calendar and takes a reader off. Returns what was added."""
    term.copies("c1", 4)
    term.deletes("c1", 1)
    term.changes(
        "c1",
        3,
        start_time={"datetime": "2024-09-24T10:00:00+08:00"},
        end_time={"datetime": "2024-09-24T11:35:00+08:00"},
    )
    term.changes("c1", summary="我的课")
    term.removes_reader("c1", "S1")
    return term.adds("c1", **STRANGER)


def live_events(term: Term, course: str = "c1") -> list[str]:
    return [one["id"] for one in term.here.calendar_of(course)["events"] if one["status"] == "normal"]


def tag(everything: dict[str, list[Any]]) -> str:
    return next(name for name in everything if name.startswith("课c1"))[-7:]
