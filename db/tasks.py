"""Tasks of queues: rows of `jobs` without a lane. A worker claims one, keeps it while it works, and finishes or defers it.

queued ─▶ done | dead
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from db import dead_letters
from db.clock import db_now_ms, now_ms
from db.jobs import SCHEMA_VER, NewId
from db.tables import AnyRow, jobs
from domain.jobs import gives_up
from observability.tracing import UNKNOWN, Origin, origin

TASK_BROKE = "task"  # error code of a task that failed each time, whatever the reason


@dataclass(frozen=True, slots=True)
class Task:
    """A claimed queue job."""

    id: str
    tenant: str
    kind: str
    target: str
    payload: str
    rev: int
    claim: str
    attempts: int
    run_id: str | None
    origin: Origin = UNKNOWN


class ClaimLost(Exception):
    """Another worker has the task now: whatever this one still wanted to write is refused."""


def put_task(
    connection: Connection,
    *,
    tenant: str,
    queue: str,
    kind: str,
    target: str,
    payload: str,
    run_id: str | None,
    new_id: NewId,
    wait_ms: int = 0,
) -> str:
    """Ask for a task; while one with the same target is open, that one is asked again (its rev grows). Returns its id.

    A new one is due in `wait_ms`.
    """
    now = now_ms(connection)
    where = (jobs.c.tenant_id == tenant, jobs.c.kind == kind, jobs.c.open_key == target)
    row = connection.execute(select(jobs.c.id).where(*where).with_for_update()).one_or_none()
    if row is not None:
        again = {"rev": jobs.c.rev + 1, "payload": payload, "schema_ver": SCHEMA_VER, **_come_from()}
        connection.execute(update(jobs).where(jobs.c.tenant_id == tenant, jobs.c.id == row.id).values(**again))
        return str(row.id)
    job_id = new_id()
    fresh = {
        "id": job_id,
        "tenant_id": tenant,
        "queue": queue,
        "kind": kind,
        "target": target,
        "open_key": target,
        "group_id": target,
        "payload": payload,
        "run_id": run_id,
        "run_at": now + wait_ms,
        "created_ms": now,
    }
    connection.execute(jobs.insert(), [{**_NEW, **fresh, **_come_from()}])
    return job_id


def _come_from() -> dict[str, str | None]:
    """The request that asks: kept in the row, because a message carries nothing."""
    known = origin()
    return {"request": known.request, "trace": known.trace}


_NEW: dict[str, Any] = {
    "lane": None,
    "term": "",
    "desired_hash": "",
    "schema_ver": SCHEMA_VER,
    "rev": 1,
    "import_no": 0,
    "tier": 0,
    "priority": 0,
    "state": "queued",
    "attempts": 0,
}


def lock_task(connection: Connection, *, tenant: str, kind: str, target: str) -> None:
    """Lock the open task of a target, if there is one: first, because whoever works on it locks it first too."""
    where = (jobs.c.tenant_id == tenant, jobs.c.kind == kind, jobs.c.open_key == target)
    connection.execute(select(jobs.c.id).where(*where).with_for_update()).one_or_none()


def take_away(connection: Connection, job_id: str, *, tenant: str) -> None:
    """Make the task nobody's and due now: the next write of whoever had it raises `ClaimLost`."""
    values = {"claim": None, "run_at": db_now_ms(), "attempts": 0, "last_error": None}
    connection.execute(update(jobs).where(jobs.c.tenant_id == tenant, jobs.c.id == job_id).values(**values))


def school_of(connection: Connection, job_id: str) -> str | None:
    """The school that a task belongs to; None where there is no such task. All that a doorbell brings is an id."""
    mine = (jobs.c.id == job_id, jobs.c.queue.is_not(None))
    found: str | None = connection.execute(select(jobs.c.tenant_id).where(*mine)).scalar()
    return found


