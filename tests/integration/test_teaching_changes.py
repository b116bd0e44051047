"""Typed teaching changes as people see them: import, decide, drain, and a look at what WPS holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import audit, jobs, quarantine, runs, sessions, teaching_changes
from domain.tiers import HURRIED
from tests.integration.campus_rig import TERM, rewrite
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Rows, Runs, course, runs_of
from usecases import classes as class_cases
from usecases import teaching_changes as cases
from usecases import terms as term_cases
from usecases.change_checks import ChangeRefused, InTheWay, Said, Time, UnknownClass
from usecases.sync import dry_runs
from usecases.sync import runs as run_cases
from usecases.sync.undoing import Refused

pytestmark = pytest.mark.integration

ZONE = ZoneInfo("Asia/Shanghai")
SUNDAY_MS = int(datetime(2024, 9, 1, tzinfo=ZONE).timestamp()) * 1000
ADA = Said("cli:ada", reason="教师出差", now_ms=SUNDAY_MS)
STAFF = [{"gh": code, "xm": name, "ssdwmc": "数学学院"} for code, name in (("t1", "甲"), ("t2", "乙"), ("t3", "丙"))]


lite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Where no statement is met that another test has not shown both databases."""


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    here.simulator.desk("people", {"people": [{"ex_user_id": one["gh"], "user_name": one["xm"]} for one in STAFF]})
    with runs_of(here, tmp_path) as made:
        yield made


def taught(name: str, *weeks: int, teacher: str = "t1", **more: Any) -> Rows:
    """A course of one teacher, on Mondays from ten on."""
    names = {one["gh"]: one["xm"] for one in STAFF}
    return [one | {"ghs": teacher, "xms": names[teacher], **more} for one in course(name, weeks=weeks or (1, 2))]


@pytest.fixture
def source(main: Runs) -> Path:
    """Course A in weeks one and two, taught by t1; synced."""
    folder = main.source(taught("A"), teachers=STAFF)
    main.sync(folder)
    return folder


def classes(main: Runs, week: int | None = None) -> list[Any]:
    with reading(main.engine) as tx:
        where = () if week is None else (sessions.c.jxz == week,)
        return list(tx.execute(select(sessions).where(*where).order_by(sessions.c.start_ms, sessions.c.id)))


def a_class(main: Runs, week: int = 1) -> str:
    return str(classes(main, week)[0].id)


def carry_out(main: Runs, found: dict[str, Any]) -> dict[str, Any]:
    """The run of a decision, to its end."""
    run = main.go_on(found["run"])
    assert not main.lane_jobs("queued")
    return run


def events(main: Runs) -> dict[str, list[dict[str, Any]]]:
    """Calendar → its events that are there, by start."""
    return {
        one["summary"].partition(" ·")[0]: sorted(
            (event for event in one["events"] if event["status"] == "normal"),
            key=lambda event: (event["start_time"]["datetime"], event["summary"]),
        )
        for one in main.here.calendars()
    }


def shown(main: Runs, name: str = "课A") -> list[tuple[str, str, str]]:
    """(title, start, place) of the events of a course."""
    return [
        (one["summary"], one["start_time"]["datetime"][:16], (one["locations"] or [{"name": ""}])[0]["name"])
        for one in events(main)[name]
    ]


def said(main: Runs, place: int = 0, name: str = "课A") -> list[str]:
    """The lines of an event's description, without the marker."""
    return [line for line in events(main)[name][place]["description"].splitlines() if "⟦" not in line]


def nothing_to_do(main: Runs, source: Path) -> None:
    """Neither of what is known, nor of the source read anew."""
    assert dry_runs.of_timetable(main.deps, limit=5).rows == []
    assert dry_runs.of_source(main.deps, str(source), limit=5).rows == []


