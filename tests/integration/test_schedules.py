"""Schedules on real databases: each slot starts once, whoever ticks and however often."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, select, update

from bootstrap.settings import Settings
from bootstrap.wiring import Wired, new_id, wire
from db import schedules as rows
from db import sign_ins, sync_runs
from db.clock import now_ms
from db.engine import in_unit, make_engine, reading, unit
from db.tables import AnyRow, jobs, runs, schedule_slots, tenants, ticks
from db.tables import schedules as table
from db.tasks import ClaimLost
from domain.schedules import EACH, EACH_MOST, RUN_ONCE, SKIP, TICK_LATE_MS
from observability import failpoints
from ratelimit.limiter import Limits
from tests.fixtures_stores import Valkey
from tests.integration.campus_rig import MONDAY, write
from usecases import schedules, switches, tasks
from usecases import tenants as tenant_cases
from usecases.cron import BadCron
from usecases.deps import Deps
from usecases.lanes import Holdings
from usecases.schedules import KEEPER, NAME, SCHEDULER, UnknownSchedule
from workers.keeper import ActiveCap, Keeper

pytestmark = pytest.mark.integration

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
NOON = round(datetime(2025, 9, 1, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def wired(database: Engine, valkey: Valkey, data_dir: Path) -> Iterator[Wired]:
    """A tenant whose only schedule began at noon, with what every process of the product is given."""
    environ = {
        "OBSYNC_DATA_DIR": str(data_dir),
        "OBSYNC_DATABASE_URL": database.url.render_as_string(hide_password=False),
        "OBSYNC_BROKER_URL": valkey.url,
    }
    settings = Settings.from_env(environ, make_secrets=True)
    with unit(database) as tx:
        tenant_cases.seed(
            tx,
            tenant=settings.tenant,
            zone=settings.tenant_zone,
            app_id="",
            app_key="",
            encryption_keys=settings.encryption_keys,
        )
        schedules.seed(tx, tenant=settings.tenant)
        tx.execute(delete(table).where(table.c.name != NAME))
    made = wire(settings, ring=lambda _: None)
    begin(made.deps, at=NOON)
    yield made
    made.deps.engine.dispose()
    made.deps.remote.transport.close()


@pytest.fixture
def deps(wired: Wired) -> Deps:
    return wired.deps


def begin(deps: Deps, *, at: int, **values: Any) -> None:
    """The schedule as if it had begun at an instant."""
    in_unit(
        deps.engine,
        lambda tx: rows.change(tx, tenant=deps.tenant, name=NAME, since_ms=at, last_slot=0, **values),
    )


def slots(deps: Deps, state: str | None = None) -> list[AnyRow]:
    """The slots, oldest first."""
    with reading(deps.engine) as tx:
        found = tx.execute(select(schedule_slots).order_by(schedule_slots.c.slot)).all()
    return [row for row in found if state in (None, row.state)]


def task_ids(deps: Deps) -> list[str]:
    with reading(deps.engine) as tx:
        where = (jobs.c.kind == schedules.KIND, jobs.c.state == "queued")
        return list(tx.execute(select(jobs.c.id).where(*where).order_by(jobs.c.target)).scalars())


def run_rows(deps: Deps) -> list[AnyRow]:
    with reading(deps.engine) as tx:
        return list(tx.execute(select(runs).order_by(runs.c.created_ms, runs.c.id)))


def act(deps: Deps, job_id: str) -> bool:
    """What a worker does with the task; False when it is somebody else's."""
    task = tasks.claim(deps, job_id, claim=new_id())
    if task is None:
        return False
    schedules.act(deps, task)
    return True


def end_run(deps: Deps, run_id: str, state: str = "succeeded") -> None:
    in_unit(deps.engine, lambda tx: sync_runs.end(tx, run_id, tenant=deps.tenant, state=state))


def synced(deps: Deps, folder: Path) -> str:
    """A source that was synced once. Returns its path."""
    write(folder, "meetings", [MONDAY])
    source = str(folder.resolve())

    def work(tx: Any) -> None:
        tenant_cases.change_settings(tx, tenant=deps.tenant, source=source)
        sync_runs.begin(
            tx,
            tenant=deps.tenant,
            run_id="first",
            kind="full",
            scope={"source": source},
            mutex="timetable",
            stages=[("prepare", "import")],
        )
        sync_runs.end(tx, "first", tenant=deps.tenant, state="succeeded")

    in_unit(deps.engine, work)
    return source


