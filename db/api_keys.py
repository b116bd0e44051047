"""API keys: only hashes of them."""

from typing import Any

from sqlalchemy import Connection, or_, select, update

from db.tables.base import AnyRow
from db.tables.identity import api_keys


def add(connection: Connection, **row: Any) -> None:
    """A new key."""
    blank = {"successor": None, "revoked_ms": None, "last_used_ms": None}
    connection.execute(api_keys.insert(), [{**blank, **row}])


def get(connection: Connection, *, tenant: str, prefix: str, lock: bool = False) -> AnyRow | None:
    """The key with that prefix."""
    statement = select(api_keys).where(api_keys.c.tenant_id == tenant, api_keys.c.prefix == prefix)
    found: AnyRow | None = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    return found


def listing(connection: Connection, *, tenant: str, limit: int) -> list[AnyRow]:
    """Keys, newest first."""
    statement = select(api_keys).where(api_keys.c.tenant_id == tenant)
    return list(connection.execute(statement.order_by(api_keys.c.created_ms.desc(), api_keys.c.prefix).limit(limit)))


def touch(connection: Connection, *, tenant: str, prefix: str, now: int, every_ms: int) -> None:
    """Note that the key was used, not more often than `every_ms`."""
    old = or_(api_keys.c.last_used_ms.is_(None), api_keys.c.last_used_ms <= now - every_ms)
    connection.execute(
        update(api_keys)
        .where(api_keys.c.tenant_id == tenant, api_keys.c.prefix == prefix, old)
        .values(last_used_ms=now)
    )


def change(connection: Connection, *, tenant: str, prefix: str, **values: Any) -> None:
    """Overwrite columns of a key."""
    connection.execute(
        update(api_keys).where(api_keys.c.tenant_id == tenant, api_keys.c.prefix == prefix).values(**values)
    )
