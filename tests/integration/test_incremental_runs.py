"""Incremental runs: what a change set makes of the calendars, in which order, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from db.engine import in_unit, reading
from db.tables import change_buffer, jobs, offerings, run_offerings, sessions, touched
from tests.integration.campus_rig import MONDAY, count, rewrite, write
from tests.integration.change_rig import write_changes
from tests.integration.change_runs_rig import Runs, notes, totals
from tests.integration.drain_rig import World

pytestmark = pytest.mark.integration

STAGES = ["detect", "delete", "update", "add", "status"]


@pytest.fixture
def runs(here: World) -> Runs:
    return Runs(here)


def row(course: str, week: int, *, jc: int = 3, **changes: str) -> dict[str, str]:
    """A class of a course on the Monday of a week."""
    hours = {3: ("10:00", "10:45"), 5: ("13:00", "13:45"), 7: ("15:00", "15:45")}[jc]
    day = 2 + 7 * (week - 1)
    said = {
        "kkh": course,
        "kcbh": course,
        "kcmc": f"课{course}",
        "jxz": str(week),
        "jc": str(jc),
        "room": f"{course}01",
    }
    when = {"rq": f"2024-09-{day:02d}", "st": hours[0], "ed": hours[1], "xms": f"师{course}", "ghs": ""}
    return {**MONDAY, **said, **when, **changes}


@pytest.fixture
def campus(tmp_path: Path) -> Path:
    """Four courses of two colleges, three weeks each."""
    folder = tmp_path / "campus"
    colleges = {"A": "数学学院", "B": "数学学院", "C": "物理学院", "D": "物理学院"}
    write(folder, "meetings", [row(one, week, kkxy=of) for one, of in colleges.items() for week in (1, 2, 3)])
    return folder


def changed(tmp_path: Path, *rows: dict[str, str], name: str = "changes.csv") -> Path:
    return write_changes(tmp_path / name, rows)


def event_calls(here: World) -> list[tuple[str, str]]:
    """(verb, path) of the calls that changed events or calendars, in order."""
    found = []
    for call in here.log("/v7/calendars"):
        if call["method"] == "POST":
            verb = next(
                (one for one in ("delete", "update", "create") if one in call["path"].rpartition("/")[2]), "create"
            )
            found.append((verb, call["path"]))
    return found


def test_a_change_set_changes_what_it_names_and_nothing_else(runs: Runs, campus: Path, tmp_path: Path) -> None:
    """The main promise: a class moves, one goes, one comes, and no other calendar hears of it."""
    runs.run(campus)
    before, calls = runs.seen(), len(event_calls(runs.here))
    changes = changed(
        tmp_path,
        row("A", 1, room="A99", zt="update", kkxy="数学学院"),
        row("A", 2, zt="delete", kkxy="数学学院"),
        row("B", 1, jc=7, zt="add", kkxy="数学学院"),
        row("E", 1, zt="add", kkxy="物理学院"),
    )
    run = runs.run(campus, "incremental", changes=changes)
    assert list(dict.fromkeys(stage["stage"] for stage in run["stages"])) == STAGES
    assert all(stage["state"] == "done" for stage in run["stages"])
    assert (totals(run)["deletions"], totals(run)["updates"]) == (1, 1)
    assert notes(run)["touched"] == "3 offerings touched"
    after = runs.seen()
    by_course = {name[:2]: events for name, events in after.items()}
    assert [place for *_, place in by_course["课A"]] == ["一教A99", "一教A01"]
    assert len(by_course["课B"]) == 4 and len(by_course["课E"]) == 1
    assert {name: after[name] for name in before if name[:2] in ("课C", "课D")} == {
        name: before[name] for name in before if name[:2] in ("课C", "课D")
    }
    verbs = [verb for verb, _ in event_calls(runs.here)[calls:]]
    assert verbs == sorted(verbs, key=["delete", "update", "create"].index)
    assert runs.plan() == {}


def test_deletions_are_done_before_anything_new_is_put(runs: Runs, campus: Path, tmp_path: Path) -> None:
    """A class that moved to another period must not be in two places while the lanes are busy with the rest."""
    runs.run(campus)
    changes = changed(
        tmp_path,
        row("A", 1, zt="delete", kkxy="数学学院"),
        row("A", 1, jc=7, zt="add", kkxy="数学学院"),
        row("C", 2, room="C99", zt="update", kkxy="物理学院"),
    )
    run_id = runs.begin(campus, "incremental", changes=changes)
    runs.step(run_id)
    run = runs.look(run_id)
    assert run["stage"] == "delete"
    with reading(runs.here.engine) as tx:
        queued = list(tx.execute(select(jobs.c.payload).where(jobs.c.state == "queued", jobs.c.lane.is_not(None))))
    assert [one.payload for one in queued] == ["null"]
    runs.go_on(run_id)
    assert runs.plan() == {}


def test_a_source_that_has_not_changed_is_not_read_again(runs: Runs, campus: Path) -> None:
    """Most hours nothing has changed: the run says so and is over."""
    runs.run(campus)
    calls = len(runs.here.log())
    run = runs.run(campus, "incremental")
    assert notes(run)["changes"] == "the source has not changed since import 1"
    assert run["import_no"] == 1
    assert all(total == 0 for step, total in totals(run).items() if step not in ("judge", "report"))
    assert [one["path"] for one in runs.here.log()[calls:] if "token" not in one["path"]] == []


def test_a_source_without_changes_is_read_as_a_whole_and_only_differences_are_sent(runs: Runs, campus: Path) -> None:
    """A folder that is exported anew each night has no file of changes; its readers wait no longer for that."""
    runs.run(campus)
    rewrite(campus, "meetings", lambda rows: [{**one, "room": "Z"} if one["kkh"] == "A" else one for one in rows])
    run = runs.run(campus, "incremental")
    assert (totals(run)["deletions"], totals(run)["updates"], totals(run)["additions"]) == (0, 3, 0)
    assert runs.plan() == {}
    assert count(runs.here.engine, run_offerings) == 0


def test_the_changes_that_lie_beside_the_campus_are_taken_once(runs: Runs, campus: Path) -> None:
    """They stay there for days; each hour's run would otherwise undo what was corrected since."""
    runs.run(campus)
    changed(campus, row("A", 1, room="A99", zt="update", kkxy="数学学院"))
    assert totals(runs.run(campus, "incremental"))["updates"] == 1
    run = runs.run(campus, "incremental")
    assert notes(run)["changes"] == "the source has not changed since import 2"
    runs.run(
        campus, "incremental", changes=changed(campus.parent, row("A", 1, room="A88", zt="update", kkxy="数学学院"))
    )
    run = runs.run(campus, "incremental")
    assert notes(run)["changes"] == "the source has not changed since import 2"
    assert "一教A88" in str(runs.seen())


