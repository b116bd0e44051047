"""Rows of one source in a staging that several share: counted, carried over, and put in order of precedence."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, case, func, or_, select, tuple_, update

from db.tables import enrolments, meetings, quarantine, terms
from db.upsert import insert_missing
from domain.terms import OPEN
from domain.timetable import HELD_OTHER_SOURCE

PAGE = 500
_KEYS: dict[Table, tuple[str, ...]] = {
    meetings: ("offering_id", "line"),
    enrolments: ("term", "kkh", "kcbh", "code"),
}
TABLES = {"meetings": meetings, "enrolments": enrolments}


def count(connection: Connection, *, tenant: str, import_no: int, source_no: int) -> int:
    """Meetings of a source that an import has, held ones included."""
    where = (meetings.c.tenant_id == tenant, meetings.c.import_no == import_no, meetings.c.source_no == source_no)
    return int(connection.execute(select(func.count()).select_from(meetings).where(*where)).scalar_one())


def used_by_source(connection: Connection, *, tenant: str, import_no: int) -> dict[tuple[str, int], int]:
    """(part, source) → its rows that count, in terms that are open now. Those that stand back for another source do."""
    closed = select(terms.c.xnxq).where(terms.c.tenant_id == tenant, terms.c.status != OPEN)
    found = {}
    for part, table in TABLES.items():
        where = [table.c.tenant_id == tenant, table.c.import_no == import_no, table.c.term.not_in(closed)]
        if table is meetings:
            where.append(or_(meetings.c.held.is_(None), meetings.c.held == HELD_OTHER_SOURCE))
        statement = select(table.c.source_no, func.count()).where(*where).group_by(table.c.source_no)
        for source_no, rows in connection.execute(statement):
            found[part, int(source_no)] = int(rows)
    return found


def carry_over(
    connection: Connection, table: Table, *, tenant: str, from_no: int, to_no: int, source_no: int, after: Sequence[Any]
) -> Sequence[Any] | None:
    """Copy the next page of a source's rows from one staging into another; rows that are there stay.

    Returns what to give as `after` the next time, None at the end; begin with nothing.
    """
    key = [table.c[name] for name in _KEYS[table]]
    where = [table.c.tenant_id == tenant, table.c.import_no == from_no]
    if after:
        where += [key[0] >= after[0], _behind(connection, key, after)]
    found = connection.execute(
        select(table).where(*where, table.c.source_no == source_no).order_by(*key).limit(PAGE)
    ).all()
    rows = [{**row._mapping, "import_no": to_no} for row in found]
    for row in rows:
        if row.get("held") == HELD_OTHER_SOURCE:
            row["held"] = None
    insert_missing(connection, table, rows)
    return [found[-1]._mapping[column.name] for column in key] if len(found) == PAGE else None


def _behind(connection: Connection, key: Sequence[Any], after: Sequence[Any]) -> Any:
    if connection.dialect.name == "sqlite":
        return tuple_(*key) > tuple_(*after)
    steps = []
    for place, column in enumerate(key):
        same = [one == value for one, value in zip(key[:place], after[:place], strict=True)]
        steps.append(and_(*same, column > after[place]))
    return or_(*steps)


def keep_rejects(connection: Connection, *, tenant: str, import_no: int, name: str) -> None:
    """Rows of a source that could not be used stay in the quarantine while it is not read."""
    connection.execute(
        update(quarantine)
        .where(quarantine.c.tenant_id == tenant, quarantine.c.cleared_ms.is_(None))
        .where(quarantine.c.file.like(f"{name}/%"), quarantine.c.last_import < import_no)
        .values(last_import=import_no)
    )


def contested(connection: Connection, *, tenant: str, import_no: int) -> list[str]:
    """Offerings of which several sources have a row that counts, and those with rows that once stood back."""
    mine = (meetings.c.tenant_id == tenant, meetings.c.import_no == import_no)
    counts = or_(meetings.c.held.is_(None), meetings.c.held == HELD_OTHER_SOURCE)
    several = func.min(meetings.c.source_no) != func.max(meetings.c.source_no)
    stood_back = func.max(case((meetings.c.held == HELD_OTHER_SOURCE, 1), else_=0)) == 1
    rows = connection.scalars(
        select(meetings.c.offering_id)
        .where(*mine, counts)
        .group_by(meetings.c.offering_id)
        .having(or_(several, stood_back))
        .order_by(meetings.c.offering_id)
    )
    return list(rows)


def sources_of(
    connection: Connection, *, tenant: str, import_no: int, offering_ids: Sequence[str]
) -> dict[str, list[int]]:
    """Offering → the sources with rows of it that count."""
    counts = or_(meetings.c.held.is_(None), meetings.c.held == HELD_OTHER_SOURCE)
    rows = connection.execute(
        select(meetings.c.offering_id, meetings.c.source_no)
        .where(meetings.c.tenant_id == tenant, meetings.c.import_no == import_no, counts)
        .where(meetings.c.offering_id.in_(offering_ids))
        .distinct()
    )
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row.offering_id, []).append(row.source_no)
    return found


def let_stand(connection: Connection, *, tenant: str, import_no: int, offering_id: str, source_no: int) -> bool:
    """Let the rows of one source be those of the offering; whether that changes any."""
    mine = (
        meetings.c.tenant_id == tenant,
        meetings.c.import_no == import_no,
        meetings.c.offering_id == offering_id,
    )
    others = (meetings.c.source_no != source_no, meetings.c.held.is_(None))
    back = connection.execute(update(meetings).where(*mine, *others).values(held=HELD_OTHER_SOURCE))
    own = (meetings.c.source_no == source_no, meetings.c.held == HELD_OTHER_SOURCE)
    forth = connection.execute(update(meetings).where(*mine, *own).values(held=None))
    return bool(back.rowcount or forth.rowcount)


def first_row(connection: Connection, *, tenant: str, import_no: int, offering_id: str, source_no: int) -> Any:
    """The first row of a source in an offering."""
    return connection.execute(
        select(meetings)
        .where(meetings.c.tenant_id == tenant, meetings.c.import_no == import_no)
        .where(meetings.c.offering_id == offering_id, meetings.c.source_no == source_no)
        .order_by(meetings.c.line)
        .limit(1)
    ).one()
