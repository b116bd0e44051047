"""Rows of one tenant copied from one database into another, a page at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table, select

from db import jobs
from db.engine import unit
from db.tables import (
    imports,
    mirror,
    offerings,
    opt_outs,
    periods,
    pins,
    rolls,
    rooms,
    sessions,
    sources,
    teaching_changes,
    tenants,
    terms,
    users,
)
from db.tables import jobs as job_table

PAGE = 2_000
_WHOLE = (
    tenants, terms, periods, rooms, users, imports, offerings, sessions, rolls, teaching_changes, mirror, pins, sources,
    opt_outs,
)  # fmt: skip


def copy_timetable(source: Connection, target: Engine, *, tenant: str) -> int:
    """Copy what the timetable of a tenant is and what WPS holds of it, with the work that is not done. Returns the rows.

    Staging, quarantine and history are left out. `target` has the tables and none of the rows.
    """
    count = 0
    for table in _WHOLE:
        column = table.c.id if table is tenants else table.c.tenant_id
        count += _copy(source, target, table, column == tenant)
    waiting = (job_table.c.tenant_id == tenant, job_table.c.state.in_((*jobs.OPEN, "dead")))
    return count + _copy(source, target, job_table, *waiting)


def _copy(source: Connection, target: Engine, table: Table, *where: Any) -> int:
    count = 0
    for page in _pages(source, table, where):
        with unit(target) as connection:
            connection.execute(table.insert(), page)
        count += len(page)
    return count


def _pages(source: Connection, table: Table, where: Sequence[Any]) -> Iterator[list[dict[str, Any]]]:
    """In the order of the key, which is the order in which they are written best."""
    statement = select(table).where(*where).order_by(*table.primary_key.columns)
    result = source.execution_options(stream_results=True, yield_per=PAGE).execute(statement)
    for page in result.mappings().partitions():
        yield [dict(row) for row in page]
