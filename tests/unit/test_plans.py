"""Desired state against the mirror: which operations, and that agreement is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.plans import (
    GONE,
    Desired,
    Operation,
    SessionView,
    calendar_target,
    desired_event,
    diff,
    event_of,
    event_target,
    members_target,
)
from domain.rolls import roll_hash
from domain.settlement import Intent, Mirrored, Verb
from tests.unit.test_settlement import mirrored

CALENDAR, MEMBERS, ONE, TWO = calendar_target("o"), members_target("o"), event_target("1"), event_target("2")
KINDS = {CALENDAR: "calendar", MEMBERS: "members"}
INTENT = Intent(Verb.CREATE, "a", 1, 1)


def want(target: str, hash_: str = "a") -> Desired:
    return Desired(KINDS.get(target, "event"), target, hash_, "{}", target)


def have(target: str, hash_: str = "a", **values: Any) -> Mirrored:
    state = values.pop("state", "live")
    return mirrored(target=target, kind=KINDS.get(target, "event"), state=state, sent_hash=hash_, **values)


def verbs(operations: list[Operation]) -> dict[str, str]:
    return {one.target: one.verb.value for one in operations}


ALL = [want(CALENDAR), want(MEMBERS), want(ONE), want(TWO)]
THERE = [have(CALENDAR), have(MEMBERS), have(ONE), have(TWO)]


@pytest.mark.parametrize(
    ("desired", "there", "queued", "found"),
    [
        (ALL, THERE, {}, {}),
        (ALL, [], {}, {CALENDAR: "create", MEMBERS: "create", ONE: "create", TWO: "create"}),
        ([want(CALENDAR), want(ONE, "b"), want(TWO)], THERE, {}, {ONE: "update"}),
        ([want(CALENDAR), want(ONE)], THERE, {}, {TWO: "delete"}),
        ([], THERE, {}, {CALENDAR: "delete"}),
        ([], [have(CALENDAR, state="gone"), have(ONE, state="gone")], {}, {}),
        ([], [have(CALENDAR, state="none", intent=INTENT)], {}, {CALENDAR: "delete"}),
        # members: nobody wanted and nobody there is no job; a changed roll is an update whatever the state
        ([want(CALENDAR), want(MEMBERS, "")], [have(CALENDAR)], {}, {}),
        ([want(CALENDAR), want(MEMBERS, "")], [have(CALENDAR), have(MEMBERS)], {}, {MEMBERS: "update"}),
        ([want(CALENDAR), want(MEMBERS)], [have(CALENDAR), have(MEMBERS, "", state="gone")], {}, {MEMBERS: "update"}),
        # open jobs: one that asks for the same is no news where the mirror agrees, one that asks for more is
        (ALL, THERE, {ONE: "a"}, {}),
        (ALL, THERE, {ONE: "b"}, {ONE: "update"}),
        (ALL, THERE, {ONE: ""}, {ONE: "update"}),
        ([want(CALENDAR)], [have(CALENDAR), have(ONE, state="none")], {ONE: "a"}, {ONE: "delete"}),
        ([want(CALENDAR)], [have(CALENDAR), have(ONE, state="none")], {ONE: ""}, {}),
        # in doubt: looked at again, whatever it says
        (ALL, [*THERE[:3], have(TWO, intent=INTENT)], {}, {TWO: "update"}),
        ([want(CALENDAR)], [have(CALENDAR), have(ONE, state="gone", intent=INTENT)], {}, {ONE: "delete"}),
        # surplus copies are somebody else's business
        ([want(CALENDAR)], [have(CALENDAR), have("sur:1")], {}, {}),
    ],
)
def test_the_plan_is_the_difference(
    desired: list[Desired], there: list[Mirrored], queued: dict[str, str], found: dict[str, str]
) -> None:
    """Again at once: nothing. Everything else is one operation for each target that is not as it should be."""
    assert verbs(diff(desired, there, queued=queued, calendar=CALENDAR)) == found


def test_a_delete_carries_nothing_and_the_name_a_person_knows() -> None:
    """The sample that a guard shows must be readable."""
    (one,) = diff([], [have(CALENDAR, name="线性代数 ·abcdefg")], queued={}, calendar=CALENDAR)
    assert (one.desired, one.label, one.kind) == (None, "线性代数 ·abcdefg", "calendar")
    assert GONE == "null"


SESSION = SessionView("s1", "2024-09-02", 1_725_235_200_000, 1_725_240_900_000, (("东", "东上院", "101"),), ("鲍老师",))


@pytest.mark.parametrize(
    ("rooms", "location"),
    [
        ((), None),
        ((("东", "", ""),), None),
        ((("东", "东上院", "101"),), "东上院101"),
        ((("东", "", "体育馆"),), "体育馆"),
        ((("东", "乙楼", "2"), ("东", "乙楼", "1")), "乙楼1、乙楼2"),
        ((("东", "乙楼", "1"), ("西", "乙楼", "1")), "乙楼1"),
    ],
)
def test_rooms_become_one_place(rooms: tuple[tuple[str, str, str], ...], location: str | None) -> None:
    """WPS takes one location; the same rooms always read the same."""
    assert event_of(replace(SESSION, rooms=rooms), summary="线性代数").location == location


@pytest.mark.parametrize(
    ("teachers", "line"), [((), ""), (("鲍老师",), "教师：鲍老师"), (("甲", "乙"), "教师：甲、乙")]
)
def test_teachers_become_a_line(teachers: tuple[str, ...], line: str) -> None:
    """Nobody known: no line, rather than an empty one."""
    assert event_of(replace(SESSION, teachers=teachers), summary="线性代数").description == line


@pytest.mark.parametrize(
    "change",
    [{"start_ms": 1}, {"end_ms": 2_000_000_000_000}, {"rooms": ()}, {"teachers": ()}],
    ids=lambda change: next(iter(change)),
)
def test_whatever_a_person_sees_is_in_the_hash(change: dict[str, Any]) -> None:
    """A change that does not change the hash would never be sent."""
    before, after = (desired_event(one, summary="线性代数") for one in (SESSION, replace(SESSION, **change)))
    assert before.target == after.target
    assert before.hash != after.hash
    assert before.hash != desired_event(SESSION, summary="高等数学").hash


def test_a_date_that_only_labels_is_not_in_the_hash() -> None:
    """It follows from the start."""
    assert (
        desired_event(SESSION, summary="x").hash == desired_event(replace(SESSION, date="2024-09-03"), summary="x").hash
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"u1": "reader", "u2": "writer"}, {"u2": "writer", "u1": "reader"}, True),
        ({"u1": "reader"}, {"u1": "writer"}, False),
        ({"u1": "reader"}, {"u1": "reader", "u2": "reader"}, False),
        ({}, {"u1": "reader"}, False),
    ],
)
def test_a_roll_is_known_by_its_people_and_roles(one: dict[str, str], other: dict[str, str], same: bool) -> None:
    """In any order; an empty roll is blank, which is what a new calendar has."""
    assert (roll_hash(one) == roll_hash(other)) is same
    assert roll_hash({}) == ""


def test_a_session_with_too_many_rooms_and_teachers_still_fits_its_event() -> None:
    """WPS refuses longer texts, and a refused event is a class that nobody sees."""
    rooms = tuple(("", "实验楼", f"{number:03d}室") for number in range(300))
    teachers = tuple(f"教师{number:04d}" for number in range(500))
    body = event_of(SessionView("s", "2026-09-01", 0, 1, rooms, teachers), summary="课")
    assert body.location is not None and len(body.location) == 1024 and body.location.endswith("…")
    assert len(body.description) == 1900 and body.description.startswith("教师：教师0000、")
