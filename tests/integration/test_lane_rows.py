"""Lanes in the database: one owner at a time, and nothing of an older owner counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from bootstrap.wiring import new_id
from db import jobs, lanes
from db.clock import now_ms
from db.engine import in_unit, reading, unit
from db.jobs import Put
from db.lanes import FenceLost, Held
from db.tables import AnyRow, mirror
from db.tables import jobs as job_table
from db.tables import lanes as table
from domain.lanes import Times

pytestmark = pytest.mark.integration

TENANT, TERM, LANE = "t1", "2024-2025-1", "数学"
TIMES = Times(budget_ms=500, lease_ms=2000, late_ms=200, lag_ms=100)
LONG = Times(budget_ms=500, lease_ms=60_000, late_ms=200, lag_ms=100)


@pytest.fixture
def laned(database: Engine) -> Engine:
    """A database with one lane."""
    in_unit(database, lambda tx: lanes.make(tx, tenant=TENANT, names=[LANE]))
    return database


def claim(engine: Engine, lane: str = LANE, *, times: Times = TIMES) -> Held | None:
    return in_unit(engine, lambda tx: lanes.claim(tx, tenant=TENANT, lane=lane, claim_id=new_id(), times=times))


def claimed(engine: Engine, lane: str = LANE) -> Held:
    held = claim(engine, lane)
    assert held is not None
    return held


def row_of(engine: Engine, lane: str = LANE) -> AnyRow:
    with reading(engine) as tx:
        return tx.execute(select(table).where(table.c.lane == lane)).one()


def set_row(engine: Engine, **values: Any) -> None:
    with unit(engine) as tx:
        tx.execute(update(table).values(**values))


def due(engine: Engine) -> list[str]:
    with reading(engine) as tx:
        return [lane for _, lane in lanes.due(tx)]


def now(engine: Engine) -> int:
    with reading(engine) as tx:
        return now_ms(tx)


def race(work: Sequence[Callable[[], Any]]) -> list[Any]:
    start = Barrier(len(work))

    def run(one: Callable[[], Any]) -> Any:
        start.wait(timeout=20)
        return one()

    with ThreadPoolExecutor(max_workers=len(work)) as pool:
        return [future.result() for future in [pool.submit(run, one) for one in work]]


# --- owners


def test_exactly_one_of_fifty_threads_gets_the_lane(laned: Engine) -> None:
    """Two owners would send to one college at the same time."""
    # A lease that outlasts the race on the slowest machine: a thread that comes after its end may rightly take over.
    (held,) = [one for one in race([lambda: claim(laned, times=LONG)] * 50) if one is not None]
    row = row_of(laned)
    assert (row.owner, row.fence) == (held.claim, held.fence) == (held.claim, 1)


def test_each_owner_has_a_higher_fence(laned: Engine) -> None:
    """The number is what an effect is checked against: it must never come twice."""
    fences = []
    for _ in range(3):
        held = claimed(laned)
        fences.append(held.fence)
        in_unit(laned, lambda tx, held=held: lanes.release(tx, held))  # type: ignore[misc]
    assert fences == [1, 2, 3]


def test_a_lane_that_nobody_made_cannot_be_claimed(laned: Engine) -> None:
    """A hint may name anything."""
    assert claim(laned, "no such lane") is None


def test_making_a_lane_again_leaves_its_owner_alone(laned: Engine) -> None:
    """Every plan makes the lanes it needs, while they are at work."""
    held = claimed(laned)
    in_unit(laned, lambda tx: lanes.make(tx, tenant=TENANT, names=[LANE, "物理", LANE]))
    assert row_of(laned).owner == held.claim
    assert row_of(laned, "物理").fence == 0


def test_an_expired_owner_is_taken_over_and_the_lane_rests_until_its_last_call_is_over(laned: Engine) -> None:
    """The old owner may have sent a call at the last moment of its lease."""
    old = claimed(laned)
    ended = now(laned) - 50
    set_row(laned, lease_until=ended)
    assert claim(laned) is None, "taking over is not taking"
    row = row_of(laned)
    assert (row.owner, row.fence, row.not_before) == (None, old.fence + 1, ended + 550)
    assert claim(laned) is None, "it rests"
    assert row_of(laned).fence == old.fence + 1, "and is taken over once"
    time.sleep(max(0.0, (row.not_before - now(laned) + 20) / 1000))
    assert claimed(laned).fence == old.fence + 2


def test_fifty_threads_take_an_expired_lane_over_once(laned: Engine) -> None:
    """Each take-over raises the fence; one is enough, and none of them owns the lane by it."""
    claimed(laned)
    set_row(laned, lease_until=now(laned) - 1)
    slow = Times(budget_ms=60_000, lease_ms=120_000, late_ms=0, lag_ms=0)
    assert race([lambda: claim(laned, times=slow)] * 50) == [None] * 50
    assert (row_of(laned).owner, row_of(laned).fence) == (None, 2)


def test_an_owner_whose_lease_holds_is_left_alone(laned: Engine) -> None:
    """Renewal counts from now, by the database's clock."""
    held = claimed(laned)
    set_row(laned, lease_until=now(laned) + 100)
    assert in_unit(laned, lambda tx: lanes.renew(tx, [held], times=TIMES))
    assert row_of(laned).lease_until > now(laned) + TIMES.lease_ms - 500
    assert claim(laned) is None
    assert row_of(laned).owner == held.claim