@contextmanager
def processes(deps: Deps, count: int) -> Iterator[list[Deps]]:
    """Several processes, as far as the database can tell: each has an engine, and so a writer's lock, of its own."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            engine = make_engine(deps.engine.url.render_as_string(hide_password=False))
            stack.callback(engine.dispose)
            made.append(replace(deps, engine=engine))
        yield made


# --- one start for each slot


def test_five_schedulers_start_each_of_a_hundred_slots_once(deps: Deps) -> None:
    """Two schedulers are how one is kept from being a single point of failure; two runs for an hour are the price of a
    mistake here."""
    begin(deps, at=NOON, cron="* * * * *")
    barrier = threading.Barrier(5)

    def schedule(mine: Deps) -> int:
        started = 0
        for number in range(1, 101):
            barrier.wait(timeout=60)
            started += schedules.tick(mine, ran_by=SCHEDULER, now_ms=NOON + number * MINUTE_MS)
        return started

    with processes(deps, 5) as five, ThreadPoolExecutor(max_workers=5) as pool:
        started = list(pool.map(schedule, five))
    expected = [NOON + number * MINUTE_MS for number in range(1, 101)]
    assert sum(started) == 100
    assert [row.slot for row in slots(deps, "waiting")] == expected
    with reading(deps.engine) as tx:
        targets = list(tx.execute(select(jobs.c.target).where(jobs.c.kind == schedules.KIND)).scalars())
    assert sorted(targets) == [f"{NAME}:{slot}" for slot in expected]
    assert sorted(row.job_id for row in slots(deps)) == task_ids_by_id(deps)


def task_ids_by_id(deps: Deps) -> list[str]:
    return sorted(task_ids(deps))


def test_a_slot_is_inserted_by_exactly_one_of_many_without_any_lock_above_it(deps: Deps) -> None:
    """The lock of the schedule's row is one protection, the key of the slot the other; each must do alone."""
    barrier = threading.Barrier(5)

    def insert(mine: Deps, slot_ms: int) -> bool:
        barrier.wait(timeout=60)
        return in_unit(
            mine.engine,
            lambda tx: rows.insert_slot(
                tx, tenant=mine.tenant, name=NAME, slot_ms=slot_ms, job_id=new_id(), state="waiting", reason=None
            ),
        )

    with processes(deps, 5) as five, ThreadPoolExecutor(max_workers=5) as pool:
        for slot_ms in range(30):
            assert sum(pool.map(insert, five, itertools.repeat(slot_ms))) == 1
    assert len(slots(deps)) == 30


def test_a_slot_that_is_there_is_left_as_it_is(deps: Deps) -> None:
    """Whoever comes second must not act, on either database's way of counting rows."""

    def insert(reason: str) -> bool:
        return in_unit(
            deps.engine,
            lambda tx: rows.insert_slot(
                tx, tenant=deps.tenant, name=NAME, slot_ms=5, job_id=None, state="skipped", reason=reason
            ),
        )

    assert (insert("first"), insert("second"), insert("second")) == (True, False, False)
    (row,) = slots(deps)
    assert (row.reason, row.job_id, row.decided_ms is None) == ("first", None, False)


def test_a_tick_that_dies_after_a_slot_leaves_the_slot_to_the_next(deps: Deps) -> None:
    """Slot and task are one transaction: an hour may neither be lost with its tick nor be started by two."""
    begin(deps, at=NOON, cron="* * * * *")
    failpoints.arm("tick.after_slot:raise@1")
    try:
        with pytest.raises(failpoints.FailedOnPurpose):
            schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + MINUTE_MS)
        assert (slots(deps), task_ids(deps)) == ([], [])
        schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + MINUTE_MS)
    finally:
        failpoints.arm("")
    assert [row.slot for row in slots(deps, "waiting")] == [NOON + MINUTE_MS]
    assert len(task_ids(deps)) == 1


def test_two_doorbells_for_a_slot_make_one_run(deps: Deps, tmp_path: Path) -> None:
    """Messages double; a claim does not."""
    synced(deps, tmp_path / "campus")
    schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + HOUR_MS)
    (job_id,) = task_ids(deps)
    assert act(deps, job_id)
    assert not act(deps, job_id)
    assert [row.trigger for row in run_rows(deps)] == ["user", "schedule"]


