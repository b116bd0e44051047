"""Jobs of lanes: rows of the one table of work that say what a remote target should be. Those of queues: `tasks`.

queued ─▶ done | dead | cancelled | superseded            blocked: its calendar is dead; back to queued when that is put
                                                          paused: its run is paused; back to queued when that goes on
                                                          held: it waits for off-peak hours; see `holding`
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from db import dead_letters, failures, run_counts
from db.clock import db_now_ms, now_ms
from db.spelled import Spelled
from db.tables import AnyRow, jobs, mirror
from db.upsert import insert_rows
from domain.jobs import HELD, OnPut, on_put, state_after_put

SCHEMA_VER = 1
"""What this code writes and understands. Raise it with a change of a payload that older code would misread, and with any new
kind of lane job: during a deployment old workers leave the rows of new ones alone, and new workers must understand the old."""
GONE = "null"  # payload of a target that should not exist
OPEN = ("queued", "held", "paused", "blocked")
WAITING = ("queued", "held", "paused")  # open, and its run has not counted it as anything yet


@dataclass(frozen=True, slots=True)
class Put:
    """The desired state of one remote target. `desired_hash` is blank when the target should be gone.

    `may_wait`: it is put as held, for off-peak hours.
    """

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
    may_wait: bool = False


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
    now, mine = now_ms(connection), {"b_tenant": tenant}
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
            if row.run_id is not None and row.state in WAITING:
                superseded[row.run_id, row.lane, one.kind] += 1
        if what is OnPut.MOVE:
            state = state_after_put(open_state=row.state, moved=True, may_wait=one.may_wait)
            moved.append(
                {"b_id": row.id, "b_state": state, "b_run": run_id, "b_import": import_no, **_rank(one)} | mine
            )
        else:
            changed.append(_change(one, row, import_no=import_no, run_id=run_id, now=now) | mine)
    new = _new(tenant=tenant, import_no=import_no, run_id=run_id, now=now)
    insert_rows(connection, jobs, _FRESH, fresh, same=new)
    if moved:
        connection.execute(_MOVE, moved)
    if changed:
        connection.execute(_CHANGE, changed)
    _unblock(connection, taken, tenant=tenant, now=now)
    _let_calendars_go(connection, taken, tenant=tenant)
    _block_under_dead(connection, taken, tenant=tenant)
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
    .where(jobs.c.tenant_id == bindparam("b_tenant"), jobs.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"),
        run_id=bindparam("b_run"),
        import_no=bindparam("b_import"),
        tier=bindparam("b_tier"),
        priority=bindparam("b_priority"),
    )
)
_CHANGE = (
    update(jobs)
    .where(jobs.c.tenant_id == bindparam("b_tenant"), jobs.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"),
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
        key = {"b_tenant": tenant, "b_term": term, "b_targets": targets, "b_import": import_no}
        newer |= {row.target: row.import_no for row in connection.execute(_PUT_LATER, key)}
    return newer


# Built once: to build a list of five hundred into a statement takes longer than to look for them.
_PUT_LATER = select(mirror.c.target, mirror.c.import_no).where(
    mirror.c.tenant_id == bindparam("b_tenant"),
    mirror.c.term == bindparam("b_term"),
    mirror.c.target.in_(bindparam("b_targets", expanding=True)),
    mirror.c.import_no > bindparam("b_import"),
)
_OPEN_ROWS = (
    select(jobs.c.id, jobs.c.target, jobs.c.desired_hash, jobs.c.state, jobs.c.run_id, jobs.c.lane)
    .where(
        jobs.c.tenant_id == bindparam("b_tenant"),
        jobs.c.kind == bindparam("b_kind"),
        jobs.c.open_key.in_(bindparam("b_targets", expanding=True)),
    )
    .with_for_update()
)


MIRRORED = ("calendar", "members", "event")
"""Kinds of jobs whose targets have a mirror row."""

_NEW_MIRROR = {"state": "none", "generation": 0, "sent_hash": "", "list_max": 100, "parked_until": 0}


def _open_rows(connection: Connection, puts: Sequence[Put], *, tenant: str) -> dict[str, AnyRow]:
    found: dict[str, AnyRow] = {}
    for kind, targets in _by_kind(puts).items():
        rows = connection.execute(_OPEN_ROWS, {"b_tenant": tenant, "b_kind": kind, "b_targets": targets})
        found |= {row.target: row for row in rows}
    return found


def _by_kind(puts: Sequence[Put]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in puts:
        found.setdefault(one.kind, []).append(one.target)
    return found


_FRESH = (
    "id", "lane", "kind", "target", "open_key", "term", "group_id", "payload", "desired_hash", "tier", "priority", "state",
)  # fmt: skip


def _fresh_values(one: Put, id_: str) -> tuple[Any, ...]:
    return (
        id_, one.lane, one.kind, one.target, one.target, one.term, one.group_id, one.payload, one.desired_hash, one.tier,
        one.priority, state_after_put(open_state=None, moved=False, may_wait=one.may_wait),
    )  # fmt: skip


def _new(*, tenant: str, import_no: int, run_id: str | None, now: int) -> dict[str, Any]:
    """What all new rows of a unit have in common."""
    return {
        "tenant_id": tenant,
        "schema_ver": SCHEMA_VER,
        "rev": 1,
        "import_no": import_no,
        "run_at": now,
        "attempts": 0,
        "run_id": run_id,
        "created_ms": now,
    }


def _change(one: Put, row: AnyRow, *, import_no: int, run_id: str | None, now: int) -> dict[str, Any]:
    return {
        "b_id": row.id,
        "b_state": state_after_put(open_state=row.state, moved=False, may_wait=one.may_wait),
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


def _let_calendars_go(connection: Connection, puts: Sequence[Put], *, tenant: str) -> None:
    """What may not wait is not kept waiting by its calendar."""
    groups = sorted({one.group_id for one in puts if not one.may_wait and one.kind in ("members", "event")})
    if groups:
        mine = (jobs.c.tenant_id == tenant, jobs.c.kind == "calendar", jobs.c.open_key.in_(groups))
        connection.execute(update(jobs).where(*mine, jobs.c.state == HELD).values(state="queued"))


def _block_under_dead(connection: Connection, puts: Sequence[Put], *, tenant: str) -> None:
    """What is put under a calendar that is a dead letter and was never made waits for a person with it.

    A slow run may put its events when a newer one has put their calendar, and that has died: nobody would ever send them, and
    the run would not end.
    """
    calendars = {one.target for one in puts if one.kind == "calendar"}
    groups = {one.group_id for one in puts if one.kind in ("members", "event")} - calendars
    if not groups or not failures.any_dead(connection, tenant=tenant):
        return
    dead = failures.dead_of(connection, tenant=tenant, kinds={"calendar"}, targets=sorted(groups))
    if not dead:
        return
    there = (mirror.c.tenant_id == tenant, mirror.c.kind == "calendar", mirror.c.target == jobs.c.target)
    made = select(mirror.c.target).where(*there, mirror.c.state == "live").exists()
    orphaned = select(jobs.c.group_id).where(jobs.c.tenant_id == tenant, jobs.c.id.in_(dead), ~made)
    for group_id in sorted(connection.execute(orphaned).scalars()):
        rows = [row for row in block_group(connection, tenant=tenant, group_id=group_id) if row[0] is not None]
        for (run_id, lane, kind), count in sorted(Counter(rows).items(), key=str):
            run_counts.add(connection, run_id=str(run_id), lane=lane, kind=kind, failed=count)


# --- closing lane jobs -----------------------------------------------------------------------------------------------


# For jobs that are named by their ids. An index of the tenant, which SQLite prefers to a list of ids, has every job.
OF_TENANT = jobs.c.tenant_id.concat("") == bindparam("b_tenant")
_CLOSE = Spelled(
    update(jobs)
    .where(
        OF_TENANT,
        jobs.c.id.in_(bindparam("b_ids", expanding=True)),
        jobs.c.rev == bindparam("b_rev"),
        jobs.c.state == "queued",
    )
    .values(state=bindparam("b_state"), open_key=None, finished_ms=db_now_ms()),
    listed="b_ids",
)


def close(connection: Connection, closed: Sequence[tuple[str, int]], *, tenant: str, state: str = "done") -> set[str]:
    """Close the jobs `(id, rev)` that still are at that rev; the others stay queued. Returns the ids closed."""
    by_rev: dict[int, list[str]] = {}
    for job_id, rev in closed:
        by_rev.setdefault(rev, []).append(job_id)
    gone: set[str] = set()
    for rev, ids in by_rev.items():
        hit = _CLOSE.run(connection, {"b_tenant": tenant, "b_ids": ids, "b_rev": rev, "b_state": state})
        if hit.rowcount == len(ids):
            gone.update(ids)
        else:
            again = select(jobs.c.id).where(OF_TENANT, jobs.c.id.in_(ids), jobs.c.rev == rev, jobs.c.state == state)
            gone.update(connection.execute(again, {"b_tenant": tenant}).scalars())
    return gone


def bury(
    connection: Connection, *, tenant: str, job_id: str, rev: int, code: str, message: str, verb: str = ""
) -> bool:
    """Make the job a dead letter; it waits for a person. False when it was put again meanwhile."""
    hit = connection.execute(
        update(jobs)
        .where(jobs.c.tenant_id == tenant, jobs.c.id == job_id, jobs.c.rev == rev, jobs.c.state == "queued")
        .values(state="dead", open_key=None, finished_ms=db_now_ms(), error_code=code, last_error=message)
    )
    if hit.rowcount != 1:
        return False
    dead_letters.died(connection, job_id, tenant=tenant, error_class=code, message=message, verb=verb)
    return True


def block_group(connection: Connection, *, tenant: str, group_id: str) -> list[tuple[str | None, str, str]]:
    """Block what waits for a calendar that died. Returns (run, lane, kind) of each row blocked."""
    where = (
        jobs.c.tenant_id == tenant,
        jobs.c.group_id == group_id,
        jobs.c.state.in_(WAITING),
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


def retry_later(
    connection: Connection, *, tenant: str, job_ids: Sequence[str], wait_ms: int, code: str, message: str
) -> None:
    """Leave the jobs queued for another try `wait_ms` from now, with the reason."""
    connection.execute(
        update(jobs)
        .where(OF_TENANT, jobs.c.id.in_(job_ids), jobs.c.state == "queued")
        .values(run_at=db_now_ms() + wait_ms, error_code=code, last_error=message),
        {"b_tenant": tenant},
    )


def change_attempts(connection: Connection, *, tenant: str, job_ids: Sequence[str], by: int) -> None:
    """Count an attempt (+1) before the work, or give one back (-1) that was nobody's fault."""
    if job_ids:
        enough = (OF_TENANT, jobs.c.id.in_(job_ids), jobs.c.attempts + by >= 0)
        counted = update(jobs).where(*enough).values(attempts=jobs.c.attempts + by)
        connection.execute(counted, {"b_tenant": tenant})


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


# --- reading ------------------------------------------------------------------------------------------------------------


def is_open(connection: Connection, *, tenant: str, kind: str, target: str) -> bool:
    """Whether a job of the target is queued, held, paused or blocked."""
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
