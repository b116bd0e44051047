"""What a keeper does about the circuit breaker: repeat an admin's decision, and wake the lanes when WPS is back."""

from db import lanes
from db.engine import in_unit, reading
from domain.lanes import DOWN
from observability.log import get_logger
from ratelimit.limiter import LimiterAway
from usecases import limits, schedules
from usecases.deps import Deps

log = get_logger("keeper")

_WAKE_TIMES = 3


class OutageWatch:
    """Looked at once a second by the keeper of each worker."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        # A process that starts does not know what went before it: lanes may rest for an outage that is over.
        self._wake = _WAKE_TIMES
        self._was_down = False

    def refresh(self) -> None:
        """Ask the breaker; while its store is away nothing is done. Raises `DBAPIError`."""
        remote, tenant = self._deps.remote, self._deps.tenant
        try:
            state = remote.limiter.breaker(remote.limiter_key)
            with reading(self._deps.engine) as tx:
                why = limits.breaker_held(tx, tenant=tenant)
            if why is not None and not state.held:
                remote.limiter.hold_open(remote.limiter_key, why=why)
                return
        except LimiterAway:
            return
        if state.state != "closed":
            self._wake = _WAKE_TIMES
            self._was_down = True
        elif self._wake:
            # More than once: a lane that was turned away just before it closed may write its rest just after.
            self._wake -= 1
            woken = in_unit(self._deps.engine, lambda tx: lanes.wake(tx, tenant=tenant, note=DOWN))
            if woken:
                log.info("lanes.woken", lanes=woken)
        if state.state == "closed" and self._was_down:
            self._was_down = False
            schedules.recovered(self._deps, "WPS answers again")