def test_a_worker_that_was_taken_for_dead_starts_no_second_run(deps: Deps, tmp_path: Path) -> None:
    """It wakes up between its claim and its transaction, when another has done the work."""
    synced(deps, tmp_path / "campus")
    schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + HOUR_MS)
    (job_id,) = task_ids(deps)
    frozen = tasks.claim(deps, job_id, claim=new_id())
    assert frozen is not None
    in_unit(deps.engine, lambda tx: tx.execute(update(jobs).where(jobs.c.id == job_id).values(run_at=0)))
    second = tasks.claim(deps, job_id, claim=new_id())
    assert second is not None
    with pytest.raises(ClaimLost):
        schedules.act(deps, frozen)
    schedules.act(deps, second)
    assert len(run_rows(deps)) == 2
    assert slots(deps)[0].run_id == run_rows(deps)[1].id


# --- missed slots


@pytest.mark.parametrize(
    ("policy", "started", "skipped"),
    [(RUN_ONCE, [15], []), (EACH, [13, 14, 15], []), (SKIP, [], [15])],
)
def test_after_three_hours_without_a_scheduler_the_policy_decides(
    policy: str, started: list[int], skipped: list[int], deps: Deps
) -> None:
    """Machines are repaired for hours; nobody wants the backlog to start by surprise."""
    begin(deps, at=NOON, policy=policy)
    schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + 3 * HOUR_MS + 30 * MINUTE_MS)
    midnight = NOON - 12 * HOUR_MS
    assert [(row.slot - midnight) // HOUR_MS for row in slots(deps, "waiting")] == started
    assert [(row.slot - midnight) // HOUR_MS for row in slots(deps, "skipped")] == skipped
    assert len(task_ids(deps)) == len(started)
    assert schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + 3 * HOUR_MS + 31 * MINUTE_MS) == 0
    assert schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + 4 * HOUR_MS) == 1


def test_a_month_without_a_scheduler_is_no_stampede(deps: Deps) -> None:
    """Forty thousand minutes; the newest day of slots at most."""
    begin(deps, at=NOON, cron="* * * * *", policy=EACH)
    assert schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + 30 * 24 * HOUR_MS) == EACH_MOST
    assert len(slots(deps)) == EACH_MOST + 1


def test_what_people_change_counts_from_then_on(deps: Deps) -> None:
    """Somebody who sets "every minute" does not ask for yesterday's minutes."""
    in_unit(deps.engine, lambda tx: rows.change(tx, tenant=deps.tenant, name=NAME, enabled=False))
    with reading(deps.engine) as tx:
        now = now_ms(tx)
    assert schedules.tick(deps, ran_by=SCHEDULER, now_ms=now) == 0
    schedules.change(deps, NAME, cron="* * * * *", policy=EACH, enabled=True)
    assert schedules.tick(deps, ran_by=SCHEDULER, now_ms=now) == 0
    assert schedules.tick(deps, ran_by=SCHEDULER, now_ms=now + 2 * MINUTE_MS) in (1, 2)


def test_a_cron_that_cannot_be_read_changes_nothing(deps: Deps) -> None:
    """All of a change, or nothing of it."""
    with pytest.raises(BadCron, match="0 25"):
        schedules.change(deps, NAME, policy=EACH, cron="0 25 * * *")
    found = schedules.listing(deps)["items"][0]
    assert (found["cron"], found["policy"]) == ("0 * * * *", RUN_ONCE)
    with pytest.raises(UnknownSchedule) as caught:
        schedules.change(deps, "hourly", policy=EACH)
    assert caught.value.known == [NAME]


def test_a_row_that_cannot_be_read_does_not_stop_the_others(deps: Deps) -> None:
    """Somebody has written into the table by hand."""

    def copy(tx: Any) -> None:
        row = dict(tx.execute(select(table)).one()._mapping)
        tx.execute(table.insert(), [{**row, "name": "a-bad-one", "cron": "every hour"}])
        tx.execute(table.insert(), [{**row, "name": "a-worse-one", "policy": "sometimes"}])

    in_unit(deps.engine, copy)
    assert schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + HOUR_MS) == 1
    assert [row.name for row in slots(deps)] == [NAME]


