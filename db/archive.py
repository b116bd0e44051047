"""Removing the work of a past term, a few hundred rows at a time. What came of it is in other tables and stays.

Each function removes up to `limit` rows after `cursor` and says where to go on, None when nothing is left. The cursor only
saves looking again at what is gone: doing a page twice removes nothing more.
"""

from typing import Any, Final

from sqlalchemy import Connection, Table, delete, func, select, tuple_

from db import run_counts
from db.jobs import MIRRORED, OF_TENANT
from db.tables import enrolments, jobs, meetings, members, mirror, runs, sessions, verifications

CLOSED: Final = ("done", "cancelled", "superseded")
Cursor = list[Any]
Page = tuple[int, Cursor | None]

_CALENDARS: Final = 20  # whose jobs are looked for at a time


def remove_staging(connection: Connection, *, tenant: str, term: str, cursor: Cursor, limit: int = 500) -> Page:
    """Source rows of the term, in whatever import they are. Cursor: table, import, first key column."""
    place, import_no, key = cursor or [0, 0, ""]
    table, column = ((meetings, meetings.c.offering_id), (enrolments, enrolments.c.kkh))[place]
    following = select(func.min(table.c.import_no)).where(table.c.tenant_id == tenant, table.c.import_no >= import_no)
    number = connection.execute(following).scalar()
    if number is None:
        return 0, [1, 0, ""] if place == 0 else None
    since = key if number == import_no else ""
    where = (table.c.tenant_id == tenant, table.c.import_no == number, table.c.term == term, column >= since)
    removed, last = _remove(connection, table, where, column.name, limit)
    return removed, [place, number, last] if removed == limit else [place, number + 1, ""]


def remove_history(connection: Connection, *, tenant: str, term: str, cursor: Cursor, limit: int = 500) -> Page:
    """Jobs of the term that are over, by calendar. Cursor: the last calendar done."""
    (after,) = cursor or ["cal:"]
    calendars = connection.execute(
        select(mirror.c.target)
        .where(
            mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target > after, mirror.c.target < "cal;"
        )
        .order_by(mirror.c.target)
        .limit(_CALENDARS)
    )  # fmt: skip
    targets = list(calendars.scalars())
    if not targets:
        return 0, None
    where = (
        jobs.c.tenant_id == tenant,
        jobs.c.group_id.in_(targets),
        jobs.c.term == term,
        jobs.c.state.in_(CLOSED),
        jobs.c.kind.in_((*MIRRORED, "verify")),
    )
    ids = list(connection.execute(select(jobs.c.id).where(*where).limit(limit)).scalars())
    if ids:
        connection.execute(delete(jobs).where(OF_TENANT, jobs.c.id.in_(sorted(ids))), {"b_tenant": tenant})
    return len(ids), [after] if len(ids) == limit else [targets[-1]]


def remove_members(connection: Connection, *, tenant: str, term: str, cursor: Cursor, limit: int = 500) -> Page:
    """Who has which permission, and when calendars were looked at. Cursor: table, first key column after the term."""
    place, since = cursor or [0, ""]
    table, name = ((members, "group_id"), (verifications, "target"))[place]
    where = (table.c.tenant_id == tenant, table.c.term == term, table.c[name] >= since)
    removed, last = _remove(connection, table, where, name, limit)
    if removed == limit:
        return removed, [place, last]
    return removed, [1, ""] if place == 0 else None


def fold_counts(connection: Connection, *, tenant: str, term: str, cursor: Cursor, limit: int = 20) -> Page:
    """The counters by lane of runs that ended before the term's last class become one row for each kind: sums stay.

    Cursor: the last run done.
    """
    (after,) = cursor or [""]
    last = select(func.max(sessions.c.end_ms)).where(sessions.c.tenant_id == tenant, sessions.c.term == term)
    ended = select(runs.c.id).where(
        runs.c.tenant_id == tenant, runs.c.id > after, runs.c.finished_ms < last.scalar_subquery()
    )
    ids = list(connection.execute(ended.order_by(runs.c.id).limit(limit)).scalars())
    removed = sum(run_counts.fold(connection, run_id=one) for one in ids)
    return removed, [ids[-1]] if ids else None


def _remove(connection: Connection, table: Table, where: tuple[Any, ...], name: str, limit: int) -> tuple[int, str]:
    """Remove the first `limit` rows in the order of the key; how many they were, and the last value of the column."""
    keys = list(table.primary_key.columns)
    rows = connection.execute(select(*keys).where(*where).order_by(*keys).limit(limit)).all()
    if not rows:
        return 0, ""
    connection.execute(delete(table).where(tuple_(*keys).in_([tuple(row) for row in rows])))
    return len(rows), str(rows[-1]._mapping[name])
