"""What a whole walk of a calendar is compared with, and what is done about a difference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.calendars import RESTORED_LINE, EventBody, find_marker, plain_text, with_marker, with_restored_line
from domain.ids import key_of
from domain.settlement import Intent, Mirrored, Verb
from domain.verification import (
    KIND,
    SURPLUS,
    Action,
    SeenCalendar,
    SeenEvent,
    SeenMember,
    What,
    action_for,
    compare,
    doubtful,
)
from usecases.sync.walking import Walk, shown

NAME = "线性代数 ·abcdefg"


def mirrored(target: str, **values: Any) -> Mirrored:
    base: dict[str, Any] = {
        "target": target, "kind": "event", "group_id": "cal:1", "lane": "_", "state": "live", "remote_id": f"r-{target}",
        "marker": f"m-{target}", "name": None, "generation": 0, "sent_hash": "sent", "from_ms": 1, "until_ms": 2,
        "list_max": 100, "import_no": 1, "intent": None, "intent_ids": None, "settle_at": None,
    }  # fmt: skip
    return Mirrored(**{**base, **values})


CALENDAR = mirrored("cal:1", kind="calendar", name=NAME, sent_hash=key_of(NAME), marker=None)
ROW = mirrored("evt:1")
IN_DOUBT = mirrored("evt:1", intent=Intent(Verb.UPDATE, "new", 1, 1_000))


def there(event_id: str = "r-evt:1", **values: Any) -> SeenEvent:
    base: dict[str, Any] = {
        "id": event_id, "marker": "m-evt:1", "hash": "sent", "start_ms": 1, "end_ms": 2, "summary": "x", "location": None,
    }  # fmt: skip
    return SeenEvent(**{**base, **values})


def found(
    *rows: Mirrored,
    events: tuple[SeenEvent, ...] = (),
    members: dict[str, str] | None = None,
    seen_members: tuple[SeenMember, ...] = (),
    name: str = NAME,
) -> list[tuple[What, str, str]]:
    verdict = compare(
        calendar=CALENDAR,
        rows=[CALENDAR, *rows],
        members=members or {},
        seen=SeenCalendar(False, name, events, seen_members),
    )
    return [(one.what, one.target, one.thing) for one in verdict.differences]


@pytest.mark.parametrize(
    ("rows", "events", "differences"),
    [
        pytest.param([ROW], [there()], [], id="as sent"),
        pytest.param([ROW], [], [(What.EVENT_MISSING, "evt:1", "evt:1")], id="deleted"),
        pytest.param([ROW], [there(hash="other")], [(What.EVENT_EDITED, "evt:1", "evt:1")], id="edited"),
        pytest.param([ROW], [there(marker=None)], [(What.EVENT_EDITED, "evt:1", "evt:1")], id="its mark is gone"),
        pytest.param([ROW], [there("r2")], [(What.EVENT_REPLACED, "evt:1", "evt:1")], id="a copy is in its place"),
        pytest.param([ROW], [there(), there("r2")], [(What.EVENT_COPY, "evt:1", "r2")], id="a copy beside it"),
        pytest.param([], [there()], [(What.EVENT_UNKNOWN, "", "r-evt:1")], id="a mark of nothing"),
        pytest.param([ROW], [there(), there("r2", marker=None)], [], id="a stranger's"),
        pytest.param([IN_DOUBT], [], [], id="in doubt and not seen"),
        pytest.param([IN_DOUBT], [there("r2")], [], id="in doubt and a copy seen: settlement answers"),
        pytest.param([mirrored("evt:1", state="none", remote_id=None)], [], [], id="not sent yet"),
        pytest.param(
            [mirrored("evt:1", state="gone", remote_id=None)],
            [there()],
            [(What.EVENT_UNKNOWN, "", "r-evt:1")],
            id="carried out long after it was given up",
        ),
        pytest.param(
            [ROW, mirrored("sur:1", remote_id="r2", marker=None)],
            [there(), there("r2")],
            [(What.EVENT_COPY, "evt:1", "r2")],
            id="a copy whose deletion failed",
        ),
        pytest.param(
            [ROW, mirrored("sur:1", remote_id="r2", marker=None, intent=Intent(Verb.DELETE, "", 1, 1))],
            [there(), there("r2")],
            [],
            id="a copy whose deletion is in doubt",
        ),
    ],
)
def test_events_are_known_by_id_then_by_mark(
    rows: list[Mirrored], events: list[SeenEvent], differences: list[tuple[What, str, str]]
) -> None:
    """Each of these is somebody's morning: it must be called by its right name, because the name decides what is done."""
    assert found(*rows, events=tuple(events)) == differences


