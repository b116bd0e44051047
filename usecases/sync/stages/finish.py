"""Stage finish: what the run did, and the state in which it ends."""

from typing import Any

from sqlalchemy import Connection, func, select

from db import accounts, run_counts
from db.tables import AnyRow, mirror
from usecases.sync import verify_runs
from usecases.sync.stages.base import Done, Running, Step


def report(on: Running, stage: AnyRow) -> Step:
    """Nothing is left to do; the report itself is written with the end of the run."""
    on.progress(stage.position, done=1, total=1)
    return Done()


def outcome(on: Running, tx: Connection) -> tuple[str, dict[str, Any]]:
    """The state in which the run ends and its report: counts, what is live at WPS, people without an account."""
    tenant = on.deps.tenant
    counts = run_counts.totals(tx, run_id=on.run_id)
    failed = sum(one["failed"] for one in counts.values())
    said: dict[str, Any] = {
        "counts": counts,
        "unmapped_people": accounts.unmapped_count(tx, tenant=tenant),
        "live": _live(tx, tenant),
    }
    if on.run.kind in verify_runs.KINDS:
        said |= verify_runs.report(tx, tenant=tenant, run_id=on.run_id)
    return "partially_succeeded" if failed else "succeeded", said


def _live(tx: Connection, tenant: str) -> dict[str, int]:
    rows = tx.execute(
        select(mirror.c.kind, func.count().label("count"))
        .where(mirror.c.tenant_id == tenant, mirror.c.state == "live", mirror.c.kind != "members")
        .group_by(mirror.c.kind)
    )
    return {row.kind: int(row[1]) for row in rows}
