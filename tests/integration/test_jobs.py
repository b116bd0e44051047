"""The table of work: what a put does to what is there, and how tasks are claimed, kept and finished."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from bootstrap.wiring import new_id
from db import closing, failure_lists, jobs, run_counts, tasks
from db.clock import db_now_ms
from db.engine import in_unit, reading, unit
from db.failure_lists import EVERYTHING
from db.jobs import Put
from db.tables import AnyRow, mirror
from db.tables import jobs as table
from db.tasks import ClaimLost, Task

pytestmark = pytest.mark.integration

TENANT, TERM, LANE = "t1", "2024-2025-1", "数学"


def wanted(target: str = "evt:1", hash_: str = "h1", *, kind: str = "event", group: str = "cal:1") -> Put:
    return Put(kind, target, group, TERM, LANE, json.dumps({"says": hash_}), hash_, 0, 2, marker=target)


CALENDAR = wanted("cal:1", "name", kind="calendar")


def put(engine: Engine, *puts: Put, import_no: int = 1, run_id: str | None = "r1") -> int:
    return in_unit(
        engine, lambda tx: jobs.put(tx, puts, tenant=TENANT, import_no=import_no, run_id=run_id, new_id=new_id)
    )


def row_of(engine: Engine, target: str = "evt:1") -> AnyRow:
    with reading(engine) as tx:
        return tx.execute(select(table).where(table.c.target == target).order_by(table.c.id.desc())).first()  # type: ignore[return-value]


def states(engine: Engine, target: str = "evt:1") -> list[str]:
    with reading(engine) as tx:
        return list(tx.execute(select(table.c.state).where(table.c.target == target).order_by(table.c.id)).scalars())


def dead(engine: Engine) -> list[str]:
    with reading(engine) as tx:
        rows = failure_lists.page(tx, tenant=TENANT, which=EVERYTHING, after=None, limit=10)
        return [row.target for row in rows]


def counts(engine: Engine, run_id: str, kind: str = "event") -> dict[str, int]:
    with reading(engine) as tx:
        return {name: n for name, n in run_counts.totals(tx, run_id=run_id).get(kind, {}).items() if n}


def test_a_put_over_a_queued_row_replaces_what_it_asks_for(database: Engine) -> None:
    """A lane's job is a desired state: two wishes for one event are one call, for the later wish."""
    put(database, wanted())
    in_unit(database, lambda tx: jobs.change_attempts(tx, tenant=TENANT, job_ids=[row_of(database).id], by=3))
    in_unit(
        database,
        lambda tx: jobs.retry_later(
            tx, tenant=TENANT, job_ids=[row_of(database).id], wait_ms=60_000, code="x", message="later"
        ),
    )
    first = row_of(database)
    put(database, wanted(hash_="h2"))
    second = row_of(database)
    assert states(database) == ["queued"]
    assert (second.id, second.rev, second.attempts) == (first.id, 2, 0)
    assert second.run_at < first.run_at
    assert json.loads(second.payload) == {"says": "h2"}
    assert (second.error_code, second.last_error) == (None, None)


def test_a_put_of_the_same_leaves_back_off_and_attempts_alone(database: Engine) -> None:
    """Otherwise an hourly run would try a failing event for ever, and at once each time."""
    put(database, wanted())
    in_unit(database, lambda tx: jobs.change_attempts(tx, tenant=TENANT, job_ids=[row_of(database).id], by=3))
    in_unit(
        database,
        lambda tx: jobs.retry_later(
            tx, tenant=TENANT, job_ids=[row_of(database).id], wait_ms=60_000, code="x", message="later"
        ),
    )
    before = row_of(database)
    put(database, wanted(), import_no=2, run_id="r2")
    after = row_of(database)
    assert (after.rev, after.attempts, after.run_at) == (before.rev, 3, before.run_at)
    assert (after.run_id, after.import_no) == ("r2", 2)


def test_an_older_import_changes_nothing_and_an_equal_one_goes_on(database: Engine) -> None:
    """Two imports may be planned in the wrong order; repair and requeue use the number of the last one."""
    assert put(database, wanted(hash_="new"), import_no=7) == 1
    assert put(database, wanted(hash_="old"), import_no=6) == 0
    assert row_of(database).desired_hash == "new"
    assert put(database, wanted(hash_="repaired"), import_no=7) == 1
    assert row_of(database).desired_hash == "repaired"


def test_an_older_import_is_refused_after_the_newer_job_is_done(database: Engine) -> None:
    """The number lives on the mirror, not on the job, which is gone when the late one comes."""
    put(database, wanted(hash_="new"), import_no=7)
    assert in_unit(database, lambda tx: jobs.close(tx, [(row_of(database).id, 1)], tenant=TENANT)) == {
        row_of(database).id
    }
    assert put(database, wanted(hash_="old"), import_no=6) == 0
    assert states(database) == ["done"]


