"""Closing lane jobs together with the counters of their runs."""

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from db import jobs as job_rows
from db import run_counts
from db.mirror import Wanted
from db.tables import jobs


def count(connection: Connection, rows: Iterable[tuple[str | None, str, str]], *, field: str) -> None:
    """Add one to `field` for each (run, lane, kind) that belongs to a run."""
    tally = Counter(row for row in rows if row[0] is not None)
    for (run_id, lane, kind), times in sorted(tally.items(), key=lambda item: tuple(map(str, item[0]))):
        assert run_id is not None
        run_counts.add(connection, run_id=run_id, lane=lane, kind=kind, **{field: times})


def done(connection: Connection, wanted: Sequence[Wanted], *, lane: str) -> set[str]:
    """Close the jobs that still ask for what was sent, and count them as done. Returns the ids closed."""
    closed = job_rows.close(connection, [(one.job_id, one.rev) for one in wanted])
    count(connection, [(one.run_id, lane, one.kind) for one in wanted if one.job_id in closed], field="done")
    return closed


def done_at(connection: Connection, sent: Sequence[tuple[str, int]], *, tenant: str, kind: str, lane: str) -> set[str]:
    """Close the open jobs of `(target, rev sent)`; one that was put again since stays queued. Returns the ids closed."""
    revs = dict(sent)
    rows = connection.execute(
        select(jobs.c.id, jobs.c.target, jobs.c.run_id).where(
            jobs.c.tenant_id == tenant, jobs.c.kind == kind, jobs.c.open_key.in_(list(revs))
        )
    ).all()
    closed = job_rows.close(connection, [(row.id, revs[row.target]) for row in rows])
    count(connection, [(row.run_id, lane, kind) for row in rows if row.id in closed], field="done")
    return closed


def dead(connection: Connection, one: Wanted, *, tenant: str, lane: str, code: str, message: str) -> None:
    """Make the job a dead letter; what waits for a dead calendar is blocked and counted as failed with it."""
    if not job_rows.bury(connection, job_id=one.job_id, rev=one.rev, code=code, message=message):
        return
    failed = [(one.run_id, lane, one.kind)]
    if one.kind == "calendar":
        failed += job_rows.block_group(connection, tenant=tenant, group_id=one.group_id)
    count(connection, failed, field="failed")
