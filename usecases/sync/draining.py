"""Draining a lane: one slice of its work into WPS, one call at a time (`calling`), and what is done without a write."""

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from time import monotonic
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db import lanes
from db.engine import in_unit, reading
from db.lanes import FenceLost
from observability.failpoints import failpoint
from observability.log import bound, get_logger
from observability.metrics import LANE_SLICES
from observability.tracing import continued
from remote.wps.errors import GuardRefused, WpsAuth, WpsError, WpsMisconfigured, WpsNotSent, WpsThrottled
from remote.wps.transport import Admitted
from usecases.deps import Deps
from usecases.lanes import Holding, Holdings
from usecases.sync import failures, origins, recording, settling, verifying, walking
from usecases.sync.calling import QUEUE, Calls, Stop, Turn
from usecases.sync.failures import GO_ON, Rest
from usecases.sync.recording import Scope
from usecases.sync.work import Burying, Call, Closing, Settling, Verifying

T = TypeVar("T")

log = get_logger("lanes")

_NOT_ITS_FAULT = (WpsThrottled, GuardRefused, WpsMisconfigured, WpsNotSent, WpsAuth)


@dataclass(frozen=True, slots=True)
class Slice:
    """What one slice did: calls made, and whether the lane has more to do now."""

    calls: int
    more: bool


def drain_lanes(deps: Deps, holdings: Holdings, executor: Executor, *, cap: Callable[[], int]) -> int:
    """Claim due lanes and drain a slice of each until none is due or the process stops. Returns the calls made.

    A hint is only a hint: the database may refuse the claim, and then the lane is somebody else's or not due.
    """
    calls, woken = 0, False
    while not deps.stopping.is_set() and QUEUE not in deps.paused():
        lane = deps.hints.claim(cap=cap(), hold_ms=deps.times.lease_ms)
        if lane is None:
            return calls
        if not woken and deps.hints.others_wait():
            # Whoever rang knew of the free threads of one process only. One bell heard rings at most one, so that bells
            # nobody has a thread for do not pile up.
            deps.ring("lanes")
        woken = True
        more = False
        try:
            holding = holdings.claim(*lane)
            if holding is not None:
                with bound(tenant=lane[0], lane=lane[1]):
                    done = drain_slice(deps, holdings, holding, executor)
                calls += done.calls
                more = done.more
        finally:
            deps.hints.release(lane, again=more)
    return calls


def drain_slice(deps: Deps, holdings: Holdings, holding: Holding, executor: Executor) -> Slice:
    """Work a claimed lane until it is empty, has had its share while others wait, or must rest; then give it back."""
    drain = _Drain(deps, holding, executor)
    rest, more, released, ended = GO_ON, False, False, "lost"
    try:
        try:
            more = drain.run()
        except Stop as stop:
            rest, more = stop.rest, stop.more
        drain.give_back_slot()
        holdings.release(holding, park_ms=rest.ms, note=rest.note)
        released = True
        ended = "turn" if more else "rest" if rest.ms else "empty"
    except FenceLost as lost:
        log.warning("lanes.fence_lost", lane=holding.held.lane, reason=str(lost))
    except DBAPIError as error:
        # The outcome of a call in flight may be lost with it; its intent is in the database and will be settled.
        log.error("lanes.database", lane=holding.held.lane, reason=str(error.orig))
    except Exception:
        log.exception("lanes.broke", lane=holding.held.lane)
        raise
    finally:
        if not released:
            drain.give_back_slot()
            holdings.forget(holding)
    LANE_SLICES.add(ended)
    return Slice(drain.calls, more and released)


