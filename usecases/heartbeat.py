"""How a process tells that it lives, what it does and what it has counted; and hears what is asked of it.

One row a process, written every few seconds. Nothing that the product promises depends on it: a process that cannot write it
goes on, and is shown as silent.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from db import processes
from db.engine import in_unit
from db.processes import Counts, Process
from domain import cluster
from observability import activity, metrics
from observability.log import get_logger

log = get_logger("heartbeat")

_TIDY_EVERY = 20  # beats


class _Pool(Protocol):
    def checkedout(self) -> int: ...

    def size(self) -> int: ...


class Heartbeat(threading.Thread):
    """`drain` is called once when a person asks the process to end; None: it cannot. `doing` adds to what is told."""

    def __init__(
        self,
        engine: Engine,
        *,
        kind: str,
        version: str,
        new_id: Callable[[], str],
        queues: Sequence[str] = (),
        drain: Callable[[], object] | None = None,
        doing: Callable[[], dict[str, Any]] = dict,
        every_s: float = cluster.BEAT_MS / 1000,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._engine, self._kind, self._version, self._new_id = engine, kind, version, new_id
        self._queues, self._drain, self._more, self._every_s = tuple(queues), drain, doing, every_s
        self._over = threading.Event()
        self._state = cluster.RUNNING
        self._base: Counts = {}
        self._told: Counts = {}
        self._beats = 0
        self.process = self._introduced()

    def run(self) -> None:
        """Until `stop`; what fails is tried again with the next beat."""
        while not self._over.is_set():
            self._guarded(self.beat)
            if self._beats % _TIDY_EVERY == 0:
                self._guarded(lambda: put_away(self._engine))
            self._beats += 1
            self._over.wait(self._every_s)

    def stop(self) -> None:
        """The process ends: say so, with the last counts. Never raises."""
        self._over.set()
        if self.is_alive():
            self.join(timeout=5)
        self._state = cluster.ENDED
        self._guarded(self.beat)

    def draining(self) -> None:
        """Say from the next beat on that nothing new is begun."""
        self._state = cluster.DRAINING

    def beat(self) -> None:
        """Tell once, and obey what was asked. Raises `DBAPIError`."""
        counts = metrics.taken()
        state, doing = self._state, self._doing()

        def work(tx: Connection) -> tuple[bool, str | None]:
            was_there, asked = processes.beat(
                tx, self.process, counts=metrics.since(counts, self._base), state=state, doing=doing
            )
            if not was_there and self._told:
                # Others took it for gone and have added what it had told to the sum: from there on it is counted anew.
                processes.beat(tx, self.process, counts=metrics.since(counts, self._told), state=state, doing=doing)
            return was_there, asked

        was_there, asked = in_unit(self._engine, work)
        if not was_there:
            self._base = self._told
        self._told = counts
        if asked == cluster.DRAIN and self._drain is not None and self._state == cluster.RUNNING:
            log.info("process.draining")
            self._state = cluster.DRAINING
            self._drain()

    def _introduced(self) -> Process:
        started_ms = time.time_ns() // 1_000_000
        short = self._new_id()[-12:]  # its random end: people type it
        return Process(short, self._kind, socket.gethostname(), os.getpid(), self._version, self._queues, started_ms)

    def _doing(self) -> dict[str, Any]:
        pool: Any = self._engine.pool
        said: dict[str, Any] = {"now": activity.now(), "lanes": activity.lanes_per_min(), **self._more()}
        if hasattr(pool, "checkedout") and hasattr(pool, "size"):
            most: _Pool = pool
            said["pool"] = [most.checkedout(), most.size()]
        return said

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except SQLAlchemyError as error:
            log.warning("heartbeat.failed", reason=str(error)[:300])


def put_away(engine: Engine) -> int:
    """Remove the rows of processes that are over, keeping their counts. Returns how many. Raises `DBAPIError`."""
    return in_unit(engine, lambda tx: processes.put_away(tx, metrics.add_up))
