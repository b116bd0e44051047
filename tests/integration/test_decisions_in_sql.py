"""What a WHERE decides for many rows at once, and what the function says that the simulation runs: the same, row by row."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from bootstrap.wiring import new_id
from db import jobs, lanes, mirror, tasks
from db.clock import now_ms
from db.engine import in_unit, reading, unit
from db.jobs import Put
from db.lanes import FenceLost, Held
from db.tables import jobs as job_table
from db.tables import lanes as lane_table
from db.tables import mirror as mirror_table
from db.tasks import ClaimLost, Task
from domain.jobs import OnFinish, is_due, is_to_settle, is_wanted, may_claim, may_keep, on_finish
from domain.lanes import LaneRow, Times, may_renew, may_write

pytestmark = pytest.mark.integration

TENANT, TERM, LANE = "t1", "2024-2025-1", "数学"
TIMES = Times(budget_ms=500, lease_ms=2000, late_ms=200, lag_ms=100)
STATES = ("queued", "blocked", "dead", "done", "cancelled", "superseded")


def laned(engine: Engine, **values: Any) -> LaneRow:
    with unit(engine) as tx:
        lanes.make(tx, tenant=TENANT, names=[LANE])
        tx.execute(update(lane_table).values(**values))
        row = tx.execute(select(lane_table)).one()
    return LaneRow(row.owner, row.fence, row.lease_until, row.not_before, row.paused)


@pytest.mark.parametrize(("owner", "fence"), list(product(["me", "other", None], [6, 7, 8])))
def test_a_lane_is_entered_renewed_and_released_by_the_rules(database: Engine, owner: str | None, fence: int) -> None:
    """A former owner must be refused by the database exactly when the proof says that it is."""
    row = laned(database, owner=owner, fence=fence, lease_until=1)
    held = Held(TENANT, LANE, "me", 7)
    try:
        in_unit(database, lambda tx: lanes.enter(tx, held))
        entered = True
    except FenceLost:
        entered = False
    assert entered == may_write(row, fence=7)
    renewed = in_unit(database, lambda tx: lanes.renew(tx, [held], times=TIMES))
    assert (renewed == {"me"}) == may_renew(row, claim="me", fence=7)
    in_unit(database, lambda tx: lanes.release(tx, held, note="released"))
    with reading(database) as tx:
        note = tx.execute(select(lane_table.c.note)).scalar()
    assert (note == "released") == may_write(row, fence=7)


def job(engine: Engine, **values: Any) -> str:
    """One event of one live calendar, changed as told."""
    puts = [
        Put("calendar", "cal:1", "cal:1", TERM, LANE, "{}", "name", 0, 0, name="n"),
        Put("event", "evt:1", "cal:1", TERM, LANE, "{}", "h", 0, 2, marker="m"),
    ]
    with unit(engine) as tx:
        jobs.put(tx, puts, tenant=TENANT, import_no=1, run_id=None, new_id=new_id)
        tx.execute(update(job_table).where(job_table.c.target == "cal:1").values(state="done", open_key=None))
        tx.execute(update(job_table).where(job_table.c.target == "evt:1").values(**values))
        return str(tx.execute(select(job_table.c.id).where(job_table.c.target == "evt:1")).scalar_one())


@pytest.mark.parametrize(("state", "rev"), list(product(STATES, [1, 2])))
def test_what_was_read_is_sent_and_closed_only_while_it_is_wanted(database: Engine, state: str, rev: int) -> None:
    """A wish that came meanwhile must neither be overwritten by the older one nor be closed with it."""
    id_ = job(database, state=state, rev=rev)
    wanted = is_wanted(state=state, rev=rev, seen_rev=1)
    assert (in_unit(database, lambda tx: mirror.still_wanted(tx, {id_: 1}, tenant=TENANT)[0]) == {id_}) == wanted
    in_unit(database, lambda tx: jobs.close(tx, [(id_, 1)], tenant=TENANT, state="done"))
    with reading(database) as tx:
        finished = tx.execute(select(job_table.c.finished_ms).where(job_table.c.id == id_)).scalar()
    assert (finished is not None) == wanted


@pytest.mark.parametrize(
    ("state", "run_in", "calendar_state", "parked_for"),
    list(product(["queued", "blocked"], [-5_000, 60_000], ["none", "live", "gone"], [-5_000, 60_000])),
)
def test_a_job_is_due_by_the_rules(
    database: Engine, state: str, run_in: int, calendar_state: str, parked_for: int
) -> None:
    """Sent too early it goes into a calendar in doubt; never found due it is never sent."""
    now = in_unit(database, now_ms)
    job(database, state=state, run_at=now + run_in)
    with unit(database) as tx:
        values = {"state": calendar_state, "parked_until": now + parked_for}
        tx.execute(update(mirror_table).where(mirror_table.c.target == "cal:1").values(**values))
        lanes.make(tx, tenant=TENANT, names=[LANE])
    with reading(database) as tx:
        found = mirror.due_group(tx, tenant=TENANT, lane=LANE, now=now) is not None
        lane = bool(lanes.due(tx))
    expected = is_due(
        state=state,
        run_at=now + run_in,
        kind="event",
        calendar_state=calendar_state,
        parked_until=now + parked_for,
        now=now,
    )
    assert (found, lane) == (expected, expected)


@pytest.mark.parametrize(("settle_in", "parked_for"), list(product([None, -5_000, 60_000], [-5_000, 60_000])))
def test_an_intent_is_settled_by_the_rules(database: Engine, settle_in: int | None, parked_for: int) -> None:
    """Looked at too early, what lands later is made twice."""
    now = in_unit(database, now_ms)
    job(database, state="done", open_key=None)
    settle_at = None if settle_in is None else now + settle_in
    with unit(database) as tx:
        # The row of a calendar has both instants for everything in it.
        both = {"settle_at": settle_at, "parked_until": now + parked_for}
        tx.execute(update(mirror_table).where(mirror_table.c.target == "cal:1").values(**both))
        lanes.make(tx, tenant=TENANT, names=[LANE])
    with reading(database) as tx:
        found = mirror.due_group(tx, tenant=TENANT, lane=LANE, now=now) is not None
        lane = bool(lanes.due(tx))
    expected = is_to_settle(settle_at=settle_at, parked_until=now + parked_for, now=now)
    assert (found, lane) == (expected, expected)


def task(engine: Engine, **values: Any) -> str:
    with unit(engine) as tx:
        id_ = tasks.put_task(
            tx, tenant=TENANT, queue="sync", kind="k", target="t", payload="{}", run_id=None, new_id=new_id
        )
        tx.execute(update(job_table).where(job_table.c.id == id_).values(**values))
    return id_


@pytest.mark.parametrize(("state", "run_in"), list(product(STATES, [-5_000, 60_000])))
def test_a_task_is_claimed_by_the_rules(database: Engine, state: str, run_in: int) -> None:
    """Claimed by two it is done twice."""
    now = in_unit(database, now_ms)
    id_ = task(database, state=state, run_at=now + run_in)
    found = in_unit(
        database,
        lambda tx: tasks.claim_task(tx, tenant=TENANT, job_id=id_, claim="me", visibility_ms=1_000, max_attempts=5),
    )
    assert (found is not None) == may_claim(state=state, run_at=now + run_in, now=now)


@pytest.mark.parametrize(
    ("state", "claim", "rev"), list(product(["queued", "done", "dead"], ["me", "other", None], [1, 2]))
)
def test_a_task_is_kept_and_finished_by_the_rules(database: Engine, state: str, claim: str | None, rev: int) -> None:
    """A worker that was taken for dead must not close what another one is at work on."""
    id_ = task(database, state=state, claim=claim, rev=rev)
    mine = Task(id_, TENANT, "k", "t", "{}", 1, "me", 1, None)
    try:
        in_unit(database, lambda tx: tasks.keep_task(tx, mine, visibility_ms=1_000))
        kept = True
    except ClaimLost:
        kept = False
    assert kept == may_keep(state=state, claim=claim, mine="me")
    in_unit(database, lambda tx: tasks.finish_task(tx, mine))
    with reading(database) as tx:
        row = tx.execute(select(job_table).where(job_table.c.id == id_)).one()
    what = on_finish(state=state, claim=claim, mine="me", rev=rev, claimed_rev=1)
    closed = row.state == "done" and row.finished_ms is not None
    again = row.state == "queued" and row.claim is None and claim is not None
    assert (closed, again) == (what is OnFinish.CLOSE, what is OnFinish.AGAIN)


ODD = 'a "quoted" \\ back\\\\slash / \b\f\t\n\r\x1f\x7f \u2028 </x> ü 数学 😀 \\u0041 %s ? :x'


def test_a_wish_is_read_as_it_was_put(database: Engine) -> None:
    """A row travels as one JSON text, whatever it says."""
    payload = json.dumps({"summary": ODD}, ensure_ascii=False)
    id_ = job(database, payload=payload, last_error=ODD, run_id=None, tier=3)
    with unit(database) as tx:
        tx.execute(update(mirror_table).values(name=mirror_table.c.target, state="live", parked_until=0))
    with reading(database) as tx:
        now = now_ms(tx)
        found = mirror.due_group(tx, tenant=TENANT, lane=LANE, now=now)
        assert found is not None
        ref, calendar = found
        [one] = mirror.due_jobs(tx, tenant=TENANT, lane=LANE, ref=ref, now=now)
    assert (one.job_id, one.payload, one.last_error, one.run_id, one.tier) == (id_, payload, ODD, None, 3)
    assert json.loads(one.payload)["summary"] == ODD
    assert calendar is not None and calendar.name == "cal:1"
    assert one.mirrored is not None and (one.mirrored.marker, one.mirrored.intent) == ("m", None)