def test_a_moved_class_is_the_same_event_elsewhere(main: Runs, source: Path) -> None:
    """Whoever has a note on it, or a reminder, keeps it; the other class does not hear of it."""
    ids = {one["id"] for one in events(main)["课A"]}
    found = cases.move(main.deps, a_class(main), Time(date(2024, 9, 4), 14 * 3600), ADA, room="202")
    run = carry_out(main, found)
    assert (run["kind"], run["priority"], run["counts"]["event"]["done"]) == ("change", "urgent", 1)
    assert shown(main) == [("【调课】课A", "2024-09-04T14:00", "202"), ("课A", "2024-09-09T10:00", "一教101")]
    assert {one["id"] for one in events(main)["课A"]} == ids
    assert said(main)[1] == "调课：原 2024-09-02 10:00–10:45 · moved from 2024-09-02 10:00–10:45"
    assert "原因 reason：教师出差" in said(main)
    nothing_to_do(main, source)


@lite
def test_a_cancelled_class_stays_and_says_so_until_it_is_restored(main: Runs, source: Path) -> None:
    """An event that vanished would leave people in front of a locked door."""
    session = a_class(main)
    before = shown(main)
    carry_out(main, cases.cancel(main.deps, session, ADA))
    assert shown(main)[0][0] == "【停课】课A" and len(shown(main)) == 2
    assert "停课 · cancelled" in said(main)
    assert [one.cancelled for one in classes(main)] == [True, False]
    with pytest.raises(ChangeRefused, match="已停课"):
        cases.move(main.deps, session, Time(date(2024, 9, 5)), ADA)
    nothing_to_do(main, source)
    carry_out(main, cases.restore(main.deps, session, ADA))
    assert shown(main) == before and said(main) == ["教师：甲"]
    with pytest.raises(ChangeRefused, match="没有停课"):
        cases.restore(main.deps, session, ADA)
    nothing_to_do(main, source)


@lite
def test_a_make_up_class_has_an_event_of_its_own_and_goes_with_its_change(main: Runs, source: Path) -> None:
    at = Time(date(2024, 9, 7), 9 * 3600, 10 * 3600)
    found = cases.make_up(main.deps, TERM, ("A", None), at, ADA, room="线上", teachers=["乙"])
    carry_out(main, found)
    assert shown(main)[1] == ("【补课】课A", "2024-09-07T09:00", "线上")
    assert said(main, 1)[:2] == ["教师：乙", "补课 · make-up class"]
    (made,) = found["items"]
    carry_out(main, cases.cancel(main.deps, made["session"], ADA))
    assert shown(main)[1][0] == "【停课】课A"
    with pytest.raises(ChangeRefused, match="was changed itself"):
        cases.withdraw(main.deps, made["id"], ADA)
    (cancelled,) = cases.listing(main.deps, kinds=["cancelled"])["items"]
    carry_out(main, cases.withdraw(main.deps, cancelled["id"], ADA))
    carry_out(main, cases.withdraw(main.deps, found["batch"], ADA))
    assert [one[0] for one in shown(main)] == ["课A", "课A"]
    nothing_to_do(main, source)


def test_a_substitute_teaches_writes_and_keeps_the_teacher_named(main: Runs, source: Path) -> None:
    """Who should have taught and who did are both known, and both may write to the calendar."""
    session = a_class(main)
    found = cases.substitute(main.deps, session, ["t2"], ADA)
    carry_out(main, found)
    assert shown(main)[0][0] == "【代课】课A"
    assert said(main)[:2] == ["教师：乙", "代课：乙 代 甲 · substitute: 乙 for 甲"]
    (calendar,) = main.here.calendars()
    roles = {one["ex_user_id"]: one["role"] for one in calendar["permissions"] if one["ex_user_id"]}
    assert roles == {"t1": "writer", "t2": "writer"}
    now = classes(main, 1)[0]
    assert json.loads(now.teachers) == ["乙"] and json.loads(now.altered)["original"]["teachers"] == ["甲"]
    assert found["items"][0]["before"]["teachers"] == ["甲"] and found["items"][0]["teachers"] == [["t2", "乙"]]
    nothing_to_do(main, source)
    carry_out(main, cases.withdraw(main.deps, found["batch"], ADA))
    (calendar,) = main.here.calendars()
    assert {one["ex_user_id"] for one in calendar["permissions"] if one["ex_user_id"]} == {"t1"}
    assert said(main) == ["教师：甲"]


