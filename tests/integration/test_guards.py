"""Bad input changes nothing: neither WPS nor, where rows are missing, the sessions. A person says whether it was meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from db import imports as import_rows
from db import schedules as schedule_rows
from db.engine import in_unit, reading
from db.sync_runs import RunActive
from db.tables import discrepancies, imports, jobs, mirror, offerings, sessions
from db.tables import terms as term_table
from domain.runs import Command
from domain.scopes import Scope
from tests.integration.campus_rig import TERM, count
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Rows, Runs, course, runs_of
from tests.integration.verify_rig import Term
from usecases import schedules, tasks
from usecases.sync import run_commands
from usecases.sync.run_commands import Refused
from usecases.sync.stages import plan as plan_stage
from usecases.sync.stages.table import STAGES, STEPS

pytestmark = pytest.mark.integration


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    """A tenant whose term has been synced once: 60 classes of mathematics, 40 of physics."""
    with runs_of(here, tmp_path) as made:
        yield made


def term(main: Runs, *, maths: int = 3, physics: int = 2) -> Path:
    courses = [course(f"M{number}") for number in range(maths)]
    courses += [course(f"P{number}", "物理学院") for number in range(physics)]
    return main.source(*courses)


def guards(run: dict[str, object]) -> list[tuple[str, str, int, int]]:
    """(guard, subject, count, of) of what the run asks now."""
    asked = run["questions"]
    assert isinstance(asked, list) and asked[0]["state"] == "open"
    return [(one["guard"], one["subject"], one["count"], one["of"]) for one in asked[0]["questions"]]


# --- rows


@pytest.mark.parametrize("left", [0, 13])
def test_a_source_that_lost_its_rows_changes_neither_wps_nor_the_sessions(main: Runs, left: int) -> None:
    """An export that broke off would otherwise delete the classes of everybody who comes after the break."""
    main.sync(term(main))
    before, sessions = main.dump(), main.sessions()
    broken = main.source(course("M0", weeks=range(1, left + 1)))
    run = main.sync(broken, ends="needs_confirmation")
    assert guards(run) == [("rows", "meetings", 100 - left, 100)]
    shown = run["questions"][0]
    assert {(one["lane"], one["before"], one["now"]) for one in shown["lanes"]} == {
        ("数学学院", 60, left),
        ("物理学院", 40, 0),
    }
    assert 0 < len(shown["sample"]) <= 20 and shown["sample"][0]["course"].startswith("课")
    assert (main.dump(), main.sessions()) == (before, sessions)
    with reading(main.engine) as tx:
        assert import_rows.latest_complete(tx, "main") == 1
    assert main.drop(run["id"])["error"] == "a person dropped what it asked"
    assert (main.dump(), main.sessions()) == (before, sessions)
    assert count(main.engine, imports, imports.c.import_no == 2, imports.c.state == "failed") == 1
    # The next hour reads the same broken source, and asks again.
    again = main.sync(broken, ends="needs_confirmation", trigger="schedule")
    assert guards(again) == guards(run)


def test_enrolments_that_are_gone_are_asked_about_too(main: Runs) -> None:
    """Without them every calendar would lose its readers, and no class would have changed."""
    people = [{"xh": f"s{number}", "kkh": "M0", "xnxq": TERM} for number in range(10)]
    folder = main.source(course("M0"), enrolments=people)
    main.sync(folder)
    main.source(course("M0"), enrolments=people[:7])
    assert guards(main.sync(folder, ends="needs_confirmation")) == [("rows", "enrolments", 3, 10)]


def test_a_smaller_source_goes_through_when_it_is_confirmed(main: Runs) -> None:
    """It may be meant: a person says so once, and the import that was read is the one that counts."""
    main.sync(term(main))
    folder = term(main, physics=0)
    run = main.sync(folder, ends="needs_confirmation")
    (folder / "meetings.csv").unlink()  # what was confirmed was read already
    run = main.confirm(run["id"], ends="needs_confirmation")
    assert guards(run) == [("college", "物理学院", 40, 40)]
    main.confirm(run["id"])
    assert (main.live(), main.sessions()) == (60, 60)


def test_fewer_rows_below_the_limit_are_no_question(main: Runs) -> None:
    """A guard that cries at each change is confirmed unread."""
    main.sync(term(main))
    main.sync(
        main.source(
            *[course(f"M{n}", weeks=range(1, 18)) for n in range(3)], *[course(f"P{n}", "物理学院") for n in range(2)]
        )
    )
    assert main.live() == 91


def test_the_first_import_asks_nothing(main: Runs) -> None:
    """There is nothing to compare with, and nothing to lose."""
    run = main.sync(term(main))
    assert run["questions"] == []


# --- deletes


def renumbered(rows: Rows) -> Rows:
    """The same hours under other weeks: other classes."""
    return [{**row, "jxz": str(int(row["jxz"]) + 30)} for row in rows]


def changed_days(main: Runs) -> Path:
    """21 of the 60 classes of mathematics become others: as many rows as before."""
    last = course("M1")
    last[0]["jxz"] = "60"
    return main.source(renumbered(course("M0")), last, course("M2"), *[course(f"P{n}", "物理学院") for n in range(2)])


def test_many_deletes_in_a_lane_wait_for_a_person(main: Runs) -> None:
    """Renumbered weeks look like other classes: that many should not vanish from people's calendars unseen."""
    main.sync(term(main))
    before = main.dump()
    folder = changed_days(main)
    run = main.sync(folder, ends="needs_confirmation")
    assert guards(run) == [("lane", "数学学院", 21, 60)]
    shown = run["questions"][0]
    assert shown["lanes"] == [{"lane": "数学学院", "live": 60, "going": 21}]
    assert len(shown["sample"]) == 20
    assert {one["course"] for one in shown["sample"]} == {"课M0", "课M1"} and all(
        one["place"] for one in shown["sample"]
    )
    assert main.dump() == before and not main.lane_jobs("queued", "paused", "blocked")
    dropped = main.drop(run["id"])
    assert dropped["state"] == "cancelled" and main.dump() == before
    again = main.sync(folder, ends="needs_confirmation", trigger="schedule")
    assert guards(again) == guards(run) and main.dump() == before
    ended = main.confirm(again["id"])
    assert ended["questions"][0]["answered_by"] == "a person" and main.live() == 100 and main.dump() != before