def test_people_are_compared_one_by_one() -> None:
    """A roll that is wrong by one person says which."""
    seen = (SeenMember("u2", "writer", "p2"), SeenMember("u3", "reader", "p3"), SeenMember("u4", "reader", "p4"))
    assert found(members={"u1": "reader", "u2": "reader", "u3": "reader"}, seen_members=seen) == [
        (What.MEMBER_MISSING, "mem:1", "u1"),
        (What.MEMBER_ROLE, "mem:1", "u2"),
        (What.MEMBER_EXTRA, "mem:1", "u4"),
    ]


def test_people_in_doubt_are_left_to_settlement() -> None:
    """Reading the list twice for two reasons would end with two answers."""
    row = mirrored("mem:1", kind="members", intent=Intent(Verb.CREATE, "x", 1, 1))
    assert found(row, members={"u1": "reader"}) == []


def test_another_name_is_found() -> None:
    """People look for a course by it."""
    assert found(name="我的课") == [(What.CALENDAR_RENAMED, "cal:1", "cal:1")]


def test_of_a_calendar_that_is_gone_nothing_else_is_said() -> None:
    """A hundred missing events would hide the one cause."""
    verdict = compare(calendar=CALENDAR, rows=[CALENDAR, ROW], members={"u": "reader"}, seen=SeenCalendar(True))
    assert [one.what for one in verdict.differences] == [What.CALENDAR_GONE]


def test_what_is_not_as_sent_is_looked_at_by_itself() -> None:
    """A list that lags, or an event moved to next year, is no deletion."""
    rows = [mirrored("evt:1"), mirrored("evt:2"), mirrored("evt:3"), IN_DOUBT]
    seen = {one.id: one for one in (there(), there("r-evt:2", marker="m-evt:2", hash="other"))}
    assert doubtful(rows, seen) == ["r-evt:2", "r-evt:3"]


def test_another_calendar_of_the_same_name_is_a_copy_unless_ours_is_in_doubt() -> None:
    """Which of the two is ours is known only when the call that made it has been answered."""
    seen, ids = SeenCalendar(False, NAME), [str(CALENDAR.remote_id), "r-2"]
    verdict = compare(calendar=CALENDAR, rows=[CALENDAR], members={}, seen=seen, namesakes=ids)
    assert [(one.what, one.thing, one.remote_id) for one in verdict.differences] == [(What.CALENDAR_COPY, "r-2", "r-2")]
    gone = compare(calendar=CALENDAR, rows=[CALENDAR], members={}, seen=SeenCalendar(True), namesakes=["r-2"])
    assert [one.what for one in gone.differences] == [What.CALENDAR_GONE, What.CALENDAR_COPY]
    doubt = replace(CALENDAR, intent=Intent(Verb.UPDATE, "new", 1, 1_000))
    assert compare(calendar=doubt, rows=[doubt], members={}, seen=seen, namesakes=ids).differences == ()


@pytest.mark.parametrize("what", list(What))
def test_nothing_is_healed_that_was_seen_once(what: What) -> None:
    """Lists lag; a second look costs a few calls, a wrong deletion costs trust."""
    assert action_for(what, "evt:1", looks=1, changing=()) is Action.LOOK_AGAIN
    assert action_for(what, "evt:1", looks=2, changing=()) not in (Action.LOOK_AGAIN, Action.TICKET)


@pytest.mark.parametrize("what", list(What))
def test_where_both_sides_changed_a_person_decides_unless_it_is_simple(what: What) -> None:
    """Copies and people are what the roll and the timetable say, whatever they say."""
    simple = what in SURPLUS or KIND[what] == "member"
    assert (action_for(what, "evt:1", looks=2, changing={"evt:1"}) is Action.TICKET) is not simple


def test_the_line_of_a_restored_event_is_no_part_of_its_content() -> None:
    """Otherwise the next plan would take it away again, and the next verification report it."""
    plain = EventBody("代数", with_marker("教师：甲", "a" * 20), 1, 2, None)
    told = EventBody("代数", with_marker(with_restored_line("教师：甲"), "a" * 20), 1, 2, None)
    assert told.description.split("\n")[:2] == ["教师：甲", RESTORED_LINE]
    assert told.content_hash() == plain.content_hash()
    assert find_marker(told.description) == "a" * 20
    assert plain_text(told.description) == "教师：甲"
    assert plain_text(with_restored_line("")) == ""


def test_half_a_character_in_a_strangers_event_stops_nobody() -> None:
    """What no database can store would end the lane's turn again and again."""
    assert shown("课\ud800" + "x" * 500) == "课?" + "x" * 198


def test_an_interrupted_walk_goes_on_from_what_was_stored() -> None:
    """What it has seen travels as text between two workers."""
    walk = Walk("f", 1, 2, "members", "next", False, NAME, {"r1": ["m", "h", 1, 2, "课", None]}, {"u": ["reader", "p"]})
    again = Walk.load(walk.dump())
    assert again == walk
    assert again.seen().members == (SeenMember("u", "reader", "p"),)
