"""Counts of attendance that look whether sums and counters are right, and what they found."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, update

from db.clock import now_ms
from db.tables import AnyRow, attendance_drift, attendance_recounts

_recount, _drift = attendance_recounts.c, attendance_drift.c

WORKING, DONE, CANCELLED = "working", "done", "cancelled"
PAGE: Final = 500


def add(
    connection: Connection,
    recount_id: str,
    *,
    tenant: str,
    actor: str,
    terms: Sequence[str],
    mends: bool,
    expected: int,
) -> None:
    """A recount that is to be made."""
    row = {
        "tenant_id": tenant, "id": recount_id, "state": WORKING, "asked_by": actor, "terms": json.dumps(terms), "mends": mends,
        "position": "[]", "compared": 0, "expected": expected, "differing": 0, "mended": 0,
        "created_ms": now_ms(connection), "finished_ms": None,
    }  # fmt: skip
    connection.execute(attendance_recounts.insert(), [row])


def get(connection: Connection, recount_id: str, *, tenant: str, lock: bool = False) -> AnyRow | None:
    """A recount by its id, locked if asked for."""
    asked = select(attendance_recounts).where(_recount.tenant_id == tenant, _recount.id == recount_id)
    return connection.execute(asked.with_for_update() if lock else asked).one_or_none()


def working(connection: Connection, *, tenant: str) -> list[AnyRow]:
    """Those that have not ended, the newest first."""
    where = (_recount.tenant_id == tenant, _recount.state == WORKING)
    order = (_recount.created_ms.desc(), _recount.id.desc())
    return list(connection.execute(select(attendance_recounts).where(*where).order_by(*order)))


def listing(
    connection: Connection, *, tenant: str, limit: int, after: tuple[int, str] | None = None, offset: int = 0
) -> list[AnyRow]:
    """Recounts, newest first; `after` is (created, id) of the last one seen."""
    where = [_recount.tenant_id == tenant]
    if after is not None:
        made, recount_id = after
        where.append((_recount.created_ms < made) | ((_recount.created_ms == made) & (_recount.id < recount_id)))
    order = (_recount.created_ms.desc(), _recount.id.desc())
    asked = select(attendance_recounts).where(*where).order_by(*order).limit(limit).offset(offset)
    return list(connection.execute(asked))


def advance(connection: Connection, row: AnyRow, **values: Any) -> None:
    """Write how far it is; `row` is locked by this unit."""
    where = (_recount.tenant_id == row.tenant_id, _recount.id == row.id)
    connection.execute(update(attendance_recounts).where(*where).values(**values))


def end(connection: Connection, row: AnyRow, state: str) -> None:
    """It has come to its end, or goes no further; `row` is locked by this unit."""
    advance(connection, row, state=state, finished_ms=now_ms(connection))


# --- drift -----------------------------------------------------------------------------------------------------------


def note(connection: Connection, row: AnyRow, found: Sequence[Mapping[str, Any]], *, most: int) -> None:
    """Keep what differs: the first `most` of a recount. `row` is locked by this unit."""
    numbers = select(func.count()).select_from(attendance_drift)
    kept = int(
        connection.execute(numbers.where(_drift.tenant_id == row.tenant_id, _drift.recount_id == row.id)).scalar_one()
    )
    rows = [
        {"tenant_id": row.tenant_id, "recount_id": row.id, "number": number, **one}
        for number, one in enumerate(found, kept)
        if number < most
    ]
    if rows:
        connection.execute(attendance_drift.insert(), rows)


def drift_of(
    connection: Connection,
    recount_id: str,
    *,
    tenant: str,
    colleges: Sequence[str] | None,
    limit: int,
    after: int = -1,
    offset: int = 0,
) -> list[AnyRow]:
    """What a recount has found, in its order, behind a number; of `colleges`, None: of all."""
    where = [_drift.tenant_id == tenant, _drift.recount_id == recount_id, _drift.number > after]
    where += [] if colleges is None else [_drift.college.in_([one for one in colleges if one])]
    asked = select(attendance_drift).where(*where).order_by(_drift.number).limit(limit).offset(offset)
    return list(connection.execute(asked))


def older_than(connection: Connection, *, tenant: str, keep: int) -> list[str]:
    """Recounts that have ended, beyond the newest `keep`."""
    where = (_recount.tenant_id == tenant, _recount.state != WORKING)
    order = (_recount.created_ms.desc(), _recount.id.desc())
    return list(
        connection.execute(select(_recount.id).where(*where).order_by(*order).offset(keep).limit(100)).scalars()
    )


def remove(connection: Connection, recount_id: str, *, tenant: str) -> None:
    """Take a recount and what it has found away."""
    connection.execute(delete(attendance_drift).where(_drift.tenant_id == tenant, _drift.recount_id == recount_id))
    connection.execute(delete(attendance_recounts).where(_recount.tenant_id == tenant, _recount.id == recount_id))