def test_a_run_over_a_part_is_asked_about_its_own_deletes_only(main: Runs) -> None:
    """Physics cannot answer for what mathematics loses, and its own run deletes none of that."""
    main.sync(term(main))
    folder = changed_days(main)
    main.sync(folder, only=Scope(colleges=("物理学院",)))
    run = main.sync(folder, only=Scope(courses=(("M0", ""), ("M1", ""))), ends="needs_confirmation")
    assert guards(run) == [("lane", "数学学院", 21, 60)] and len(run["questions"][0]["sample"]) == 20


def test_a_change_of_the_same_class_is_no_delete(main: Runs) -> None:
    """A building that closes moves a whole college to other rooms in one night, and nothing is lost."""
    main.sync(term(main))
    rooms = [course(f"M{n}", room="202") for n in range(3)] + [
        course(f"P{n}", "物理学院", room="202") for n in range(2)
    ]
    assert main.sync(main.source(*rooms))["questions"] == []


def test_more_than_five_hundred_deletes_are_asked_about_as_a_whole(main: Runs) -> None:
    """Spread over many lanes, no lane of which loses much: the weeks of one course of each were renumbered."""
    colleges = [f"学院{number:02d}" for number in range(26)]
    kept = [course(f"K{number}", name, weeks=[1]) for number, name in enumerate(colleges)]
    main.sync(main.source(*kept, *[course(f"C{number}", name) for number, name in enumerate(colleges)]))
    before = main.dump()
    moved = [renumbered(course(f"C{number}", name)) for number, name in enumerate(colleges)]
    run = main.sync(main.source(*kept, *moved), ends="needs_confirmation")
    assert guards(run) == [("run", "", 520, 546)]
    assert main.dump() == before


