"""People and their WPS accounts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select

from db.tables import rolls, users
from domain.scopes import Scope


def _missing(tenant: str) -> tuple[ColumnElement[bool], ...]:
    """People in the files or on a roll whose account is not known; others left with their term."""
    return users.c.tenant_id == tenant, users.c.wps_id.is_(None), _concerned()


def _concerned() -> ColumnElement[bool]:
    enrolled = exists().where(
        rolls.c.tenant_id == users.c.tenant_id, rolls.c.kind == users.c.kind, rolls.c.code == users.c.code
    )
    return or_(users.c.listed, enrolled)


def unmapped_codes(
    connection: Connection, *, tenant: str, after: str, limit: int, never_asked: bool = False
) -> list[str]:
    """The next numbers (学号 or 工号) of people whose account is not known, in their order.

    With `never_asked`, only of those whom WPS was never asked for.
    """
    where = [*_missing(tenant), users.c.code > after]
    if never_asked:
        where.append(users.c.checked_ms.is_(None))
    return _codes(connection, where, limit)


def codes_in(connection: Connection, scope: Scope, *, tenant: str, after: str, limit: int) -> list[str]:
    """The next numbers of everybody in the files or on a roll who is in the scope, account or not, in their order."""
    where = [users.c.tenant_id == tenant, _concerned(), users.c.code > after]
    if scope.users:
        where.append(users.c.code.in_(scope.users))
    if scope.colleges:
        where.append(users.c.college.in_(scope.colleges))
    return _codes(connection, where, limit)


def _codes(connection: Connection, where: Sequence[ColumnElement[bool]], limit: int) -> list[str]:
    statement = select(users.c.code).where(*where).distinct().order_by(users.c.code).limit(limit)
    return list(connection.execute(statement).scalars())


def unmapped_count(connection: Connection, *, tenant: str) -> int:
    """How many people have no account."""
    statement = select(func.count()).select_from(users).where(*_missing(tenant))
    return int(connection.execute(statement).scalar_one())


def unmapped(connection: Connection, *, tenant: str, limit: int) -> list[dict[str, Any]]:
    """People without an account; `listed` tells those of the people files from those only a row names."""
    rows = connection.execute(select(users).where(*_missing(tenant)).order_by(users.c.kind, users.c.code).limit(limit))
    shown = ("kind", "code", "name", "college", "listed", "checked_ms")
    return [{name: getattr(row, name) for name in shown} for row in rows]
