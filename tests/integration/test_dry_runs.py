"""A dry run says what the run does, row by row, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import jobs, metadata
from domain.plans import GONE
from domain.scopes import Scope
from remote.sources.base import BadSource
from tests.integration.campus_rig import TERM
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Rows, Runs, course, runs_of
from tests.integration.verify_rig import Term
from usecases.sync import dry_runs
from usecases.sync.dry_runs import Shown

pytestmark = pytest.mark.integration

MOST = 100_000
STUDENTS = ("s1", "s2", "s3")


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    with runs_of(here, tmp_path) as made:
        people = [{"ex_user_id": code, "user_name": code} for code in STUDENTS]
        here.simulator.desk("people", {"people": people})
        yield made


def enrolled(*pairs: tuple[str, str]) -> Rows:
    return [{"xh": code, "kkh": number, "xnxq": TERM} for code, number in pairs]


def first_term(main: Runs) -> Path:
    takes = enrolled(("s1", "M0"), ("s2", "M0"), ("s3", "M1"))
    people = [{"xh": code, "xm": code} for code in STUDENTS]
    courses = [course(f"M{number}") for number in range(4)]
    return main.source(*courses, course("P0", "物理学院", weeks=[1, 2, 3]), enrolments=takes, students=people)


def next_term(main: Runs) -> Path:
    """Of each kind something: a room, a class less, a class more, a name, a course less, a course more, readers."""
    moved = course("M0")
    moved[3]["room"] = "909"
    moved[4]["ed"] = "11:00"
    fewer, more = course("M1", weeks=range(1, 19)), course("M2", weeks=range(1, 24))
    named = [{**row, "kcmc": "另一门课"} for row in course("P0", "物理学院", weeks=[1, 2, 3])]
    takes = enrolled(("s1", "M0"), ("s3", "M0"), ("s3", "M1"), ("s2", "P0"))
    people = [{"xh": code, "xm": code} for code in STUDENTS]
    return main.source(moved, fewer, more, named, course("N0", weeks=[1]), enrolments=takes, students=people)


def everything(main: Runs) -> dict[str, list[str]]:
    with reading(main.engine) as tx:
        return {table.name: sorted(map(repr, tx.execute(select(table)))) for table in metadata.sorted_tables}


def dry(main: Runs, source: Path, *, limit: int = MOST) -> Shown:
    """A dry run that has to leave everything as it was."""
    before = everything(main), main.dump(), sorted(main.deps.data_dir.iterdir())
    shown = dry_runs.of_source(main.deps, str(source), limit=limit)
    assert (everything(main), main.dump(), sorted(main.deps.data_dir.iterdir())) == before
    return shown


def was_put(main: Runs, run_id: str) -> dict[str, tuple[str, str, Any]]:
    """Target → lane, term and desired content of what a run asked the lanes for."""
    with reading(main.engine) as tx:
        where = (jobs.c.run_id == run_id, jobs.c.kind.in_(("calendar", "members", "event")))
        rows = tx.execute(select(jobs).where(*where)).all()
    return {row.target: (row.lane, row.term, None if row.payload == GONE else json.loads(row.payload)) for row in rows}


def test_the_rows_of_a_dry_run_are_what_the_run_puts(main: Runs) -> None:
    """A person decides by these rows whether to let it run: one that is missing is a class that vanishes unseen."""
    main.sync(first_term(main))
    source = next_term(main)
    shown = dry(main, source)
    run = main.sync(source, confirm_deletes=100)
    put = was_put(main, run["id"])
    assert {row["target"]: (row["lane"], row["term"]) for row in shown.rows} == {
        target: (lane, term) for target, (lane, term, _) in put.items()
    }
    for row in shown.rows:
        wanted = put[row["target"]][2]
        assert (row["verb"] == "delete") == (wanted is None)
        if row["kind"] == "event" and wanted is not None:
            assert row["ours"] == wanted
        if row["kind"] == "calendar" and wanted is not None:
            assert row["ours"] == wanted
    assert {(row["kind"], row["what"]) for row in shown.rows} >= {
        ("event", "changed"), ("event", "missing"), ("event", "extra"),
        ("calendar", "changed"), ("calendar", "missing"), ("calendar", "extra"), ("members", "changed"),
    }  # fmt: skip
    assert dry_runs.of_timetable(main.deps, limit=MOST).operations == 0


@pytest.mark.parametrize(
    "scope", [Scope(colleges=("物理学院",)), Scope(courses=(("M0", ""), ("M3", ""))), Scope(users=("s3",))], ids=str
)
def test_the_rows_of_a_scope_are_what_the_run_over_it_puts(main: Runs, scope: Scope) -> None:
    """A narrow run is tried like any other: what lies outside is neither shown nor sent, nor asked about."""
    main.sync(first_term(main))
    source = next_term(main)
    shown = dry_runs.of_source(main.deps, str(source), only=scope, limit=MOST)
    run = main.sync(source, only=scope)
    assert shown.rows and {row["target"] for row in shown.rows} == was_put(main, run["id"]).keys()
    assert shown.questions == []
    again = dry_runs.of_source(main.deps, str(source), only=scope, limit=MOST)
    assert (again.operations, dry(main, source).operations > 0) == (0, True)


def test_both_sides_and_what_differs_are_shown(main: Runs) -> None:
    """`changed` alone says nothing: another room is harmless, another hour is not."""
    main.sync(first_term(main))
    shown = dry(main, next_term(main))
    changed = [row for row in shown.rows if (row["kind"], row["what"]) == ("event", "changed")]
    by_fields = {tuple(row["changed"]): row for row in changed if row["label"].startswith("课M0")}
    assert sorted(by_fields) == [("end_ms",), ("location",)]
    room = by_fields[("location",)]
    assert (room["theirs"]["location"], room["ours"]["location"]) == ("一教101", "一教909")
    extra = next(row for row in shown.rows if (row["kind"], row["what"]) == ("event", "extra"))
    assert extra["ours"] is None and extra["theirs"]["summary"] == "课M1"
    whole = next(row for row in shown.rows if (row["kind"], row["what"]) == ("calendar", "extra"))
    assert whole["events"] == 20
    readers = next(row for row in shown.rows if row["kind"] == "members" and row["label"].startswith("课M0"))
    assert (readers["add_count"], readers["remove_count"]) == (1, 1)


def test_a_dry_run_says_what_the_run_will_ask(main: Runs) -> None:
    """Known beforehand, a question is a plan; at three in the morning it is an alarm."""
    main.sync(first_term(main))
    source = main.source(course("M0"))
    shown = dry(main, source)
    run = main.sync(source, ends="needs_confirmation")
    asked = run["questions"][0]["questions"]
    run = main.confirm(run["id"], ends="needs_confirmation")
    asked += run["questions"][0]["questions"]
    assert [(one.guard, one.subject, one.count, one.limit) for one in shown.questions] == [
        (one["guard"], one["subject"], one["count"], one["limit"]) for one in asked
    ]
    assert shown.counts["calendar", "delete"] == 4


def test_only_as_many_rows_are_held_as_are_wanted(main: Runs) -> None:
    """A first sync of a term is fifty thousand rows; the totals are of all."""
    shown = dry(main, first_term(main), limit=3)
    assert (len(shown.rows), shown.counts["event", "create"]) == (3, 83)


def test_a_source_that_cannot_be_read_is_refused_and_leaves_nothing(main: Runs) -> None:
    """The copy must not stay behind when the source breaks in the middle."""
    with pytest.raises(BadSource):
        dry(main, main.home / "nowhere")
    with pytest.raises(BadSource, match="none of its 0 rows"):
        dry_runs.of_source(main.deps, str(main.source([])), limit=1)
    assert not list(main.deps.data_dir.glob("dry-run-*"))


def test_a_rule_is_tried_without_being_kept(main: Runs) -> None:
    """The rule changes most events of a term: that is what a dry run is for."""
    hours = (("1", "08:00", "08:45"), ("4", "11:00", "11:45"))
    rows = [{**row, "jc": jc, "st": st, "ed": ed} for row in course("M0", weeks=[1, 2]) for jc, st, ed in hours]
    folder = main.source(rows)
    main.sync(folder)
    assert dry(main, folder).operations == 0
    shown = dry_runs.of_source(main.deps, str(folder), settings={"rule": "half-day"}, limit=MOST)
    assert shown.counts == {("event", "delete"): 2, ("event", "update"): 2}
    assert dry(main, folder).operations == 0


def test_a_dry_run_of_a_repair_says_that_it_would_ask(here: World) -> None:
    """The list of what would be done and the question before it belong together."""
    term = Term(here)
    term.imported()
    term.course("c1", days=22)
    term.sync()
    term.deletes("c1")
    term.verify()
    asked, lanes = dry_runs.of_repair(here.deps)
    run = term.repair(ends="needs_confirmation")
    shown = run["questions"][0]
    assert [(one.guard, one.count) for one in asked] == [(one["guard"], one["count"]) for one in shown["questions"]]
    assert lanes == shown["lanes"]
