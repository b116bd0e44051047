"""Queues that a person has paused. In the database, so that nothing which happens to Redis lets them go."""

from sqlalchemy import Connection, delete, select

from db.clock import now_ms
from db.tables import AnyRow, paused_queues
from db.upsert import insert_missing


def names(connection: Connection) -> frozenset[str]:
    """The queues that nothing may be begun of."""
    return frozenset(connection.execute(select(paused_queues.c.queue)).scalars())


def listing(connection: Connection) -> dict[str, AnyRow]:
    """The same with who paused each, and since when."""
    return {row.queue: row for row in connection.execute(select(paused_queues))}


def pause(connection: Connection, queue: str, *, actor: str) -> bool:
    """Pause a queue. Returns whether it was not so before."""
    if queue in names(connection):
        return False
    insert_missing(connection, paused_queues, [{"queue": queue, "actor": actor, "since_ms": now_ms(connection)}])
    return True


def resume(connection: Connection, queue: str) -> bool:
    """Let a queue go on. Returns whether it was paused."""
    return connection.execute(delete(paused_queues).where(paused_queues.c.queue == queue)).rowcount == 1
