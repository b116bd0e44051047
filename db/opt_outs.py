"""Who wants no calendar in a term, and which calendars that is about."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, select

from db.clock import now_ms
from db.tables import AnyRow, mirror, opt_outs, rolls, users
from db.upsert import insert_missing


def out(tenant: Any, term: Any, code: Any) -> ColumnElement[bool]:
    """Whether the person of these columns has opted out of the term of these columns."""
    return exists().where(opt_outs.c.tenant_id == tenant, opt_outs.c.term == term, opt_outs.c.code == code)


def get(connection: Connection, *, tenant: str, term: str, code: str) -> AnyRow | None:
    """The wish of one person for a term."""
    where = (opt_outs.c.tenant_id == tenant, opt_outs.c.term == term, opt_outs.c.code == code)
    return connection.execute(select(opt_outs).where(*where)).one_or_none()


def add(connection: Connection, *, tenant: str, term: str, code: str, by: str) -> None:
    """Write it down; one that is there stays."""
    row = {"tenant_id": tenant, "term": term, "code": code, "by": by, "since_ms": now_ms(connection)}
    insert_missing(connection, opt_outs, [row])


def remove(connection: Connection, *, tenant: str, term: str, code: str) -> int:
    """Forget it; returns how many there were: one or none."""
    where = (opt_outs.c.tenant_id == tenant, opt_outs.c.term == term, opt_outs.c.code == code)
    return int(connection.execute(delete(opt_outs).where(*where)).rowcount)


def listing(connection: Connection, *, tenant: str, term: str | None, limit: int) -> list[AnyRow]:
    """Who has opted out, newest first."""
    where = [opt_outs.c.tenant_id == tenant, *([] if term is None else [opt_outs.c.term == term])]
    return list(connection.execute(select(opt_outs).where(*where).order_by(opt_outs.c.since_ms.desc()).limit(limit)))


def kinds_of(connection: Connection, *, tenant: str, code: str) -> set[str]:
    """As what a number is known: student, teacher, both, or nothing."""
    return set(connection.scalars(select(users.c.kind).where(users.c.tenant_id == tenant, users.c.code == code)))


def offerings_taken(connection: Connection, *, tenant: str, term: str, code: str) -> list[str]:
    """The offerings that a person is on the roll of."""
    where = (rolls.c.tenant_id == tenant, rolls.c.term == term, rolls.c.code == code)
    kinds = rolls.c.kind.in_(("student", "teacher"))
    return sorted(set(connection.scalars(select(rolls.c.offering_id).where(*where, kinds))))


def calendars(connection: Connection, targets: list[str], *, tenant: str, term: str) -> list[tuple[str, str, str]]:
    """(term, target, lane) of those calendars that WPS has or had."""
    rows = connection.execute(
        select(mirror.c.term, mirror.c.target, mirror.c.lane)
        .where(mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target.in_(targets))
        .order_by(mirror.c.target)
    )
    return [(row.term, row.target, row.lane) for row in rows]
