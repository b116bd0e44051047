"""Stages that only wait: the lanes work through what was put."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from db import holding, jobs, run_counts
from db.clock import now_ms
from db.engine import reading
from db.tables import AnyRow
from db.tables import lanes as lane_table
from usecases import off_peak
from usecases.sync.stages import pace
from usecases.sync.stages.base import CREDENTIALS_REMEDY, Done, More, RunFailed, Running, Step

POLL_MS = 400
HELD_POLL_MS = 5_000
_KINDS = {
    "accounts": "users",
    "calendars": "calendar",
    "members": "members",
    "permissions": "members",
    "events": "event",
    "verify": "verify",
    "repair": "verify",
}


def await_lanes(on: Running, stage: AnyRow) -> Step:
    """Look how far the lanes are. Raises `RunFailed` as `unless_refused` does."""
    kind = _KINDS[stage.step]
    # In this order: what closes between the two questions would be missing from the counts that stay.
    open_ = any_left(on, [kind])
    with reading(on.deps.engine) as tx:
        counts = run_counts.totals(tx, run_id=on.run_id).get(kind, dict.fromkeys(run_counts.FIELDS, 0))
    closed = counts["done"] + counts["failed"] + counts["superseded"]
    on.progress(stage.position, done=min(closed, counts["planned"]), total=counts["planned"])
    pace.note(on)
    if open_:
        return More(POLL_MS)
    return Done(note_of(on, f"{counts['failed']} failed" if counts["failed"] else None, kind=kind))


def note_of(on: Running, note: str | None, *, kind: str | None = None) -> str | None:
    """What stands beside a stage that is over although some of it waits for off-peak hours."""
    tenant = on.deps.tenant
    with reading(on.deps.engine) as tx:
        if not holding.any_held(tx, tenant=tenant, run_id=on.run_id):
            return note
        held = holding.count(tx, tenant=tenant, run_id=on.run_id, kind=kind)
        clock = off_peak.clock_of(tx, tenant=tenant)
    words = [note or "", f"{held:,} held until {clock}" if held else ""]
    return ", ".join(filter(None, words)) or None


def held_until(on: Running) -> int | None:
    """When what is held of the run is let go, in ms; None when nothing is."""
    tenant = on.deps.tenant
    with reading(on.deps.engine) as tx:
        if not holding.any_held(tx, tenant=tenant, run_id=on.run_id):
            return None
        return off_peak.begin_ms(tx, tenant=tenant)


def any_left(on: Running, kinds: Collection[str] = frozenset(_KINDS.values())) -> bool:
    """Whether the lanes still have something of the run to do. Raises `RunFailed` as `unless_refused` does."""
    tenant = on.deps.tenant
    with reading(on.deps.engine) as tx:
        left = any(jobs.any_open(tx, tenant=tenant, run_id=on.run_id, kind=kind) for kind in sorted(kinds))
        if left:
            unless_refused(tx, tenant)
    return left


def unless_refused(tx: Connection, tenant: str) -> None:
    """Raise `RunFailed` when a lane rests because WPS refuses our credentials: no lane will ever get further."""
    refused = tx.execute(
        select(lane_table.c.note)
        .where(lane_table.c.tenant_id == tenant, lane_table.c.note.like("WPS refuses us%"))
        .where(lane_table.c.not_before > now_ms(tx))
        .limit(1)
    ).scalar()
    if refused is not None:
        raise RunFailed(f"{refused}. {CREDENTIALS_REMEDY}")
