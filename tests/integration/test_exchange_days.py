"""The exchange-day desk: a holiday's classes on another day, shown beforehand, done and undone as one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.integration.campus_rig import MONDAY, TERM, rewrite
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Rows, Runs, runs_of
from usecases import archive as archives
from usecases import classes as class_cases
from usecases import exchange_days as cases
from usecases import teaching_changes
from usecases import terms as term_cases
from usecases.change_checks import ChangeRefused, InTheWay, Said, Time
from usecases.sync import dry_runs

pytestmark = pytest.mark.integration
lite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ZONE = ZoneInfo("Asia/Shanghai")
SUNDAY_MS = int(datetime(2024, 9, 1, tzinfo=ZONE).timestamp()) * 1000
ADA = Said("cli:ada", reason="国庆节", now_ms=SUNDAY_MS)
TERMS = [{"xnxq": TERM, "first_monday": "2024-09-02", "weeks": "20", "status": "open", "exchange": ""}]
FRIDAY_4, FRIDAY_5, SUNDAY_4 = "2024-09-27", "2024-10-04", "2024-09-29"


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    with runs_of(here, tmp_path) as made:
        yield made


def fridays(name: str, *weeks: int, dated: bool = True, **more: str) -> Rows:
    """A course of one class a week, on Fridays."""
    found = []
    for week in weeks:
        day = (date(2024, 9, 6) + timedelta(weeks=week - 1)).isoformat() if dated else ""
        said = {"kkh": name, "kcbh": name, "kcmc": f"课{name}", "jxz": str(week), "zc": "5", "rq": day}
        found.append({**MONDAY, **said, "ghs": f"t{name}", "xms": f"师{name}", "room": f"{name}1", **more})
    return found


def dates(main: Runs, name: str) -> list[tuple[int, str, bool, list[str]]]:
    """(week, date, whether it is cancelled, what was changed) of a course's classes."""
    found = class_cases.find(main.deps, course=name, limit=200)["items"]
    return [(one["week"], one["date"], one["cancelled"], one["changed"]) for one in found]


def titles(main: Runs, name: str) -> list[tuple[str, str]]:
    """(title, date) of what people see of a course."""
    (calendar,) = [one for one in main.here.calendars() if one["summary"].startswith(f"课{name}")]
    events = [one for one in calendar["events"] if one["status"] == "normal"]
    return sorted((one["summary"], one["start_time"]["datetime"][:10]) for one in events)


def carry_out(main: Runs, found: dict[str, Any]) -> None:
    main.go_on(found["run"])


def test_classes_of_an_even_week_are_held_on_a_friday_of_an_odd_week(main: Runs) -> None:
    """Those of that week go, with their ids; what the odd Friday has itself stays where it is, and nothing else moves."""
    odd = fridays("单", 1, 3, 5, st="08:00", ed="08:45")
    every = fridays("全", *range(1, 7), st="16:00", ed="16:45")
    folder = main.source(fridays("双", 2, 4, 6), odd, every, terms=TERMS)
    main.sync(folder)
    ids = {one["id"] for one in class_cases.find(main.deps, limit=100)["items"]}
    shown = cases.preview(main.deps, TERM, [f"{FRIDAY_5}={FRIDAY_4}"], now_ms=SUNDAY_MS)
    (day,) = shown["items"]
    assert (day["teaching_day_is"], day["held_on_is"]) == ("第4周（双周）周五", "第5周（单周）周五")
    assert (day["sessions"], shown["people"]["teachers"]) == (2, 2)
    # Course 全 is held there itself: its teacher, its room.
    assert {one["kind"] for one in shown["conflicts"]} == {"teacher", "room"} and shown["conflicts_total"] == 2
    with pytest.raises(InTheWay, match="师全"):
        cases.apply(main.deps, TERM, [f"{FRIDAY_5}=W4-5"], [], ADA)
    found = cases.apply(main.deps, TERM, [f"{FRIDAY_5}=W4-5"], [], Said("cli:ada", confirm=True, now_ms=SUNDAY_MS))
    carry_out(main, found)
    assert dates(main, "双") == [
        (2, "2024-09-13", False, []), (4, FRIDAY_5, False, ["exchange_day"]), (6, "2024-10-11", False, [])
    ]  # fmt: skip
    assert [one[:2] for one in dates(main, "单")] == [(1, "2024-09-06"), (3, "2024-09-20"), (5, FRIDAY_5)]
    assert ("【调休】课双", FRIDAY_5) in titles(main, "双")
    assert {one["id"] for one in class_cases.find(main.deps, limit=100)["items"]} == ids
    assert dry_runs.of_source(main.deps, str(folder), limit=5).rows == []
    carry_out(main, cases.undo(main.deps, found["batch"], ADA))
    assert dates(main, "双")[1] == (4, FRIDAY_4, False, []) and ("课双", FRIDAY_4) in titles(main, "双")
    with pytest.raises(ChangeRefused, match="taken back already"):
        cases.undo(main.deps, found["batch"], ADA)


