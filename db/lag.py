"""How late the queues are: for the whole installation, because processes serve all schools."""

from sqlalchemy import Connection, func, select

from db.clock import now_ms
from db.tables import jobs


def oldest_due_ms(connection: Connection) -> dict[str, int]:
    """For each queue how long its oldest due task has been waiting, in milliseconds. A queue without one is not named."""
    now = now_ms(connection)
    due = (jobs.c.queue.is_not(None), jobs.c.state == "queued", jobs.c.run_at <= now)
    rows = connection.execute(select(jobs.c.queue, func.min(jobs.c.run_at)).where(*due).group_by(jobs.c.queue))
    return {queue: now - oldest for queue, oldest in rows}


def depths(connection: Connection, *, tenant: str) -> list[tuple[str, int, int]]:
    """(queue, how many tasks of the school wait in it, for how long the oldest has been due in ms), by the queue's name."""
    now = now_ms(connection)
    waiting = (jobs.c.tenant_id == tenant, jobs.c.queue.is_not(None), jobs.c.state == "queued")
    rows = connection.execute(
        select(jobs.c.queue, func.count(), func.min(jobs.c.run_at)).where(*waiting).group_by(jobs.c.queue)
    )
    return sorted((queue, int(count), max(0, now - oldest)) for queue, count, oldest in rows)


def of_all(connection: Connection, *, over_ms: int) -> dict[str, tuple[int, int, int]]:
    """Queue → (tasks that wait, for how long the oldest has been due in ms, tasks that ended within `over_ms`); of all
    schools."""
    now = now_ms(connection)
    of_queues = jobs.c.queue.is_not(None)
    waiting = connection.execute(
        select(jobs.c.queue, func.count(), func.min(jobs.c.run_at))
        .where(of_queues, jobs.c.state == "queued")
        .group_by(jobs.c.queue)
    )
    found = {queue: (int(count), max(0, now - oldest), 0) for queue, count, oldest in waiting}
    # A task's time is put off while it is worked on, so that one which has just ended is found by it.
    ended = connection.execute(
        select(jobs.c.queue, func.count())
        .where(of_queues, jobs.c.run_at >= now - over_ms, jobs.c.finished_ms >= now - over_ms)
        .group_by(jobs.c.queue)
    )
    for queue, count in ended:
        found[queue] = (*found.get(queue, (0, 0))[:2], int(count))
    return found