def test_seeding_again_keeps_what_people_have_set(deps: Deps) -> None:
    """Every `obsync migrate` and every start seeds."""
    schedules.change(deps, NAME, cron="30 6 * * *", enabled=False, max_queued=None)
    in_unit(deps.engine, lambda tx: schedules.seed(tx, tenant=deps.tenant))
    found = schedules.listing(deps)["items"][0]
    assert (found["cron"], found["enabled"], found["max_queued"]) == ("30 6 * * *", False, None)


def test_a_new_tenant_is_left_alone_for_an_hour(deps: Deps) -> None:
    """The first sync is being watched; nothing else should start into it."""
    with unit(deps.engine) as tx:
        tx.execute(table.delete())
        schedules.seed(tx, tenant=deps.tenant)
        now = now_ms(tx)
    assert schedules.tick(deps, ran_by=SCHEDULER, now_ms=now + HOUR_MS - MINUTE_MS) == 0
    # Those of each hour; whether one of the night is among them depends on the time of day.
    assert schedules.tick(deps, ran_by=SCHEDULER, now_ms=now + 2 * HOUR_MS + MINUTE_MS) >= 3


# --- what a slot starts


def only_slot(deps: Deps) -> AnyRow:
    """Tick at one o'clock, let a worker act, and see what became of the slot."""
    schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + HOUR_MS)
    for job_id in task_ids(deps):
        act(deps, job_id)
    (row,) = slots(deps)
    return row


def test_a_slot_starts_an_incremental_run_over_the_source_that_was_synced(deps: Deps, tmp_path: Path) -> None:
    """What people get by `obsync sync` without a folder, without people."""
    source = synced(deps, tmp_path / "campus")
    row = only_slot(deps)
    run = run_rows(deps)[-1]
    assert (row.state, row.run_id, row.reason) == ("started", run.id, None)
    assert (run.kind, run.trigger, run.state) == ("incremental", "schedule", "queued")
    assert json.loads(run.scope)["source"] == source
    assert task_ids(deps) == []


def test_before_a_first_sync_nothing_starts(deps: Deps, tmp_path: Path) -> None:
    """There is no source, or one that has never gone through: that is for a person to look at first."""
    synced(deps, tmp_path / "campus")
    end_run(deps, "first", "failed")
    row = only_slot(deps)
    assert (row.state, row.reason) == ("skipped", "no sync has succeeded yet")
    assert len(run_rows(deps)) == 1


def test_while_a_run_is_active_the_slot_is_skipped_with_its_name(deps: Deps, tmp_path: Path) -> None:
    """One active run for a scope; the next hour does what this one leaves out."""
    synced(deps, tmp_path / "campus")
    schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + HOUR_MS)
    act(deps, task_ids(deps)[0])
    active = run_rows(deps)[-1].id
    schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + 2 * HOUR_MS)
    act(deps, task_ids(deps)[0])
    row = slots(deps)[-1]
    assert (row.state, row.reason) == ("skipped", f"run {active} (incremental) is still active")
    assert len(run_rows(deps)) == 2


def test_under_the_policy_each_a_slot_waits_for_its_turn(deps: Deps, tmp_path: Path) -> None:
    """Each means each: the runs follow one another, and waiting uses up no attempt."""
    synced(deps, tmp_path / "campus")
    begin(deps, at=NOON, policy=EACH)
    schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + 2 * HOUR_MS)
    first, second = task_ids(deps)
    act(deps, first)
    for _ in range(tasks.MAX_ATTEMPTS + 2):
        in_unit(deps.engine, lambda tx: tx.execute(update(jobs).where(jobs.c.id == second).values(run_at=0)))
        assert act(deps, second)
    assert [row.state for row in slots(deps)] == ["started", "waiting"]
    end_run(deps, run_rows(deps)[-1].id)
    in_unit(deps.engine, lambda tx: tx.execute(update(jobs).where(jobs.c.id == second).values(run_at=0)))
    act(deps, second)
    assert [row.state for row in slots(deps)] == ["started", "started"]
    assert len(run_rows(deps)) == 3


