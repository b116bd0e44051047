"""Dead letters: jobs in state `dead`, each with its failure. Every way into that state and out of it is here, but the `dead` of
the job itself, which is written where the job dies.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, select, update

from db import failures
from db.tables import AnyRow, jobs

OF_THE_TIMETABLE = frozenset({"calendar", "members", "event"})


def died(connection: Connection, job_id: str, *, tenant: str, error_class: str, message: str, verb: str = "") -> None:
    """The job has just become a dead letter."""
    row = connection.execute(select(jobs).where(jobs.c.tenant_id == tenant, jobs.c.id == job_id)).one()
    failures.died(connection, row, error_class=error_class, message=message, verb=verb)


def put_again(connection: Connection, kinds: Collection[str], targets: Sequence[str], *, tenant: str) -> None:
    """The targets were asked for again: their dead letters are superseded."""
    if failures.any_dead(connection, tenant=tenant):  # mostly there is none, and the list of targets is long
        dead = failures.dead_of(connection, tenant=tenant, kinds=kinds, targets=targets)
        _close(connection, dead, tenant=tenant, state="superseded", how=failures.AGAIN)


def revived(connection: Connection, task: AnyRow) -> None:
    """A dead task goes on in its own row."""
    failures.end(connection, [task.id], tenant=task.tenant_id, how=failures.AGAIN)


def lock(connection: Connection, job_ids: Sequence[str], *, tenant: str) -> list[AnyRow]:
    """Those of the jobs that are dead letters, locked to the end of the unit: whoever comes second finds none."""
    where = (jobs.c.tenant_id == tenant, jobs.c.id.in_(job_ids), jobs.c.state == "dead")
    return list(connection.execute(select(jobs).where(*where).order_by(jobs.c.id).with_for_update()))


def calendars_of(connection: Connection, job_ids: Sequence[str], *, tenant: str) -> list[str]:
    """Ids of the dead calendars that these jobs would wait for."""
    groups = select(jobs.c.group_id).where(jobs.c.tenant_id == tenant, jobs.c.id.in_(job_ids)).distinct()
    found = list(connection.execute(groups).scalars())
    return failures.dead_of(connection, tenant=tenant, kinds={"calendar"}, targets=found)


def drop_unwanted(connection: Connection, targets: Sequence[str], *, tenant: str) -> list[str]:
    """Close the dead letters of targets that the timetable does not ask for any more. Returns the calendars among them."""
    dead = failures.dead_of(connection, tenant=tenant, kinds=OF_THE_TIMETABLE, targets=targets)
    _close(connection, dead, tenant=tenant, state="superseded", how=failures.UNWANTED)
    where = (jobs.c.tenant_id == tenant, jobs.c.id.in_(dead), jobs.c.kind == "calendar")
    return (
        list(connection.execute(select(jobs.c.target).where(*where).order_by(jobs.c.target)).scalars()) if dead else []
    )


def drop_of_kinds(connection: Connection, kinds: Sequence[str], *, tenant: str, before_ms: int) -> int:
    """Close the dead letters that died before, of kinds that are asked for under new names by whoever calls this. These are
    few: one for a hundred people, for a calendar, for a run. Returns how many."""
    dead = failures.dead_of_kinds(connection, tenant=tenant, kinds=kinds, before_ms=before_ms)
    return sum(
        _close(connection, dead[start : start + 500], tenant=tenant, state="superseded", how=failures.UNWANTED)
        for start in range(0, len(dead), 500)
    )


def discard(connection: Connection, job_ids: Sequence[str], *, tenant: str) -> int:
    """Close the dead letters for good. Returns how many."""
    dead = [row.id for row in lock(connection, job_ids, tenant=tenant)]
    return _close(connection, dead, tenant=tenant, state="cancelled", how=failures.DISCARDED)


def _close(connection: Connection, job_ids: Sequence[str], *, tenant: str, state: str, how: str) -> int:
    if not job_ids:
        return 0
    where = (jobs.c.tenant_id == tenant, jobs.c.id.in_(job_ids), jobs.c.state == "dead")
    hit = connection.execute(update(jobs).where(*where).values(state=state))
    failures.end(connection, job_ids, tenant=tenant, how=how)
    return int(hit.rowcount)


def edit(connection: Connection, row: AnyRow, *, payload: str, desired_hash: str) -> bool:
    """Let a dead letter ask for something else. False when it is none any more, or was edited meanwhile."""
    mine = (jobs.c.tenant_id == row.tenant_id, jobs.c.id == row.id)
    where = (*mine, jobs.c.state == "dead", jobs.c.payload == row.payload)
    hit = connection.execute(update(jobs).where(*where).values(payload=payload, desired_hash=desired_hash))
    return hit.rowcount == 1
