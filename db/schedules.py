"""Schedules, their slots, and the newest tick."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, literal, select, update

from db.clock import db_now_ms
from db.tables import AnyRow, jobs, runs, schedule_slots, schedules, ticks
from db.upsert import insert_missing

KEPT_MS = 90 * 86_400_000  # a slot is history after a term


def make(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write the schedules that are not there yet; the others stay as somebody has set them."""
    insert_missing(connection, schedules, rows)


def all_of(connection: Connection, *, tenant: str) -> list[AnyRow]:
    """The tenant's schedules, by name."""
    return list(connection.execute(select(schedules).where(schedules.c.tenant_id == tenant).order_by(schedules.c.name)))


def get(connection: Connection, *, tenant: str, name: str, lock: bool = False) -> AnyRow | None:
    """One schedule; with `lock`, nobody else decides its slots until this transaction ends."""
    statement = select(schedules).where(schedules.c.tenant_id == tenant, schedules.c.name == name)
    return connection.execute(statement.with_for_update() if lock else statement).one_or_none()


def change(connection: Connection, *, tenant: str, name: str, **values: Any) -> None:
    connection.execute(
        update(schedules).where(schedules.c.tenant_id == tenant, schedules.c.name == name).values(**values)
    )


def insert_slot(
    connection: Connection,
    *,
    tenant: str,
    name: str,
    slot_ms: int,
    job_id: str | None,
    state: str,
    reason: str | None,
) -> bool:
    """Write the slot unless it is there. True for exactly one caller, who acts on it in the same transaction.

    Plain INSERT … SELECT … WHERE NOT EXISTS: its row count is the number of rows inserted on every database. That of
    ON DUPLICATE KEY UPDATE is not, as PyMySQL counts found rows and not changed ones. Of two at once the second waits
    for the first and fails on the primary key; `in_unit` does its unit again, and then the row is there.
    """
    there = select(schedule_slots.c.slot).where(
        schedule_slots.c.tenant_id == tenant, schedule_slots.c.name == name, schedule_slots.c.slot == slot_ms
    )
    decided = None if state == "waiting" else db_now_ms()
    values: dict[str, Any] = {
        "tenant_id": literal(tenant, schedule_slots.c.tenant_id.type),
        "name": literal(name, schedule_slots.c.name.type),
        "slot": literal(slot_ms, schedule_slots.c.slot.type),
        "job_id": literal(job_id, schedule_slots.c.job_id.type),
        "state": literal(state, schedule_slots.c.state.type),
        "reason": literal(reason, schedule_slots.c.reason.type),
        "made_ms": db_now_ms(),
        "decided_ms": literal(None, schedule_slots.c.decided_ms.type) if decided is None else decided,
    }
    fresh = select(*values.values()).where(~there.exists())
    return int(connection.execute(schedule_slots.insert().from_select(list(values), fresh)).rowcount) == 1


def decide_slot(
    connection: Connection,
    *,
    tenant: str,
    name: str,
    slot_ms: int,
    state: str,
    reason: str | None = None,
    run_id: str | None = None,
) -> None:
    """Write what became of a slot. A remark made when it was written stays where there is no reason."""
    values = {"state": state, "run_id": run_id, "decided_ms": db_now_ms()}
    if reason is not None:
        values["reason"] = reason
    connection.execute(
        update(schedule_slots)
        .where(schedule_slots.c.tenant_id == tenant, schedule_slots.c.name == name, schedule_slots.c.slot == slot_ms)
        .values(**values)
    )


def slots_of(connection: Connection, *, tenant: str, name: str, limit: int) -> list[AnyRow]:
    """The schedule's slots, newest first."""
    rows = connection.execute(
        select(schedule_slots)
        .where(schedule_slots.c.tenant_id == tenant, schedule_slots.c.name == name)
        .order_by(schedule_slots.c.slot.desc())
        .limit(limit)
    )
    return list(rows)


def slot_of(connection: Connection, *, tenant: str, name: str, slot_ms: int) -> AnyRow | None:
    return connection.execute(
        select(schedule_slots).where(
            schedule_slots.c.tenant_id == tenant, schedule_slots.c.name == name, schedule_slots.c.slot == slot_ms
        )
    ).one_or_none()


def forget_before(connection: Connection, *, tenant: str, name: str, before_ms: int) -> None:
    """Delete decided slots from before an instant."""
    connection.execute(
        delete(schedule_slots).where(
            schedule_slots.c.tenant_id == tenant,
            schedule_slots.c.name == name,
            schedule_slots.c.slot < before_ms,
            schedule_slots.c.state != "waiting",
        )
    )


# --- ticks --------------------------------------------------------------------------------------------------------------


def newest_tick(connection: Connection, *, tenant: str) -> AnyRow | None:
    return connection.execute(select(ticks).where(ticks.c.tenant_id == tenant)).one_or_none()


def record_tick(connection: Connection, *, tenant: str, at_ms: int, ran_by: str) -> None:
    """Remember the tick, unless a newer one went through already."""
    insert_missing(connection, ticks, [{"tenant_id": tenant, "at_ms": at_ms, "ran_by": ran_by}])
    connection.execute(
        update(ticks).where(ticks.c.tenant_id == tenant, ticks.c.at_ms < at_ms).values(at_ms=at_ms, ran_by=ran_by)
    )


# --- what a slot depends on ---------------------------------------------------------------------------------------------


def queued_more_than(connection: Connection, *, tenant: str, limit: int) -> bool:
    """Whether more than `limit` lane jobs wait; stops counting there."""
    some = (
        select(jobs.c.id)
        .where(jobs.c.tenant_id == tenant, jobs.c.state == "queued", jobs.c.lane.is_not(None))
        .limit(limit + 1)
        .subquery()
    )
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one()) > limit


def last_started(connection: Connection, *, tenant: str, name: str) -> int | None:
    """When the newest slot that started something was due."""
    where = (schedule_slots.c.tenant_id == tenant, schedule_slots.c.name == name, schedule_slots.c.state == "started")
    found: int | None = connection.execute(select(func.max(schedule_slots.c.slot)).where(*where)).scalar()
    return found


def any_run(connection: Connection, *, tenant: str) -> bool:
    """Whether a run has not ended."""
    where = (runs.c.tenant_id == tenant, runs.c.mutex.is_not(None))
    return connection.execute(select(runs.c.id).where(*where).limit(1)).first() is not None


def was_synced(connection: Connection, *, tenant: str) -> bool:
    """Whether a full run ever went through, with or without dead letters."""
    ended = (runs.c.state.in_(("succeeded", "partially_succeeded")), runs.c.kind == "full")
    return connection.execute(select(runs.c.id).where(runs.c.tenant_id == tenant, *ended).limit(1)).first() is not None
