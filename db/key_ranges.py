"""Conditions on hundreds of students, as text with the places for values that the driver knows.

As expressions of SQLAlchemy the lists of such a statement cost several times what the server takes to answer it.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection

Keys = Mapping[str, Collection[str]]
"""Session → students, within a tenant and a term."""

Condition = tuple[str, tuple[Any, ...]]
"""What stands behind WHERE, and the values for its places."""


def place(connection: Connection) -> str:
    """What stands for a value in a statement for this driver."""
    return "?" if connection.dialect.name == "sqlite" else "%s"


def one_of(connection: Connection, column: str, values: Collection[Any]) -> Condition:
    """The column has one of these values, of which there is at least one."""
    return f"{column} IN ({', '.join([place(connection)] * len(values))})", tuple(values)


def of_term(connection: Connection, *, tenant: str, term: str) -> Condition:
    """Rows of a tenant's term."""
    at = place(connection)
    return f"tenant_id = {at} AND term = {at}", (tenant, term)


def of_keys(connection: Connection, keys: Keys, *, tenant: str, term: str) -> Condition:
    """Rows of these students in these sessions. Ranges of the primary key for both databases, as a list of pairs is not."""
    where, values = of_term(connection, tenant=tenant, term=term)
    of_sessions, wanted = ranges(connection, keys)
    return f"{where} AND ({of_sessions})", (*values, *wanted)


def ranges(connection: Connection, keys: Keys) -> Condition:
    """The same without tenant and term, for who says these beside it."""
    at = place(connection)
    parts: list[str] = []
    values: list[str] = []
    for session_id, codes in sorted(keys.items()):
        if codes:
            parts.append(f"session_id = {at} AND code IN ({', '.join([at] * len(codes))})")
            values += (session_id, *sorted(codes))
    return " OR ".join(f"({one})" for one in parts) or "0 = 1", tuple(values)


def for_update(connection: Connection) -> str:
    """Locks what is read; on SQLite a unit has the whole database to itself."""
    return "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