@lite
def test_another_room_is_shown_with_the_one_before(main: Runs, source: Path) -> None:
    carry_out(main, cases.room(main.deps, a_class(main), "二教505", ADA))
    assert shown(main)[0] == ("【换教室】课A", "2024-09-02T10:00", "二教505")
    assert said(main)[:2] == ["教师：甲", "换教室：原 一教101 · room was 一教101"]
    with pytest.raises(ChangeRefused, match="课次已是如此"):
        cases.room(main.deps, a_class(main), "二教505", ADA)
    nothing_to_do(main, source)


@lite
def test_withdrawing_brings_back_what_was_before_in_whatever_order(main: Runs, source: Path) -> None:
    session = a_class(main)
    first = cases.move(main.deps, session, Time(date(2024, 9, 3)), ADA)
    second = cases.move(main.deps, session, Time(date(2024, 9, 5)), ADA)
    carry_out(main, first)
    carry_out(main, second)
    assert shown(main)[0][1] == "2024-09-05T10:00"
    carry_out(main, cases.withdraw(main.deps, first["batch"], ADA))
    assert shown(main)[0][1] == "2024-09-05T10:00"
    carry_out(main, cases.withdraw(main.deps, second["batch"], ADA))
    assert shown(main)[0] == ("课A", "2024-09-02T10:00", "一教101")
    with pytest.raises(ChangeRefused, match="withdrawn already"):
        cases.withdraw(main.deps, second["batch"], ADA)
    nothing_to_do(main, source)


# --- the source afterwards ----------------------------------------------------------------------------------------------


def say_otherwise(source: Path, week: str, **changes: str) -> None:
    """The source changes what it says of a week's class."""
    rewrite(source, "meetings", lambda rows: [one | (changes if one["jxz"] == week else {}) for one in rows])


def states(main: Runs) -> dict[str, str]:
    return {one["type"]: one["state"] for one in cases.listing(main.deps)["items"]}


def open_findings(main: Runs) -> list[str]:
    with reading(main.engine) as tx:
        where = (quarantine.c.cleared_ms.is_(None), quarantine.c.reason.like("change%"))
        return list(tx.execute(select(quarantine.c.reason).where(*where)).scalars())


@lite
@pytest.mark.parametrize("kind", ["full", "incremental"])
@pytest.mark.parametrize("key", [{}, {"zc": "3", "jc": "7"}], ids=["same period", "another period"])
def test_a_source_that_catches_up_takes_the_change_over(
    main: Runs, source: Path, key: dict[str, str], kind: str
) -> None:
    """The event stays the same one, also where the source knows the class under another week, weekday or period by now."""
    carry_out(main, cases.move(main.deps, a_class(main), Time(date(2024, 9, 4), 14 * 3600), ADA))
    ids = {one["id"] for one in events(main)["课A"]}
    say_otherwise(source, "1", rq="2024-09-04", st="14:00", ed="14:45", **key)
    main.sync(source, kind=kind)
    assert states(main) == {"moved": "absorbed"} and open_findings(main) == []
    assert shown(main)[0] == ("课A", "2024-09-04T14:00", "一教101")
    assert {one["id"] for one in events(main)["课A"]} == ids
    # From here on the source alone counts.
    say_otherwise(source, "1", rq="2024-09-06")
    main.sync(source, kind=kind)
    assert shown(main)[0][1] == "2024-09-06T14:00" and {one["id"] for one in events(main)["课A"]} == ids
    nothing_to_do(main, source)


@lite
def test_a_source_that_says_something_else_is_told_about_and_does_not_win(main: Runs, source: Path) -> None:
    """Somebody decided, and people know of it; a person says which of both it is."""
    found = cases.move(main.deps, a_class(main), Time(date(2024, 9, 4), 14 * 3600), ADA)
    carry_out(main, found)
    say_otherwise(source, "1", rq="2024-09-05")
    main.sync(source)
    assert shown(main)[0][1] == "2024-09-04T14:00" and open_findings(main) == ["change_contradicted"]
    carry_out(main, cases.withdraw(main.deps, found["batch"], ADA))
    assert shown(main)[0] == ("课A", "2024-09-05T10:00", "一教101")
    main.sync(source)
    assert open_findings(main) == []