@lite
def test_a_holiday_is_one_batch_of_days_on_and_off(main: Runs) -> None:
    """Friday's classes on the Sunday before, Thursday's not at all; what a person has moved already stays."""
    thursdays = fridays("四", 5, zc="4", rq="2024-10-03")
    folder = main.source(fridays("五", 4, 5), fridays("六", 5), thursdays, terms=TERMS)
    main.sync(folder)
    (own,) = class_cases.find(main.deps, course="六")["items"]
    carry_out(main, teaching_changes.move(main.deps, own["id"], Time(date(2024, 10, 9)), ADA))
    shown = cases.preview(main.deps, TERM, [f"{SUNDAY_4}={FRIDAY_5}"], ["2024-10-03"], now_ms=SUNDAY_MS)
    assert [(one["held_on"], one["sessions"], one["staying"]) for one in shown["items"]] == [
        (SUNDAY_4, 1, 1),
        (None, 1, 0),
    ]
    assert shown["conflicts"] == []
    found = cases.apply(main.deps, TERM, [f"{SUNDAY_4}={FRIDAY_5}"], ["2024-10-03"], ADA)
    carry_out(main, found)
    assert titles(main, "五") == [("【调休】课五", SUNDAY_4), ("课五", FRIDAY_4)]
    assert titles(main, "四") == [("【停课】课四", "2024-10-03")] and titles(main, "六") == [
        ("【调课】课六", "2024-10-09")
    ]
    # A class that an import brings to that day goes with it.
    rewrite(folder, "meetings", lambda rows: [*rows, *fridays("新", 5)])
    main.sync(folder, kind="incremental")
    assert titles(main, "新") == [("【调休】课新", SUNDAY_4)]
    listed = cases.listing(main.deps)["items"]
    assert [(one["teaching_day"], one["by"], one["state"]) for one in listed] == [
        (FRIDAY_5, "desk", "applied"), ("2024-10-03", "desk", "applied")
    ]  # fmt: skip
    with pytest.raises(ChangeRefused, match="obsync days undo"):
        cases.apply(main.deps, TERM, [f"2024-10-12={FRIDAY_5}"], [], ADA)
    carry_out(main, cases.undo(main.deps, found["batch"], ADA))
    assert titles(main, "四") == [("课四", "2024-10-03")] and titles(main, "新") == [("课新", FRIDAY_5)]
    assert titles(main, "六") == [("【调课】课六", "2024-10-09")]
    assert dry_runs.of_source(main.deps, str(folder), limit=5).rows == []


