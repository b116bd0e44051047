"""Scopes: what a run leaves alone, which runs go on beside each other, and which wait for their turn."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import reading
from db.sync_runs import RunActive
from db.tables import change_buffer, jobs, members
from domain.scopes import BadScope, Scope, read_scope
from domain.tiers import HURRIED
from tests.integration.campus_rig import count, rewrite, write
from tests.integration.change_rig import write_changes
from tests.integration.change_runs_rig import Runs, notes, totals
from tests.integration.drain_rig import World
from tests.integration.test_incremental_runs import campus, row, runs
from usecases.sync import scoping

__all__ = ["campus", "runs"]

pytestmark = pytest.mark.integration

MATHS, PHYSICS = Scope(colleges=("数学学院",)), Scope(colleges=("物理学院",))


def other_rooms(campus: Path, *courses: str) -> None:
    """The timetable gives these courses another room."""
    rewrite(campus, "meetings", lambda rows: [{**one, "room": "Z"} if one["kkh"] in courses else one for one in rows])


def places(runs: Runs) -> dict[str, set[str]]:
    """Course → the places of its events."""
    return {name[:2]: {place for *_, place in events} for name, events in runs.seen().items()}


def test_a_run_plans_what_is_in_its_scope_and_leaves_the_rest_alone(runs: Runs, campus: Path) -> None:
    """A college asks for its own calendars at noon; nobody else is to be disturbed by it."""
    runs.run(campus)
    other_rooms(campus, "A", "C")
    runs.run(campus, only=MATHS)
    assert places(runs) == {"课A": {"一教Z"}, "课B": {"一教B01"}, "课C": {"一教C01"}, "课D": {"一教D01"}}
    assert set(runs.plan()) == {("event", "update")}
    # What it left out was never compared: an incremental run does that, though nothing has changed since.
    run = runs.run(campus, "incremental")
    assert "not changed" in str(notes(run)["changes"]) and totals(run)["updates"] == 3
    assert runs.plan() == {}


@pytest.mark.parametrize(
    ("text", "changed"),
    [("course=A", {"A"}), ("course=A,A", {"A"}), ("college=物理学院", {"C"}), ("term=2024-2025-1", {"A", "C"})],
)
def test_a_scope_may_name_terms_colleges_and_courses(runs: Runs, campus: Path, text: str, changed: set[str]) -> None:
    """Each name has to reach the planner's own question to the database."""
    runs.run(campus)
    other_rooms(campus, "A", "C")
    runs.run(campus, only=scoping.checked(runs.here.deps, [text], kind="full"))
    assert {name[1] for name, there in places(runs).items() if there == {"一教Z"}} == changed


@pytest.mark.parametrize("text", ["college=化学学院", "course=X", "course=A,B", "user=nobody", "term=1999"])
def test_a_scope_that_names_nothing_there_is_refused(runs: Runs, campus: Path, text: str) -> None:
    """A mistyped college must not look like a college without changes."""
    runs.run(campus)
    with pytest.raises(BadScope, match=text.partition("=")[2]) as refused:
        scoping.checked(runs.here.deps, [text], kind="full")
    assert refused.value.remedy


def test_disjoint_scopes_go_on_together_and_an_overlapping_one_waits(runs: Runs, campus: Path) -> None:
    """Two colleges do not wait for each other; two runs over one college would undo each other's work."""
    runs.run(campus)
    other_rooms(campus, "A", "B", "C", "D")
    maths, physics = runs.begin(campus, only=MATHS), runs.begin(campus, only=PHYSICS)
    everything = runs.begin(campus)
    for run_id in (maths, physics, everything):
        runs.step(run_id)
    both = [runs.look(one) for one in (maths, physics)]
    assert [run["state"] for run in both] == ["running", "running"]
    assert all(run["stage"] not in ("prepare", "aggregate") for run in both)
    waits = runs.look(everything)
    assert waits["state"] == "queued" and waits["waits_for"]["id"] == maths
    runs.go_on(maths)
    runs.until(everything, lambda run: (run["waits_for"] or {}).get("id") == physics)
    runs.go_on(physics, everything)
    assert runs.look(everything)["waits_for"] is None
    assert runs.plan() == {}


def test_reading_is_done_by_one_run_at_a_time(runs: Runs, campus: Path) -> None:
    """An import is of the whole timetable: two at once would take each other's numbers away."""
    runs.run(campus)
    maths, physics = runs.begin(campus, only=MATHS), runs.begin(campus, only=PHYSICS)
    runs.here.deps.stopping.set()  # each does one step only
    runs.step(maths)
    runs.here.deps.stopping.clear()
    runs.step(physics)
    runs.go_on(maths, physics)
    assert {runs.look(one)["import_no"] for one in (maths, physics)} == {2, 3}


def test_the_same_run_is_not_asked_for_twice(runs: Runs, campus: Path, tmp_path: Path) -> None:
    """Impatience must not make a queue; but changes that came while a run was reading are no repetition."""
    first = runs.begin(campus)
    with pytest.raises(RunActive, match=first):
        runs.begin(campus)
    runs.go_on(first)
    other_rooms(campus, "A")
    active = runs.begin(campus, "incremental")
    with pytest.raises(RunActive, match=active):
        runs.begin(campus, "incremental")
    runs.until(active, lambda run: run["state"] != "queued")
    with pytest.raises(RunActive):
        runs.begin(campus, "import", may_wait=False)
    one = runs.begin(campus, "incremental", changes=write_changes(tmp_path / "1.csv", [row("A", 1)]))
    two = runs.begin(campus, "incremental", changes=write_changes(tmp_path / "2.csv", [row("B", 1)]))
    runs.go_on(active, one, two)