class _Drain:
    """One slice. Not reused."""

    def __init__(self, deps: Deps, holding: Holding, executor: Executor) -> None:
        self._deps = deps
        self._holding = holding
        held = holding.held
        self._scope = Scope(held.tenant, held.lane, deps.times, deps.secret, deps)
        self._turn = Turn(deps)
        self._calls = Calls(deps, holding, executor, self._scope, self._turn)

    @property
    def calls(self) -> int:
        """How many calls were made."""
        return self._turn.calls

    def run(self) -> bool:
        """Work until empty (False) or until the slice is over and others wait (True). Raises Stop, FenceLost."""
        work = self._calls.choose()
        while True:
            if work is None:
                if self._calls.all_written:
                    return False
                self._calls.flush()
                work = self._calls.choose()
                continue
            self._holding.step()
            if self._turn.is_over():
                self._calls.flush()
                return True
            if isinstance(work, Call):
                work = self._calls.make(work)
            else:
                self._calls.flush()
                self._without_sending(work)
                work = self._calls.choose()

    def give_back_slot(self) -> None:
        """Return the limiter's slot of the last call."""
        self._calls.give_back_slot()

    # --- work without a write -----------------------------------------------------------------------------------------

    def _without_sending(self, work: Closing | Burying | Settling | Verifying) -> None:
        if isinstance(work, Settling):
            self._settle(work)
            return
        if isinstance(work, Verifying):
            run_id = work.wanted.run_id
            came_by = origins.of_run(self._deps.engine, run_id, tenant=self._scope.tenant)
            with continued(came_by, otherwise=run_id or "-", run_id=run_id):
                self._verify(work)
            return
        step = recording.close if isinstance(work, Closing) else recording.bury

        def write(tx: Connection) -> bool:
            paused = lanes.enter(tx, self._holding.held)
            step(tx, self._scope, work)  # type: ignore[arg-type]
            return paused

        if in_unit(self._deps.engine, write):
            raise Stop(Rest(0, "paused"))

    def _settle(self, work: Settling) -> None:
        answers: settling.Answers | None
        try:
            answers = settling.look(
                self._deps.remote.client, self._read, self._deps.engine, work, tenant=self._scope.tenant
            )
        except _NOT_ITS_FAULT as error:
            raise Stop(_rest_of_look(error)) from error
        except WpsError as error:
            # It may be this calendar alone that cannot be read: the lane goes on with the others.
            log.warning("lanes.cannot_look", lane=self._scope.lane, group=work.ref.group_id, reason=str(error))
            answers = None
        failpoint("settle.after_walk")

        def write(tx: Connection) -> bool:
            paused = lanes.enter(tx, self._holding.held)
            if answers is None:
                settling.postpone(tx, self._scope, work, wait_ms=failures.NO_CONNECTION_MS)
            else:
                settling.record(tx, self._scope, work, answers)
            return paused

        if in_unit(self._deps.engine, write):
            raise Stop(Rest(0, "paused"))
        if answers is not None and answers.waits_for_walk:
            self._deps.hints.mark([(self._scope.tenant, "_")])

    def _verify(self, work: Verifying) -> None:
        """Read a calendar as a whole and write down what differs. What was seen before an interruption is kept."""
        with reading(self._deps.engine) as connection:
            ready = verifying.prepare(connection, self._scope, work)
        if ready is None:
            self._effect(lambda tx: verifying.postpone(tx, self._scope, work))
            return
        walk, failure = ready.walk, None
        try:
            walking.look(self._deps.remote.client, self._look, walk, work.calendar.remote_id or "", ready.rows)
        except Stop:
            self._effect(lambda tx: verifying.keep(tx, self._scope, work, walk))
            raise
        except _NOT_ITS_FAULT as error:
            self._effect(lambda tx: verifying.keep(tx, self._scope, work, walk))
            raise Stop(_rest_of_look(error)) from error
        except WpsError as error:
            failure = error
        if failure is not None:
            log.warning("lanes.cannot_verify", lane=self._scope.lane, group=work.ref.group_id, reason=str(failure))
            self._effect(lambda tx: verifying.cannot_read(tx, self._scope, work, failure))
            return
        self._effect(lambda tx: verifying.record(tx, self._scope, work, walk))

    def _effect(self, write: Callable[[Connection], None]) -> None:
        """A unit under the lane's fence; the slice ends here when the lane was paused."""

        def work(tx: Connection) -> bool:
            paused = lanes.enter(tx, self._holding.held)
            write(tx)
            return paused

        if in_unit(self._deps.engine, work):
            raise Stop(Rest(0, "paused"))

    def _look(self, fetch: Callable[[Admitted], T]) -> T:
        """One reading call of many: between two of them the lane may have to let others go first."""
        if self._turn.is_over():
            raise Stop(GO_ON, more=True)
        found = self._read(fetch)
        failpoint("verify.after_page")
        return found

    def _read(self, fetch: Callable[[Admitted], T]) -> T:
        """One reading call, paid for and within the lease."""
        on = self._calls.admit()
        self._holding.step()
        found = fetch(replace(on, guard=self._calls.guard(monotonic())))
        self._turn.calls += 1
        return found


def _rest_of_look(error: WpsError) -> Rest:
    """How long the lane rests when it could not look, for a reason that is not in what it looked at."""
    if isinstance(error, WpsThrottled):
        return Rest(max(100, error.retry_after_ms), "throttled by WPS")
    if isinstance(error, GuardRefused):
        return Rest(1, error.message)
    rest = failures.MISCONFIGURED_MS if isinstance(error, WpsMisconfigured) else failures.NO_CONNECTION_MS
    return Rest(rest, f"cannot look: {error}"[:200])


def choosing_threads(threads: int) -> ThreadPoolExecutor:
    """Threads that choose while a call is in flight: one for each lane that can be drained at once."""
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix="choosing")