def fill_lanes(deps: Deps, count: int) -> None:
    """Jobs that wait in a lane."""
    base = {
        "tenant_id": deps.tenant, "lane": "数学", "kind": "event", "term": "", "group_id": "", "payload": "null",
        "desired_hash": "", "schema_ver": 1, "rev": 1, "import_no": 1, "tier": 0, "priority": 0, "state": "queued",
        "run_at": 0, "attempts": 0, "created_ms": 0,
    }  # fmt: skip
    made = [{**base, "id": new_id(), "target": f"evt:{n}", "open_key": f"evt:{n}"} for n in range(count)]
    in_unit(deps.engine, lambda tx: tx.execute(jobs.insert(), made))


@pytest.mark.parametrize(("waiting", "limit", "state"), [(3, 2, "skipped"), (2, 2, "started"), (3, None, "started")])
def test_under_load_the_slot_is_skipped(
    waiting: int, limit: int | None, state: str, deps: Deps, tmp_path: Path
) -> None:
    """A lane that cannot keep up is not helped by being asked again; how much is too much is a field."""
    synced(deps, tmp_path / "campus")
    fill_lanes(deps, waiting)
    schedules.change(deps, NAME, max_queued=limit)
    row = only_slot(deps)
    assert row.state == state
    assert row.reason == (f"more than {limit} jobs wait in the lanes" if state == "skipped" else None)


@pytest.mark.parametrize("switch", ["read_only", "maintenance"])
def test_nothing_begins_by_itself_while_nobody_could_stop_it(deps: Deps, tmp_path: Path, switch: str) -> None:
    """Somebody holds the school still; a run that began at night would change WPS, and its buttons answer 503."""
    synced(deps, tmp_path / "campus")
    switches.turn(deps, switch, True, actor="user:ada")
    slot = only_slot(deps)
    assert (slot.state, f"switches off {switch}" in slot.reason) == ("skipped", True)
    switches.turn(deps, switch, False, actor="user:ada")
    schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + 2 * HOUR_MS)
    for job_id in task_ids(deps):
        act(deps, job_id)
    assert [one.state for one in slots(deps)] == ["skipped", "started"]


def test_a_source_that_is_gone_is_said_on_the_slot(deps: Deps, tmp_path: Path) -> None:
    """The disk was not mounted; the run that never was must still be found."""
    synced(deps, tmp_path / "campus")
    (tmp_path / "campus" / "meetings.csv").unlink()
    row = only_slot(deps)
    assert row.state == "failed"
    assert "meetings" in row.reason
    assert len(run_rows(deps)) == 1


def test_a_person_may_start_it_now_whatever_the_load(deps: Deps, tmp_path: Path) -> None:
    """The hours of a schedule are for those who are not there."""
    synced(deps, tmp_path / "campus")
    fill_lanes(deps, 3)
    schedules.change(deps, NAME, max_queued=2, enabled=False)
    slot_ms = schedules.run_now(deps, NAME)
    act(deps, task_ids(deps)[0])
    found = schedules.slot_now(deps, NAME, slot_ms)
    assert (found["state"], found["reason"]) == ("started", "asked for by a person")
    assert run_rows(deps)[-1].trigger == "schedule"
    with pytest.raises(UnknownSchedule):
        schedules.run_now(deps, "nightly")


def test_old_slots_are_forgotten_and_waiting_ones_are_not(deps: Deps) -> None:
    """A slot a minute is half a million rows a year."""
    old = NOON - rows.KEPT_MS
    for slot_ms, state in ((old - 2, "started"), (old - 1, "waiting"), (old + HOUR_MS, "started")):
        in_unit(
            deps.engine,
            lambda tx, slot_ms=slot_ms, state=state: rows.insert_slot(
                tx, tenant=deps.tenant, name=NAME, slot_ms=slot_ms, job_id=None, state=state, reason=None
            ),
        )
    schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON + HOUR_MS)
    assert [row.slot for row in slots(deps)] == [old - 1, old + HOUR_MS, NOON + HOUR_MS]


# --- ticks


def newest(deps: Deps) -> tuple[int, str]:
    with reading(deps.engine) as tx:
        row = tx.execute(select(ticks)).one()
    return row.at_ms, row.ran_by


