"""Dead letters: jobs in state `dead`. Nothing of them expires; requeue asks for the same target again."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from db import imports, jobs
from db.jobs import Put
from db.tables import AnyRow
from db.tables import jobs as job_table


def listing(connection: Connection, *, tenant: str, limit: int) -> list[dict[str, Any]]:
    """Dead letters, newest first."""
    shown = ("id", "lane", "queue", "kind", "target", "term", "error_code", "last_error", "attempts", "run_id")
    rows = jobs.dead(connection, tenant=tenant, limit=limit)
    return [{name: getattr(row, name) for name in (*shown, "finished_ms")} for row in rows]


def requeue(connection: Connection, *, tenant: str, job_ids: Sequence[str] | None, new_id: Callable[[], str]) -> int:
    """Put the dead letters again (None: all). One that was put again meanwhile is left alone: twice is once."""
    where = [job_table.c.tenant_id == tenant, job_table.c.state == "dead"]
    if job_ids is not None:
        where.append(job_table.c.id.in_(job_ids))
    rows = _with_calendars(connection, tenant, connection.execute(select(job_table).where(*where)).all())
    import_no = imports.latest_complete(connection, tenant) or 0
    count = 0
    for row in rows:
        if row.lane is None:
            count += jobs.revive_task(connection, row.id)
            continue
        one = Put(
            row.kind,
            row.target,
            row.group_id,
            row.term,
            row.lane,
            row.payload,
            row.desired_hash,
            row.tier,
            row.priority,
        )
        count += jobs.put(connection, [one], tenant=tenant, import_no=import_no, run_id=None, new_id=new_id)
    return count


def _with_calendars(connection: Connection, tenant: str, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """The rows, and the dead calendars that they would wait for, in the order in which writers lock them."""
    dead_calendars = select(job_table).where(
        job_table.c.tenant_id == tenant,
        job_table.c.state == "dead",
        job_table.c.kind == "calendar",
        job_table.c.target.in_(sorted({row.group_id for row in rows})),
    )
    found = {row.id: row for row in (*rows, *connection.execute(dead_calendars))}
    return sorted(found.values(), key=lambda row: str(row.target))


def discard(connection: Connection, *, tenant: str, job_ids: Sequence[str]) -> int:
    """Close the dead letters for good."""
    hit = connection.execute(
        update(job_table)
        .where(job_table.c.tenant_id == tenant, job_table.c.state == "dead", job_table.c.id.in_(job_ids))
        .values(state="cancelled")
    )
    return int(hit.rowcount)
