"""The one table of work. A lane's job is the desired state of a remote target; a queue's job is a task.

queued ─▶ done | dead | cancelled | superseded            blocked: its calendar is dead; back to queued when that is put
                                                          paused: its run is paused; back to queued when that goes on
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select, update

from db import dead_letters, run_counts
from db.clock import db_now_ms, now_ms
from db.tables import AnyRow, jobs, mirror
from db.upsert import insert_rows
from domain.jobs import OnPut, gives_up, on_put

SCHEMA_VER = 1
"""What this code writes and understands. Raise it with a change of a payload that older code would misread, and with any new
kind of lane job: during a deployment old workers leave the rows of new ones alone, and new workers must understand the old."""
GONE = "null"  # payload of a target that should not exist
OPEN = ("queued", "paused", "blocked")
TASK_BROKE = "task"  # error code of a task that failed each time, whatever the reason


@dataclass(frozen=True, slots=True)
class Put:
    """The desired state of one remote target. `desired_hash` is blank when the target should be gone."""

    kind: str
    target: str
    group_id: str
    term: str
    lane: str
    payload: str
    desired_hash: str
    tier: int
    priority: int
    marker: str | None = None
    name: str | None = None
    source_id: str | None = None


NewId = Callable[[], str]


def put(
    connection: Connection,
    puts: Sequence[Put],
    *,
    tenant: str,
    import_no: int,
    run_id: str | None,
    new_id: NewId,
) -> int:
    """Write desired states: a new queued row per target, or the queued row overwritten. Returns how many were taken.

    A target for which a newer import was put already stays as it is. Sort the puts by target: every writer locks in that
    order. At most 500 a unit.
    """
    if not puts:
        return 0
    now = now_ms(connection)
    newer = _newer(connection, puts, tenant=tenant, import_no=import_no)
    open_rows = _open_rows(connection, puts, tenant=tenant)
    decided = [(one, _on_put(one, open_rows.get(one.target), newer, import_no)) for one in puts]
    taken = [one for one, what in decided if what is not OnPut.OLDER]
    dead_letters.put_again(connection, _by_kind(taken), [one.target for one in taken], tenant=tenant)
    fresh: list[tuple[Any, ...]] = []
    changed: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    superseded: Counter[tuple[str, str, str]] = Counter()
    planned: Counter[tuple[str, str]] = Counter()
    for one, what in decided:
        row = open_rows.get(one.target)
        if what is OnPut.OLDER:
            continue
        if row is None:
            fresh.append(_fresh_values(one, new_id()))
            planned[one.lane, one.kind] += 1
            continue
        if row.run_id != run_id:
            planned[row.lane, one.kind] += 1
            if row.run_id is not None and row.state in ("queued", "paused"):
                superseded[row.run_id, row.lane, one.kind] += 1
        if what is OnPut.MOVE:
            moved.append({"b_id": row.id, "b_run": run_id, "b_import": import_no, **_rank(one)})
        else:
            changed.append(_change(one, row, import_no=import_no, run_id=run_id, now=now))
    new = _new(tenant=tenant, import_no=import_no, run_id=run_id, now=now)
    insert_rows(connection, jobs, _FRESH, fresh, same=new)
    if moved:
        connection.execute(_MOVE, moved)
    if changed:
        connection.execute(_CHANGE, changed)
    _unblock(connection, taken, tenant=tenant, now=now)
    for (old_run, lane, kind), count in sorted(superseded.items()):
        run_counts.add(connection, run_id=old_run, lane=lane, kind=kind, superseded=count)
    if run_id is not None:
        run_counts.add_planned(connection, run_id=run_id, planned=planned)
    return len(taken)


def _on_put(one: Put, row: AnyRow | None, newest: dict[str, int], import_no: int) -> OnPut:
    return on_put(
        newest_import=newest.get(one.target, 0),
        import_no=import_no,
        open_state=row.state if row is not None else None,
        open_hash=row.desired_hash if row is not None else None,
        desired_hash=one.desired_hash,
    )


_MOVE = (
    update(jobs)
    .where(jobs.c.id == bindparam("b_id"))
    .values(
        run_id=bindparam("b_run"),
        import_no=bindparam("b_import"),
        tier=bindparam("b_tier"),
        priority=bindparam("b_priority"),
    )
)
_CHANGE = (
    update(jobs)
    .where(jobs.c.id == bindparam("b_id"))
    .values(
        state="queued",
        payload=bindparam("b_payload"),
        desired_hash=bindparam("b_hash"),
        schema_ver=SCHEMA_VER,
        rev=jobs.c.rev + 1,
        attempts=0,
        run_at=bindparam("b_now"),
        run_id=bindparam("b_run"),
        import_no=bindparam("b_import"),
        tier=bindparam("b_tier"),
        priority=bindparam("b_priority"),
        error_code=None,
        last_error=None,
    )
)


def _newer(connection: Connection, puts: Sequence[Put], *, tenant: str, import_no: int) -> dict[str, int]:
    """Make the mirror rows and lock them. Returns the import that was put before for those targets that had a newer one."""
    mirrored = [one for one in puts if one.kind in MIRRORED]
    values = [
        (one.term, one.target, one.kind, one.group_id, one.lane, one.marker, one.name, one.source_id)
        for one in mirrored
    ]
    # Raising its number locks a row to the end of the unit, also where there is nothing to raise.
    insert_rows(
        connection,
        mirror,
        ("term", "target", "kind", "group_id", "lane", "marker", "name", "source_id"),
        values,
        same={"tenant_id": tenant, "import_no": import_no, **_NEW_MIRROR},
        raising="import_no",
    )
    by_term: dict[str, list[str]] = {}
    for one in mirrored:
        by_term.setdefault(one.term, []).append(one.target)
    newer: dict[str, int] = {}
    for term, targets in by_term.items():
        where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target.in_(targets))
        before = select(mirror.c.target, mirror.c.import_no).where(*where, mirror.c.import_no > import_no)
        newer |= {row.target: row.import_no for row in connection.execute(before)}
    return newer


MIRRORED = ("calendar", "members", "event")
"""Kinds of jobs whose targets have a mirror row."""

_NEW_MIRROR = {"state": "none", "generation": 0, "sent_hash": "", "list_max": 100, "parked_until": 0}


def _open_rows(connection: Connection, puts: Sequence[Put], *, tenant: str) -> dict[str, AnyRow]:
    found: dict[str, AnyRow] = {}
    for kind, targets in _by_kind(puts).items():
        rows = connection.execute(
            select(jobs.c.id, jobs.c.target, jobs.c.desired_hash, jobs.c.state, jobs.c.run_id, jobs.c.lane)
            .where(jobs.c.tenant_id == tenant, jobs.c.kind == kind, jobs.c.open_key.in_(targets))
            .with_for_update()
        )
        found |= {row.target: row for row in rows}
    return found


def _by_kind(puts: Sequence[Put]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in puts:
        found.setdefault(one.kind, []).append(one.target)
    return found


_FRESH = (
    "id", "lane", "kind", "target", "open_key", "term", "group_id", "payload", "desired_hash", "tier", "priority",
)  # fmt: skip


def _fresh_values(one: Put, id_: str) -> tuple[Any, ...]:
    return (
        id_, one.lane, one.kind, one.target, one.target, one.term, one.group_id, one.payload, one.desired_hash, one.tier,
        one.priority,
    )  # fmt: skip


def _new(*, tenant: str, import_no: int, run_id: str | None, now: int) -> dict[str, Any]:
    """What all new rows of a unit have in common."""
    return {
        "tenant_id": tenant,
        "schema_ver": SCHEMA_VER,
        "rev": 1,
        "import_no": import_no,
        "state": "queued",
        "run_at": now,
        "attempts": 0,
        "run_id": run_id,
        "created_ms": now,
    }


def _change(one: Put, row: AnyRow, *, import_no: int, run_id: str | None, now: int) -> dict[str, Any]:
    return {
        "b_id": row.id,
        "b_payload": one.payload,
        "b_hash": one.desired_hash,
        "b_now": now,
        "b_run": run_id,
        "b_import": import_no,
        **_rank(one),
    }


def _rank(one: Put) -> dict[str, int]:
    """Where it stands now: what was far away when it was put first may be near by now."""
    return {"b_tier": one.tier, "b_priority": one.priority}


def _unblock(connection: Connection, puts: Sequence[Put], *, tenant: str, now: int) -> None:
    """What a dead calendar had blocked is queued again when the calendar is put again."""
    calendars = [one.target for one in puts if one.kind == "calendar"]
    if not calendars:
        return
    where = (jobs.c.tenant_id == tenant, jobs.c.group_id.in_(calendars), jobs.c.state == "blocked")
    blocked = connection.execute(select(jobs.c.run_id, jobs.c.lane, jobs.c.kind).where(*where)).all()
    if not blocked:
        return
    connection.execute(update(jobs).where(*where).values(state="queued", run_at=now))
    # They had been counted as failed with their calendar, which they are not any more.
    for (run_id, lane, kind), count in sorted(Counter(tuple(row) for row in blocked if row.run_id).items()):
        run_counts.add(connection, run_id=run_id, lane=lane, kind=kind, failed=-count)


# --- closing lane jobs -----------------------------------------------------------------------------------------------


_CLOSE = (
    update(jobs)
    .where(
        jobs.c.id.in_(bindparam("b_ids", expanding=True)), jobs.c.rev == bindparam("b_rev"), jobs.c.state == "queued"
    )
    .values(state=bindparam("b_state"), open_key=None, finished_ms=db_now_ms())
)


def close(connection: Connection, closed: Sequence[tuple[str, int]], *, state: str = "done") -> set[str]:
    """Close the jobs `(id, rev)` that still are at that rev; the others stay queued. Returns the ids closed."""
    by_rev: dict[int, list[str]] = {}
    for job_id, rev in closed:
        by_rev.setdefault(rev, []).append(job_id)
    gone: set[str] = set()
    for rev, ids in by_rev.items():
        hit = connection.execute(_CLOSE, {"b_ids": ids, "b_rev": rev, "b_state": state})
        if hit.rowcount == len(ids):
            gone.update(ids)
        else:
            again = select(jobs.c.id).where(jobs.c.id.in_(ids), jobs.c.rev == rev, jobs.c.state == state)
            gone.update(connection.execute(again).scalars())
    return gone


def bury(connection: Connection, *, job_id: str, rev: int, code: str, message: str, verb: str = "") -> bool:
    """Make the job a dead letter; it waits for a person. False when it was put again meanwhile."""
    hit = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.rev == rev, jobs.c.state == "queued")
        .values(state="dead", open_key=None, finished_ms=db_now_ms(), error_code=code, last_error=message)
    )
    if hit.rowcount != 1:
        return False
    dead_letters.died(connection, job_id, error_class=code, message=message, verb=verb)
    return True


def block_group(connection: Connection, *, tenant: str, group_id: str) -> list[tuple[str | None, str, str]]:
    """Block what waits for a calendar that died. Returns (run, lane, kind) of each row blocked."""
    where = (
        jobs.c.tenant_id == tenant,
        jobs.c.group_id == group_id,
        jobs.c.state.in_(("queued", "paused")),
        jobs.c.kind != "calendar",
    )
    rows = [(r.run_id, r.lane, r.kind) for r in connection.execute(select(jobs).where(*where))]
    if rows:
        connection.execute(update(jobs).where(*where).values(state="blocked", error_code="calendar_dead"))
    return rows


def cancel_group(connection: Connection, *, tenant: str, group_id: str) -> list[tuple[str | None, str, str]]:
    """Close what waits for a calendar that was deleted on purpose."""
    where = (
        jobs.c.tenant_id == tenant,
        jobs.c.group_id == group_id,
        jobs.c.state.in_(OPEN),
        jobs.c.kind != "calendar",
    )
    rows = [(r.run_id, r.lane, r.kind) for r in connection.execute(select(jobs).where(*where)) if r.state != "blocked"]
    connection.execute(update(jobs).where(*where).values(state="cancelled", open_key=None, finished_ms=db_now_ms()))
    return rows


def retry_later(connection: Connection, *, job_ids: Sequence[str], wait_ms: int, code: str, message: str) -> None:
    """Leave the jobs queued for another try `wait_ms` from now, with the reason."""
    connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(job_ids), jobs.c.state == "queued")
        .values(run_at=db_now_ms() + wait_ms, error_code=code, last_error=message)
    )


def change_attempts(connection: Connection, *, job_ids: Sequence[str], by: int) -> None:
    """Count an attempt (+1) before the work, or give one back (-1) that was nobody's fault."""
    if job_ids:
        connection.execute(
            update(jobs).where(jobs.c.id.in_(job_ids), jobs.c.attempts + by >= 0).values(attempts=jobs.c.attempts + by)
        )