@lite
def test_a_change_that_says_nothing_of_rooms_lets_the_source_change_them(main: Runs, source: Path) -> None:
    carry_out(main, cases.move(main.deps, a_class(main), Time(date(2024, 9, 4), 14 * 3600), ADA))
    say_otherwise(source, "1", room="309")
    main.sync(source, kind="incremental")
    assert shown(main)[0] == ("【调课】课A", "2024-09-04T14:00", "一教309") and open_findings(main) == []


@lite
def test_a_cancelled_class_that_the_source_drops_stays_cancelled(main: Runs, source: Path) -> None:
    """Neither does it vanish from a phone, nor does a source that loses a row for a day restore it."""
    main.sync(main.source(taught("A", *range(1, 11)), teachers=STAFF))
    carry_out(main, cases.cancel(main.deps, a_class(main), ADA))
    rows: Rows = []
    rewrite(source, "meetings", lambda there: rows.extend(there) or [one for one in there if one["jxz"] != "1"])
    main.sync(source)
    assert shown(main)[0] == ("【停课】课A", "2024-09-02T10:00", "一教101") and states(main) == {
        "cancelled": "absorbed"
    }
    nothing_to_do(main, source)
    rewrite(source, "meetings", lambda _: rows)
    main.sync(source)
    assert shown(main)[0][0] == "【停课】课A" and states(main) == {"cancelled": "applied"}


def test_a_make_up_that_the_source_takes_in_is_not_there_twice(main: Runs, source: Path) -> None:
    found = cases.make_up(main.deps, TERM, ("A", "A"), Time(date(2024, 9, 7), 9 * 3600, 10 * 3600), ADA)
    carry_out(main, found)
    ids = {one["id"] for one in events(main)["课A"]}
    extra = {"zc": "6", "jc": "1", "rq": "2024-09-07", "st": "09:00", "ed": "10:00"}
    rewrite(source, "meetings", lambda rows: [*rows, rows[0] | extra])
    main.sync(source)
    assert shown(main)[1] == ("课A", "2024-09-07T09:00", "一教101") and states(main) == {"make_up": "absorbed"}
    assert {one["id"] for one in events(main)["课A"]} == ids


@lite
def test_a_change_whose_class_is_gone_waits_and_is_told_about(main: Runs, source: Path) -> None:
    main.sync(main.source(taught("A", *range(1, 11)), teachers=STAFF))
    carry_out(main, cases.room(main.deps, a_class(main), "二教505", ADA))
    rewrite(source, "meetings", lambda rows: [one for one in rows if one["jxz"] != "1"])
    main.sync(source)
    assert len(shown(main)) == 9 and open_findings(main) == ["change_without_class"]


# --- refusals -----------------------------------------------------------------------------------------------------------


def test_what_is_in_the_way_is_said_before_anything_is_written(main: Runs) -> None:
    """A teacher, a room and students in two places: shown, refused, and done only for who has seen it."""
    of = [{"xh": "s1", "kkh": kkh, "xnxq": TERM} for kkh in "AB"]
    there = taught("B", 1, room="202", rq="2024-09-04", zc="3")
    main.sync(main.source(taught("A"), there, teachers=STAFF, students=[{"xh": "s1", "xm": "学"}], enrolments=of))
    session = a_class(main)
    to = Time(date(2024, 9, 4), 10 * 3600)
    with reading(main.engine) as tx:
        session = tx.execute(select(sessions.c.id).where(sessions.c.date == "2024-09-02")).scalar_one()
    with pytest.raises(InTheWay, match="教师 甲") as seen:
        cases.move(main.deps, session, to, ADA, room="一教202")
    assert {one["kind"] for one in seen.value.conflicts} == {"room", "teacher", "student"}
    assert cases.listing(main.deps)["items"] == [] and len(shown(main)) == 2
    confirmed = Said("cli:ada", confirm=True, now_ms=SUNDAY_MS)
    found = cases.move(main.deps, session, to, confirmed, room="一教202")
    assert len(found["conflicts"]) == 3
    with reading(main.engine) as tx:
        row = tx.execute(select(audit).where(audit.c.action == "changes.moved")).one()
    assert row.actor == "cli:ada" and len(json.loads(row.after)["confirmed"]) == 3