@lite
def test_the_desk_and_the_source_may_say_the_same_day(main: Runs) -> None:
    """Rows without a date follow the term's own exchange days; the desk does not move them once more."""
    folder = main.source(fridays("A", 4, 5, dated=False), terms=TERMS)
    main.sync(folder)
    carry_out(main, cases.apply(main.deps, TERM, [f"{SUNDAY_4}={FRIDAY_5}"], [], ADA))
    assert titles(main, "A") == [("【调休】课A", SUNDAY_4), ("课A", FRIDAY_4)]
    rewrite(folder, "terms", lambda rows: [one | {"exchange": f"{SUNDAY_4}={FRIDAY_5}"} for one in rows])
    main.sync(folder)
    assert titles(main, "A") == [("课A", FRIDAY_4), ("课A", SUNDAY_4)]
    assert [one["by"] for one in cases.listing(main.deps)["items"]] == ["desk", "source"]
    assert dry_runs.of_source(main.deps, str(folder), limit=5).rows == []


@lite
def test_students_who_have_a_class_there_are_counted(main: Runs) -> None:
    of = [{"xh": xh, "kkh": kkh, "xnxq": TERM} for xh in ("s1", "s2") for kkh in "AB"][:3]
    people = [{"xh": xh, "xm": xh} for xh in ("s1", "s2")]
    there = fridays("B", 4, zc="7", rq=SUNDAY_4)
    main.sync(main.source(fridays("A", 5), there, terms=TERMS, students=people, enrolments=of))
    shown = cases.preview(main.deps, TERM, [f"{SUNDAY_4}={FRIDAY_5}"], now_ms=SUNDAY_MS)
    assert [(one["kind"], one["what"]) for one in shown["conflicts"]] == [("student", "1")]
    assert shown["people"] == {"students": 2, "teachers": 1}


@lite
@pytest.mark.parametrize(
    ("pairs", "off", "why"),
    [
        ([], [], "no day is named"),
        (["2024-10-04"], [], "no pair"),
        ([f"{FRIDAY_5}={FRIDAY_5}"], [], "on itself"),
        ([f"{SUNDAY_4}={FRIDAY_5}"], [FRIDAY_5], "named twice"),
        ([f"{SUNDAY_4}=2024-10-05"], [], "没有课"),
        (["2024-08-30=2024-10-04"], [], "已经过去"),
        ([f"{SUNDAY_4}=W5"], [], "no teaching day"),
    ],
)
def test_days_that_mean_nothing_are_refused(main: Runs, pairs: list[str], off: list[str], why: str) -> None:
    main.sync(main.source(fridays("A", 5), terms=TERMS), kind="import")
    with pytest.raises(ChangeRefused, match=why):
        cases.apply(main.deps, TERM, pairs, off, ADA)
    assert cases.listing(main.deps)["items"] == []


@lite
def test_an_archived_term_keeps_what_was_decided(main: Runs) -> None:
    """Years later somebody asks why the class was on a Sunday."""
    main.sync(main.source(fridays("A", 4, 5), terms=TERMS))
    found = cases.apply(main.deps, TERM, [f"{SUNDAY_4}={FRIDAY_5}"], [], ADA)
    carry_out(main, found)
    term_cases.change(main.deps, TERM, status="frozen")
    with pytest.raises(term_cases.TermRefused):
        cases.undo(main.deps, found["batch"], ADA)
    main.go_on(archives.begin(main.deps, TERM)[0])
    assert dates(main, "A")[1] == (5, SUNDAY_4, False, ["exchange_day"])
    assert cases.listing(main.deps)["items"][0]["state"] == "applied"


@lite
def test_the_first_class_of_the_day_follows_what_is_held(main: Runs) -> None:
    """Of a person, over all of their courses; a cancelled class is nobody's first."""
    early = fridays("A", 1, st="08:00", ed="08:45", ghs="t1", xms="甲")
    late = fridays("B", 1, ghs="t1", xms="甲")
    main.sync(main.source(early, late, teachers=[{"gh": "t1", "xm": "甲"}]))

    def first() -> list[str]:
        found = class_cases.find(main.deps, teacher="t1", day="2024-09-06")["items"]
        return [one["course"] for one in found if one["first_of_day"]]

    assert first() == ["课A"]
    (one,) = class_cases.find(main.deps, course="课A", room="一教A1")["items"]
    carry_out(main, teaching_changes.cancel(main.deps, one["id"], ADA))
    assert first() == ["课B"]
