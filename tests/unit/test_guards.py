"""What is too much, at the edges: one fewer is no question."""

from __future__ import annotations

import pytest

from domain.guards import (
    Guard,
    LaneLoss,
    Question,
    ask_about_deletes,
    ask_about_repairs,
    ask_about_rows,
    budget,
    unanswered,
)


@pytest.mark.parametrize(
    ("before", "now", "asks"),
    [(100, 71, False), (100, 70, True), (3, 2, True), (10, 0, True), (0, 0, False), (5, 9, False)],
)
def test_thirty_per_cent_fewer_rows_are_asked_about(before: int, now: int, asks: bool) -> None:
    """An export that broke off is shorter; a week of cancelled classes is not that much shorter."""
    found = ask_about_rows({"meetings": before}, {"meetings": now})
    assert bool(found) is asks
    if found:
        assert found == [Question(Guard.ROWS, "meetings", before - now, before, found[0].limit)]
        assert not ask_about_rows({"meetings": before}, {"meetings": before - found[0].limit})


@pytest.mark.parametrize(("live", "most"), [(0, 20), (20, 20), (1000, 20), (1049, 20), (1050, 21), (10_000, 200)])
def test_a_lane_may_lose_twenty_or_two_per_cent(live: int, most: int) -> None:
    """The limit that is shown is the limit that is kept."""
    assert budget(live) == most
    whole = live + most + 2
    assert ask_about_deletes([LaneLoss("a", whole, budget(whole))]) == []
    (one,) = ask_about_deletes([LaneLoss("a", whole, budget(whole) + 1)])
    assert (one.guard, one.limit) == (Guard.LANE, budget(whole))


def test_five_hundred_of_a_run_are_the_most() -> None:
    """Twenty in each of thirty colleges is more than anybody means."""
    assert ask_about_deletes([LaneLoss(f"{n:02d}", 1000, 20) for n in range(25)]) == []
    (one,) = ask_about_deletes([LaneLoss(f"{n:02d}", 1000, 20) for n in range(26)])
    assert one == Question(Guard.RUN, "", 520, 26_000, 500)
    assert ask_about_repairs([LaneLoss(f"{n:02d}", 1000, 20) for n in range(26)])[0].guard is Guard.REPAIRS


@pytest.mark.parametrize(("stays", "asks"), [(True, False), (False, True)])
def test_a_lane_that_loses_its_last_class_is_asked_about_unless_something_is_taught_there(
    stays: bool, asks: bool
) -> None:
    """One class or a thousand: an empty college is a broken export until somebody says otherwise."""
    assert bool(ask_about_deletes([LaneLoss("a", 1, 1, stays=stays)])) is asks
    assert ask_about_deletes([LaneLoss("a", 0, 0, stays=False)]) == []


def test_an_answer_covers_what_it_was_shown_and_less() -> None:
    """What was confirmed for a lane holds when the lane turns out to lose everything of a smaller rest; never for more."""
    asked = [Question(Guard.LANE, "a", 30, 100, 20)]
    assert unanswered(asked, asked) == []
    assert unanswered([Question(Guard.COLLEGE, "a", 29, 29, 28)], asked) == []
    more = [Question(Guard.LANE, "a", 31, 100, 20)]
    assert unanswered(more, asked) == more
    other = [Question(Guard.LANE, "b", 30, 100, 20)]
    assert unanswered(other, asked) == other


def test_deletes_allowed_beforehand_say_nothing_about_rows() -> None:
    """Nobody knows beforehand that an export will break off."""
    rows, lane = Question(Guard.ROWS, "meetings", 50, 100, 29), Question(Guard.LANE, "a", 30, 100, 20)
    assert unanswered([rows, lane], [], deletes_allowed=True) == [rows]