@lite
def test_what_cannot_be_decided_is_refused_and_writes_nothing(main: Runs, source: Path) -> None:
    """Each with what is wrong and what to do."""
    session, later = a_class(main), Said("cli:ada", now_ms=SUNDAY_MS + 7 * 86_400_000)
    with pytest.raises(UnknownClass, match="no class has the id"):
        cases.cancel(main.deps, "nothing", ADA)
    with pytest.raises(ChangeRefused, match="已经结束"):
        cases.cancel(main.deps, session, later)
    with pytest.raises(ChangeRefused, match="已经过去"):
        cases.move(main.deps, a_class(main, 2), Time(date(2024, 9, 3)), later)
    with pytest.raises(ChangeRefused, match="not after the start"):
        cases.move(main.deps, session, Time(None, 14 * 3600, 13 * 3600), ADA)
    with pytest.raises(ChangeRefused, match="没有教师"):
        cases.substitute(main.deps, session, ["t9"], ADA)
    with pytest.raises(UnknownClass, match="has no course"):
        cases.make_up(main.deps, TERM, ("Z", None), Time(date(2024, 9, 7), 0, 3600), ADA)
    term_cases.change(main.deps, TERM, status="frozen")
    with pytest.raises(term_cases.TermRefused, match="frozen"):
        cases.cancel(main.deps, session, ADA)
    with reading(main.engine) as tx:
        assert tx.execute(select(teaching_changes.c.id)).first() is None
        assert set(tx.execute(select(runs.c.kind)).scalars()) == {"full"}


# --- beside everything else ---------------------------------------------------------------------------------------------


@lite
def test_a_change_overtakes_a_term_that_is_being_sent(main: Runs) -> None:
    """It waits for no run and no queue: what is ahead of it in the lane is a call or two, and what the run still puts for that
    class is older."""
    folder = main.source(*[course(f"Q{n}", weeks=range(1, 21)) for n in range(12)], taught("A"), teachers=STAFF)
    run_id = main.begin(folder)
    while main.lane_jobs("queued") < 200:
        main.advance(run_id)
        main.drain(until=lambda: main.lane_jobs("queued") >= 200 or not main.lane_jobs("queued"))
    session = class_cases.find(main.deps, course="A")["items"][0]["id"]
    found = cases.move(main.deps, session, Time(date(2024, 9, 4), 14 * 3600), ADA)
    main.advance(found["run"])
    with reading(main.engine) as tx:
        mine = tx.execute(select(jobs.c.tier).where(jobs.c.run_id == found["run"], jobs.c.lane.is_not(None)))
        assert set(mine.scalars()) == {HURRIED}
    before = len(main.here.log("/events"))
    main.drain(until=lambda: len(main.here.log("/events")) > before)
    assert ("【调课】课A", "2024-09-04T14:00", "一教101") in shown(main)
    assert main.look(run_id)["state"] == "running"
    assert main.go_on(found["run"])["state"] == "succeeded"
    main.go_on(run_id)
    assert shown(main)[0] == ("【调课】课A", "2024-09-04T14:00", "一教101")


@lite
def test_a_change_deletes_nothing_that_a_run_has_asked_about(main: Runs) -> None:
    """An import that lost half a course waits for a person; a class that moves meanwhile does not answer for them."""
    folder = main.source(course("A", weeks=range(1, 31)), course("B", weeks=range(1, 31)))
    main.sync(folder)
    rewrite(folder, "meetings", lambda rows: [one for one in rows if one["kkh"] == "B" or int(one["jxz"]) < 8])
    main.confirm(main.sync(folder, ends="needs_confirmation")["id"], ends="needs_confirmation")
    assert main.live() == 60 and main.sessions() == 37
    with reading(main.engine) as tx:
        session = tx.execute(select(sessions.c.id).where(sessions.c.jxz == 1).order_by(sessions.c.id)).scalars().first()
    carry_out(main, cases.move(main.deps, str(session), Time(date(2024, 9, 4)), ADA))
    assert main.live() == 60