def test_a_course_that_loses_its_last_class_goes(runs: Runs, campus: Path, tmp_path: Path) -> None:
    """Courses appear and vanish within an hour in real change sets."""
    runs.run(campus)
    changes = changed(tmp_path, *(row("A", week, zt="delete") for week in (1, 2, 3)))
    run = runs.run(campus, "incremental", changes=changes)
    assert totals(run)["deletions"] == 1
    assert not any(name.startswith("课A") for name in runs.seen())
    assert count(runs.here.engine, offerings) == 3 and count(runs.here.engine, sessions) == 9
    assert runs.plan() == {}


def test_bad_rows_are_told_and_the_rest_goes_in(runs: Runs, campus: Path, tmp_path: Path) -> None:
    """One unreadable date among a thousand changes must not keep the others out, nor be forgotten."""
    runs.run(campus)
    changes = changed(
        tmp_path,
        row("A", 1, room="A99", zt="update"),
        row("A", 2, rq="soon", zt="update"),
        row("A", 3, zt="perhaps"),
    )
    run = runs.run(campus, "incremental", changes=changes)
    assert notes(run)["changes"] == "3 changes, 2 rejected, 0 not to be used"
    assert totals(run)["updates"] == 1


def test_what_a_run_left_behind_is_carried_out_by_the_next_one(runs: Runs, campus: Path, tmp_path: Path) -> None:
    """A run that fails between its import and its plan has changed the timetable, and nobody would send it."""
    runs.run(campus)
    first = runs.begin(campus, "incremental", changes=changed(tmp_path, row("A", 1, room="A99", zt="update")))

    def dies_before_it_compares(run: dict[str, Any]) -> bool:
        return any(one["step"] == "compare" and one["state"] != "waiting" for one in run["stages"])

    runs.until(first, dies_before_it_compares)
    in_unit(runs.here.engine, lambda tx: _end(tx, first, runs.here.deps.tenant))
    with reading(runs.here.engine) as tx:
        assert tx.execute(select(touched.c.offering_id)).all()
    run = runs.run(campus, "incremental")
    assert totals(run)["updates"] == 1
    assert count(runs.here.engine, touched) == 0
    assert runs.plan() == {}


def _end(tx: Any, run_id: str, tenant: str) -> None:
    from db import sync_runs

    sync_runs.end(tx, run_id, tenant=tenant, state="failed", error="killed by the test")
    tx.execute(update(jobs).where(jobs.c.run_id == run_id, jobs.c.state == "queued").values(state="cancelled"))


def test_after_an_import_without_a_plan_the_whole_term_is_compared(runs: Runs, campus: Path) -> None:
    """`obsync import` sends nothing; the hourly run must not believe that somebody had."""
    runs.run(campus, "import")
    run = runs.run(campus, "incremental")
    assert notes(run)["changes"] == "the source has not changed since import 1"
    assert totals(run)["additions"] > 0
    assert runs.plan() == {}


def test_nothing_of_a_change_set_stays_behind_in_the_buffer(runs: Runs, campus: Path, tmp_path: Path) -> None:
    """Fifty change sets a day would fill the disk by the end of the term."""
    runs.run(campus)
    runs.run(campus, "incremental", changes=changed(tmp_path, row("A", 1, room="A99", zt="update")))
    assert count(runs.here.engine, change_buffer) == count(runs.here.engine, run_offerings) == 0