def test_a_college_that_goes_to_nothing_is_asked_about_however_small_it_is(main: Runs) -> None:
    """Its code changed in the registry, or its export failed: either way a person should look."""
    main.sync(main.source(course("M0"), course("M1"), course("S0", "体育部", weeks=[1, 2])))
    before = main.dump()
    run = main.sync(main.source(course("M0"), course("M1")), ends="needs_confirmation")
    assert guards(run) == [("college", "体育部", 2, 2)]
    assert main.dump() == before
    main.confirm(run["id"])
    assert main.live() == 40


@pytest.mark.parametrize("status", ["frozen", "archived"])
def test_closed_terms_do_not_make_the_budget_larger(main: Runs, status: str) -> None:
    """Two per cent of ten old terms would be a whole course of this one."""
    main.sync(term(main))
    in_unit(main.engine, lambda tx: an_old_term(tx, status, classes=1_200))
    before = main.dump()
    run = main.sync(changed_days(main), ends="needs_confirmation")
    assert guards(run) == [("lane", "数学学院", 21, 60)]
    assert main.dump() == before


def an_old_term(tx: Connection, status: str, *, classes: int) -> None:
    """Classes of mathematics in another term, as they were sent when it was open."""
    key = {"tenant_id": "main", "term": "2023-2024-1"}
    tx.execute(
        term_table.insert(),
        [{"tenant_id": "main", "xnxq": key["term"], "weeks": 18, "status": status, "exchange": "{}"}],
    )
    session = {
        "offering_id": "old", "jc_s": "1", "date": "2023-09-04", "start_ms": 0, "end_ms": 1, "rooms": "[]",
        "teachers": "[]", "source_rows": 1, "import_no": 1,
    }  # fmt: skip
    event = {
        "kind": "event", "group_id": "cal:old", "lane": "数学学院", "state": "live", "generation": 0, "sent_hash": "",
        "import_no": 1, "list_max": 100, "parked_until": 0,
    }  # fmt: skip
    tx.execute(sessions.insert(), [{**key, **session, "id": f"old{number}"} for number in range(classes)])
    tx.execute(mirror.insert(), [{**key, **event, "target": f"evt:old{number}"} for number in range(classes)])


