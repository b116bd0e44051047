"""Notices as rows: written in the transaction of what they tell of, each once."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from db.clock import now_ms
from db.tables import AnyRow, notices

_notice = notices.c


def put(
    connection: Connection,
    user: str,
    kind: str,
    about: str,
    body: Mapping[str, Any],
    *,
    tenant: str,
    new_id: Callable[[], str],
) -> None:
    """Tell somebody something; what he was told already is not told again."""
    same = (_notice.tenant_id == tenant, _notice.user_id == user, _notice.kind == kind, _notice.about == about)
    if connection.execute(select(_notice.id).where(*same)).first() is not None:
        return
    row = {
        "tenant_id": tenant, "id": new_id(), "user_id": user, "kind": kind, "about": about,
        "body": json.dumps(body, ensure_ascii=False), "created_ms": now_ms(connection), "read_ms": None,
    }  # fmt: skip
    connection.execute(notices.insert(), [row])


def listing(
    connection: Connection,
    user: str,
    *,
    tenant: str,
    unread: bool,
    limit: int,
    after: tuple[int, str] | None = None,
    offset: int = 0,
) -> list[AnyRow]:
    """Somebody's notices, newest first; `after` is (made, id) of the last one that was shown."""
    where = [_notice.tenant_id == tenant, _notice.user_id == user]
    where += [_notice.read_ms.is_(None)] if unread else []
    if after is not None:
        made, notice_id = after
        where.append((_notice.created_ms < made) | ((_notice.created_ms == made) & (_notice.id < notice_id)))
    order = (_notice.created_ms.desc(), _notice.id.desc())
    return list(connection.execute(select(notices).where(*where).order_by(*order).limit(limit).offset(offset)))


def unread(connection: Connection, user: str, *, tenant: str) -> int:
    """How many somebody has not read."""
    where = (_notice.tenant_id == tenant, _notice.user_id == user, _notice.read_ms.is_(None))
    return int(connection.execute(select(func.count()).select_from(notices).where(*where)).scalar_one())


def read(connection: Connection, user: str, ids: Sequence[str] | None, *, tenant: str) -> int:
    """Somebody has read these, or all. Returns how many of them were new to him."""
    where = [_notice.tenant_id == tenant, _notice.user_id == user, _notice.read_ms.is_(None)]
    where += [_notice.id.in_(sorted(ids))] if ids is not None else []
    return int(connection.execute(update(notices).where(*where).values(read_ms=now_ms(connection))).rowcount)


def forget(connection: Connection, before_ms: int, *, tenant: str, limit: int) -> int:
    """Take away some that are older. Returns how many."""
    old = select(_notice.id).where(_notice.tenant_id == tenant, _notice.created_ms < before_ms).limit(limit)
    ids = connection.execute(old).scalars().all()
    if ids:
        connection.execute(delete(notices).where(_notice.tenant_id == tenant, _notice.id.in_(ids)))
    return len(ids)
