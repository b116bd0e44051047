"""What a dead letter may be changed to by hand, and what is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.calendars import EventBody
from domain.ids import key_of
from domain.job_payloads import Editable, editable

EVENT: dict[str, Any] = {
    "summary": "代数",
    "description": "教师：甲",
    "start_ms": 1_725_235_200_000,
    "end_ms": 1_725_240_900_000,
    "location": None,
}
CALENDAR = {"name": "代数 ·abcdefg"}
USERS = {"codes": ["s1"]}


def test_an_edited_event_stands_for_what_it_says_now() -> None:
    """With the hash of the old words the drain would close it as sent."""
    wanted = {**EVENT, "summary": "线性代数"}
    made = editable("event", EVENT, wanted)
    assert isinstance(made, Editable)
    assert json.loads(made.payload) == wanted
    assert made.desired_hash == EventBody(**wanted).content_hash()


@pytest.mark.parametrize(("kind", "before"), [("event", EVENT), ("calendar", CALENDAR), ("users", USERS)])
def test_what_is_there_already_fits_its_own_schema(kind: str, before: dict[str, Any]) -> None:
    """Otherwise changing one key would fail for another that nobody touched."""
    assert isinstance(editable(kind, before, dict(before)), Editable)


def test_a_restored_event_can_be_edited_too() -> None:
    """What a repair asks for carries a key of its own."""
    assert isinstance(editable("event", EVENT, {**EVENT, "restored": True}), Editable)


@pytest.mark.parametrize(
    ("kind", "before", "wanted", "why"),
    [
        ("event", EVENT, {**EVENT, "title": "x"}, "knows no title; it has description"),
        ("event", EVENT, {"summary": "x"}, "needs description"),
        ("event", EVENT, {**EVENT, "summary": ""}, "summary must be a text of 1 to 200"),
        ("event", EVENT, {**EVENT, "summary": 7}, "summary must be a text of 1 to 200"),
        ("event", EVENT, {**EVENT, "start_ms": "08:00"}, "start_ms must be milliseconds"),
        ("event", EVENT, {**EVENT, "start_ms": True}, "start_ms must be milliseconds"),
        ("event", EVENT, {**EVENT, "end_ms": EVENT["start_ms"]}, "end_ms must be after start_ms"),
        ("event", EVENT, {**EVENT, "end_ms": EVENT["end_ms"] + 86_400_000}, "at most a day"),
        ("event", EVENT, {**EVENT, "location": 5}, "or null"),
        ("event", EVENT, {**EVENT, "restored": "yes"}, "true or false"),
        ("event", EVENT, [EVENT], "one JSON object"),
        ("event", EVENT, {**EVENT, "description": "线" * 70_000}, "description must be a text of 0 to"),
        ("calendar", CALENDAR, {"name": "几何"}, "must end in ` ·abcdefg`"),
        ("calendar", CALENDAR, {"name": "几" * 40 + " ·abcdefg"}, "name must be a text of 1 to 40"),
        ("users", USERS, {"codes": []}, "1 to 100"),
        ("users", USERS, {"codes": [1]}, "1 to 100"),
        ("members", {"offering": "c", "roll": "r"}, {"offering": "d", "roll": "r"}, "nothing to edit"),
        ("run.advance", {}, {"x": 1}, "nothing to edit"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(kind: str, before: Any, wanted: Any, why: str) -> None:
    """A payload that cannot be sent kills its job again, an hour later and without the person who typed it."""
    said = editable(kind, before, wanted)
    assert isinstance(said, str) and why in said


def test_the_look_up_of_other_people_is_another_desired_state() -> None:
    """The hash follows the codes."""
    made = editable("users", USERS, {"codes": ["s1", "s2"]})
    assert isinstance(made, Editable) and made.desired_hash == key_of("s1", "s2")
