"""Lane jobs held for off-peak hours: which there are, and how they are held and let go, a page at a time."""

from sqlalchemy import Connection, func, select, update

from db.clock import db_now_ms
from db.jobs import MIRRORED, OF_TENANT
from db.tables import jobs, runs, tenants
from domain.jobs import HELD, QUEUED
from domain.runs import RUNNING

RUN_KINDS = ("full", "incremental", "users")
"""Kinds of runs whose far jobs wait; an undo, a repair and what a person asks for again do not."""
PAGE = 500


def any_held(connection: Connection, *, tenant: str, run_id: str | None = None) -> bool:
    """Whether something is held, of one run or at all."""
    mine = (jobs.c.tenant_id == tenant, jobs.c.state == HELD)
    of = () if run_id is None else (jobs.c.run_id == run_id,)
    return connection.execute(select(jobs.c.id).where(*mine, *of).limit(1)).first() is not None


def count(connection: Connection, *, tenant: str, run_id: str, kind: str | None = None) -> int:
    """How many jobs of the run are held."""
    mine = [jobs.c.tenant_id == tenant, jobs.c.state == HELD, jobs.c.run_id == run_id]
    if kind is not None:
        mine.append(jobs.c.kind == kind)
    return connection.execute(select(func.count()).select_from(jobs).where(*mine)).scalar_one()


def count_all(connection: Connection, *, tenant: str) -> int:
    """How many jobs are held."""
    mine = (jobs.c.tenant_id == tenant, jobs.c.state == HELD)
    return connection.execute(select(func.count()).select_from(jobs).where(*mine)).scalar_one()


def let_go(connection: Connection, *, tenant: str, limit: int = PAGE) -> tuple[int, set[str]]:
    """Queue up to `limit` held jobs. Returns how many, and their lanes."""
    mine = (jobs.c.tenant_id == tenant, jobs.c.state == HELD)
    rows = connection.execute(select(jobs.c.id, jobs.c.lane).where(*mine).limit(limit)).all()
    if rows:
        ids = sorted(row.id for row in rows)
        connection.execute(update(jobs).where(jobs.c.id.in_(ids), *mine).values(state=QUEUED, run_at=db_now_ms()))
    return len(rows), {row.lane for row in rows}


def hold(
    connection: Connection,
    *,
    tenant: str,
    from_tier: int,
    run_id: str | None = None,
    state: str = QUEUED,
    limit: int = PAGE,
) -> int:
    """Hold up to `limit` jobs in `state` from a tier on, of the runs that go on or of one. Returns how many.

    A call in flight ends as it ends: its result goes into the mirror, and its job finds later that nothing is left to do.
    """
    going = select(runs.c.id).where(
        runs.c.tenant_id == tenant, runs.c.mutex.is_not(None), runs.c.state == RUNNING, runs.c.kind.in_(RUN_KINDS)
    )
    mine = (
        jobs.c.tenant_id == tenant,
        jobs.c.state == state,
        jobs.c.kind.in_(MIRRORED),
        jobs.c.tier >= from_tier,
        jobs.c.run_id.in_(going) if run_id is None else jobs.c.run_id == run_id,
    )
    ids = sorted(connection.execute(select(jobs.c.id).where(*mine).limit(limit)).scalars())
    if ids:
        # The state alone is asked again: whoever took the job over meanwhile has said how near it is.
        still = (OF_TENANT, jobs.c.id.in_(ids), jobs.c.state == state, jobs.c.tier >= from_tier)
        connection.execute(update(jobs).where(*still).values(state=HELD), {"b_tenant": tenant})
    return len(ids)


def is_holding(connection: Connection, *, tenant: str) -> bool:
    """Whether what was queued when the hours ended is held by now."""
    return bool(connection.execute(select(tenants.c.holding).where(tenants.c.id == tenant)).scalar())


def set_holding(connection: Connection, holding: bool, *, tenant: str) -> None:
    """Keep whether all that can be held is."""
    connection.execute(update(tenants).where(tenants.c.id == tenant).values(holding=holding))
