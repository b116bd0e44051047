"""People and their WPS accounts."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select

from db.tables import rolls, users


def _missing(tenant: str) -> tuple[ColumnElement[bool], ...]:
    """People in the files or on a roll whose account is not known; others left with their term."""
    enrolled = exists().where(
        rolls.c.tenant_id == users.c.tenant_id, rolls.c.kind == users.c.kind, rolls.c.code == users.c.code
    )
    return users.c.tenant_id == tenant, users.c.wps_id.is_(None), or_(users.c.listed, enrolled)


def unmapped_codes(connection: Connection, *, tenant: str, after: str, limit: int) -> list[str]:
    """The next numbers (学号 or 工号) of people whose account is not known, in their order."""
    where = (*_missing(tenant), users.c.code > after)
    return list(
        connection.execute(select(users.c.code).where(*where).distinct().order_by(users.c.code).limit(limit)).scalars()
    )


def unmapped_count(connection: Connection, *, tenant: str) -> int:
    """How many people have no account."""
    statement = select(func.count()).select_from(users).where(*_missing(tenant))
    return int(connection.execute(statement).scalar_one())


def unmapped(connection: Connection, *, tenant: str, limit: int) -> list[dict[str, Any]]:
    """People without an account; `listed` tells those of the people files from those only a row names."""
    rows = connection.execute(select(users).where(*_missing(tenant)).order_by(users.c.kind, users.c.code).limit(limit))
    shown = ("kind", "code", "name", "college", "listed", "checked_ms")
    return [{name: getattr(row, name) for name in shown} for row in rows]
