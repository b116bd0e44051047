"""The keeper: one thread per worker that keeps what would otherwise be forgotten.

It renews the leases of this process, rings for work that is due (so that a lost doorbell costs a second), keeps the number
of active lanes in step with the limiter, asks which queues are paused, wakes lanes when WPS is back, does a tick that is late
(so that schedules need no scheduler to be alive), holds and lets go what waits for off-peak hours, forgets ended sign-ins each
hour, and clears what dead brokers left in Redis.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import astuple
from typing import cast

import redis
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from actors import queues
from actors.dispatch import dispatch
from bootstrap.broker import NAMESPACE
from db.engine import checkpoint, reading
from domain.lanes import active_cap
from observability.log import get_logger
from ratelimit.limiter import LimiterAway, Limits
from usecases import identity, limits, off_peak, schedules
from usecases.deps import Deps
from usecases.lanes import Holdings
from workers.outage import OutageWatch

log = get_logger("keeper")

_DISPATCH_S = 1.0
_TIDY_S = 30.0
_CHECKPOINT_S = 1.0
_TICK_S = 10.0
_HOURS_S = 5.0
_DEAD_BROKER_S = 60.0
_PRUNE_S = 3_600.0


class ActiveCap:
    """How many lanes may be drained at once, from the limiter's rate and the time of a call; looked up by the keeper.

    While it is there it gives the limiter the limits that an admin has set: a flushed Redis has forgotten them.
    """

    def __init__(self, deps: Deps, default: Limits) -> None:
        self._deps = deps
        self._default = default
        self._cap = active_cap(rate_per_s=1, latency_ms=0)

    def __call__(self) -> int:
        return self._cap

    def refresh(self) -> None:
        """Ask the limiter; while it is away the cap stays."""
        try:
            state = self._deps.remote.limiter.state(self._deps.remote.limiter_key)
        except LimiterAway:
            return
        with reading(self._deps.engine) as tx:
            wanted = limits.stored(tx, tenant=self._deps.tenant, default=self._default)
        if (state.max_rate_per_s, state.burst, state.max_in_flight) != astuple(wanted):
            self._deps.remote.limiter.configure(self._deps.remote.limiter_key, wanted)
        latency = self._deps.remote.transport.latency_ms
        self._cap = active_cap(rate_per_s=state.rate_per_s, latency_ms=latency)


class Keeper(threading.Thread):
    """Runs until the process stops. A failing duty is logged and done again; it never ends the thread."""

    def __init__(
        self,
        deps: Deps,
        holdings: Holdings,
        cap: ActiveCap,
        client: redis.Redis,
        *,
        lane_threads: int,
        tick_s: float = _TICK_S,
        prune_s: float = _PRUNE_S,
        look_for_pauses: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(name="keeper", daemon=True)
        self._look_for_pauses = look_for_pauses
        self._deps = deps
        self._holdings = holdings
        self._cap = cap
        self._outage = OutageWatch(deps)
        self._client = client
        self._lane_threads = lane_threads
        self._tick_s = tick_s
        self._prune_s = prune_s
        self.last_beat = time.monotonic()

    def _checkpoint(self) -> None:
        """In a thread of its own: on a slow disk it takes longer than a lease may wait."""
        while not self._deps.stopping.wait(_CHECKPOINT_S):
            self._guarded("checkpoint", lambda: checkpoint(self._deps.engine))

    def run(self) -> None:
        """Each duty in its own rhythm; the shortest one, the leases, sets the pace."""
        threading.Thread(target=self._checkpoint, name="checkpoint", daemon=True).start()
        renew_s = self._deps.times.renew_ms / 1000
        start = time.monotonic()
        due = {"renew": 0.0, "dispatch": 0.0, "tidy": start + _TIDY_S, "tick": start + self._tick_s, "hours": start}
        due["prune"] = start + self._prune_s * random.random()  # noqa: S311 (so that processes do not do it together)
        while not self._deps.stopping.is_set():
            now = time.monotonic()
            self.last_beat = now
            if now >= due["renew"]:
                self._guarded("renew", self._renew)
                due["renew"] = now + renew_s
            if now >= due["dispatch"]:
                self._guarded("dispatch", self._dispatch)
                due["dispatch"] = now + _DISPATCH_S * random.uniform(0.8, 1.2)  # noqa: S311 (jitter)
            if now >= due["tidy"]:
                self._guarded("tidy", lambda: tidy(self._client))
                due["tidy"] = now + _TIDY_S
            if now >= due["tick"]:
                self._guarded("tick", self._late_tick)
                due["tick"] = now + self._tick_s * random.uniform(0.8, 1.2)  # noqa: S311 (jitter)
            if now >= due["hours"]:
                self._guarded("hours", lambda: off_peak.keep(self._deps))
                due["hours"] = now + _HOURS_S * random.uniform(0.8, 1.2)  # noqa: S311 (jitter)
            if now >= due["prune"]:
                self._guarded("prune", lambda: identity.tidy(self._deps))
                due["prune"] = now + self._prune_s
            self._deps.stopping.wait(max(0.01, min(due.values()) - time.monotonic()))
        while self._holdings.names():
            self._guarded("renew", self._renew)
            time.sleep(min(0.2, renew_s))

    def _renew(self) -> None:
        self._holdings.renew()
        self._deps.hints.hold(self._holdings.names(), hold_ms=self._deps.times.lease_ms)

    def _late_tick(self) -> None:
        if queues.TICK not in self._deps.paused():
            schedules.late_tick(self._deps)

    def _dispatch(self) -> None:
        self._look_for_pauses()
        self._cap.refresh()
        self._outage.refresh()
        dispatch(self._deps, idle_threads=self._lane_threads - len(self._holdings.names()))

    def _guarded(self, duty: str, work: Callable[[], object]) -> None:
        try:
            work()
        except (DBAPIError, RedisError) as error:
            log.warning("keeper.duty_failed", duty=duty, reason=str(error)[:300])


def tidy(client: redis.Redis) -> int:
    """Forget messages that a dead broker had fetched and never acknowledged. Returns how many brokers were forgotten.

    They are doorbells: whoever is due is rung for again, so they need not be delivered.
    """
    beats = f"{NAMESPACE}:__heartbeats__"
    limit = (time.time() - _DEAD_BROKER_S) * 1000
    dead = cast("list[bytes]", client.zrangebyscore(beats, "-inf", limit))
    for broker in dead:
        for acks in client.scan_iter(match=f"{NAMESPACE}:__acks__.{broker.decode()}.*", count=200):
            queue = acks.decode().rpartition(".")[2]
            ids = cast("set[bytes]", client.smembers(acks))
            if ids:
                client.hdel(f"{NAMESPACE}:{queue}.msgs", *ids)
            client.delete(acks)
        client.zrem(beats, broker)
    return len(dead)