def test_overwriting_another_runs_row_counts_as_superseded_for_it(database: Engine) -> None:
    """Both runs must come to an end with figures that add up."""
    put(database, wanted("evt:1"), wanted("evt:2"), run_id="r1")
    put(database, wanted("evt:1", "h2"), import_no=2, run_id="r2")
    assert counts(database, "r1") == {"planned": 2, "superseded": 1}
    assert counts(database, "r2") == {"planned": 1}
    put(database, wanted("evt:1", "h3"), import_no=2, run_id="r2")
    assert counts(database, "r2") == {"planned": 1}, "its own row is planned once"


def test_a_new_wish_for_a_dead_target_supersedes_the_dead_letter(database: Engine) -> None:
    """What failed in one run is tried again in the next, and is no longer for a person to look at."""
    put(database, wanted())
    job = row_of(database)
    assert in_unit(
        database, lambda tx: jobs.bury(tx, tenant=TENANT, job_id=job.id, rev=1, code="bad_request", message="no")
    )
    assert dead(database) == ["evt:1"]
    put(database, wanted(), import_no=2)
    assert states(database) == ["superseded", "queued"]
    assert dead(database) == []


def test_requeueing_twice_is_once(database: Engine) -> None:
    """Two administrators press the same button."""
    put(database, wanted())
    in_unit(
        database, lambda tx: jobs.bury(tx, tenant=TENANT, job_id=row_of(database).id, rev=1, code="x", message="no")
    )
    put(database, wanted())
    put(database, wanted())
    assert states(database) == ["superseded", "queued"]


def test_a_job_closes_only_at_the_rev_that_was_sent(database: Engine) -> None:
    """Whoever put it again while the call was in flight must be served too."""
    put(database, wanted("evt:1"), wanted("evt:2"))
    one, two = row_of(database, "evt:1"), row_of(database, "evt:2")
    put(database, wanted("evt:1", "h2"), import_no=2)
    assert in_unit(database, lambda tx: jobs.close(tx, [(one.id, 1), (two.id, 1)], tenant=TENANT)) == {two.id}
    assert states(database, "evt:1") == ["queued"]
    assert states(database, "evt:2") == ["done"]
    assert not in_unit(database, lambda tx: jobs.bury(tx, tenant=TENANT, job_id=one.id, rev=1, code="x", message="no"))
    assert in_unit(database, lambda tx: jobs.close(tx, [(one.id, 2)], tenant=TENANT)) == {one.id}


def test_what_waits_for_a_dead_calendar_is_blocked_and_comes_back_with_it(database: Engine) -> None:
    """A run must not wait for events that cannot be sent, and nobody should have to requeue them one by one."""
    put(database, CALENDAR, wanted("evt:1"), wanted("evt:2"))
    put(database, wanted("evt:3", group="cal:2"))
    job = row_of(database, "cal:1")
    in_unit(database, lambda tx: _die(tx, job))
    assert [states(database, f"evt:{n}") for n in (1, 2, 3)] == [["blocked"], ["blocked"], ["queued"]]
    assert counts(database, "r1") == {"planned": 3, "failed": 2}
    assert counts(database, "r1", "calendar") == {"planned": 1, "failed": 1}
    assert in_unit(database, lambda tx: jobs.any_open(tx, tenant=TENANT, run_id="r1", kind="event"))
    assert not in_unit(database, lambda tx: jobs.any_open(tx, tenant=TENANT, run_id="r1", kind="calendar"))
    put(database, CALENDAR, import_no=2, run_id="r2")
    assert [states(database, f"evt:{n}") for n in (1, 2)] == [["queued"], ["queued"]]


def test_a_blocked_target_keeps_its_place(database: Engine) -> None:
    """Put again while it is blocked, it is one job, not two."""
    put(database, CALENDAR, wanted("evt:1"))
    in_unit(database, lambda tx: _die(tx, row_of(database, "cal:1")))
    put(database, CALENDAR, wanted("evt:1", "h2"), import_no=2, run_id="r2")
    assert states(database) == ["queued"]
    assert row_of(database).desired_hash == "h2"
    assert counts(database, "r1") == {"planned": 1, "failed": 1}, "it was counted as failed, so not as superseded too"