# --- lane jobs of a run ------------------------------------------------------------------------------------------------


def move_some(
    connection: Connection, *, tenant: str, run_id: str, before: Sequence[str], after: str, limit: int = 500
) -> int:
    """Move up to `limit` lane jobs of the run from one of the states `before` to `after`. Returns how many were moved.

    To `cancelled` closes them. A call in flight ends as it ends: its result goes into the mirror, and finds its job moved.
    """
    mine = (jobs.c.tenant_id == tenant, jobs.c.state.in_(before), jobs.c.run_id == run_id, jobs.c.lane.is_not(None))
    ids = sorted(connection.execute(select(jobs.c.id).where(*mine).limit(limit)).scalars())
    values: dict[str, Any] = {"state": after}
    if after == "cancelled":
        values |= {"open_key": None, "finished_ms": db_now_ms()}
    if ids:
        connection.execute(update(jobs).where(jobs.c.id.in_(ids), *mine).values(**values))
    return len(ids)


# --- tasks of queues ---------------------------------------------------------------------------------------------------


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
) -> str:
    """Ask for a task; while one with the same target is open, that one is asked again (its rev grows). Returns its id."""
    now = now_ms(connection)
    where = (jobs.c.tenant_id == tenant, jobs.c.kind == kind, jobs.c.open_key == target)
    row = connection.execute(select(jobs.c.id).where(*where).with_for_update()).one_or_none()
    if row is not None:
        connection.execute(
            update(jobs).where(jobs.c.id == row.id).values(rev=jobs.c.rev + 1, payload=payload, schema_ver=SCHEMA_VER)
        )
        return str(row.id)
    one = Put(kind, target, target, "", "", payload, "", 0, 0)
    fresh = dict(zip(_FRESH, _fresh_values(one, new_id()), strict=True))
    new = _new(tenant=tenant, import_no=0, run_id=run_id, now=now)
    connection.execute(jobs.insert(), [{**fresh, **new, "lane": None, "queue": queue}])
    return str(fresh["id"])


