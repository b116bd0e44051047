"""Changes laid over sessions, as values: precedence, days, hours, words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from domain.aggregation import Row, Rules, Session, aggregate
from domain.alterations import CANCELLED, EXCHANGE_DAY, MAKE_UP, MOVED, RESTORED, ROOM_CHANGE, SUBSTITUTE, alteration_of
from domain.plans import SessionView, event_of
from domain.teaching_changes import (
    ABSORBED,
    APPLIED,
    Around,
    Before,
    Change,
    DayRule,
    make_up_id,
    overlay,
    teaching_day,
)
from domain.terms import PeriodRow, PeriodTable, Term
from domain.timetable import local_ms

ZONE = ZoneInfo("Asia/Shanghai")
MONDAY = date(2024, 9, 2)
TERM = Term("2024-2025-1", MONDAY, 20)
AROUND = Around(ZONE, TERM, PeriodTable([]))


def ms(day: date, hour: int, minute: int = 0) -> int:
    return local_ms(day, hour * 3600 + minute * 60, ZONE)


def row(week: int, weekday: int, period: int, day: date, hour: int, *, line: int = 1) -> Row:
    return Row(
        line, week, weekday, period, day.isoformat(), ms(day, hour), ms(day, hour, 45), "东", "一教", "101", "t1", "甲"
    )


def of(*rows: Row) -> list[Session]:
    return aggregate([replace(one, line=n) for n, one in enumerate(rows)], offering_id="o", rules=Rules(ZONE))


FRIDAY_2 = date(2024, 9, 13)
ONE = of(row(2, 5, 3, FRIDAY_2, 10))[0]
BEFORE = Before(ONE.jxz, ONE.zc, ONE.periods, ONE.date, ONE.start_ms, ONE.end_ms, ONE.rooms, ONE.teachers)


def change(kind: str, number: int = 1, **values: object) -> Change:
    made = Change(f"c{number}", kind, ONE.id, (number, ""), before=BEFORE)
    return replace(made, **values)  # type: ignore[arg-type]


def moved(day: date, hour: int = 14, number: int = 1) -> Change:
    return change(MOVED, number, date=day.isoformat(), start_ms=ms(day, hour), end_ms=ms(day, hour, 45))


def rules(*pairs: tuple[date, date | None]) -> Around:
    return replace(AROUND, days={day: DayRule(f"d{day}", day, held) for day, held in pairs})


def test_nothing_decided_is_nothing_changed() -> None:
    assert overlay([ONE], [], AROUND).sessions == [ONE]


def test_a_change_of_a_class_goes_before_the_exchange_of_its_day() -> None:
    """Whoever moved a class away from a holiday knew where to."""
    at = rules((FRIDAY_2, date(2024, 9, 8)))
    assert overlay([ONE], [], at).sessions[0].date == "2024-09-08"
    assert overlay([ONE], [moved(date(2024, 9, 11))], at).sessions[0].date == "2024-09-11"
    off = rules((FRIDAY_2, None))
    assert overlay([ONE], [], off).sessions[0].alteration.types == (CANCELLED, EXCHANGE_DAY)  # type: ignore[union-attr]
    assert not overlay([ONE], [moved(date(2024, 9, 11))], off).sessions[0].alteration.cancelled  # type: ignore[union-attr]
    assert overlay([ONE], [change(RESTORED)], off).sessions == [ONE]


def test_classes_of_an_even_week_are_held_on_a_friday_of_an_odd_one() -> None:
    """Those of the even week alone, and what that Friday has itself stays there: a day is a date, never a weekday."""
    friday_3 = date(2024, 9, 20)
    every = [row(week, 5, 3, date(2024, 9, 6 + 7 * (week - 1)), 10) for week in (1, 2, 3)]
    even = of(*[one for one in every if one.jxz == 2])
    odd = of(*[one for one in every if one.jxz != 2])
    at = rules((FRIDAY_2, friday_3))
    assert [(one.id, one.jxz, one.date) for one in overlay(even, [], at).sessions] == [(even[0].id, 2, "2024-09-20")]
    assert [one.date for one in overlay(odd, [], at).sessions] == ["2024-09-06", "2024-09-20"]
    assert [one.alteration for one in overlay(odd, [], at).sessions] == [None, None]


def test_days_that_are_exchanged_with_each_other_do_not_chain() -> None:
    """A class goes where the classes of its own day go, and no further."""
    sunday = date(2024, 9, 8)
    there = of(row(2, 5, 3, FRIDAY_2, 10), row(1, 7, 3, sunday, 10))
    at = rules((FRIDAY_2, sunday), (sunday, date(2024, 9, 21)))
    assert {one.jxz: one.date for one in overlay(there, [], at).sessions} == {2: "2024-09-08", 1: "2024-09-21"}


def test_what_the_terms_own_exchange_days_have_moved_is_not_moved_again() -> None:
    """The desk and the source mean the same day, whoever said it first."""
    sunday = date(2024, 9, 8)
    term = replace(TERM, made_up={FRIDAY_2: sunday})
    there = of(row(2, 5, 3, sunday, 10), row(1, 7, 5, sunday, 14))
    assert [teaching_day(one, term) for one in there] == [FRIDAY_2, sunday]
    at = replace(rules((FRIDAY_2, sunday), (sunday, date(2024, 9, 21))), term=term)
    laid = overlay(there, [], at).sessions
    assert [(one.jxz, one.date, one.alteration is None) for one in laid] == [
        (2, "2024-09-08", True),
        (1, "2024-09-21", False),
    ]


def test_an_exchanged_class_keeps_to_the_clock_of_the_day_it_is_held_on() -> None:
    """Summer and winter hours change in the middle of a term; a class that never kept to the clock keeps its time."""
    clock = [("", 10 * 3600), ("2024-10-01", 10 * 3600 - 1800)]
    periods = PeriodTable(PeriodRow("", "", since, 3, start, start + 45 * 60) for since, start in clock)
    day, held = date(2024, 10, 4), date(2024, 9, 29)
    (winter,) = of(replace(row(5, 5, 3, day, 10), start_ms=ms(day, 9, 30), end_ms=ms(day, 10, 15)))
    (own,) = of(row(5, 5, 3, day, 19))
    at = replace(rules((day, held)), periods=periods)
    assert overlay([winter], [], at).sessions[0].start_ms == ms(held, 10)
    assert overlay([own], [], at).sessions[0].start_ms == ms(held, 19)


def test_a_class_past_midnight_is_exchanged_as_a_whole() -> None:
    late = replace(ONE, start_ms=ms(FRIDAY_2, 23), end_ms=ms(FRIDAY_2, 24, 30))
    held = date(2024, 9, 8)
    laid = overlay([late], [], rules((FRIDAY_2, held))).sessions[0]
    assert (laid.date, laid.start_ms, laid.end_ms) == ("2024-09-08", ms(held, 23), ms(held, 24, 30))


@pytest.mark.parametrize(
    ("weeks", "left"),
    [((1, 3, 5, 7), {3, 5, 7}), ((2, 4, 6), {2, 4, 6}), (range(9, 17), set(range(9, 17))), ((1,), set())],
    ids=["odd", "even", "9-16", "single"],
)
def test_courses_of_some_weeks_stay_so(weeks: range | tuple[int, ...], left: set[int]) -> None:
    """A change of week one's class touches week one's class."""
    there = of(*[row(week, 1, 3, date.fromordinal(MONDAY.toordinal() + 7 * (week - 1)), 10) for week in weeks])
    first = next((one for one in there if one.jxz == 1), None)
    cancelled = [] if first is None else [change(CANCELLED, session_id=first.id)]
    laid = overlay(there, cancelled, AROUND).sessions
    assert {one.jxz for one in laid if one.alteration is None} == left and len(laid) == len(there)


def test_a_change_that_was_absorbed_takes_the_earlier_ones_of_its_kind_along() -> None:
    """Otherwise an earlier decision would come back when the source has taken over a later one."""
    first, second = moved(date(2024, 9, 11), number=1), moved(date(2024, 9, 12), number=2)
    now = replace(ONE, date="2024-09-12", start_ms=second.start_ms, end_ms=second.end_ms, source_date="2024-09-12")
    found = overlay([now], [first, second], AROUND)
    assert found.sessions == [now] and {one.state for one in found.verdicts.values()} == {ABSORBED}


def test_a_session_that_people_have_changed_takes_nobodys_place() -> None:
    """Another class may well stand where a class was moved to whose row is gone: it is itself, and was changed."""
    other = of(row(2, 3, 7, date(2024, 9, 11), 14))[0]
    its = change(ROOM_CHANGE, 2, session_id=other.id, rooms=(("", "", "9"),), before=None)
    found = overlay([other], [moved(date(2024, 9, 11)), its], AROUND)
    assert [one.id for one in found.sessions] == [other.id] and found.verdicts["c1"].classless


def test_what_people_read_says_what_was_and_what_is() -> None:
    made = Change("m", MAKE_UP, make_up_id("o", "m"), (9, ""), date="2024-09-14", start_ms=ms(date(2024, 9, 14), 8),
                  end_ms=ms(date(2024, 9, 14), 9), teachers=(("t2", "乙"),), reason="补国庆")  # fmt: skip
    changes = [moved(date(2024, 9, 11)), change(ROOM_CHANGE, 2, rooms=(("", "", "线上"),)), made,
               change(SUBSTITUTE, 3, teachers=(("t2", "乙"),), reason="出差")]  # fmt: skip
    both = overlay([ONE], changes, AROUND).sessions
    texts = []
    for one in both:
        assert one.alteration == alteration_of(one.alteration.as_json() if one.alteration else None)
        view = SessionView(one.id, one.date, one.start_ms, one.end_ms, one.rooms, one.teachers, one.alteration)
        body = event_of(view, summary="线性代数")
        texts.append((body.summary, body.location, body.description.splitlines()))
    assert texts == [
        (
            "【调课】线性代数",
            "线上",
            [
                "教师：乙",
                "调课：原 2024-09-13 10:00–10:45 · moved from 2024-09-13 10:00–10:45",
                "换教室：原 一教101 · room was 一教101",
                "代课：乙 代 甲 · substitute: 乙 for 甲",
                "原因 reason：出差",
            ],
        ),
        ("【补课】线性代数", None, ["教师：乙", "补课 · make-up class", "原因 reason：补国庆"]),
    ]


def test_a_change_stands_where_the_source_says_something_third() -> None:
    third = replace(ONE, date="2024-09-10", start_ms=ms(date(2024, 9, 10), 8), end_ms=ms(date(2024, 9, 10), 9))
    found = overlay([third], [moved(date(2024, 9, 11))], AROUND)
    assert found.sessions[0].date == "2024-09-11" and found.verdicts["c1"].state == APPLIED
    assert found.verdicts["c1"].says == "2024-09-10 08:00–09:00"