def test_renewing_what_is_not_owned_is_refused(laned: Engine) -> None:
    """A process that froze must learn that its lane is gone, not bring itself back."""
    held = claimed(laned)
    set_row(laned, lease_until=now(laned) - 1)
    claim(laned)
    assert not in_unit(laned, lambda tx: lanes.renew(tx, [held], times=TIMES))
    set_row(laned, not_before=0)
    new = claimed(laned)
    assert not in_unit(laned, lambda tx: lanes.renew(tx, [held], times=TIMES))
    assert row_of(laned).owner == new.claim
    in_unit(laned, lambda tx: lanes.release(tx, new))
    assert not in_unit(laned, lambda tx: lanes.renew(tx, [new], times=TIMES))


def test_each_lease_is_renewed_by_its_own_fence_and_the_lost_one_alone_is_told(laned: Engine) -> None:
    """A process renews all its lanes at once: one that it lost must neither come back nor take the others along."""
    in_unit(laned, lambda tx: lanes.make(tx, tenant=TENANT, names=["物理"]))
    kept, lost = claimed(laned), claimed(laned, "物理")
    stale = replace(lost, fence=lost.fence - 1)
    before = row_of(laned, "物理").lease_until
    assert in_unit(laned, lambda tx: lanes.renew(tx, [kept, stale], times=LONG)) == {kept.claim}
    assert row_of(laned).lease_until > before + 10_000
    assert row_of(laned, "物理").lease_until == before


def test_effects_of_an_older_owner_are_refused_and_leave_nothing(laned: Engine) -> None:
    """Whatever it still wanted to write belongs to the past."""
    old = claimed(laned)
    in_unit(laned, lambda tx: lanes.enter(tx, old))
    set_row(laned, lease_until=now(laned) - 1)
    claim(laned)
    with pytest.raises(FenceLost), unit(laned) as tx:
        tx.execute(update(table).values(note="written by a zombie"))
        lanes.enter(tx, old)
    assert row_of(laned).note is None
    assert row_of(laned).effects == 1


def test_a_zombie_cannot_release_its_successors_lane(laned: Engine) -> None:
    """Giving back comes late, too."""
    old = claimed(laned)
    set_row(laned, lease_until=now(laned) - 1)
    claim(laned)
    set_row(laned, not_before=0)
    new = claimed(laned)
    in_unit(laned, lambda tx: lanes.release(tx, old, park_ms=60_000, note="zombie"))
    row = row_of(laned)
    assert (row.owner, row.not_before, row.note) == (new.claim, 0, None)


def test_a_take_over_waits_for_an_effect_that_has_begun(laned: Engine) -> None:
    """An effect is one transaction: either it is wholly before the take-over, or it is refused."""
    held = claimed(laned)
    set_row(laned, lease_until=now(laned) - 1)
    with ThreadPoolExecutor(max_workers=1) as pool:
        with unit(laned) as tx:
            lanes.enter(tx, held)
            taking = pool.submit(claim, laned)
            time.sleep(0.1)
            assert not taking.done()
        assert taking.result() is None
    assert (row_of(laned).effects, row_of(laned).fence) == (1, 2)


def test_a_parked_lane_is_refused_until_its_time(laned: Engine) -> None:
    """Parks live in the database: emptying Redis must not wake a throttled lane."""
    held = claimed(laned)
    in_unit(laned, lambda tx: lanes.release(tx, held, park_ms=60_000, note="throttled by WPS"))
    assert claim(laned) is None
    assert row_of(laned).note == "throttled by WPS"
    set_row(laned, not_before=now(laned))
    assert claimed(laned).fence == 2
    assert row_of(laned).note is None


def test_a_paused_lane_cannot_be_claimed_and_says_so_to_its_owner(laned: Engine) -> None:
    """The owner reads it with its next effect, and stops."""
    held = claimed(laned)
    assert in_unit(laned, lambda tx: lanes.enter(tx, held)) is False
    assert in_unit(laned, lambda tx: lanes.set_paused(tx, tenant=TENANT, names=[LANE], paused=True)) == 1
    assert in_unit(laned, lambda tx: lanes.enter(tx, held)) is True
    in_unit(laned, lambda tx: lanes.release(tx, held))
    assert claim(laned) is None
    in_unit(laned, lambda tx: lanes.set_paused(tx, tenant=TENANT, names=None, paused=False))
    assert claimed(laned).fence == 2


# --- which lanes are due


def fill(engine: Engine, *puts: Put) -> None:
    in_unit(engine, lambda tx: jobs.put(tx, puts, tenant=TENANT, import_no=1, run_id=None, new_id=new_id))


