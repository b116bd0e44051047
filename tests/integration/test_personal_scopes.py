"""Scopes in layout `personal`: whose calendars a run changes, which of their events, and what it leaves alone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from db import changes
from db.engine import in_unit, reading
from db.tables import jobs, mirror, offerings, touched
from domain.layouts import PERSONAL
from domain.plans import GONE
from domain.scopes import Scope, read_scope
from tests.integration.campus_rig import TERM, count, rewrite
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Rows, Runs, runs_of
from tests.integration.test_personal import exactly, plan, settle, small
from usecases.sync import dry_runs, scoping

pytestmark = pytest.mark.integration

MOST = 10_000


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    with runs_of(here, tmp_path) as made:
        yield made


def only(main: Runs, *texts: str, kind: str = "full") -> Scope:
    return scoping.checked(main.deps, texts, kind=kind)


def in_room(source: Path, room: str) -> None:
    """Every class moves."""
    rewrite(source, "meetings", lambda rows: [{**row, "room": room} for row in rows])


def without(source: Path, *classes: tuple[str, str]) -> None:
    """These classes (course, week) are off."""

    def fewer(rows: Rows) -> Rows:
        return [row for row in rows if (row["kkh"], row["jxz"]) not in classes]

    rewrite(source, "meetings", fewer)


def enrol(source: Path, **taken: str) -> None:
    """Student → what they take from now on, a letter for each course."""
    rows = [{"xh": who, "kkh": kkh, "xnxq": TERM} for who, some in taken.items() for kkh in some]
    rewrite(source, "enrolments", lambda _: rows)


def seen(main: Runs, room: str = "") -> dict[str, str]:
    """Person → the courses of their events (in this room), a letter for each event."""
    found: dict[str, str] = defaultdict(str)
    for one in main.here.calendars():
        (who,) = (given["ex_user_id"] for given in one["permissions"])
        events = [event for event in one["events"] if event["status"] == "normal"]
        for event in sorted(events, key=lambda event: event["summary"]):
            places = [place["name"] for place in event["locations"] or ()]
            found[who] += event["summary"][1] if not room or places == [f"一教{room}"] else ""
    return {who: letters for who, letters in found.items() if letters or not room}


@pytest.mark.parametrize("kind", ["full", "incremental"])
def test_a_scope_changes_the_events_it_names_and_no_others(main: Runs, kind: str) -> None:
    """A dean's office asks for its course at noon: whoever takes it sees the new room, in nothing else of theirs."""
    source = small(main)
    settle(main, source)
    in_room(source, "Z")
    calls = len(main.here.log())
    expected = [
        ("user=s1,course=A", {"s1": "AAA"}),
        ("course=A", {"s1": "AAA", "s2": "AAA", "t1": "AAA"}),
        ("user=s1", {"s1": "AAABBB", "s2": "AAA", "t1": "AAA"}),
        ("college=物理学院", {"s1": "AAABBB", "s2": "AAA", "s3": "CCC", "t1": "AAA"}),
    ]
    for text, there in expected:
        main.sync(source, kind=kind, only=only(main, text))
        assert seen(main, "Z") == there, text
    assert plan(main) == {}
    writes = [
        one["path"].rpartition("/")[2] for one in main.here.log("/v7/calendars")[calls:] if one["method"] == "POST"
    ]
    assert set(writes) <= {"update"}
    in_room(source, "Y")
    main.sync(source, kind=kind, only=only(main, f"term={TERM}"))
    exactly(main, source)


@pytest.mark.parametrize("kind", ["full", "incremental"])
def test_a_scope_deletes_what_it_names_and_nothing_outside(main: Runs, kind: str) -> None:
    """Classes that are off and people who left: each goes with the scope that names it, and with no other one."""
    source = small(main, taken={"s1": ("A", "B"), "s2": ("A", "B"), "s3": ("C",), "s4": ("A",)})
    settle(main, source)
    without(source, ("A", "2"), ("B", "1"), ("C", "3"))
    enrol(source, s1="AB", s2="B", s3="C", s4="")
    # The source is shorter by more than a third: that is asked before anything is counted.
    run = main.sync(source, kind=kind, only=only(main, "course=A"), ends="needs_confirmation")
    main.confirm(run["id"])
    assert seen(main) == {"s1": "AABBB", "s2": "BBB", "s3": "CCC", "t1": "AA"}
    main.sync(source, kind=kind, only=only(main, "user=s3"))
    assert seen(main) == {"s1": "AABBB", "s2": "BBB", "s3": "CC", "t1": "AA"}
    main.sync(source, kind=kind, only=only(main, "course=B", "user=s2"))
    assert seen(main) == {"s1": "AABBB", "s2": "BB", "s3": "CC", "t1": "AA"}
    main.sync(source, kind=kind, only=only(main, "college=数学学院"))
    exactly(main, source)


