"""Lists against a real simulator: as long as a second allows, halved when in doubt, and no item takes others with it."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from db.tables import lanes as lane_table
from tests.integration.drain_rig import LANE, World, calendar, event, lost, members

pytestmark = pytest.mark.integration


def lists(here: World) -> list[int]:
    """Items made by each list of events, in the order in which they were sent; none by one that was refused."""
    return [one["items"] for one in sorted(here.log("events/batch_create"), key=lambda one: float(one["start"]))]


def size(here: World) -> int:
    return int(here.lane_row().event_list)


def learnt(here: World, events: int) -> None:
    """The lane has learnt this before."""
    with here.engine.begin() as tx:
        tx.execute(update(lane_table).where(lane_table.c.lane == LANE).values(event_list=events))


@pytest.mark.parametrize("position", [0, 37, 99])
def test_a_poisoned_item_of_a_hundred_dies_alone_in_few_calls(here: World, position: int) -> None:
    """WPS refuses the whole list without saying for whom: the other ninety-nine must not wait for a person, nor go
    one by one."""
    here.put(calendar(), *(event(n, minutes=-5 if n == position else 95) for n in range(100)))
    here.drain()
    assert len(here.events()) == 99
    assert here.job(event(position).target).state == "dead"
    assert here.count() == (100, 99, 1, 0)
    sent = lists(here)
    assert sent[0] == 0, "the hundred were sent together"
    assert len(sent) <= 2 * 7 + 1, "a bisection: two lists for each halving"
    # Each list that was refused was looked up before it was cut: a part of it may have been carried out.
    refused = [one for one in here.log("events/batch_create") if one["status"] >= 400]
    looks = [one for one in here.log("/events?") if one["status"] == 200]
    assert len(looks) >= len(refused) - 1  # alone, the refusal is definite


def test_two_poisoned_items_at_both_ends_die_alone(here: World) -> None:
    """Both halves of a list may be bad."""
    bad = (1, 98)
    here.put(calendar(), *(event(n, minutes=-5 if n in bad else 95) for n in range(100)))
    here.drain()
    assert len(here.events()) == 98
    assert {here.job(event(n).target).state for n in bad} == {"dead"}
    assert len(lists(here)) <= 4 * 7 + 1


def test_a_lane_begins_where_it_left_off_and_grows_gently(here: World) -> None:
    """A restart that forgot what the service can take would begin with a list that times out."""
    here.put(calendar())
    here.drain()
    learnt(here, 8)
    here.put(*(event(n) for n in range(40)), import_no=2)
    here.drain()
    sent = lists(here)
    assert sent[0] == 8
    assert sent == sorted(sent[:-1]) + sent[-1:]
    assert 8 < size(here) <= 20
    assert len(here.events()) == 40


def test_a_time_out_halves_the_lists_of_the_lane_after_it_was_settled(here: World) -> None:
    """Twice too long is near the time-out again; and the first list was carried out, so nothing of it is sent twice."""
    here.put(calendar(), calendar("c2", name="第二 ·abcdefg"))
    here.drain()
    here.faults({"match": {"path": "batch_create"}, "times": 1, "do": "slow", "params": {"delay_s": 0.5}})
    here.put(*(event(n) for n in range(60)), *(event(n, "c2") for n in range(60)), import_no=2)
    here.drain()
    sent = lists(here)
    assert sent[0] == 60
    assert all(items <= 38 for items in sent[1:]), "what was promised while the slow one was under way was taken back"
    assert {len(one["events"]) for one in here.calendars()} == {60}
    assert sum(sent) == 120, "the slow list was found and adopted"


def test_a_list_whose_answer_is_lost_is_looked_up_before_it_is_cut(here: World) -> None:
    """Cutting first would send half of what is already there."""
    here.put(calendar())
    here.drain()
    here.faults(lost("batch_create", times=1))
    here.put(*(event(n) for n in range(50)), import_no=2)
    here.drain()
    assert lists(here) == [50]
    assert len(here.events()) == 50


def test_the_lesser_of_what_lane_and_rows_allow_counts(here: World) -> None:
    """Rows in doubt go in short lists although the lane is fast, and a slow lane's lists are short although no row is."""
    here.put(calendar())
    here.drain()
    learnt(here, 30)
    here.put(*(event(n, minutes=-5 if n == 3 else 95) for n in range(20)), import_no=2)
    here.drain()
    sent = lists(here)
    assert sent[0] == 0
    assert max(sent) <= 10
    assert sum(sent) == 19 == len(here.events())


def test_readers_are_added_in_lists_of_the_size_that_fits_them(here: World) -> None:
    """Permissions have a rhythm of their own."""
    here.enrol([("student", f"S{n:03d}") for n in range(30)])
    here.put(calendar())
    here.drain()
    with here.engine.begin() as tx:
        tx.execute(update(lane_table).where(lane_table.c.lane == LANE).values(member_list=10))
    here.put(members(), *(event(n) for n in range(30)), import_no=2)
    here.drain()
    assert [one["items"] for one in here.log("permissions/batch_create")] == [10, 12, 8]
    assert lists(here) == [30]
    assert len(here.readers()) == 30
