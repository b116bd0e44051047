"""What people did, who and when. A row is written in the transaction of the act and never changed."""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select

from db.clock import now_ms
from db.tables import audit
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