def test_whoever_leaves_all_keeps_what_the_scope_does_not_name(main: Runs) -> None:
    """Their calendar goes with the last of its events."""
    source = small(main, taken={"s1": ("A", "C"), "s2": ("A",), "s3": ("C",)})
    settle(main, source)
    enrol(source, s2="A", s3="C")
    main.confirm(main.sync(source, only=only(main, "course=C"), ends="needs_confirmation")["id"])
    assert seen(main)["s1"] == "AAA"
    main.sync(source, only=only(main, "course=A"))
    exactly(main, source)


def test_a_first_run_of_a_scope_makes_the_calendars_that_it_needs(main: Runs) -> None:
    """A pilot begins with one course; its people get a calendar that they can read, with these classes alone."""
    source = small(main)
    main.sync(source, kind="import", settings={"layout": PERSONAL})
    settle(main, source, only=only(main, "course=A"))
    assert seen(main) == {"s1": "AAA", "s2": "AAA", "t1": "AAA"}
    main.sync(source)
    exactly(main, source)


def test_two_scopes_at_once_share_a_persons_calendar(main: Runs) -> None:
    """Two colleges sync at noon, and a student of both has one calendar, once."""
    source = small(main, taken={"s1": ("A", "C"), "s2": ("A",), "s3": ("C",)})
    main.sync(source, kind="import", settings={"layout": PERSONAL})
    people = [{"ex_user_id": code, "user_name": code} for code in ("s1", "s2", "s3", "t1")]
    main.here.simulator.desk("people", {"people": people})
    main.sync(source, kind="users")
    begun = [main.begin(source, only=only(main, f"college={name}")) for name in ("数学学院", "物理学院")]
    while not all(main.look(one)["stage"] in ("calendars", "events") for one in begun):
        for one in begun:
            main.advance(one)
    for one in begun:
        main.go_on(one)
    main.sync(source, only=only(main, "course=B"))
    exactly(main, source)


def test_a_guard_counts_what_the_scope_deletes_and_nothing_else(main: Runs) -> None:
    """A college is not asked about another one's classes, and is asked about all of its own."""
    many = {f"s{n}": ("A", "C") for n in range(10)}
    source = small(main, taken=many)
    settle(main, source)
    enrol(source, **{f"s{n}": "" if n else "AC" for n in range(10)}, s10="AB")
    run = main.sync(source, only=only(main, "user=s1"), ends="needs_confirmation")
    run = main.confirm(run["id"])
    assert "s1" not in seen(main) and seen(main)["s2"] == "AAACCC"
    run = main.sync(source, only=only(main, "course=C"), ends="needs_confirmation")
    (asked,) = run["questions"][-1]["questions"]
    assert (asked["guard"], asked["count"]) == ("lane", 8 * 3)
    main.confirm(run["id"])
    assert seen(main)["s2"] == "AAA"


def test_a_users_run_of_some_people_leaves_other_calendars_alone(main: Runs) -> None:
    """One person at the help desk; and what changes have touched still waits for a run that carries it out."""
    source = small(main)
    settle(main, source)

    others = update(mirror).where(mirror.c.tenant_id == "main", mirror.c.kind == "members").values(sent_hash="another")
    in_unit(main.engine, lambda tx: tx.execute(others))
    with reading(main.engine) as tx:
        offering = tx.scalars(select(offerings.c.id).where(offerings.c.kkh == "A")).one()
    in_unit(main.engine, lambda tx: changes.touch(tx, [(TERM, offering)], tenant="main", import_no=1))
    run = main.sync(source, kind="users", only=read_scope(["user=s1"]))
    assert run["counts"]["members"]["planned"] == 1
    run = main.sync(source, kind="users", only=read_scope(["college=物理学院"]))
    assert run["counts"]["members"]["planned"] == 1, "the teacher"
    assert count(main.engine, touched) == 1


@pytest.mark.parametrize("text", ["course=A", "user=s2", "college=数学学院,user=s1"])
def test_a_dry_run_over_a_scope_shows_the_rows_that_the_run_puts(main: Runs, text: str) -> None:
    """Who narrows a run down looks closely, and decides by these rows."""
    source = small(main, taken={"s1": ("A", "B"), "s2": ("A", "C"), "s3": ("C",)})
    settle(main, source)
    without(source, ("A", "2"), ("C", "1"))
    in_room(source, "Z")
    enrol(source, s1="AB", s2="C", s3="A")
    scope = only(main, text)
    shown = dry_runs.of_source(main.deps, str(source), only=scope, limit=MOST)
    run = main.sync(source, only=scope, confirm_deletes=100)
    with reading(main.engine) as tx:
        where = (jobs.c.run_id == run["id"], jobs.c.kind.in_(("calendar", "members", "event")))
        rows = tx.execute(select(jobs).where(*where)).all()
    put = {row.target: None if row.payload == GONE else json.loads(row.payload) for row in rows}
    assert put and {row["target"] for row in shown.rows} == put.keys()
    for row in shown.rows:
        if row["kind"] == "event":
            assert row["ours"] == put[row["target"]]
            assert (row["theirs"] is None) == (row["what"] == "missing")
    assert dry_runs.of_source(main.deps, str(source), only=scope, limit=MOST).operations == 0
