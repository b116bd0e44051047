"""Archiving a term: its work goes, what came of it stays, and nobody touches its calendars any more."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Table, func, insert, select, update

from bench.planning_world import mark_as_sent
from bootstrap.wiring import new_id
from db import archive, discrepancies, run_counts, sync_runs
from db import tasks as task_rows
from db import terms as term_rows
from db.clock import now_ms
from db.engine import in_unit, reading
from db.imports import latest_complete
from db.tables import enrolments, meetings, members, mirror, offerings, rolls, sessions, users, verifications
from db.tables import jobs as job_table
from db.tables import run_counts as counts_table
from db.tables import runs as run_table
from tests.integration.campus_rig import MONDAY, bring_in, contents, free, with_tenant, write
from tests.integration.drain_rig import World
from usecases import archive as archives
from usecases import tasks, terms
from usecases.deps import Deps
from usecases.sync import archiving, runs
from usecases.sync.planning import Planner
from usecases.terms import TermRefused

pytestmark = pytest.mark.integration

OLD, NEW = "2023-2024-2", "2024-2025-1"
COURSES = 30
WORK: dict[Table, Any] = {
    meetings: meetings.c.term, enrolments: enrolments.c.term, members: members.c.term,
    verifications: verifications.c.term,
}  # fmt: skip
STAYS = (offerings, sessions, rolls, mirror)


@pytest.fixture
def deps(here: World, tmp_path: Path) -> Iterator[Deps]:
    """Two terms of thirty courses, sent, looked at, with two runs behind them; the older one is frozen."""
    with_tenant(here.engine)
    deps = dataclasses.replace(here.deps, tenant="main")
    folder = tmp_path / "c"
    rows = [
        {**MONDAY, "kkh": f"A-{n}", "room": f"{n}", "xnxq": term, "rq": day}
        for n in range(COURSES)
        for term, day in ((OLD, "2024-03-04"), (NEW, "2024-09-02"))
    ]
    write(folder, "meetings", rows)
    people = [{"xh": "s1", "kkh": f"A-{n}", "xnxq": term} for n in range(COURSES) for term in (OLD, NEW)]
    write(folder, "enrolments", people)
    bring_in(here.engine, folder)
    in_unit(here.engine, lambda tx: tx.execute(update(users).values(wps_id=users.c.code)))
    plan_and_send(deps)
    in_unit(here.engine, _trace)
    terms.change(deps, OLD, status="frozen")
    yield deps


def plan_and_send(deps: Deps) -> None:
    planner = Planner(deps.engine, "main", deps.secret)
    with reading(deps.engine) as tx:
        number = latest_complete(tx, "main") or 0
    for _, plans in planner.pages():
        planner.put(plans, import_no=number, run_id="first", new_id=new_id, fence=free)
    mark_as_sent(deps.engine, tenant="main")


def _trace(tx: Connection) -> None:
    """What lanes, verifications and runs leave behind."""
    groups = tx.execute(select(mirror.c.term, mirror.c.target).where(mirror.c.kind == "calendar")).all()
    key = {"tenant_id": "main"}
    seen = {"verified_ms": 1, "events": 1, "strangers": 0, "members": 1, "differences": 0}
    for term, target in groups:
        member = {"group_id": target, "user_id": "s1", "role": "reader", "permission_id": "p"}
        tx.execute(insert(members).values(**key, term=term, **member))
        tx.execute(insert(verifications).values(**key, term=term, target=target, **seen))
    for run_id, ended in (("past", 1), ("recent", now_ms(tx))):
        run = {"id": run_id, "kind": "full", "scope": "{}", "state": "succeeded", "stage": "finish", "created_ms": 0}
        tx.execute(insert(run_table).values(**key, **run, finished_ms=ended))
        for lane in ("数学", "物理", "化学"):
            run_counts.add(tx, run_id=run_id, lane=lane, kind="event", planned=3, done=2, failed=1)


def carry_out(deps: Deps, run_id: str, task_id: str) -> str:
    task = tasks.claim(deps, task_id, claim=secrets.token_hex(16))
    assert task is not None
    runs.advance(deps, task)
    with reading(deps.engine) as tx:
        row = sync_runs.get(tx, run_id, tenant=deps.tenant)
        assert row is not None
        return str(row.state)


def of_term(engine: Engine, term: str) -> dict[str, int]:
    """How many rows of work there are of a term, by table."""
    with reading(engine) as tx:
        found = {
            table.name: int(tx.execute(select(func.count()).select_from(table).where(column == term)).scalar_one())
            for table, column in WORK.items()
        }
        mine = select(func.count()).select_from(job_table).where(job_table.c.term == term)
        return {**found, "jobs": int(tx.execute(mine).scalar_one())}


def archived(deps: Deps) -> dict[str, Any]:
    run_id, task_id = archives.begin(deps, OLD)
    assert carry_out(deps, run_id, task_id) == "succeeded"
    return terms.one(deps, OLD)


def test_an_archive_removes_the_work_of_its_term_and_leaves_the_outcome(deps: Deps) -> None:
    """In ten years somebody asks who sat in that course; and until then every night is as quick as in the first."""
    before = [contents(deps.engine, table, but=set()) for table in STAYS]
    newer = of_term(deps.engine, NEW)
    found = archived(deps)
    assert of_term(deps.engine, OLD) == dict.fromkeys(newer, 0)
    assert of_term(deps.engine, NEW) == newer
    assert [contents(deps.engine, table, but=set()) for table in STAYS] == before
    assert (found["status"], found["offerings"], found["sessions"]) == ("archived", COURSES, COURSES)
    assert found["archived_ms"] is not None
    assert found["removed"] == {
        "staging": 2 * COURSES, "history": 3 * COURSES, "rosters": 2 * COURSES, "counters": 2,
    }  # fmt: skip


def test_counters_of_runs_long_over_become_one_row_and_keep_their_sums(deps: Deps) -> None:
    """A run of five years ago still says how much it did; runs of this term keep the counters of each lane."""
    with reading(deps.engine) as tx:
        before = {run: run_counts.totals(tx, run_id=run) for run in ("past", "recent")}
    archived(deps)
    with reading(deps.engine) as tx:
        assert {run: run_counts.totals(tx, run_id=run) for run in ("past", "recent")} == before
        lanes = tx.execute(select(counts_table.c.run_id, counts_table.c.lane)).all()
    assert sorted(lane for run, lane in lanes if run == "past") == ["*"]
    assert sorted(lane for run, lane in lanes if run == "recent") == ["化学", "数学", "物理"]
    in_unit(deps.engine, lambda tx: run_counts.add(tx, run_id="past", lane="数学", kind="event", superseded=1))
    with reading(deps.engine) as tx:
        assert run_counts.totals(tx, run_id="past")["event"]["superseded"] == 1


def test_planner_and_verification_leave_an_archived_term_alone(deps: Deps, tmp_path: Path) -> None:
    """A course that goes from the source, or a person without account, must not delete calendars of five years ago."""
    archived(deps)
    in_unit(deps.engine, lambda tx: tx.execute(update(sessions).values(event_hash=None, rooms="[]")))
    in_unit(deps.engine, lambda tx: tx.execute(offerings.delete().where(offerings.c.id.in_(_ids(tx)))))
    planned = {plan.term for _, plans in Planner(deps.engine, "main", deps.secret).pages() for plan in plans}
    assert planned == {NEW}
    with reading(deps.engine) as tx:
        page = discrepancies.calendars_after(tx, tenant="main", term="", target="", limit=1000)
        longest = discrepancies.longest_unseen(tx, tenant="main", limit=1000)
    assert {one.term for one in page} == {one.term for one in longest} == {NEW}


def _ids(tx: Connection) -> list[str]:
    """A course of each term."""
    return [
        str(tx.execute(select(offerings.c.id).where(offerings.c.term == term).limit(1)).scalar_one())
        for term in (OLD, NEW)
    ]


def test_an_archive_that_dies_anywhere_goes_on_where_it_was(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes minutes on a real term, and deployments do not wait."""

    class Killed(BaseException):
        """The end of the process."""

    for name, few in (("remove_staging", 7), ("remove_history", 11), ("remove_members", 7), ("fold_counts", 1)):
        whole = getattr(archive, name)
        step = next(step for step, does in archiving._REMOVE.items() if does is whole)
        monkeypatch.setitem(
            archiving._REMOVE, step, lambda tx, whole=whole, few=few, **asked: whole(tx, **asked, limit=few)
        )
    pages = 0
    page = archiving._page

    def dying(*given: Any) -> Any:
        nonlocal pages
        pages += 1
        done = page(*given)
        if pages % 3 == 0:
            raise Killed
        return done

    monkeypatch.setattr(archiving, "_page", dying)
    run_id, task_id = archives.begin(deps, OLD)
    for _ in range(200):
        task = tasks.claim(deps, task_id, claim=secrets.token_hex(16))
        assert task is not None
        try:
            runs.advance(deps, task)
            break
        except Killed:
            due = update(job_table).where(job_table.c.id == task_id).values(run_at=0, attempts=0)
            in_unit(deps.engine, lambda tx, due=due: tx.execute(due))  # type: ignore[misc]
    assert pages > 30
    found = terms.one(deps, OLD)
    assert found["removed"] == {
        "staging": 2 * COURSES, "history": 3 * COURSES, "rosters": 2 * COURSES, "counters": 2,
    }  # fmt: skip
    assert set(of_term(deps.engine, OLD).values()) == {0}
    with reading(deps.engine) as tx:
        assert sync_runs.get(tx, run_id, tenant=deps.tenant).state == "succeeded"  # type: ignore[union-attr]


