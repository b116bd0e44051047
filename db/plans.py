"""Plans that somebody asked for, and their rows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from db.clock import now_ms
from db.tables import AnyRow
from db.tables.plans import plan_rows, plans

WORKING, DONE, FAILED = "working", "done", "failed"
PAGE: Final = 500


def add(connection: Connection, *, tenant: str, plan_id: str, basis: str, scope: Mapping[str, Any], actor: str) -> None:
    """A plan that is being worked out."""
    row = {
        "tenant_id": tenant, "id": plan_id, "basis": basis, "scope": json.dumps(scope, ensure_ascii=False),
        "state": WORKING, "made_by": actor, "created_ms": now_ms(connection), "finished_ms": None, "operations": 0,
        "listed": 0, "found": None, "error": None,
    }  # fmt: skip
    connection.execute(plans.insert(), [row])


def get(connection: Connection, plan_id: str, *, tenant: str) -> AnyRow | None:
    """A plan by its id."""
    return connection.execute(select(plans).where(plans.c.tenant_id == tenant, plans.c.id == plan_id)).one_or_none()


def listing(connection: Connection, *, tenant: str, limit: int) -> list[AnyRow]:
    """Plans, newest first."""
    order = (plans.c.created_ms.desc(), plans.c.id.desc())
    return list(connection.execute(select(plans).where(plans.c.tenant_id == tenant).order_by(*order).limit(limit)))


def end(connection: Connection, plan_id: str, *, tenant: str, state: str, **values: Any) -> None:
    """It is worked out, or cannot be."""
    where = (plans.c.tenant_id == tenant, plans.c.id == plan_id)
    connection.execute(update(plans).where(*where).values(state=state, finished_ms=now_ms(connection), **values))


def add_rows(
    connection: Connection, rows: Sequence[Mapping[str, Any]], *, tenant: str, plan_id: str, first: int
) -> None:
    """Write a page of rows, numbered from `first` on; those of a try that died are replaced."""
    last = first + len(rows)
    where = (plan_rows.c.tenant_id == tenant, plan_rows.c.plan_id == plan_id)
    connection.execute(delete(plan_rows).where(*where, plan_rows.c.number >= first, plan_rows.c.number < last))
    made = [
        {
            "tenant_id": tenant, "plan_id": plan_id, "number": number, "lane": row["lane"],
            "said": json.dumps(row, ensure_ascii=False),
        }
        for number, row in enumerate(rows, first)
    ]  # fmt: skip
    if made:
        connection.execute(plan_rows.insert(), made)


def rows_after(connection: Connection, plan_id: str, *, tenant: str, after: int, limit: int) -> list[AnyRow]:
    """Rows of a plan behind a number, in their order."""
    where = (plan_rows.c.tenant_id == tenant, plan_rows.c.plan_id == plan_id, plan_rows.c.number > after)
    return list(connection.execute(select(plan_rows).where(*where).order_by(plan_rows.c.number).limit(limit)))


def older_than(connection: Connection, *, tenant: str, keep: int) -> list[str]:
    """Plans beyond the newest `keep`."""
    order = (plans.c.created_ms.desc(), plans.c.id.desc())
    found = select(plans.c.id).where(plans.c.tenant_id == tenant).order_by(*order).offset(keep).limit(100)
    return list(connection.execute(found).scalars())


def remove_page(connection: Connection, plan_id: str, *, tenant: str) -> bool:
    """Remove some rows of a plan, and at last the plan; True when nothing is left."""
    mine = (plan_rows.c.tenant_id == tenant, plan_rows.c.plan_id == plan_id)
    numbers = connection.execute(select(plan_rows.c.number).where(*mine).limit(PAGE)).scalars().all()
    if numbers:
        connection.execute(delete(plan_rows).where(*mine, plan_rows.c.number.in_(numbers)))
        return False
    connection.execute(delete(plans).where(plans.c.tenant_id == tenant, plans.c.id == plan_id))
    return True