def test_changes_that_come_during_a_full_run_are_kept_and_applied_after_it(
    runs: Runs, campus: Path, tmp_path: Path
) -> None:
    """The registry sends a file and deletes it; the full run over yesterday's export must not swallow it."""
    runs.run(campus)
    other_rooms(campus, "C")
    full = runs.begin(campus)
    moved = [row(course, 1, room="NEW", zt="update") for course in "AC"]
    file = write_changes(tmp_path / "now.csv", [*moved, row("B", 1, zt="delete")])
    late = runs.begin(campus, "incremental", changes=file)
    runs.step(late)
    run = runs.look(late)
    assert (run["state"], run["waits_for"]["id"]) == ("queued", full)
    assert count(runs.here.engine, change_buffer) == 3
    file.unlink()
    runs.go_on(full, late)
    assert places(runs)["课A"] == {"一教NEW", "一教A01"}
    assert places(runs)["课C"] == {"一教NEW", "一教Z"}
    assert len([one for name, events in runs.seen().items() if name[:2] == "课B" for one in events]) == 2
    assert runs.plan() == {}


def test_an_urgent_change_goes_before_everything_else_in_its_lane(runs: Runs, campus: Path, tmp_path: Path) -> None:
    """A class that moves this afternoon cannot wait behind a term's worth of events."""
    runs.run(campus)
    urgent = write_changes(tmp_path / "u.csv", [row("A", 1, room="NOW", zt="update")])
    run_id = runs.begin(campus, "incremental", changes=urgent, priority="urgent")
    runs.step(run_id)
    with reading(runs.here.engine) as tx:
        waiting = select(jobs.c.tier).where(jobs.c.state == "queued", jobs.c.lane.is_not(None))
        assert set(tx.scalars(waiting)) == {HURRIED}
    assert runs.go_on(run_id)[0]["priority"] == "urgent"


# --- users runs


def with_people(campus: Path) -> None:
    """Teachers and students of the campus, and who takes what."""
    write(campus, "teachers", [{"gh": "t1", "xm": "甲", "ssdwmc": "数学学院"}])
    write(campus, "students", [{"xh": f"s{n}", "xm": f"生{n}", "xymc": college} for n, college in
                               ((1, "数学学院"), (2, "物理学院"))])  # fmt: skip
    taken = [("s1", "A"), ("s2", "A"), ("s2", "C")]
    write(campus, "enrolments", [{"xh": code, "kkh": kkh, "xnxq": "2024-2025-1"} for code, kkh in taken])


def hire(here: World, *codes: str) -> None:
    """WPS gets accounts for these people."""
    here.simulator.desk("people", {"people": [{"ex_user_id": code, "user_name": code} for code in codes]})


def readers(runs: Runs) -> dict[str, set[str]]:
    """Course → numbers of those who may read it."""
    return {one["summary"][:2]: {given["ex_user_id"] for given in one["permissions"]} for one in runs.here.calendars()}


def test_a_users_run_brings_accounts_and_memberships_up_to_date(runs: Runs, campus: Path) -> None:
    """A student whose account came late sees nothing until somebody looks again."""
    with_people(campus)
    hire(runs.here, "s1")
    runs.run(campus)
    assert readers(runs) == {"课A": {"s1"}, "课B": set(), "课C": set(), "课D": set()}
    hire(runs.here, "s2")
    rewrite(campus, "meetings", lambda rows: [{**one, "room": "Z"} for one in rows])
    before = runs.seen()
    run = runs.run(campus, "users")
    assert [stage["stage"] for stage in run["stages"]] == ["extract", "view", "permissions", "finish"]
    assert notes(run)["people"] == "3 people read"
    assert readers(runs) == {"课A": {"s1", "s2"}, "课B": set(), "课C": {"s2"}, "课D": set()}
    assert runs.seen() == before and set(run["counts"]) == {"users", "members"}
    assert runs.run(campus, "users")["counts"].get("members") is None


def test_a_users_run_may_be_about_some_people_only(runs: Runs, campus: Path) -> None:
    """One person at the help desk: asking WPS for fifty thousand others takes an hour."""
    with_people(campus)
    runs.run(campus)
    hire(runs.here, "s1", "s2")
    runs.run(campus, "users", only=read_scope(["user=s1"]))
    assert readers(runs)["课A"] == {"s1"} and readers(runs)["课C"] == set()
    runs.run(campus, "users", only=read_scope(["college=物理学院"]))
    assert readers(runs)["课A"] == {"s1", "s2"} and readers(runs)["课C"] == {"s2"}
    assert count(runs.here.engine, members) == 3


def test_after_a_users_run_changes_still_find_their_base(runs: Runs, campus: Path, tmp_path: Path) -> None:
    """The run has a number of its own, but no timetable."""
    with_people(campus)
    runs.run(campus)
    runs.run(campus, "users")
    run = runs.run(
        campus, "incremental", changes=write_changes(tmp_path / "c.csv", [row("A", 1, room="N", zt="update")])
    )
    assert totals(run)["updates"] == 1
    assert places(runs)["课A"] == {"一教N", "一教A01"}
    assert readers(runs).keys() == {"课A", "课B", "课C", "课D"}
