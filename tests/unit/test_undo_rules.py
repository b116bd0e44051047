"""What is taken back, and what a pin means when the source goes on: values only."""

from __future__ import annotations

import pytest

from domain.pins import Pin, apply
from domain.plans import Desired
from domain.undoing import Before, Skipped, TakenBack, Why, Word, take_back

RUN, EARLIER, LATER = "run", "earlier", "later"
CAL, EVT, OTHER = "cal:c", "evt:1", "evt:2"


def back(words: dict[str, Word], before: dict[str, Before]) -> list[TakenBack | Skipped]:
    return take_back(RUN, calendar=CAL, words=words, before=before)


def test_what_the_run_created_goes() -> None:
    """There was nothing before, so nothing is kept about it."""
    assert back({EVT: Word(RUN, 5, "h")}, {}) == [TakenBack(EVT, "h", "", None)]


def test_what_the_run_changed_or_deleted_is_as_before() -> None:
    """The content of before, and what the source said, by which a later change of the source is noticed."""
    before = {EVT: Before("old", "{}"), OTHER: Before("old", "{}")}
    words = {EVT: Word(RUN, 5, "new"), OTHER: Word(RUN, 6, "")}
    assert back(words, before) == [TakenBack(EVT, "new", "old", "{}"), TakenBack(OTHER, "", "old", "{}")]


def test_what_went_with_its_calendar_comes_back_with_it() -> None:
    """Nobody deleted those events one by one; their last word is that of the run which created them."""
    words = {CAL: Word(RUN, 9, ""), EVT: Word(EARLIER, 3, "h")}
    before = {CAL: Before("c", "{}"), EVT: Before("h", "{}")}
    assert back(words, before) == [TakenBack(CAL, "", "c", "{}"), TakenBack(EVT, "", "h", "{}")]
    created_again = {**words, EVT: Word(LATER, 12, "h")}
    assert back(created_again, before)[1] == Skipped(EVT, Why.LATER)


@pytest.mark.parametrize("hash_", ["again", ""])
def test_a_later_word_stands(hash_: str) -> None:
    """Whoever changed it since saw what the run had done."""
    assert back({EVT: Word(LATER, 9, hash_)}, {EVT: Before("old", "{}")}) == [Skipped(EVT, Why.LATER)]
    assert back({EVT: Word(EARLIER, 1, "h")}, {}) == []


def test_what_nobody_knows_any_more_is_left_and_said() -> None:
    """An empty event in the place of an unknown one would be worse than the changed one."""
    assert back({EVT: Word(RUN, 5, "new")}, {EVT: Before("old", None)}) == [Skipped(EVT, Why.FORGOTTEN)]


# --- pins


def want(target: str, hash_: str) -> Desired:
    kind = {"cal": "calendar", "evt": "event", "mem": "members"}[target.partition(":")[0]]
    return Desired(kind, target, hash_, "{}", target)


def pin(target: str, source: str, desired: str) -> Pin:
    return Pin(want(target, "").kind, target, source, desired, '{"summary": "a"}')


def wanted(found: list[Desired]) -> dict[str, str]:
    return {one.target: one.hash for one in found}


def test_a_pin_stands_while_the_source_says_what_it_said() -> None:
    """Changed, brought back and kept away."""
    source = [want(CAL, "c"), want(EVT, "new"), want("evt:3", "created")]
    pins = [pin(EVT, "new", "old"), pin(OTHER, "", "deleted"), pin("evt:3", "created", "")]
    found, void = apply(source, pins, calendar=CAL)
    assert (wanted(found), void) == ({CAL: "c", EVT: "old", OTHER: "deleted"}, [])


def test_a_source_that_says_something_else_is_followed_for_that_target_alone() -> None:
    """One class was mended; the others stay taken back."""
    source = [want(CAL, "c"), want(EVT, "newer"), want(OTHER, "new")]
    found, void = apply(source, [pin(EVT, "new", "old"), pin(OTHER, "new", "old")], calendar=CAL)
    assert (wanted(found), void) == ({CAL: "c", EVT: "newer", OTHER: "old"}, [EVT])


def test_a_new_class_brings_back_the_calendar_that_was_taken_back() -> None:
    """It could not be sent without one."""
    source = [want(CAL, "c"), want(EVT, "created"), want(OTHER, "new class")]
    found, void = apply(source, [pin(CAL, "c", ""), pin(EVT, "created", "")], calendar=CAL)
    assert (wanted(found), void) == ({CAL: "c", OTHER: "new class"}, [CAL])


def test_what_is_pinned_in_a_calendar_that_nobody_wants_goes_with_it() -> None:
    """The course has left the source since: three classes alone are no course."""
    assert apply([], [pin(EVT, "", "old")], calendar=CAL) == ([], [EVT])


def test_members_of_a_calendar_that_was_taken_back_are_not_asked_for() -> None:
    """There is nothing to read."""
    source = [want(CAL, "c"), want("mem:c", "m"), want(EVT, "h")]
    found, void = apply(source, [pin(CAL, "c", ""), pin(EVT, "h", "")], calendar=CAL)
    assert (found, void) == ([], [])


def test_pinned_members_say_that_they_are_pinned() -> None:
    """Who they are is read when they are sent: a roll of thousands does not fit a job."""
    people = Pin("members", "mem:c", "m", "before", '{"people": {"u1": "reader"}}')
    found, _ = apply([want(CAL, "c"), want("mem:c", "m")], [people], calendar=CAL)
    assert found[1].payload == '{"offering": "c", "roll": "before", "pinned": true}'
