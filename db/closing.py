"""Closing lane jobs together with the counters of their runs."""

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from db import failures, run_counts
from db import jobs as job_rows
from db.mirror import Wanted
from db.tables import jobs
from domain.settlement import verb_for


def count(connection: Connection, rows: Iterable[tuple[str | None, str, str]], *, field: str) -> None:
    """Add one to `field` for each (run, lane, kind) that belongs to a run."""
    tally = Counter(row for row in rows if row[0] is not None)
    for (run_id, lane, kind), times in sorted(tally.items(), key=lambda item: tuple(map(str, item[0]))):
        assert run_id is not None
        run_counts.add(connection, run_id=run_id, lane=lane, kind=kind, **{field: times})


def done(connection: Connection, wanted: Sequence[Wanted], *, tenant: str, lane: str) -> set[str]:
    """Close the jobs that still ask for what was sent, and count them as done. Returns the ids closed."""
    closed = job_rows.close(connection, [(one.job_id, one.rev) for one in wanted], tenant=tenant)
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
    closed = job_rows.close(connection, [(row.id, revs[row.target]) for row in rows], tenant=tenant)
    count(connection, [(row.run_id, lane, kind) for row in rows if row.id in closed], field="done")
    return closed


def dead(connection: Connection, one: Wanted, *, tenant: str, lane: str, code: str, message: str) -> None:
    """Make the job a dead letter; what waits for a dead calendar is blocked and counted as failed with it."""
    verb = _verb(one)
    if not job_rows.bury(
        connection, tenant=tenant, job_id=one.job_id, rev=one.rev, code=code, message=message, verb=verb
    ):
        return
    failed = [(one.run_id, lane, one.kind)]
    if one.kind == "calendar":
        blocked = job_rows.block_group(connection, tenant=tenant, group_id=one.group_id)
        failures.holds_up(connection, tenant=tenant, job_id=one.job_id, count=len(blocked))
        failed += blocked
    count(connection, failed, field="failed")


def _verb(one: Wanted) -> str:
    """What was tried, in one word."""
    if one.kind in ("calendar", "event") and one.mirrored is not None:
        tried = one.mirrored.intent.verb if one.mirrored.intent is not None else None
        return str(tried or verb_for(one.mirrored, desired_hash=one.desired_hash or None))
    return "update" if one.kind == "members" else "read"
