"""Runs and their stages: a stored tree with counts, times and states."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update

from db import run_counts, run_questions
from db.clock import db_now_ms, now_ms
from db.tables import AnyRow, run_stages, runs, tenants
from domain import tiers
from domain.runs import ASKS, ENDED, PAUSED, RUNNING
from observability.tracing import Origin, origin

__all__ = ["ENDED", "RunActive"]


NORMAL, URGENT = tiers.NORMAL, tiers.URGENT


class RunActive(Exception):
    """A run that does the same, or must not be disturbed, has not ended; in some states it does not end by itself."""

    def __init__(self, run_id: str, kind: str, scope: dict[str, Any], state: str, *, held: bool = False) -> None:
        """`held`: of the run only jobs that wait for off-peak hours are left."""
        still = _STILL.get(state, "is still active")
        super().__init__(f"run {run_id} ({kind}) {_ASIDE if held and state == RUNNING else still}")
        self.held = held and state == RUNNING
        self.run_id = run_id
        self.kind = kind
        self.scope = scope
        self.state = state


_ASIDE = "stands aside: what is left of it waits for off-peak hours 其余待闲时"
_STILL = {ASKS: "waits for a person's answer", PAUSED: "is paused"}


def begin(
    connection: Connection,
    *,
    tenant: str,
    run_id: str,
    kind: str,
    scope: dict[str, Any],
    mutex: str,
    stages: Sequence[tuple[str, str]],
    trigger: str = "user",
    priority: str = NORMAL,
) -> None:
    """Write a new run with its stages `(stage, step)`. Raises `RunActive` while another one has the mutex."""
    before = active(connection, tenant=tenant, mutex=mutex)
    if before is not None:
        raise RunActive(before.id, before.kind, json.loads(before.scope), before.state)
    newest: int = (
        connection.execute(select(func.max(runs.c.created_ms)).where(runs.c.tenant_id == tenant)).scalar() or 0
    )
    # Two runs of one millisecond still come one after the other: the earlier goes first where both want the same.
    now = max(now_ms(connection), newest + 1)
    row: dict[str, Any] = {
        "id": run_id,
        "tenant_id": tenant,
        "kind": kind,
        "scope": json.dumps(scope, ensure_ascii=False),
    }
    known = origin()
    row |= {"trigger": trigger, "priority": priority, "request": known.request, "trace": known.trace}
    connection.execute(
        runs.insert(), [{**row, "mutex": mutex, "state": "queued", "stage": stages[0][0], "created_ms": now}]
    )
    connection.execute(
        run_stages.insert(),
        [
            {
                "run_id": run_id,
                "position": position,
                "stage": stage,
                "step": step,
                "state": "waiting",
                "total": 0,
                "done": 0,
            }
            for position, (stage, step) in enumerate(stages)
        ],
    )


def hold_order(connection: Connection, *, tenant: str) -> None:
    """Until the unit ends nobody else begins a run of the tenant or decides whose turn it is."""
    connection.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update())


def going_on(connection: Connection, *, tenant: str, kinds: Sequence[str]) -> list[AnyRow]:
    """Runs of these kinds that have not ended, in the order in which they were asked for."""
    rows = connection.execute(
        select(runs)
        .where(runs.c.tenant_id == tenant, runs.c.mutex.is_not(None), runs.c.kind.in_(kinds))
        .order_by(runs.c.created_ms, runs.c.id)
    )
    return list(rows)


def take_reading(connection: Connection, *, tenant: str, run_id: str) -> bool:
    """Become the one run that reads a source and makes sessions; False while another is that."""
    goes_on = (
        select(runs.c.id)
        .where(runs.c.tenant_id == tenants.c.id, runs.c.id == tenants.c.reading_run)
        .where(runs.c.state.in_(("queued", RUNNING)))
        .exists()
    )
    free = or_(tenants.c.reading_run.is_(None), tenants.c.reading_run == run_id, ~goes_on)
    taken = connection.execute(update(tenants).where(tenants.c.id == tenant, free).values(reading_run=run_id))
    return taken.rowcount == 1


def leave_reading(connection: Connection, *, tenant: str, run_id: str) -> None:
    """Let the next one read."""
    mine = (tenants.c.id == tenant, tenants.c.reading_run == run_id)
    connection.execute(update(tenants).where(*mine).values(reading_run=None))


def get(connection: Connection, run_id: str, *, tenant: str, lock: bool = False) -> AnyRow | None:
    """The school's run of that id."""
    statement = select(runs).where(runs.c.tenant_id == tenant, runs.c.id == run_id)
    return connection.execute(statement.with_for_update() if lock else statement).one_or_none()


def origin_of(connection: Connection, run_id: str, *, tenant: str) -> Origin | None:
    """The request that a run came by; None where there is no such run."""
    statement = select(runs.c.request, runs.c.trace).where(runs.c.tenant_id == tenant, runs.c.id == run_id)
    row = connection.execute(statement).one_or_none()
    return None if row is None else Origin(row.request, row.trace)


def active(connection: Connection, *, tenant: str, mutex: str) -> AnyRow | None:
    """The run that has not ended, of those that exclude each other by `mutex`."""
    return connection.execute(select(runs).where(runs.c.tenant_id == tenant, runs.c.mutex == mutex)).one_or_none()


def stages_of(connection: Connection, run_id: str) -> list[AnyRow]:
    rows = connection.execute(select(run_stages).where(run_stages.c.run_id == run_id).order_by(run_stages.c.position))
    return list(rows)


