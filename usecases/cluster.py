"""The installation as a whole: its processes, its queues, its lanes; and what a platform administrator tells them."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, freshness, lag, lanes, paused_queues, processes
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain import cluster
from domain.freshness import added_up
from usecases import tenants
from usecases.deps import Deps

_RATE_MS: Final = 300_000
LANES_SHOWN: Final = 200


class UnknownProcess(Exception):
    """There is no such process, or it is over."""


class CannotDrain(Exception):
    """The process does not end by itself; `kind` is what it is."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"a {kind} process is not drained here: take it out of the load balancer and stop it")
        self.kind = kind


class UnknownQueue(Exception):
    """There is no queue of that name; `known` are those there are."""

    def __init__(self, queue: str, known: Collection[str]) -> None:
        super().__init__(f"there is no queue {queue}; there are {', '.join(sorted(known))}")
        self.known = sorted(known)


# --- telling ----------------------------------------------------------------------------------------------------------


def drain(deps: Deps, process_id: str, *, actor: str) -> bool:
    """Ask a process to begin nothing more, finish, and end. Returns whether it was asked before.

    Raises `UnknownProcess`, `CannotDrain`.
    """

    def work(tx: Connection) -> bool:
        row = processes.locked(tx, process_id)
        if row is None or row.state not in (cluster.RUNNING, cluster.DRAINING):
            raise UnknownProcess(process_id)
        if row.kind not in cluster.DRAINABLE:
            raise CannotDrain(row.kind)
        already = bool(row.asked == cluster.DRAIN)
        if not already:
            processes.ask(tx, process_id, cluster.DRAIN)
            _note(tx, deps, actor, "process.drain", f"{row.kind} {row.host} {row.pid}")
        return already

    return in_unit(deps.engine, work)


def set_paused(deps: Deps, queue: str, *, paused: bool, actor: str, known: Collection[str]) -> bool:
    """Begin no task of a queue any more, or go on. What is under way goes on to its next step. Returns whether it was so
    before. Raises `UnknownQueue`."""
    if queue not in known:
        raise UnknownQueue(queue, known)

    def work(tx: Connection) -> bool:
        changed = paused_queues.pause(tx, queue, actor=actor) if paused else paused_queues.resume(tx, queue)
        if changed:
            _note(tx, deps, actor, "queue.pause" if paused else "queue.resume", queue)
        return not changed

    return in_unit(deps.engine, work)


def _note(tx: Connection, deps: Deps, actor: str, action: str, thing: str) -> None:
    audit.write(tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action=action, thing=thing)


# --- looking ----------------------------------------------------------------------------------------------------------


def view(deps: Deps, *, queues: Sequence[str]) -> dict[str, Any]:
    """Processes, queues and the lanes that have something to do, those with the most first."""
    with reading(deps.engine) as tx:
        now = now_ms(tx)
        shown = [_process(row, now) for row in processes.listing(tx)]
        found = _lanes(tx, shown, now)
        return {
            "at_ms": now,
            "processes": shown,
            "queues": _queues(tx, queues),
            "lanes": found[:LANES_SHOWN],
            "lanes_with_work": len(found),
        }


def _process(row: AnyRow, now: int) -> dict[str, Any]:
    doing, age_ms = json.loads(row.doing), max(0, now - row.beat_ms)
    return {
        "id": row.id,
        "kind": row.kind,
        "host": row.host,
        "pid": row.pid,
        "version": row.version,
        "queues": [one for one in row.queues.split(",") if one],
        "state": cluster.shown_state(cluster.DRAINING if row.asked else row.state, age_ms=age_ms),
        "since_ms": row.started_ms,
        "beat_age_ms": age_ms,
        "keeper_age_ms": doing.get("keeper_ms"),
        "doing": doing.get("now", []),
        "holds": doing.get("holds", []),
        "lanes_per_min": doing.get("lanes", {}),
    }


def _queues(tx: Connection, names: Sequence[str]) -> list[dict[str, Any]]:
    counted, paused = lag.of_all(tx, over_ms=_RATE_MS), paused_queues.listing(tx)
    due = len(lanes.due(tx))
    found = []
    for queue in names:
        waiting, oldest_ms, ended = counted.get(queue, (0, 0, 0))
        held = paused.get(queue)
        found.append(
            {
                "queue": queue,
                "waiting": due if queue == "lanes" else waiting,
                "oldest_ms": oldest_ms,
                "per_min": round(ended * 60_000 / _RATE_MS, 1),
                "paused": held is not None,
                "paused_by": None if held is None else held.actor,
                "paused_since_ms": None if held is None else held.since_ms,
            }
        )
    return found


def _lanes(tx: Connection, shown: Sequence[Mapping[str, Any]], now: int) -> list[dict[str, Any]]:
    """Lanes of all schools with something to do or somebody at it."""
    holders = {name: f"{one['kind']}@{one['host']}:{one['pid']}" for one in shown for name in one["holds"]}
    found = []
    for tenant in tenants.all_ids(tx):
        rows = lanes.listing(tx, tenant=tenant)
        samples = added_up(freshness.samples(tx, tenant=tenant))
        of_all = sum(row["queued"] for row in rows)
        for row in rows:
            if not (row["queued"] or row["held"] or row["unsettled"] or row["owner"] or row["state"] == "paused"):
                continue
            name = f"{tenant}/{row['lane']}"
            eta = cluster.lane_eta(samples, row["queued"], of_all=of_all, now_ms=now)
            found.append(
                {
                    "tenant": tenant,
                    "lane": row["lane"],
                    "state": row["state"],
                    "owner": holders.get(name, row["owner"]),
                    "pending": row["queued"],
                    "held": row["held"],
                    "unsettled": row["unsettled"],
                    "per_min": sum(one["lanes_per_min"].get(name, 0) for one in shown),
                    "eta_ms": None if eta is None else [eta.soonest_ms, eta.latest_ms],
                }
            )
    return sorted(found, key=lambda one: (-one["pending"], one["tenant"], one["lane"]))
