"""Holding lanes in a process: claims, leases kept alive, and the local deadline that a send must respect."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from db import lanes
from db.engine import in_unit
from db.lanes import Held
from domain.lanes import Times, shows_life
from observability.failpoints import failpoint


@dataclass(slots=True)
class Holding:
    """A lane this process drains. Times are of the monotonic clock, in seconds.

    `deadline` counts from before the statement that set the lease, so it is never later than the database's.
    """

    held: Held
    deadline: float
    last_step: float

    def lease_left_ms(self) -> float:
        """How much of the lease is left by our own clock."""
        return (self.deadline - time.monotonic()) * 1000

    def step(self) -> None:
        """The drain is alive: without this the lease is not renewed."""
        self.last_step = time.monotonic()


class Holdings:
    """The lanes of this process. Thread-safe: drains add and drop, the keeper renews."""

    def __init__(
        self,
        engine: Engine,
        times: Times,
        new_id: Callable[[], str],
        *,
        recovered: Callable[[str], object] = lambda _lane: None,
    ) -> None:
        """`recovered` is told of a lane that was taken over from an owner who died, after that is committed."""
        self._engine = engine
        self._times = times
        self._new_id = new_id
        self._recovered = recovered
        self._lock = threading.Lock()
        self._all: dict[str, Holding] = {}

    def claim(self, tenant: str, lane: str) -> Holding | None:
        """Take the lane in the database, or None."""
        before, claim_id = time.monotonic(), self._new_id()
        over: list[bool] = []

        def work(tx: Connection) -> Held | None:
            over.clear()
            return lanes.claim(
                tx,
                tenant=tenant,
                lane=lane,
                claim_id=claim_id,
                times=self._times,
                took_over=lambda: over.append(True),
            )

        held = in_unit(self._engine, work)
        if held is None:
            if over:
                self._recovered(lane)
            return None
        failpoint("lanes.after_claim")
        holding = Holding(held, before + self._times.lease_ms / 1000, before)
        with self._lock:
            self._all[claim_id] = holding
        return holding

    def release(self, holding: Holding, *, park_ms: int, note: str | None) -> None:
        """Give the lane back, resting `park_ms`."""
        failpoint("lanes.before_release")
        with self._lock:
            self._all.pop(holding.held.claim, None)
        in_unit(self._engine, lambda tx: lanes.release(tx, holding.held, park_ms=park_ms, note=note))

    def forget(self, holding: Holding) -> None:
        """The lane is no longer ours, or the database cannot be told: its lease runs out by itself."""
        with self._lock:
            self._all.pop(holding.held.claim, None)

    def names(self) -> list[tuple[str, str]]:
        """(tenant, lane) of everything held now."""
        with self._lock:
            return [(one.held.tenant, one.held.lane) for one in self._all.values()]

    def renew(self) -> None:
        """Prolong every lease whose drain has reported a step within twice the call budget."""
        before = time.monotonic()
        with self._lock:
            alive = [
                one
                for one in self._all.values()
                if shows_life(since_step_ms=(before - one.last_step) * 1000, times=self._times)
            ]
        if not alive:
            return
        failpoint("lanes.before_renew")
        held = [one.held for one in alive]
        ours = in_unit(self._engine, lambda tx: lanes.renew(tx, held, times=self._times))
        for one in alive:
            if one.held.claim in ours:
                one.deadline = before + self._times.lease_ms / 1000