def put(kind: str, target: str, group: str = "cal:1") -> Put:
    return Put(kind, target, group, TERM, LANE, "{}", "h", 0, 0, marker=target if kind == "event" else None)


def set_mirror(engine: Engine, target: str, **values: Any) -> None:
    with unit(engine) as tx:
        tx.execute(update(mirror).where(mirror.c.target == target).values(**values))


def set_job(engine: Engine, target: str, **values: Any) -> None:
    with unit(engine) as tx:
        tx.execute(update(job_table).where(job_table.c.target == target).values(**values))


def test_a_lane_without_work_is_not_due(laned: Engine) -> None:
    """Waking a worker for nothing, every second and for every college, would be a load of its own."""
    assert due(laned) == []


def test_a_new_calendar_makes_its_lane_due(laned: Engine) -> None:
    """The first job of a course."""
    fill(laned, put("calendar", "cal:1"))
    assert due(laned) == [LANE]


def test_events_of_a_calendar_that_does_not_exist_yet_are_no_work(laned: Engine) -> None:
    """Otherwise a lane would be claimed again and again for events that cannot be sent."""
    fill(laned, put("calendar", "cal:1"), put("event", "evt:1"))
    set_job(laned, "cal:1", run_at=now(laned) + 60_000)
    assert due(laned) == []
    set_mirror(laned, "cal:1", state="live")
    assert due(laned) == [LANE]


@pytest.mark.parametrize("kind", ["calendar", "event"])
def test_a_parked_calendar_is_no_work(laned: Engine, kind: str) -> None:
    """While one of its calls is in doubt nothing of it is sent."""
    fill(laned, put("calendar", "cal:1"), put("event", "evt:1"))
    set_mirror(laned, "cal:1", state="live", parked_until=now(laned) + 60_000)
    set_job(laned, "evt:1" if kind == "calendar" else "cal:1", state="done", open_key=None)
    assert due(laned) == []
    set_mirror(laned, "cal:1", parked_until=now(laned))
    assert due(laned) == [LANE]


def test_an_intent_to_settle_is_work_without_any_job(laned: Engine) -> None:
    """Its job may have been cancelled or replaced; what was sent is in doubt all the same."""
    fill(laned, put("calendar", "cal:1"), put("event", "evt:1"))
    for target in ("cal:1", "evt:1"):
        set_job(laned, target, state="cancelled", open_key=None)
    set_mirror(laned, "evt:1", intent_verb="create", intent_ms=1)
    set_mirror(laned, "cal:1", settle_at=now(laned) + 60_000)
    assert due(laned) == []
    set_mirror(laned, "cal:1", settle_at=now(laned))
    assert due(laned) == [LANE]
    set_mirror(laned, "cal:1", parked_until=now(laned) + 60_000)
    assert due(laned) == []


@pytest.mark.parametrize("kind", ["users", "walk"])
def test_look_ups_need_no_calendar(laned: Engine, kind: str) -> None:
    """Tenant-wide calls belong to a lane like all others."""
    fill(laned, put(kind, "look:1", "look:1"))
    assert due(laned) == [LANE]


@pytest.mark.parametrize("state", ["done", "dead", "blocked", "cancelled", "superseded"])
def test_closed_and_blocked_jobs_are_no_work(laned: Engine, state: str) -> None:
    """Only what is queued is sent."""
    fill(laned, put("calendar", "cal:1"))
    set_job(laned, "cal:1", state=state)
    assert due(laned) == []


def test_who_works_rests_or_is_paused_is_not_due_and_who_is_lost_is(laned: Engine) -> None:
    """A lane whose owner died must be found by anybody who looks."""
    fill(laned, put("calendar", "cal:1"))
    held = claimed(laned)
    assert due(laned) == []
    set_row(laned, lease_until=now(laned) - 1)
    assert due(laned) == [LANE]
    set_row(laned, owner=None, not_before=now(laned) + 60_000)
    assert due(laned) == []
    set_row(laned, not_before=0, paused=True)
    assert due(laned) == []
    set_row(laned, paused=False)
    assert due(laned) == [LANE]
    assert held.fence == 1


def test_the_listing_says_what_a_lane_does_and_waits_for(laned: Engine) -> None:
    """What `obsync lanes` shows."""
    fill(laned, put("calendar", "cal:1"), put("event", "evt:1"), put("event", "evt:2"))
    set_job(laned, "evt:2", state="dead", open_key=None)
    set_mirror(laned, "evt:1", intent_verb="create", intent_ms=1)
    set_mirror(laned, "cal:1", settle_at=now(laned))
    claimed(laned)
    with reading(laned) as tx:
        (one,) = lanes.listing(tx, tenant=TENANT)
    assert (one["lane"], one["state"], one["queued"], one["dead"], one["unsettled"]) == (LANE, "working", 2, 1, 1)
    set_row(laned, lease_until=now(laned) - 1)
    with reading(laned) as tx:
        assert lanes.listing(tx, tenant=TENANT)[0]["state"] == "lost"
        assert lanes.listing(tx, tenant="another") == []