def test_an_answer_counts_only_for_the_numbers_it_was_shown(main: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the answer and the puts the plan may have grown: nobody has agreed to that."""
    main.sync(term(main))
    run = main.sync(changed_days(main), ends="needs_confirmation")
    before = main.dump()
    main.tell(run["id"], Command.CONFIRM)

    def one_more_goes(tx: object) -> None:
        maths = select(offerings.c.id).where(offerings.c.kkh == "M1")
        where = (sessions.c.jxz == 5, sessions.c.offering_id.in_(maths))
        row = tx.execute(sessions.select().where(*where).limit(1)).one()  # type: ignore[attr-defined]
        tx.execute(sessions.delete().where(sessions.c.id == row.id))  # type: ignore[attr-defined]

    in_unit(main.engine, one_more_goes)
    again = main.go_on(run["id"], ends="needs_confirmation")
    assert [one["state"] for one in again["questions"]] == ["open", "confirmed"]
    assert main.dump() == before


def test_deletes_allowed_beforehand_are_not_asked_about_up_to_that_number(main: Runs) -> None:
    """A person who reads the change sets first should not have to wait for the question."""
    main.sync(term(main))
    folder = changed_days(main)
    run = main.sync(folder, ends="needs_confirmation", confirm_deletes=20)
    assert guards(run) == [("lane", "数学学院", 21, 60)]
    assert main.sync(folder, confirm_deletes=21)["questions"] == []


# --- what happens meanwhile


def test_a_new_run_by_a_person_replaces_the_one_that_asks_and_a_scheduled_one_does_not(main: Runs) -> None:
    """Whoever mended the source must not have to look up which run to drop; an hourly slot must not answer for a person."""
    main.sync(term(main))
    run = main.sync(main.source(course("M0")), ends="needs_confirmation")
    mended = term(main)
    with pytest.raises(RunActive, match="waits for a person's answer"):
        main.begin(mended, trigger="schedule")
    new = main.sync(mended)
    assert new["scope"]["replaces"] == run["id"]
    old = main.look(run["id"])
    assert (old["state"], old["error"]) == ("cancelled", f"replaced by run {new['id']}")
    assert old["questions"][0]["state"] == "dropped"
    with pytest.raises(Refused, match="it has ended: cancelled"):
        main.tell(run["id"], Command.CONFIRM)


@pytest.mark.parametrize("policy", ["run_once", "each"])
def test_slots_do_not_pile_up_behind_a_run_that_asks(main: Runs, policy: str) -> None:
    """It may wait over a weekend: on Monday nobody wants sixty runs one after the other."""
    main.sync(term(main))
    waiting = main.sync(main.source(course("M0")), ends="needs_confirmation")
    noon, hour = 1_725_249_600_000, 3_600_000

    def begin(tx: Connection) -> None:
        schedules.seed(tx, tenant="main")
        schedule_rows.change(tx, tenant="main", name=schedules.NAME, since_ms=noon, policy=policy)

    in_unit(main.engine, begin)
    assert schedules.tick(main.deps, ran_by="test", now_ms=noon + 2 * hour) == (1 if policy == "run_once" else 2)
    with reading(main.engine) as tx:
        of_slots = (jobs.c.kind == schedules.KIND, jobs.c.state == "queued")
        asked = list(tx.execute(select(jobs.c.id).where(*of_slots)).scalars())
    for job_id in asked:
        task = tasks.claim(main.deps, job_id, claim=main.deps.new_id())
        assert task is not None
        schedules.act(main.deps, task)
    slots = schedules.one(main.deps, schedules.NAME, limit=10)["slots"]
    assert {one["state"] for one in slots} == {"skipped"}
    assert slots[0]["reason"] == f"run {waiting['id']} (full) waits for a person's answer"
    assert main.look(waiting["id"])["state"] == "needs_confirmation"


def test_a_run_that_only_imports_asks_as_well(main: Runs) -> None:
    """`obsync import` changes the sessions that the next plan compares with."""
    main.sync(term(main))
    sessions = main.sessions()
    run = main.sync(main.source(course("M0")), kind="import", ends="needs_confirmation")
    assert main.sessions() == sessions
    main.confirm(run["id"])
    assert main.sessions() == 20


# --- repairs


def test_a_repair_of_much_at_once_waits_for_a_person(here: World) -> None:
    """A look that went wrong for a whole college would build it twice."""
    term_ = Term(here)
    term_.imported()
    term_.course("c1", days=22)
    term_.sync()
    before = here.the_calendar()
    term_.deletes("c1")
    term_.verify()
    run = term_.repair(ends="needs_confirmation")
    assert guards(run) == [("repair", "数学", 22, 22)]
    assert here.calendars() == [] and before["events"]
    with reading(here.engine) as tx:
        assert tx.execute(discrepancies.select()).one().state == "open"
    run_commands.tell(here.deps, run["id"], Command.CONFIRM, actor="a person")
    assert term_.go_on(run["id"])["state"] == "succeeded"
    assert len(here.say("c1")) == 22


def test_the_guard_comes_before_the_first_put() -> None:
    """Whoever adds a stage that puts has to put it behind the guard."""
    steps = [step for _, step in STAGES["full"]]
    assert steps.index("guard") < steps.index("plan") and STEPS["plan"] is plan_stage.put_operations