def test_an_import_that_waits_for_a_person_is_not_overtaken(main: Runs) -> None:
    """Confirmed, it counts; the class that was moved meanwhile is where it was moved to."""
    folder = main.source(taught("A", *range(1, 11)), teachers=STAFF)
    main.sync(folder)
    rewrite(folder, "meetings", lambda rows: [one for one in rows if int(one["jxz"]) < 5])
    run_id = main.sync(folder, ends="needs_confirmation")["id"]
    found = cases.make_up(main.deps, TERM, ("A", None), Time(date(2024, 9, 7), 9 * 3600, 10 * 3600), ADA)
    carry_out(main, found)
    assert len(shown(main)) == 11
    carry_out(main, cases.withdraw(main.deps, found["batch"], ADA))
    assert len(shown(main)) == 10
    carry_out(main, cases.move(main.deps, a_class(main), Time(date(2024, 9, 4), 14 * 3600), ADA))
    main.confirm(run_id)
    assert [one[1] for one in shown(main)] == [
        "2024-09-04T14:00", "2024-09-09T10:00", "2024-09-16T10:00", "2024-09-23T10:00",
    ]  # fmt: skip


def test_personal_calendars_show_changes_to_their_people_only(main: Runs) -> None:
    """The teacher and the student of a class; the substitute sees that class and no other of the course."""
    main.here.simulator.desk("people", {"people": [{"ex_user_id": "s1", "user_name": "学"}]})
    of = [{"xh": "s1", "kkh": "A", "xnxq": TERM}]
    folder = main.source(
        taught("A"), taught("B", teacher="t3", jc="5", st="13:00", ed="13:45"),
        teachers=STAFF, students=[{"xh": "s1", "xm": "学"}], enrolments=of,
    )  # fmt: skip
    main.sync(folder, settings={"layout": "personal"})
    with reading(main.engine) as tx:
        where = (sessions.c.jxz == 1, sessions.c.teachers.like("%甲%"))
        session = tx.execute(select(sessions.c.id).where(*where)).scalar_one()
    found = cases.substitute(main.deps, session, ["t2"], ADA)
    carry_out(main, found)
    seen = {name: [one["summary"] for one in of] for name, of in events(main).items()}
    assert seen["甲"] == seen["学"] == ["【代课】课A", "课A"]
    assert seen["丙"] == ["课B", "课B"] and seen["乙"] == ["【代课】课A"]
    carry_out(main, cases.withdraw(main.deps, found["batch"], ADA))
    assert [one["summary"] for one in events(main)["甲"]] == ["课A", "课A"]
    main.sync(folder, kind="incremental")
    assert "乙" not in events(main)


@lite
def test_verification_finds_what_was_decided_as_it_was_sent(main: Runs, source: Path) -> None:
    carry_out(main, cases.move(main.deps, a_class(main), Time(date(2024, 9, 4), 14 * 3600), ADA, room="202"))
    carry_out(main, cases.cancel(main.deps, a_class(main, 2), ADA))
    run = main.look_at_everything("verify")
    assert run["report"]["differences"] == 0 if "differences" in run["report"] else run["state"] == "succeeded"


@lite
def test_a_change_run_is_taken_back_by_its_change_only(main: Runs, source: Path) -> None:
    """One place says what was decided."""
    found = cases.cancel(main.deps, a_class(main), ADA)
    carry_out(main, found)
    with pytest.raises(Refused, match="obsync changes withdraw"):
        run_cases.begin_undo(main.deps, found["run"], actor="cli:ada")


@lite
def test_a_class_may_end_after_midnight(main: Runs, source: Path) -> None:
    carry_out(main, cases.move(main.deps, a_class(main), Time(date(2024, 9, 4), 23 * 3600, 1800), ADA))
    one = events(main)["课A"][0]
    assert (one["start_time"]["datetime"][:16], one["end_time"]["datetime"][:16]) == (
        "2024-09-04T23:00",
        "2024-09-05T00:30",
    )
    carry_out(main, cases.move(main.deps, a_class(main), Time(date(2024, 9, 6)), ADA))
    one = events(main)["课A"][0]
    assert (one["start_time"]["datetime"][:16], one["end_time"]["datetime"][:16]) == (
        "2024-09-06T23:00",
        "2024-09-07T00:30",
    )
    nothing_to_do(main, source)
