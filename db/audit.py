"""What people did, who and when. A row is written in the transaction of the act and never changed."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from db.clock import now_ms
from db.tables import AnyRow, audit
from observability.log import current

_THING_CHARS = 200


def write(
    connection: Connection,
    *,
    tenant: str,
    new_id: Callable[[], str],
    actor: str,
    action: str,
    thing: str,
    before: Any = None,
    after: Any = None,
    request: str | None = None,
) -> str:
    """Note an act of a person. Returns the row's id.

    `actor` is who, with the way they came ("cli:root"); `action` names the act ("dead.edit"); `thing` is the id of what it
    was done to. `before` and `after` are anything that JSON can hold; None where there is nothing to tell. `request` is the id
    of the request that it came by: where it is not given, the one that this thread is serving.
    """
    row = {
        "tenant_id": tenant,
        "id": new_id(),
        "at_ms": now_ms(connection),
        "actor": actor,
        "action": action,
        "thing": thing[:_THING_CHARS],
        "before": _json(before),
        "after": _json(after),
        "request": request if request is not None else current("request_id"),
    }
    connection.execute(audit.insert(), [row])
    return str(row["id"])


def listing(connection: Connection, *, tenant: str, thing: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """Acts, newest first; with `thing` only what was done to that."""
    where = [audit.c.tenant_id == tenant]
    if thing is not None:
        where.append(audit.c.thing == thing)
    rows = connection.execute(
        select(audit).where(*where).order_by(audit.c.at_ms.desc(), audit.c.id.desc()).limit(limit)
    )
    return _as_dicts(rows)


def page(
    connection: Connection,
    *,
    tenant: str,
    limit: int,
    after: tuple[int, str] | None = None,
    offset: int = 0,
    thing: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    since_ms: int | None = None,
) -> list[dict[str, Any]]:
    """Acts, newest first: those before the one with (at_ms, id) `after`, or all but the first `offset`."""
    where = [audit.c.tenant_id == tenant]
    for column, wanted in ((audit.c.thing, thing), (audit.c.actor, actor), (audit.c.action, action)):
        if wanted is not None:
            where.append(column == wanted)
    if since_ms is not None:
        where.append(audit.c.at_ms > since_ms)
    if after is not None:
        where.append(or_(audit.c.at_ms < after[0], and_(audit.c.at_ms == after[0], audit.c.id < after[1])))
    newest = (audit.c.at_ms.desc(), audit.c.id.desc())
    return _as_dicts(connection.execute(select(audit).where(*where).order_by(*newest).limit(limit).offset(offset)))


def _as_dicts(rows: Iterable[AnyRow]) -> list[dict[str, Any]]:
    return [
        {
            "id": row.id,
            "at_ms": row.at_ms,
            "actor": row.actor,
            "action": row.action,
            "thing": row.thing,
            "before": _value(row.before),
            "after": _value(row.after),
            "request": row.request,
        }
        for row in rows
    ]


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