def newest(connection: Connection, *, tenant: str, limit: int = 20) -> list[AnyRow]:
    """Runs, newest first."""
    rows = connection.execute(
        select(runs).where(runs.c.tenant_id == tenant).order_by(runs.c.created_ms.desc(), runs.c.id.desc()).limit(limit)
    )
    return list(rows)


def page(
    connection: Connection,
    *,
    tenant: str,
    limit: int,
    offset: int = 0,
    newest_first: bool = True,
    after: tuple[int, str] | None = None,
    states: Sequence[str] = (),
    kinds: Sequence[str] = (),
    changed_after_ms: int | None = None,
) -> list[AnyRow]:
    """Runs in the order of their start. `after` is the (created_ms, id) of the last one seen.

    `changed_after_ms` leaves out those that ended before; one that has not ended may always have changed.
    """
    order = (runs.c.created_ms, runs.c.id)
    where = [runs.c.tenant_id == tenant]
    if after is not None:
        past, same = (order[0] < after[0], order[1] < after[1]) if newest_first else (
            order[0] > after[0], order[1] > after[1])  # fmt: skip
        where.append(or_(past, and_(order[0] == after[0], same)))
    if states:
        where.append(runs.c.state.in_(states))
    if kinds:
        where.append(runs.c.kind.in_(kinds))
    if changed_after_ms is not None:
        where.append(or_(runs.c.finished_ms.is_(None), runs.c.finished_ms > changed_after_ms))
    by = [column.desc() if newest_first else column for column in order]
    return list(connection.execute(select(runs).where(*where).order_by(*by).limit(limit).offset(offset)))


def change_run(connection: Connection, run_id: str, *, tenant: str, **values: Any) -> None:
    connection.execute(update(runs).where(runs.c.tenant_id == tenant, runs.c.id == run_id).values(**values))


def start_stage(connection: Connection, run_id: str, position: int, stage: str, *, tenant: str) -> None:
    """The stage begins, and the run with it."""
    where = (run_stages.c.run_id == run_id, run_stages.c.position == position, run_stages.c.state == "waiting")
    connection.execute(update(run_stages).where(*where).values(state="running", started_ms=db_now_ms()))
    change_run(connection, run_id, tenant=tenant, state="running", stage=stage)
    fresh = (runs.c.tenant_id == tenant, runs.c.id == run_id, runs.c.started_ms.is_(None))
    connection.execute(update(runs).where(*fresh).values(started_ms=db_now_ms()))


def change_stage(connection: Connection, run_id: str, position: int, **values: Any) -> None:
    where = (run_stages.c.run_id == run_id, run_stages.c.position == position)
    connection.execute(update(run_stages).where(*where).values(**values))


def end_stage(connection: Connection, run_id: str, position: int, *, state: str, note: str | None = None) -> None:
    change_stage(connection, run_id, position, state=state, finished_ms=db_now_ms(), note=note)


def end(
    connection: Connection,
    run_id: str,
    *,
    tenant: str,
    state: str,
    error: str | None = None,
    report: dict[str, Any] | None = None,
) -> None:
    """The run ends; its scope is free for the next."""
    text = json.dumps(report, ensure_ascii=False) if report is not None else None
    over = {"asked": None, "mutex": None, "finished_ms": db_now_ms()}
    change_run(connection, run_id, tenant=tenant, state=state, error=error, report=text, **over)


def as_dict(connection: Connection, row: AnyRow, *, now: int) -> dict[str, Any]:
    """A run as people and programs read it."""
    return {
        "id": row.id,
        "kind": row.kind,
        "trigger": row.trigger,
        "priority": row.priority,
        "state": row.state,
        "asked": row.asked,
        "held_until_ms": _held_until(row, now),
        "waits_for": _waits_for(connection, row),
        "stage": row.stage,
        "scope": shown_scope(row.scope),
        "import_no": row.import_no,
        "error": row.error,
        "created_ms": row.created_ms,
        "started_ms": row.started_ms,
        "finished_ms": row.finished_ms,
        "took_ms": None if row.started_ms is None else (row.finished_ms or now) - row.started_ms,
        "stages": [
            {
                "stage": stage.stage,
                "step": stage.step,
                "state": stage.state,
                "done": stage.done,
                "total": stage.total,
                "note": stage.note,
                "took_ms": None if stage.started_ms is None else (stage.finished_ms or now) - stage.started_ms,
            }
            for stage in stages_of(connection, row.id)
        ],
        "counts": run_counts.totals(connection, run_id=row.id),
        "report": json.loads(row.report) if row.report else None,
        "questions": [_asking(one) for one in run_questions.of_run(connection, tenant=row.tenant_id, run_id=row.id)],
    }


def _asking(row: AnyRow) -> dict[str, Any]:
    said = ("number", "state", "asked_ms", "answered_ms", "answered_by")
    return {
        **{name: getattr(row, name) for name in said},
        "questions": json.loads(row.questions),
        **json.loads(row.shown),
    }


def _held_until(row: AnyRow, now: int) -> int | None:
    """Until when a run has nothing but held jobs left; None when it goes on by itself."""
    return row.held_until if row.state == RUNNING and (row.held_until or 0) > now else None


def _waits_for(connection: Connection, row: AnyRow) -> dict[str, Any] | None:
    """The run that goes first, while the row's run has not begun."""
    before = (
        get(connection, row.waits_for, tenant=row.tenant_id)
        if row.waits_for is not None and row.state == "queued"
        else None
    )
    if before is None or before.state in ENDED:
        return None
    return {"id": before.id, "kind": before.kind, "state": before.state, "scope": shown_scope(before.scope)}


def shown_scope(stored: str) -> dict[str, Any]:
    """A scope as people may see it."""
    return {name: value for name, value in json.loads(stored).items() if name not in ("sealed", "members")}
