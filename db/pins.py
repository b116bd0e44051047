"""Targets that were taken back, as rows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from db.tables import pins, runs
from db.upsert import upsert
from domain.pins import Pin

_CHANGING = ("kind", "group_id", "lane", "source_hash", "desired_hash", "payload", "undone_run", "run_id")


def put(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Pin targets, at most 500; one that is pinned already is pinned anew."""
    upsert(connection, pins, sorted(rows, key=lambda row: (row["term"], row["target"])), update=_CHANGING)


def of_calendars(connection: Connection, *, tenant: str, term: str, groups: Sequence[str]) -> dict[str, list[Pin]]:
    """Calendar → the pins in it."""
    where = (pins.c.tenant_id == tenant, pins.c.term == term, pins.c.group_id.in_(groups))
    found: dict[str, list[Pin]] = {}
    for row in connection.execute(select(pins).where(*where).order_by(pins.c.target)):
        pin = Pin(row.kind, row.target, row.source_hash, row.desired_hash, row.payload)
        found.setdefault(row.group_id, []).append(pin)
    return found


def people(connection: Connection, *, tenant: str, term: str, target: str) -> dict[str, str] | None:
    """user → role that a pin wants of a calendar; None when it is not pinned any more."""
    where = (pins.c.tenant_id == tenant, pins.c.term == term, pins.c.target == target)
    payload = connection.execute(select(pins.c.payload).where(*where)).scalar()
    return None if payload is None else dict(json.loads(payload)["people"])


def lift(connection: Connection, targets: Sequence[str], *, tenant: str, term: str) -> None:
    """The source has said something else: these targets follow it again."""
    if targets:
        connection.execute(
            delete(pins).where(pins.c.tenant_id == tenant, pins.c.term == term, pins.c.target.in_(targets))
        )


def lift_some(connection: Connection, *, tenant: str, undone_run: str, limit: int = 500) -> int:
    """Lift up to `limit` pins of a run that was taken back. Returns how many."""
    mine = (pins.c.tenant_id == tenant, pins.c.undone_run == undone_run)
    rows = connection.execute(select(pins.c.term, pins.c.target).where(*mine).limit(limit)).all()
    for term in sorted({row.term for row in rows}):
        lift(connection, sorted(row.target for row in rows if row.term == term), tenant=tenant, term=term)
    return len(rows)


def by_whom(connection: Connection, *, tenant: str, undone_run: str) -> str | None:
    """The run that took a run back, while its pins hold; one that was cancelled or failed may be followed by another."""
    return connection.execute(
        select(pins.c.run_id)
        .join(runs, (runs.c.tenant_id == pins.c.tenant_id) & (runs.c.id == pins.c.run_id))
        .where(
            pins.c.tenant_id == tenant,
            pins.c.undone_run == undone_run,
            runs.c.state.not_in(("cancelled", "failed")),
        )
        .limit(1)
    ).scalar()