def test_a_worker_that_lost_the_archive_removes_nothing_more(deps: Deps) -> None:
    """Two workers on one archive would both be right, until the first of them belongs to yesterday's version."""
    run_id, task_id = archives.begin(deps, OLD)
    task = tasks.claim(deps, task_id, claim="mine")
    assert task is not None
    other = update(job_table).where(job_table.c.id == task_id).values(claim="somebody else's")
    in_unit(deps.engine, lambda tx: tx.execute(other))
    with pytest.raises(task_rows.ClaimLost):
        runs.advance(deps, task)
    assert of_term(deps.engine, OLD)["jobs"] == 3 * COURSES
    assert run_id


def test_what_was_archived_stays_so(deps: Deps, tmp_path: Path) -> None:
    """Without its members a term that was opened again would be given all its readers a second time."""
    archived(deps)
    for status in ("open", "frozen"):
        with pytest.raises(TermRefused, match="removed"):
            terms.change(deps, OLD, status=status)
    with pytest.raises(TermRefused, match="archived already"):
        archives.begin(deps, OLD)
    write(tmp_path / "c", "meetings", [{**MONDAY, "xnxq": OLD, "kkh": "A-0", "rq": "2024-03-04", "room": "999"}])
    write(tmp_path / "c", "terms", [{"xnxq": OLD, "status": "open"}])
    report = bring_in(deps.engine, tmp_path / "c", run_id="again")
    assert report.held == {"frozen_term": 1}
    found = terms.one(deps, OLD)
    assert (found["status"], found["sessions"], found["missing"]) == ("archived", COURSES, [])
    with reading(deps.engine) as tx:
        assert term_rows.get(tx, tenant="main", term=OLD).archived_ms is not None  # type: ignore[union-attr]