def age_tick(deps: Deps, age_ms: int) -> None:
    """As if the newest tick had been that long ago."""

    def work(tx: Any) -> None:
        tx.execute(ticks.delete())
        rows.record_tick(tx, tenant=deps.tenant, at_ms=now_ms(tx) - age_ms, ran_by=SCHEDULER)

    in_unit(deps.engine, work)


def test_an_older_tick_does_not_hide_a_newer_one(deps: Deps) -> None:
    """A tick that was held up for an hour must not wake every keeper."""
    schedules.tick(deps, ran_by=SCHEDULER, now_ms=NOON)
    schedules.tick(deps, ran_by=KEEPER, now_ms=NOON - HOUR_MS)
    assert newest(deps) == (NOON, SCHEDULER)
    schedules.tick(deps, ran_by=KEEPER, now_ms=NOON + 1)
    assert newest(deps) == (NOON + 1, KEEPER)


def test_a_tick_is_done_by_a_keeper_only_when_it_is_late(deps: Deps) -> None:
    """While the scheduler lives, keepers only look."""
    age_tick(deps, TICK_LATE_MS - 30_000)
    assert not schedules.late_tick(deps)
    assert newest(deps)[1] == SCHEDULER
    age_tick(deps, TICK_LATE_MS + 1_000)
    assert schedules.late_tick(deps)
    assert newest(deps)[1] == KEEPER
    assert [row.state for row in slots(deps)] == ["waiting"], "what was due since noon of that day, once"


def test_the_keeper_of_any_worker_does_the_late_tick_by_itself(wired: Wired) -> None:
    """The scheduler's machine is gone and nobody has noticed yet."""
    age_tick(wired.deps, TICK_LATE_MS + 1_000)
    stopping = threading.Event()
    deps = replace(wired.deps, stopping=stopping)
    holdings = Holdings(deps.engine, deps.times, deps.new_id)
    keeper = Keeper(deps, holdings, ActiveCap(deps, Limits(50, 10, 32)), wired.redis, lane_threads=0, tick_s=0.05)
    keeper.start()
    try:
        until(lambda: newest(deps)[1] == KEEPER)
    finally:
        stopping.set()
        keeper.join(timeout=60)
    assert len(task_ids(deps)) == 1


def test_the_keeper_of_any_worker_forgets_ended_sign_ins_by_itself(wired: Wired) -> None:
    """Who signed in when is nobody's business for ever: as long as the school's setting says."""
    stopping = threading.Event()
    deps = replace(wired.deps, stopping=stopping)
    with unit(deps.engine) as tx:
        for family, ended_ms in (("old", 1_000), ("fresh", now_ms(tx) + 60_000)):
            row = {"tenant_id": deps.tenant, "login_id": "l", "how": "wps", "device": "", "current": family}
            sign_ins.begin(tx, **row, id=family, created_ms=0, used_ms=0, ends_ms=ended_ms)
    holdings, cap = Holdings(deps.engine, deps.times, deps.new_id), ActiveCap(deps, Limits(50, 10, 32))
    keeper = Keeper(deps, holdings, cap, wired.redis, lane_threads=0, prune_s=0.05)
    keeper.start()

    def left() -> list[str]:
        with reading(deps.engine) as tx:
            return [one for one in ("old", "fresh") if sign_ins.family(tx, tenant=deps.tenant, family_id=one)]

    try:
        until(lambda: left() == ["fresh"])
    finally:
        stopping.set()
        keeper.join(timeout=60)


def until(true: Callable[[], bool], *, within_s: float = 60.0) -> None:
    give_up = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_the_list_says_what_comes_next_and_what_came_last(deps: Deps) -> None:
    """Somebody asks at three in the morning whether anything still starts."""
    assert schedules.listing(deps)["tick_is_late"]
    schedules.late_tick(deps)
    found = schedules.listing(deps)
    (item,) = found["items"]
    assert not found["tick_is_late"]
    assert found["newest_tick"]["ran_by"] == KEEPER
    assert item["last_slot"]["state"] == "waiting"
    with reading(deps.engine) as tx:
        now = now_ms(tx)
        assert tx.execute(select(func.count()).select_from(tenants)).scalar_one() == 1
    assert now < item["next_slot_ms"] <= now + HOUR_MS
    assert item["next_slot_ms"] % HOUR_MS == 0
    schedules.change(deps, NAME, enabled=False)
    assert schedules.one(deps, NAME, limit=5)["next_slot_ms"] is None
