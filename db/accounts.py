"""People and their WPS accounts."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from db import imports
from db.tables import users


def _missing(connection: Connection, tenant: str) -> tuple[ColumnElement[bool], ...]:
    """People of the newest import whose account is not known; earlier ones left with their term."""
    newest = imports.latest_complete(connection, tenant) or 0
    return users.c.tenant_id == tenant, users.c.wps_id.is_(None), users.c.import_no >= newest


def unmapped_codes(connection: Connection, *, tenant: str) -> list[str]:
    """Numbers (学号 or 工号) of everybody whose account is not known, sorted."""
    rows = connection.execute(select(users.c.code).where(*_missing(connection, tenant)).distinct())
    return sorted(rows.scalars())


def unmapped_count(connection: Connection, *, tenant: str) -> int:
    """How many people have no account."""
    statement = select(func.count()).select_from(users).where(*_missing(connection, tenant))
    return int(connection.execute(statement).scalar_one())


def unmapped(connection: Connection, *, tenant: str, limit: int) -> list[dict[str, Any]]:
    """People without an account; `listed` tells those of the people files from those only a row names."""
    rows = connection.execute(
        select(users).where(*_missing(connection, tenant)).order_by(users.c.kind, users.c.code).limit(limit)
    )
    shown = ("kind", "code", "name", "college", "listed", "checked_ms")
    return [{name: getattr(row, name) for name in shown} for row in rows]
