"""Undo: what a run did at WPS is taken back, stays taken back, and what others did since is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db import audit
from db.engine import reading
from db.sync_runs import RunActive
from db.tables import pins
from domain.runs import Command
from tests.integration.campus_rig import TERM, count
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Rows, Runs, course, runs_of
from usecases.sync import dry_runs, runs, undoing
from usecases.sync.run_commands import Refused, UnknownRun

pytestmark = pytest.mark.integration

STUDENTS = ("s1", "s2", "s3")


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    with runs_of(here, tmp_path) as made:
        people = [{"ex_user_id": code, "user_name": code} for code in STUDENTS]
        here.simulator.desk("people", {"people": people})
        yield made


def campus(main: Runs, *courses: Rows, takes: tuple[tuple[str, str], ...]) -> Path:
    people = [{"xh": code, "xm": code} for code in STUDENTS]
    enrolments = [{"xh": code, "kkh": number, "xnxq": TERM} for code, number in takes]
    return main.source(*courses, enrolments=enrolments, students=people)


def before(main: Runs) -> Path:
    takes = (("s1", "M0"), ("s2", "M0"), ("s3", "P0"))
    return campus(main, course("M0"), course("M1"), course("P0", "物理学院", weeks=range(1, 4)), takes=takes)


def after(main: Runs) -> Path:
    """A room, a class less, a course less, a course more, another reader, another name."""
    moved = course("M0", weeks=range(1, 20))
    moved[2]["room"] = "909"
    named = [{**row, "kcmc": "另一门课"} for row in course("M1")]
    takes = (("s1", "M0"), ("s3", "M0"), ("s2", "M1"))
    return campus(main, moved, named, course("N0", weeks=[1, 2]), takes=takes)


def sees(main: Runs) -> dict[str, Any]:
    """What people see: calendars without their tags, with events, and who reads them."""
    found = main.people_see()
    readers = {
        one["summary"]: sorted(each["ex_user_id"] for each in one["permissions"] if each["role"] == "reader")
        for one in main.here.calendars()
    }
    return {name.partition(" ·")[0]: (events, readers[name]) for name, events in found.items()}


def undo(main: Runs, run_id: str, *, ends: str = "succeeded") -> dict[str, Any]:
    undo_id, _ = runs.begin_undo(main.deps, run_id, actor="a person")
    return main.go_on(undo_id, ends=ends)


def two_syncs(main: Runs) -> tuple[dict[str, Any], str]:
    """What people saw before the second sync, and that sync."""
    main.sync(before(main))
    seen = sees(main)
    run = main.sync(after(main), ends="needs_confirmation")
    run = main.confirm(run["id"])
    assert sees(main) != seen
    return seen, run["id"]


def test_everything_is_as_it_was_before_the_run(main: Runs) -> None:
    """The wrong file was synced on a Monday morning: people should have their timetable back before the first class."""
    seen, run_id = two_syncs(main)
    run = undo(main, run_id)
    assert sees(main) == seen
    assert run["report"]["live"] == {"calendar": 3, "event": 43}
    with reading(main.engine) as tx:
        act = audit.listing(tx, tenant="main", thing=run_id)[0]
    assert (act["action"], act["actor"], act["after"]) == ("run.undo", "a person", {"run": run["id"]})


def test_what_was_shown_is_what_is_taken_back(main: Runs) -> None:
    """Counts and rows are looked at before the command is given."""
    _, run_id = two_syncs(main)
    dump = main.dump()
    shown = undoing.shown(main.deps, run_id, limit=1000)
    assert main.dump() == dump and count(main.engine, pins) == 0
    assert shown["targets"] == len(shown["items"]) > 20 and not shown["skipped"]
    assert {(one["kind"], one["does"]) for one in shown["counts"]} == {
        ("calendar", "bring back"), ("calendar", "change back"), ("calendar", "delete"),
        ("event", "bring back"), ("event", "change back"), ("event", "delete"), ("members", "change back"),
    }  # fmt: skip
    undo(main, run_id)
    assert count(main.engine, pins) == shown["targets"]


def test_twice_is_once(main: Runs) -> None:
    """Two people at two screens."""
    seen, run_id = two_syncs(main)
    first = undo(main, run_id)
    dump = main.dump()
    again, new = runs.begin_undo(main.deps, run_id, actor="somebody else")
    assert (again, new, main.dump()) == (first["id"], False, dump)
    assert sees(main) == seen


def test_the_next_run_does_not_bring_it_back(main: Runs) -> None:
    """The hourly run reads the same wrong file again: what a person took back must stay so."""
    seen, run_id = two_syncs(main)
    undo(main, run_id)
    assert dry_runs.of_timetable(main.deps, limit=10).operations == 0
    source = main.home / "campus"
    run = main.sync(source, trigger="schedule")
    assert run["questions"] == [] and sees(main) == seen
    assert dry_runs.of_timetable(main.deps, limit=10).operations == 0


def test_lifted_it_follows_the_source_again(main: Runs) -> None:
    """It was right after all."""
    main.sync(before(main))
    run = main.sync(after(main), confirm_deletes=100)
    if run["state"] != "succeeded":
        run = main.confirm(run["id"])
    wanted = sees(main)
    undo(main, run["id"])
    assert undoing.redo(main.deps, run["id"], actor="a person") > 0
    assert undoing.redo(main.deps, run["id"], actor="a person") == 0
    main.sync(main.home / "campus", confirm_deletes=100)
    assert sees(main) == wanted


def test_a_source_that_changes_again_is_followed_where_it_changed(main: Runs) -> None:
    """The registry mends one class: that class is sent, and the rest stays taken back."""
    _, run_id = two_syncs(main)
    undo(main, run_id)
    moved = course("M0", weeks=range(1, 20))
    moved[2]["room"] = "303"
    named = [{**row, "kcmc": "另一门课"} for row in course("M1")]
    takes = (("s1", "M0"), ("s3", "M0"), ("s2", "M1"))
    main.sync(campus(main, moved, named, course("N0", weeks=[1, 2]), takes=takes))
    rooms = [place for _, _, place in sees(main)["课M0"][0]]
    assert (len(rooms), sum("303" in one for one in rooms), sum("909" in one for one in rooms)) == (20, 1, 0)
    assert set(sees(main)) == {"课M0", "课M1", "课P0"}


def test_a_new_class_of_a_course_that_was_taken_back_brings_its_calendar(main: Runs) -> None:
    """A class without a calendar could never be sent, and its run would wait for ever."""
    _, run_id = two_syncs(main)
    undo(main, run_id)
    moved = course("M0", weeks=range(1, 20))
    moved[2]["room"] = "909"
    named = [{**row, "kcmc": "另一门课"} for row in course("M1")]
    takes = (("s1", "M0"), ("s3", "M0"), ("s2", "M1"))
    main.sync(campus(main, moved, named, course("N0", weeks=[1, 2, 3]), takes=takes))
    assert len(sees(main)["课N0"][0]) == 1


def test_what_a_later_run_changed_is_left_and_said(main: Runs) -> None:
    """Its word is newer than the one that is taken back."""
    main.sync(before(main))
    one = course("M0")
    one[2]["room"] = "909"
    one[5]["room"] = "909"
    rest = (course("M1"), course("P0", "物理学院", weeks=range(1, 4)))
    takes = (("s1", "M0"), ("s2", "M0"), ("s3", "P0"))
    second = main.sync(campus(main, one, *rest, takes=takes))
    one[2]["room"] = "303"
    main.sync(campus(main, one, *rest, takes=takes))
    shown = undoing.shown(main.deps, second["id"], limit=10)
    assert (shown["targets"], shown["skipped"]) == (1, [{"reason": "a later run changed it", "count": 1}])
    run = undo(main, second["id"])
    assert run["stages"][1]["note"] == "1 left: a later run changed it"
    rooms = [place for _, _, place in sees(main)["课M0"][0]]
    assert (sum("303" in one for one in rooms), sum("909" in one for one in rooms)) == (1, 0)


def test_an_undo_that_deletes_much_asks_first_and_dropped_leaves_all(main: Runs) -> None:
    """Taking back the first sync of a term empties every calendar."""
    run = main.sync(before(main))
    dump = main.dump()
    asked = undo(main, run["id"], ends="needs_confirmation")
    assert {(one["guard"], one["subject"], one["count"]) for one in asked["questions"][0]["questions"]} == {
        ("college", "数学学院", 40),
        ("college", "物理学院", 3),
    }
    assert len(asked["questions"][0]["sample"]) == 20
    main.drop(asked["id"])
    assert main.dump() == dump and count(main.engine, pins) == 0
    asked = undo(main, run["id"], ends="needs_confirmation")
    main.confirm(asked["id"])
    assert (main.live(), main.live("calendar"), sees(main)) == (0, 0, {})
    assert main.sync(main.home / "campus", trigger="schedule")["report"]["live"] == {}


def test_an_undo_that_is_interrupted_goes_on(main: Runs) -> None:
    """A page that was pinned and not put, or put and not counted, is done again without harm."""
    seen, run_id = two_syncs(main)
    undo_id, _ = runs.begin_undo(main.deps, run_id, actor="a person")
    for page in undoing.pages(main.deps, run_id):
        with main.engine.begin() as tx:
            undoing.pin(tx, main.deps, page, undone_run=run_id, undo_id=undo_id)
    main.advance(undo_id)
    main.tell(undo_id, Command.PAUSE)
    main.go_on(undo_id, ends="paused")
    main.tell(undo_id, Command.RESUME)
    main.go_on(undo_id)
    assert sees(main) == seen


def test_an_undo_that_was_cancelled_can_be_given_again(main: Runs) -> None:
    """Half taken back is the worst of all states to be stuck in."""
    seen, run_id = two_syncs(main)
    undo_id, _ = runs.begin_undo(main.deps, run_id, actor="a person")
    main.advance(undo_id)
    main.here.slice("数学学院", tenant="main")
    main.tell(undo_id, Command.CANCEL)
    main.go_on(undo_id, ends="cancelled")
    again, new = runs.begin_undo(main.deps, run_id, actor="a person")
    assert new and again != undo_id
    main.go_on(again)
    assert sees(main) == seen


def test_only_a_run_that_has_ended_and_sent_something_is_taken_back(main: Runs) -> None:
    """An order that cannot be carried out must not look like one that was."""
    source = before(main)
    imported = main.sync(source, kind="import")
    with pytest.raises(Refused, match="it sent nothing"):
        undo(main, imported["id"])
    with pytest.raises(UnknownRun):
        undo(main, "nothing")
    run_id = main.begin(source)
    with pytest.raises(Refused, match="it has not ended"):
        undo(main, run_id)
    main.go_on(run_id)
    waiting = main.begin(source)
    with pytest.raises(RunActive):
        undo(main, run_id)
    main.go_on(waiting)