def claim_task(
    connection: Connection,
    *,
    tenant: str,
    job_id: str,
    claim: str,
    visibility_ms: int,
    max_attempts: int,
    kinds: Collection[str] | None = None,
) -> Task | None:
    """Take the task: counts the attempt first, so that one which kills its worker ends as a dead letter.

    None when it is not due, not there, not of `kinds` (None: any), written by newer code, or has used up its attempts (then it
    is dead now).
    """
    now = db_now_ms()
    mine = (jobs.c.tenant_id == tenant, jobs.c.id == job_id)
    hit = connection.execute(
        update(jobs)
        .where(*mine, jobs.c.state == "queued", jobs.c.run_at <= now, *_understood(kinds))
        .values(attempts=jobs.c.attempts + 1, claim=claim, run_at=now + visibility_ms)
    )
    if hit.rowcount != 1:
        return None
    row = connection.execute(select(jobs).where(*mine)).one()
    if gives_up(attempts=row.attempts, max_attempts=max_attempts):
        message = row.last_error or "its worker died each time"
        values = {
            "state": "dead",
            "open_key": None,
            "finished_ms": now,
            "error_code": TASK_BROKE,
            "last_error": message,
        }
        connection.execute(update(jobs).where(*mine).values(**values))
        dead_letters.died(connection, job_id, tenant=tenant, error_class=TASK_BROKE, message=message)
        return None
    return Task(
        row.id,
        row.tenant_id,
        row.kind,
        row.target,
        row.payload,
        row.rev,
        claim,
        row.attempts,
        row.run_id,
        Origin(row.request, row.trace),
    )


def dead_task(connection: Connection, job_id: str, *, tenant: str) -> AnyRow | None:
    """The task, if it has become a dead letter."""
    mine = (jobs.c.tenant_id == tenant, jobs.c.id == job_id, jobs.c.state == "dead")
    return connection.execute(select(jobs).where(*mine)).one_or_none()


def revive_task(connection: Connection, job_id: str, *, tenant: str) -> int:
    """Ask for a dead task again, unless a new one of its target is open already. Returns 1 or 0."""
    row = dead_task(connection, job_id, tenant=tenant)
    if row is None:
        return 0
    where = (jobs.c.tenant_id == tenant, jobs.c.kind == row.kind, jobs.c.open_key == row.target)
    if connection.execute(select(jobs.c.id).where(*where)).first() is not None:
        return 0
    values = {"state": "queued", "open_key": row.target, "attempts": 0, "run_at": db_now_ms(), "finished_ms": None}
    connection.execute(update(jobs).where(jobs.c.tenant_id == tenant, jobs.c.id == job_id).values(**values))
    dead_letters.revived(connection, row)
    return 1


def keep_task(connection: Connection, task: Task, *, visibility_ms: int) -> None:
    """Heartbeat and fence of a long task: the first statement of each of its transactions. Raises `ClaimLost`."""
    hit = connection.execute(update(jobs).where(*_mine(task)).values(run_at=db_now_ms() + visibility_ms))
    if hit.rowcount != 1:
        raise ClaimLost(f"task {task.kind} {task.id} was claimed by another worker")


def made_progress(connection: Connection, task: Task) -> None:
    """A page of the task is done: whatever kills its worker from now on is not what killed the one before."""
    connection.execute(update(jobs).where(*_mine(task)).values(attempts=0))


def finish_task(connection: Connection, task: Task) -> None:
    """Close the task unless it was asked for again meanwhile; then it stays queued, due now."""
    now = db_now_ms()
    mine = _mine(task)
    closed = connection.execute(
        update(jobs).where(*mine, jobs.c.rev == task.rev).values(state="done", open_key=None, finished_ms=now)
    )
    if closed.rowcount == 0:
        connection.execute(update(jobs).where(*mine).values(run_at=now, attempts=0, claim=None))


def defer_task(connection: Connection, task: Task, *, wait_ms: int, reason: str | None = None) -> None:
    """Leave the task queued for `wait_ms` from now. Without a reason it went well, and its attempts start again."""
    values: dict[str, Any] = {"run_at": db_now_ms() + wait_ms, "claim": None}
    values |= {"attempts": 0} if reason is None else {"last_error": reason}
    connection.execute(update(jobs).where(*_mine(task)).values(**values))


def _mine(task: Task) -> tuple[ColumnElement[bool], ...]:
    return (
        jobs.c.tenant_id == task.tenant,
        jobs.c.id == task.id,
        jobs.c.claim == task.claim,
        jobs.c.state == "queued",
    )


def _understood(kinds: Collection[str] | None) -> tuple[ColumnElement[bool], ...]:
    known = (jobs.c.schema_ver <= SCHEMA_VER,)
    return known if kinds is None else (*known, jobs.c.kind.in_(sorted(kinds)))


def due_tasks(
    connection: Connection, *, limit: int = 200, kinds: Collection[str] | None = None
) -> list[tuple[str, str]]:
    """(id, queue) of the tasks that somebody should claim now; those of `kinds` (None: any) that this code understands."""
    found = connection.execute(
        select(jobs.c.id, jobs.c.queue)
        .where(jobs.c.queue.is_not(None), jobs.c.state == "queued", jobs.c.run_at <= db_now_ms(), *_understood(kinds))
        .order_by(jobs.c.run_at)
        .limit(limit)
    )
    return [(row.id, row.queue) for row in found]