def test_what_comes_late_under_a_dead_calendar_waits_with_it(database: Engine) -> None:
    """A slow run puts its events when a newer one's calendar has died: nobody would send them, and it would not end."""
    put(database, CALENDAR, import_no=2, run_id="r2")
    in_unit(database, lambda tx: _die(tx, row_of(database, "cal:1")))
    put(database, CALENDAR, wanted("evt:1"), wanted("evt:2", group="cal:2"), import_no=1, run_id="r1")
    assert [states(database, f"evt:{n}") for n in (1, 2)] == [["blocked"], ["queued"]]
    assert counts(database, "r1") == {"planned": 2, "failed": 1}
    put(database, CALENDAR, import_no=3, run_id="r3")
    assert states(database) == ["queued"]
    assert counts(database, "r1") == {"planned": 2}


def test_what_is_put_under_a_calendar_that_is_there_does_not_wait_for_its_rename(database: Engine) -> None:
    """The calendar is a dead letter for its new name alone."""
    put(database, CALENDAR)
    with unit(database) as tx:
        tx.execute(update(mirror).where(mirror.c.target == "cal:1").values(state="live", remote_id="c1"))
    in_unit(database, lambda tx: _die(tx, row_of(database, "cal:1")))
    put(database, wanted("evt:1"), run_id="r2")
    assert states(database) == ["queued"]


def _die(tx: Any, job: AnyRow) -> None:
    assert jobs.bury(tx, tenant=TENANT, job_id=job.id, rev=job.rev, code="x", message="no")
    failed = jobs.block_group(tx, tenant=TENANT, group_id=job.group_id)
    closing.count(tx, [(job.run_id, job.lane, job.kind), *failed], field="failed")


def test_an_attempt_given_back_never_goes_below_none(database: Engine) -> None:
    """The job may have been replaced, and set to none, while its call was in flight."""
    put(database, wanted())
    in_unit(database, lambda tx: jobs.change_attempts(tx, tenant=TENANT, job_ids=[row_of(database).id], by=-1))
    assert row_of(database).attempts == 0


def test_a_put_leaves_intent_and_settlement_wait_alone(database: Engine) -> None:
    """A new wish must not shorten the wait after a call in doubt."""
    put(database, wanted())
    with unit(database) as tx:
        tx.execute(update(mirror).values(intent_verb="create", intent_ms=5, intent_rev=1, settle_at=10**15))
    put(database, wanted(hash_="h2"), import_no=2)
    with reading(database) as tx:
        row = tx.execute(select(mirror)).one()
    assert (row.intent_verb, row.settle_at) == ("create", 10**15)


def test_many_writers_of_one_target_leave_one_open_row(database: Engine) -> None:
    """Runs, repair and requeue may all want the same event in the same moment."""

    def one(number: int) -> None:
        put(database, *(wanted(f"evt:{n}", f"h{number}") for n in range(3)), run_id=f"r{number}")

    race([partial(one, n) for n in range(10)])
    for n in range(3):
        assert states(database, f"evt:{n}") == ["queued"]
    planned = sum(counts(database, f"r{n}").get("planned", 0) for n in range(10))
    superseded = sum(counts(database, f"r{n}").get("superseded", 0) for n in range(10))
    assert (planned, superseded) == (30, 27)


