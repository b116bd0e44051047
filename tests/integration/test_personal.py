"""Layout `personal`: a calendar for each person, exact to the class, and a change touches nobody whom it does not concern."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import mirror
from domain.layouts import COURSE, PERSONAL
from simulator.campus import generate
from tests.integration.campus_rig import TERM, rewrite
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Runs, course, runs_of
from tests.system import checker
from usecases.sync import layout
from usecases.sync.planning import tally

pytestmark = pytest.mark.integration

PEOPLE = int(os.environ.get("OBSYNC_TEST_PEOPLE", "40"))
"""People of the generated campus; a thousand take minutes."""


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    """A tenant without anything."""
    with runs_of(here, tmp_path) as made:
        yield made


def settle(main: Runs, source: Path, **more: Any) -> dict[str, Any]:
    """Sync in layout `personal`; whoever has an account is known to WPS."""
    people = [
        {"ex_user_id": row[column], "user_name": row["xm"]}
        for part, column in (("students", "xh"), ("teachers", "gh"))
        for row in checker.rows_of(source, part)
    ]
    main.here.simulator.desk("people", {"people": people})
    return main.sync(source, settings={"layout": PERSONAL}, **more)


def small(main: Runs, *, taken: dict[str, tuple[str, ...]] | None = None, **changes: Any) -> Path:
    """Three courses of three classes; student → what they take."""
    taken = taken or {"s1": ("A", "B"), "s2": ("A",), "s3": ("C",)}
    rows = [course(name, weeks=range(1, 4)) for name in "AB"] + [course("C", "物理学院", weeks=range(1, 4))]
    rows[0] = [row | {"ghs": "t1", "xms": "甲"} | changes for row in rows[0]]
    return main.source(
        *rows,
        students=[{"xh": one, "xm": f"学生{one}", "xydm": "", "xymc": "数学学院"} for one in sorted(taken)],
        teachers=[{"gh": "t1", "xm": "甲", "ssdwdm": "", "ssdwmc": "物理学院"}],
        enrolments=[{"xh": who, "kkh": kkh, "xnxq": TERM} for who, some in taken.items() for kkh in some],
    )


def plan(main: Runs) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for _, plans in layout.planner(main.engine, "main", main.deps.secret).pages():
        found += tally(plans)
    return found


def exactly(main: Runs, source: Path) -> dict[str, Any]:
    """WPS has what the folder says, nothing is left to plan, and no marker stands twice. Returns the dump."""
    dump: dict[str, Any] = main.here.simulator.desk("state")
    differences = checker.check_personal(source, dump)
    assert not differences, "\n".join(differences)
    assert plan(main) == {}
    markers = [
        event["description"].rpartition("⟦ob:")[2]
        for one in main.here.calendars()
        for event in one["events"]
        if event["status"] == "normal"
    ]
    assert len(set(markers)) == len(markers)
    return dump


def writes(main: Runs, since: int) -> list[dict[str, Any]]:
    """Calls since the one with this number that change something."""
    return [one for one in main.here.log("/v7/calendars")[since:] if one["method"] == "POST"]


@pytest.mark.timeout(3600)
def test_everybody_of_a_campus_has_one_calendar_with_each_of_their_classes(main: Runs, tmp_path: Path) -> None:
    """Ten times as many events as by course: whoever is forgotten or doubled here stands before a locked room."""
    campus = tmp_path / "university"
    teachers = max(12, PEOPLE // 10)
    generate(
        campus,
        seed=7,
        colleges=4,
        offerings=max(6, PEOPLE // 8),
        students=PEOPLE - teachers,
        teachers=teachers,
        weeks=6,
    )
    started = time.monotonic()
    run = settle(main, campus, within_s=3000)
    took = time.monotonic() - started
    dump = exactly(main, campus)
    kinds = Counter("/".join(one["path"].split("/")[4:]) for one in writes(main, 0))
    live = run["report"]["live"]
    print(f"{PEOPLE} people: {live} in {took:.0f} s, calls {dict(kinds)}")
    events = Counter({one["id"]: len(one["events"]) for one in dump["calendars"]})
    assert live["calendar"] == len(events) and live["event"] == events.total()
    assert kinds[""] == kinds["permissions/batch_create"] == len(events), "a calendar and a reader each, given once"
    assert kinds["events/batch_create"] == sum(-(-count // 100) for count in events.values()), "in lists of a hundred"


def test_a_change_of_one_session_touches_exactly_its_people(main: Runs) -> None:
    """Everybody else keeps their event, their reminder, and WPS its budget."""
    source = small(main)
    settle(main, source)
    exactly(main, source)
    before = len(main.here.log("/v7/calendars"))

    def moved(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row | ({"room": "202"} if (row["kkh"], row["jxz"]) == ("A", "2") else {}) for row in rows]

    rewrite(source, "meetings", moved)
    run = main.sync(source)
    assert run["counts"]["event"]["planned"] == 3
    touched = writes(main, before)
    assert [one["path"].rpartition("/")[2] for one in touched] == ["update"] * 3
    calendars = {one["path"].split("/")[3] for one in touched}
    readers = {one["permissions"][0]["ex_user_id"] for one in main.here.calendars() if one["id"] in calendars}
    assert readers == {"s1", "s2", "t1"}
    exactly(main, source)


def test_whoever_leaves_a_roll_loses_its_classes_and_whoever_leaves_all_their_calendar(main: Runs) -> None:
    """A calendar that nobody needs would remind a graduate of lectures for years."""
    settle(main, small(main))
    after = small(main, taken={"s1": ("B",), "s2": ("A", "C")})
    before = len(main.here.log("/v7/calendars"))
    run = main.sync(after, confirm_deletes=100)
    exactly(main, after)
    paths = Counter(one["path"].rpartition("/")[2] for one in writes(main, before))
    assert paths == {"delete": 4, "batch_create": 1}, "three classes of s1 and the calendar of s3 go, s2 gets three"
    assert run["report"]["live"] == {"calendar": 3, "event": 3 + 6 + 3}


def test_a_person_without_an_account_gets_a_calendar_as_soon_as_there_is_one(main: Runs) -> None:
    """Unmapped people are a finding, and no reason for anybody else to wait."""
    source = small(main)
    main.here.simulator.desk("people", {"people": [{"ex_user_id": "s1", "user_name": "一"}]})
    run = main.sync(source, settings={"layout": PERSONAL})
    assert (run["report"]["live"]["calendar"], run["report"]["unmapped_people"]) == (1, 3)
    settle(main, source)
    exactly(main, source)


def test_one_number_is_one_person_with_one_calendar(main: Runs) -> None:
    """Somebody who studies and teaches has one WPS account, and would look into the wrong one of two calendars."""
    source = small(main, taken={"t1": ("B",), "s2": ("A",)})
    settle(main, source)
    dump = exactly(main, source)
    (own,) = [one for one in dump["calendars"] if one["permissions"][0]["ex_user_id"] == "t1"]
    assert len(own["events"]) == 6 and own["summary"].startswith("甲")


def test_each_calendar_is_in_the_lane_of_its_persons_college_and_says_whose_it_is(main: Runs) -> None:
    """Lanes keep colleges apart; a row that does not say whose it is cannot be counted by a guard."""
    settle(main, small(main))
    with reading(main.engine) as tx:
        rows = tx.execute(select(mirror.c.source_id, mirror.c.lane).where(mirror.c.kind == "calendar")).all()
        nobody = tx.execute(select(mirror.c.target).where(mirror.c.source_id.is_(None))).all()
    assert {tuple(row) for row in rows} == {
        ("s1", "数学学院"),
        ("s2", "数学学院"),
        ("s3", "数学学院"),
        ("t1", "物理学院"),
    }
    assert nobody == []


def test_what_people_delete_in_their_own_calendar_is_found_and_comes_back(main: Runs) -> None:
    """Verify and repair know nothing of layouts, and must work in both."""
    source = small(main)
    settle(main, source)
    (own,) = [one for one in main.here.calendars() if one["permissions"][0]["ex_user_id"] == "s3"]
    wps = main.here.simulator
    wps.ok("POST", f"/v7/calendars/{own['id']}/events/{own['events'][0]['id']}/delete")
    wps.ok("POST", f"/v7/calendars/{own['id']}/permissions/{own['permissions'][0]['id']}/delete")
    time.sleep(main.deps.times.lag_ms / 1000)
    seen = main.look_at_everything("verify")
    assert seen["report"]["discrepancies"] == 2
    time.sleep(main.deps.times.lag_ms / 1000)
    main.look_at_everything("repair")
    exactly(main, source)


def test_a_layout_is_changed_only_when_somebody_says_that_the_other_may_go(main: Runs) -> None:
    """The calendars of a term, with what people have written into them, do not go for a word on a command line."""
    source = small(main)
    main.sync(source)
    with reading(main.engine) as tx:
        with pytest.raises(layout.LayoutInUse, match="3 calendars of layout course"):
            layout.may_change(tx, tenant="main", to=PERSONAL, replacing=False)
        layout.may_change(tx, tenant="main", to=COURSE, replacing=False)
        layout.may_change(tx, tenant="main", to=PERSONAL, replacing=True)
    settle(main, source)
    exactly(main, source)
    main.sync(source, settings={"layout": COURSE})
    assert checker.check(source, main.here.simulator.desk("state")) == []
    assert plan(main) == {}


def test_enrolments_that_vanish_are_asked_about_before_anybody_loses_a_class(main: Runs) -> None:
    """The sessions are all there: only the rolls say that these events go."""
    many = {f"s{n}": ("A", "B", "C") for n in range(6)}
    settle(main, small(main, taken=many))
    before = main.dump()
    left = {"s0": ("A", "B", "C"), **{f"s{n}": ("A",) for n in range(1, 6)}}
    run = main.sync(small(main, taken=left), ends="needs_confirmation")
    run = main.confirm(run["id"], ends="needs_confirmation")
    (asked,) = run["questions"][0]["questions"]
    assert (asked["guard"], asked["subject"], asked["count"], asked["of"]) == ("lane", "数学学院", 5 * 6, 6 * 9)
    assert main.dump() == before
    assert main.confirm(run["id"])["report"]["live"]["event"] == 9 + 5 * 3 + 3


def test_an_incremental_run_sends_a_moved_class_to_each_of_its_people(main: Runs) -> None:
    """Changes come in all day, and a person's calendar must not wait for the night."""
    source = small(main)
    settle(main, source)
    before = len(main.here.log("/v7/calendars"))

    def moved(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row | ({"room": "202"} if (row["kkh"], row["jxz"]) == ("B", "2") else {}) for row in rows]

    rewrite(source, "meetings", moved)
    main.sync(source, kind="incremental")
    assert [one["path"].rpartition("/")[2] for one in writes(main, before)] == ["update"]
    exactly(main, source)