def lock_task(connection: Connection, *, tenant: str, kind: str, target: str) -> None:
    """Lock the open task of a target, if there is one: first, because whoever works on it locks it first too."""
    where = (jobs.c.tenant_id == tenant, jobs.c.kind == kind, jobs.c.open_key == target)
    connection.execute(select(jobs.c.id).where(*where).with_for_update()).one_or_none()


def take_away(connection: Connection, job_id: str) -> None:
    """Make the task nobody's and due now: the next write of whoever had it raises `ClaimLost`."""
    connection.execute(
        update(jobs).where(jobs.c.id == job_id).values(claim=None, run_at=db_now_ms(), attempts=0, last_error=None)
    )


def claim_task(
    connection: Connection,
    *,
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
    hit = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == "queued", jobs.c.run_at <= now, *_understood(kinds))
        .values(attempts=jobs.c.attempts + 1, claim=claim, run_at=now + visibility_ms)
    )
    if hit.rowcount != 1:
        return None
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one()
    if gives_up(attempts=row.attempts, max_attempts=max_attempts):
        message = row.last_error or "its worker died each time"
        values = {
            "state": "dead",
            "open_key": None,
            "finished_ms": now,
            "error_code": TASK_BROKE,
            "last_error": message,
        }
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
        dead_letters.died(connection, job_id, error_class=TASK_BROKE, message=message)
        return None
    return Task(row.id, row.tenant_id, row.kind, row.target, row.payload, row.rev, claim, row.attempts, row.run_id)