def race(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run everything at the same moment and return what came out."""
    start = Barrier(len(work))

    def run(one: Callable[[], Any]) -> Any:
        start.wait(timeout=20)
        return one()

    with ThreadPoolExecutor(max_workers=len(work)) as pool:
        return [future.result() for future in [pool.submit(run, one) for one in work]]


# --- tasks of queues


def ask(engine: Engine, target: str = "run:1", payload: str = "{}") -> str:
    return in_unit(
        engine,
        lambda tx: tasks.put_task(
            tx, tenant=TENANT, queue="sync", kind="sync", target=target, payload=payload, run_id=None, new_id=new_id
        ),
    )


def claim(engine: Engine, job_id: str, *, visibility_ms: int = 60_000, name: str | None = None) -> Task | None:
    return in_unit(
        engine,
        lambda tx: tasks.claim_task(
            tx, tenant=TENANT, job_id=job_id, claim=name or new_id(), visibility_ms=visibility_ms, max_attempts=3
        ),
    )


def test_one_of_fifty_threads_gets_the_task(database: Engine) -> None:
    """Doorbells are rung twice and delivered twice; work is done once."""
    job_id = ask(database)
    found = race([lambda: claim(database, job_id)] * 50)
    (mine,) = [one for one in found if one is not None]
    assert row_of(database, "run:1").claim == mine.claim
    assert row_of(database, "run:1").attempts == 1


def test_many_askers_of_one_task_make_one_row(database: Engine) -> None:
    """Two schedulers tick in the same moment."""
    race([lambda: ask(database, "warms the connections up")] * 6)
    for n in range(5):
        assert len(set(race([partial(ask, database, f"run:{n}")] * 6))) == 1
        assert row_of(database, f"run:{n}").rev == 6


def test_a_task_that_is_not_finished_in_time_is_claimed_by_another_and_fenced(database: Engine) -> None:
    """The frozen worker wakes up and must not write any more."""
    job_id = ask(database)
    first = claim(database, job_id, visibility_ms=-1)
    second = claim(database, job_id)
    assert first is not None
    assert second is not None
    with pytest.raises(ClaimLost), unit(database) as tx:
        tasks.keep_task(tx, first, visibility_ms=1000)
    in_unit(database, lambda tx: tasks.finish_task(tx, first))
    in_unit(database, lambda tx: tasks.defer_task(tx, first, wait_ms=0))
    assert (states(database, "run:1"), row_of(database, "run:1").claim) == (["queued"], second.claim)
    in_unit(database, lambda tx: tasks.keep_task(tx, second, visibility_ms=1000))
    in_unit(database, lambda tx: tasks.finish_task(tx, second))
    assert states(database, "run:1") == ["done"]
    with pytest.raises(ClaimLost), unit(database) as tx:
        tasks.keep_task(tx, second, visibility_ms=1000)


def test_a_claimed_task_is_not_due_until_its_time_is_over(database: Engine) -> None:
    """The heartbeat prolongs it; a dead worker's task comes back by itself."""
    job_id = ask(database)
    assert in_unit(database, tasks.due_tasks) == [(job_id, "sync")]
    task = claim(database, job_id)
    assert task is not None
    assert in_unit(database, tasks.due_tasks) == []
    assert claim(database, job_id) is None
    in_unit(database, lambda tx: tasks.keep_task(tx, task, visibility_ms=-1))
    assert in_unit(database, tasks.due_tasks) == [(job_id, "sync")]


def test_a_task_asked_for_again_while_it_runs_stays_queued_and_due(database: Engine) -> None:
    """Whatever made somebody ask came after the worker had looked."""
    job_id = ask(database)
    task = claim(database, job_id)
    assert task is not None
    assert ask(database, payload='{"more": 1}') == job_id
    in_unit(database, lambda tx: tasks.finish_task(tx, task))
    row = row_of(database, "run:1")
    assert (row.state, row.attempts, row.claim, row.payload) == ("queued", 0, None, '{"more": 1}')
    assert in_unit(database, tasks.due_tasks) == [(job_id, "sync")]


def test_a_task_that_kills_its_workers_ends_as_a_dead_letter(database: Engine) -> None:
    """Attempts are counted before the work, so that crashes count."""
    job_id = ask(database)
    for _ in range(3):
        assert claim(database, job_id, visibility_ms=-1) is not None
    assert claim(database, job_id, visibility_ms=-1) is None
    row = row_of(database, "run:1")
    assert (row.state, row.open_key) == ("dead", None)
    assert row.finished_ms is not None
    assert in_unit(database, tasks.due_tasks) == []
    assert ask(database) != job_id, "its place is free again"


def test_a_task_that_makes_progress_has_its_attempts_again(database: Engine) -> None:
    """A long run waits for its lanes a thousand times; that is not a thousand failures."""
    job_id = ask(database)
    for _ in range(5):
        task = claim(database, job_id)
        assert task is not None
        in_unit(database, lambda tx, task=task: tasks.defer_task(tx, task, wait_ms=0))  # type: ignore[misc]
    assert row_of(database, "run:1").attempts == 0


def test_a_unit_that_fails_leaves_neither_job_nor_mirror_nor_counts(database: Engine) -> None:
    """The outbox commits or vanishes with the change that it belongs to."""
    with pytest.raises(ZeroDivisionError), unit(database) as tx:
        jobs.put(tx, [wanted()], tenant=TENANT, import_no=1, run_id="r1", new_id=new_id)
        _ = 1 // 0
    with reading(database) as tx:
        assert tx.execute(select(func.count()).select_from(table)).scalar_one() == 0
        assert tx.execute(select(func.count()).select_from(mirror)).scalar_one() == 0
    assert counts(database, "r1") == {}


def test_a_put_counts_what_was_taken(database: Engine) -> None:
    """An empty plan and a stale plan put nothing."""
    assert put(database) == 0
    assert put(database, wanted("evt:1"), wanted("evt:2"), import_no=5) == 2
    assert put(database, wanted("evt:1"), replace(wanted("evt:9"), lane="物理"), import_no=4) == 1
    with reading(database) as tx:
        assert tx.execute(select(db_now_ms())).scalar_one() > 0
