"""Terms one by one, as people see and set them; imports read and write them by `db.timetable`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update

from db.clock import db_now_ms
from db.tables import AnyRow, jobs, mirror, offerings, periods, sessions, terms
from db.timetable import save_periods
from db.upsert import insert_missing
from domain.terms import OPEN, PeriodRow


def get(connection: Connection, *, tenant: str, term: str, lock: bool = False) -> AnyRow | None:
    """The row of a term."""
    statement = select(terms).where(terms.c.tenant_id == tenant, terms.c.xnxq == term)
    return connection.execute(statement.with_for_update() if lock else statement).one_or_none()


def all_of(connection: Connection, *, tenant: str) -> list[AnyRow]:
    """Every term, newest first as far as its code says so."""
    rows = connection.execute(select(terms).where(terms.c.tenant_id == tenant).order_by(terms.c.xnxq.desc()))
    return list(rows)


def make(connection: Connection, *, tenant: str, term: str) -> None:
    """Write an open term without anything, unless it is there."""
    insert_missing(connection, terms, [{"tenant_id": tenant, "xnxq": term, "status": OPEN, "exchange": "{}"}])


def change(connection: Connection, *, tenant: str, term: str, **values: Any) -> None:
    """Overwrite some columns of a term."""
    if values:
        connection.execute(update(terms).where(terms.c.tenant_id == tenant, terms.c.xnxq == term).values(**values))


def put_away(connection: Connection, *, tenant: str, term: str, removed: Mapping[str, int]) -> None:
    """The work of an archived term is gone for good; what of it, and how much, stays readable."""
    change(connection, tenant=tenant, term=term, archived_ms=db_now_ms(), removed=json.dumps(dict(removed)))


# --- what there is of it ------------------------------------------------------------------------------------------------


def counts(connection: Connection, *, tenant: str) -> dict[str, dict[str, int]]:
    """Term → how many offerings, sessions and periods of its own it has; the blank term has the periods for all."""
    found: dict[str, dict[str, int]] = {}
    for name, table, column in (
        ("offerings", offerings, offerings.c.term),
        ("sessions", sessions, sessions.c.term),
        ("periods", periods, periods.c.xnxq),
    ):
        rows = connection.execute(
            select(column, func.count()).select_from(table).where(table.c.tenant_id == tenant).group_by(column)
        )
        for term, count in rows:
            found.setdefault(term, {})[name] = int(count)
    return found


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What of a term is not over: jobs that wait, dead letters, and writes nobody knows the outcome of."""

    waiting: int
    dead: int
    unsettled: int


def unfinished(connection: Connection, *, tenant: str, term: str) -> Unfinished:
    """What stands in the way of archiving a term."""
    rows = connection.execute(
        select(jobs.c.state, func.count())
        .where(jobs.c.tenant_id == tenant, jobs.c.state.in_(("queued", "held", "blocked", "dead")), jobs.c.term == term)
        .group_by(jobs.c.state)
    )
    by_state = {row[0]: int(row[1]) for row in rows}
    open_intents = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.intent_verb.is_not(None))
    unsettled = connection.execute(select(func.count()).select_from(mirror).where(*open_intents)).scalar_one()
    dead = by_state.pop("dead", 0)
    return Unfinished(sum(by_state.values()), dead, int(unsettled))


# --- its clock ----------------------------------------------------------------------------------------------------------


def periods_of(connection: Connection, *, tenant: str, term: str) -> list[AnyRow]:
    """The period rows that count for a term: its own, and those for every term."""
    rows = connection.execute(
        select(periods)
        .where(periods.c.tenant_id == tenant, or_(periods.c.xnxq == term, periods.c.xnxq == ""))
        .order_by(periods.c.xnxq.desc(), periods.c.xq, periods.c.since, periods.c.jc)
    )
    return list(rows)


def replace_periods(connection: Connection, rows: Sequence[PeriodRow], *, tenant: str, term: str) -> None:
    """Make these the term's own period rows, instead of those it had."""
    connection.execute(delete(periods).where(periods.c.tenant_id == tenant, periods.c.xnxq == term))
    for start in range(0, len(rows), 500):
        save_periods(connection, rows[start : start + 500], tenant=tenant)