def dead_task(connection: Connection, job_id: str) -> AnyRow | None:
    """The task, if it has become a dead letter."""
    return connection.execute(select(jobs).where(jobs.c.id == job_id, jobs.c.state == "dead")).one_or_none()


def revive_task(connection: Connection, job_id: str) -> int:
    """Ask for a dead task again, unless a new one of its target is open already. Returns 1 or 0."""
    row = dead_task(connection, job_id)
    if row is None:
        return 0
    where = (jobs.c.tenant_id == row.tenant_id, jobs.c.kind == row.kind, jobs.c.open_key == row.target)
    if connection.execute(select(jobs.c.id).where(*where)).first() is not None:
        return 0
    values = {"state": "queued", "open_key": row.target, "attempts": 0, "run_at": db_now_ms(), "finished_ms": None}
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
    dead_letters.revived(connection, row)
    return 1


def keep_task(connection: Connection, task: Task, *, visibility_ms: int) -> None:
    """Heartbeat and fence of a long task: the first statement of each of its transactions. Raises `ClaimLost`."""
    hit = connection.execute(
        update(jobs)
        .where(jobs.c.id == task.id, jobs.c.claim == task.claim, jobs.c.state == "queued")
        .values(run_at=db_now_ms() + visibility_ms)
    )
    if hit.rowcount != 1:
        raise ClaimLost(f"task {task.kind} {task.id} was claimed by another worker")


