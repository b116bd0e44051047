"""The processes of the installation, as they tell of themselves. They belong to no school."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, or_, select, update

from db.clock import db_now_ms, now_ms
from db.tables import AnyRow, processes
from domain import cluster

Counts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Process:
    """What stays the same of a process. `started_ms` is by its own clock."""

    id: str
    kind: str
    host: str
    pid: int
    version: str
    queues: Sequence[str]
    started_ms: int


def beat(
    connection: Connection, one: Process, *, state: str, doing: Mapping[str, Any], counts: Counts
) -> tuple[bool, str | None]:
    """Write that the process lives. Returns whether its row was there, and what a person has asked of it."""
    said = {"state": state, "doing": _json(doing), "counts": _json(counts), "beat_ms": db_now_ms()}
    hit = connection.execute(update(processes).where(processes.c.id == one.id).values(**said))
    if hit.rowcount == 1:
        return True, connection.execute(select(processes.c.asked).where(processes.c.id == one.id)).scalar_one()
    fresh = {"id": one.id, "kind": one.kind, "host": one.host[:100], "pid": one.pid, "version": one.version[:60]}
    fresh |= {"queues": ",".join(one.queues), "started_ms": one.started_ms, **said, "beat_ms": now_ms(connection)}
    connection.execute(processes.insert(), [fresh])
    return False, None


def listing(connection: Connection) -> list[AnyRow]:
    """Every process that is not over, by kind and the time it began; without those that only left their counts."""
    now = now_ms(connection)
    rows = connection.execute(
        select(processes, db_now_ms().label("now")).order_by(processes.c.kind, processes.c.started_ms)
    )
    return [
        row for row in rows if row.state != cluster.GONE and not cluster.is_over(row.state, age_ms=now - row.beat_ms)
    ]


def counts_by_kind(connection: Connection, add_up: Callable[[Sequence[Counts]], Counts]) -> dict[str, Counts]:
    """Kind → what its processes have counted, those that are gone too."""
    found: dict[str, list[Counts]] = {}
    for kind, counts in connection.execute(select(processes.c.kind, processes.c.counts)):
        found.setdefault(kind, []).append(json.loads(counts))
    return {kind: add_up(each) for kind, each in found.items()}


def ask(connection: Connection, process_id: str, what: str) -> None:
    """Ask something of a process; it reads it with its next beat."""
    connection.execute(update(processes).where(processes.c.id == process_id).values(asked=what))


def locked(connection: Connection, process_id: str) -> AnyRow | None:
    """The row of a process, locked to the end of the unit."""
    return connection.execute(select(processes).where(processes.c.id == process_id).with_for_update()).one_or_none()


def put_away(connection: Connection, add_up: Callable[[Sequence[Counts]], Counts]) -> int:
    """Remove processes that are over and keep their counts, so that no sum of counts ever falls. Returns how many went."""
    now = now_ms(connection)
    over = or_(processes.c.state == cluster.ENDED, processes.c.beat_ms < now - cluster.GONE_MS)
    mine = (processes.c.state != cluster.GONE, over)
    # In the order of the key, the sums among them: two processes that tidy at once wait for each other and never both ways.
    rows = connection.execute(select(processes).where(*mine).order_by(processes.c.id).with_for_update()).all()
    for kind in sorted({row.kind for row in rows}):
        gone_id = f"{cluster.GONE}:{kind}"
        kept = locked(connection, gone_id)
        before = [] if kept is None else [json.loads(kept.counts)]
        total = _json(add_up([*before, *(json.loads(row.counts) for row in rows if row.kind == kind)]))
        if kept is None:
            connection.execute(processes.insert(), [_sum_row(gone_id, kind, total, now)])
        else:
            connection.execute(update(processes).where(processes.c.id == gone_id).values(counts=total, beat_ms=now))
    if rows:
        connection.execute(delete(processes).where(processes.c.id.in_([row.id for row in rows])))
    return len(rows)


def _sum_row(row_id: str, kind: str, counts: str, now: int) -> dict[str, Any]:
    blank = {"host": "", "pid": 0, "version": "", "queues": "", "asked": None, "doing": "{}"}
    return {
        "id": row_id,
        "kind": kind,
        "state": cluster.GONE,
        "counts": counts,
        "started_ms": now,
        "beat_ms": now,
        **blank,
    }


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