def made_progress(connection: Connection, task: Task) -> None:
    """A page of the task is done: whatever kills its worker from now on is not what killed the one before."""
    connection.execute(
        update(jobs)
        .where(jobs.c.id == task.id, jobs.c.claim == task.claim, jobs.c.state == "queued")
        .values(attempts=0)
    )


def finish_task(connection: Connection, task: Task) -> None:
    """Close the task unless it was asked for again meanwhile; then it stays queued, due now."""
    now = db_now_ms()
    mine = (jobs.c.id == task.id, jobs.c.claim == task.claim, jobs.c.state == "queued")
    closed = connection.execute(
        update(jobs).where(*mine, jobs.c.rev == task.rev).values(state="done", open_key=None, finished_ms=now)
    )
    if closed.rowcount == 0:
        connection.execute(update(jobs).where(*mine).values(run_at=now, attempts=0, claim=None))


def defer_task(connection: Connection, task: Task, *, wait_ms: int, reason: str | None = None) -> None:
    """Leave the task queued for `wait_ms` from now. Without a reason it went well, and its attempts start again."""
    values: dict[str, Any] = {"run_at": db_now_ms() + wait_ms, "claim": None}
    values |= {"attempts": 0} if reason is None else {"last_error": reason}
    connection.execute(
        update(jobs).where(jobs.c.id == task.id, jobs.c.claim == task.claim, jobs.c.state == "queued").values(**values)
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


# --- reading ------------------------------------------------------------------------------------------------------------


def is_open(connection: Connection, *, tenant: str, kind: str, target: str) -> bool:
    """Whether a job of the target is queued, paused or blocked."""
    where = (jobs.c.tenant_id == tenant, jobs.c.kind == kind, jobs.c.open_key == target)
    return connection.execute(select(jobs.c.id).where(*where)).first() is not None


def is_dead(connection: Connection, *, tenant: str, kind: str, target: str) -> bool:
    """Whether the target has a dead letter that nobody has asked for again."""
    where = (jobs.c.tenant_id == tenant, jobs.c.kind == kind, jobs.c.target == target, jobs.c.state == "dead")
    return connection.execute(select(jobs.c.id).where(*where).limit(1)).first() is not None


def any_open(connection: Connection, *, tenant: str, run_id: str, kind: str) -> bool:
    """Whether a lane job of a run is still queued. The first one found is enough: no run counts its thousands."""
    where = (jobs.c.tenant_id == tenant, jobs.c.state == "queued", jobs.c.kind == kind, jobs.c.run_id == run_id)
    return connection.execute(select(jobs.c.id).where(*where).limit(1)).first() is not None
