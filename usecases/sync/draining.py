"""Draining a lane: one slice of its work into WPS, one call at a time.

    choose ─▶ pay the limiter ─▶ one transaction: result of the call before, intent of this one ─▶ guard ─▶ call
       ▲                                                                                             │
       └────────── while the call is in flight, the next one is chosen ◀─────────────────────────────┘

Two calls of a lane never overlap: the next is sent only after the one before has come back. What overlaps is the choosing.
The result is written together with the next intent, so that a lane pays one commit for each call, not two.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db import lanes
from db.engine import in_unit, reading
from db.lanes import FenceLost
from domain.lanes import DOWN, SLEEP_LIMIT_MS, may_send, slice_is_over
from observability.failpoints import failpoint
from observability.log import bound, get_logger
from observability.metrics import LANE_SLICES
from observability.tracing import Origin, continued
from remote.wps.errors import GuardRefused, WpsAuth, WpsError, WpsMisconfigured, WpsNotSent, WpsThrottled
from remote.wps.transport import Admitted, Parked
from usecases.deps import Deps
from usecases.lanes import Holding, Holdings
from usecases.sync import failures, origins, recording, settling, verifying, walking
from usecases.sync.choosing import choose
from usecases.sync.counting import count_call
from usecases.sync.failures import GO_ON, Rest
from usecases.sync.learning import Learnt
from usecases.sync.recording import Scope
from usecases.sync.sending import packed, send
from usecases.sync.work import Burying, Call, Closing, Outcome, Settling, Verifying, Work

T = TypeVar("T")

log = get_logger("lanes")

QUEUE = "lanes"
_FLUSH_BEFORE_SLEEP_MS = 20
_ASK_EVERY_S = 0.5  # how often a lane whose slice is over asks whether another one waits
_NOT_ITS_FAULT = (WpsThrottled, GuardRefused, WpsMisconfigured, WpsNotSent, WpsAuth)


class _Stop(Exception):
    """The slice ends here; the lane rests as told. `more`: it was only its turn that ended."""

    def __init__(self, rest: Rest, *, more: bool = False) -> None:
        super().__init__(rest.note)
        self.rest = rest
        self.more = more


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
        except _Stop as stop:
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
        self._executor = executor
        held = holding.held
        self._scope = Scope(held.tenant, held.lane, deps.times, deps.secret, deps)
        self._learnt = Learnt(held)
        self._finished: tuple[Call, Outcome] | None = None
        self._slot: Admitted | None = None
        self._started = time.monotonic()
        self._ask_again = self._started
        self.calls = 0

    def run(self) -> bool:
        """Work until empty (False) or until the slice is over and others wait (True). Raises _Stop, FenceLost."""
        work = self._choose()
        while True:
            if work is None:
                if self._finished is None:
                    return False
                self._flush()
                work = self._choose()
                continue
            self._holding.step()
            if self._must_yield():
                self._flush()
                return True
            if isinstance(work, Call):
                work = self._call(work)
            else:
                self._flush()
                self._without_sending(work)
                work = self._choose()

    def _must_yield(self) -> bool:
        if self._deps.stopping.is_set() or QUEUE in self._deps.paused():
            return True
        now = time.monotonic()
        if now < self._ask_again or not slice_is_over(calls=self.calls, elapsed_ms=(now - self._started) * 1000):
            return False
        self._ask_again = now + _ASK_EVERY_S
        return self._deps.hints.others_wait()

    # --- one call -----------------------------------------------------------------------------------------------------

    def _call(self, call: Call) -> Work | None:
        """Pay, commit, send; returns what was chosen meanwhile."""
        on = self._admit()
        before, ready, paused = self._commit(call)
        if paused:
            raise _Stop(Rest(0, "paused"))
        if ready is None:
            # Its jobs were put again since they were read; the admission stays with us for the next.
            return self._choose()
        failpoint("lanes.after_intent")
        run_id = ready.wanted[0].run_id
        came_by = self._origin(run_id)
        chosen: list[Future[Work | None]] = []

        def choose_aside() -> None:
            # Not before the request has left: whoever is woken takes the interpreter, and the call would wait for it. The
            # choosing goes aside and not the call: nobody has to be woken between an answer and the next request.
            with suppress(RuntimeError):  # the process stops
                chosen.append(self._executor.submit(self._choose, ready.ref.group_id))

        guarded = replace(on, guard=self._guard(before), sent=choose_aside)
        try:
            with continued(came_by, otherwise=run_id or "-", run_id=run_id):
                outcome = send(self._deps.remote.client, guarded, ready)
        finally:
            wait(chosen)
        self.calls += 1
        self._holding.step()
        self._learnt.from_call(ready, outcome)
        self._finished = (ready, outcome)
        return chosen[0].result() if chosen else self._choose(ready.ref.group_id)

    def _origin(self, run_id: str | None) -> Origin:
        return origins.of_run(self._deps.engine, run_id, tenant=self._scope.tenant)

    def _admit(self) -> Admitted:
        found = self._deps.remote.transport.admit(
            lane=f"{self._scope.tenant}/{self._scope.lane}",
            max_wait_ms=SLEEP_LIMIT_MS,
            release=self._slot.slot if self._slot is not None else None,
        )
        self._slot = None
        if isinstance(found, Parked):
            self._flush()
            note = DOWN if found.reason == "down" else f"limiter: {found.reason}"
            raise _Stop(Rest(max(1, found.wait_ms), note))
        self._slot = found
        if found.wait_ms > _FLUSH_BEFORE_SLEEP_MS:
            self._flush()
        if found.wait_ms:
            time.sleep(found.wait_ms / 1000)
        return found

    def _commit(self, call: Call) -> tuple[float, Call | None, bool]:
        """The one transaction between two calls. Returns the time before it, what may be sent, and if to stop."""
        finished = self._finished
        before = 0.0

        def work(tx: Connection) -> tuple[Call | None, bool, Rest]:
            nonlocal before
            # The settlement wait counts from the time in the intent: so must the guard, however long the commit takes.
            before = time.monotonic()
            paused = lanes.enter(tx, self._scope_held)
            rest = self._record(tx, *finished) if finished is not None else GO_ON
            self._learnt.keep(tx)
            if paused or rest.ms:
                return None, paused, rest
            return recording.commit_intents(tx, self._scope, call), False, GO_ON

        ready, paused, rest = in_unit(self._deps.engine, work)
        self._completed()
        self._learnt.kept()
        if rest.ms:
            raise _Stop(rest)
        return before, ready, paused

    def _flush(self) -> None:
        """Write the result of the last call by itself."""
        if self._finished is None:
            return
        call, outcome = self._finished

        def work(tx: Connection) -> tuple[bool, Rest]:
            paused = lanes.enter(tx, self._scope_held)
            self._learnt.keep(tx)
            return paused, self._record(tx, call, outcome)

        paused, rest = in_unit(self._deps.engine, work)
        self._completed()
        self._learnt.kept()
        if rest.ms or paused:
            raise _Stop(rest if rest.ms else Rest(0, "paused"))

    def _record(self, tx: Connection, call: Call, outcome: Outcome) -> Rest:
        rest = recording.record(tx, self._scope, call, outcome)
        failpoint("db.before_complete")
        return rest

    def _completed(self) -> None:
        if self._finished is not None:
            failpoint("db.after_complete")
            count_call(self._scope.tenant, self._scope.lane, *self._finished)
        self._finished = None

    @property
    def _scope_held(self) -> lanes.Held:
        return self._holding.held

    def _guard(self, intended: float) -> Callable[[], None]:
        def check() -> None:
            since = (time.monotonic() - intended) * 1000
            left = self._holding.lease_left_ms()
            if not may_send(since_commit_ms=since, lease_left_ms=left, times=self._deps.times):
                raise GuardRefused(f"{since:.0f} ms since the intent, {left:.0f} ms of lease left")

        return check

    # --- work without a write -----------------------------------------------------------------------------------------

    def _without_sending(self, work: Closing | Burying | Settling | Verifying) -> None:
        if isinstance(work, Settling):
            self._settle(work)
            return
        if isinstance(work, Verifying):
            run_id = work.wanted.run_id
            with continued(self._origin(run_id), otherwise=run_id or "-", run_id=run_id):
                self._verify(work)
            return
        step = recording.close if isinstance(work, Closing) else recording.bury

        def write(tx: Connection) -> bool:
            paused = lanes.enter(tx, self._scope_held)
            step(tx, self._scope, work)  # type: ignore[arg-type]
            return paused

        if in_unit(self._deps.engine, write):
            raise _Stop(Rest(0, "paused"))

    def _settle(self, work: Settling) -> None:
        answers: settling.Answers | None
        try:
            answers = settling.look(
                self._deps.remote.client, self._read, self._deps.engine, work, tenant=self._scope.tenant
            )
        except _NOT_ITS_FAULT as error:
            raise _Stop(_rest_of_look(error)) from error
        except WpsError as error:
            # It may be this calendar alone that cannot be read: the lane goes on with the others.
            log.warning("lanes.cannot_look", lane=self._scope.lane, group=work.ref.group_id, reason=str(error))
            answers = None
        failpoint("settle.after_walk")

        def write(tx: Connection) -> bool:
            paused = lanes.enter(tx, self._scope_held)
            if answers is None:
                settling.postpone(tx, self._scope, work, wait_ms=failures.NO_CONNECTION_MS)
            else:
                settling.record(tx, self._scope, work, answers)
            return paused

        if in_unit(self._deps.engine, write):
            raise _Stop(Rest(0, "paused"))
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
        except _Stop:
            self._effect(lambda tx: verifying.keep(tx, self._scope, work, walk))
            raise
        except _NOT_ITS_FAULT as error:
            self._effect(lambda tx: verifying.keep(tx, self._scope, work, walk))
            raise _Stop(_rest_of_look(error)) from error
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
            paused = lanes.enter(tx, self._scope_held)
            write(tx)
            return paused

        if in_unit(self._deps.engine, work):
            raise _Stop(Rest(0, "paused"))

    def _look(self, fetch: Callable[[Admitted], T]) -> T:
        """One reading call of many: between two of them the lane may have to let others go first."""
        if self._must_yield():
            raise _Stop(GO_ON, more=True)
        found = self._read(fetch)
        failpoint("verify.after_page")
        return found

    def _read(self, fetch: Callable[[Admitted], T]) -> T:
        """One reading call, paid for and within the lease."""
        on = self._admit()
        self._holding.step()
        found = fetch(replace(on, guard=self._guard(time.monotonic())))
        self.calls += 1
        return found

    def _choose(self, busy: str | None = None) -> Work | None:
        with reading(self._deps.engine) as connection:
            key = {"tenant": self._scope.tenant, "lane": self._scope.lane}
            found = choose(connection, **key, sizes=self._learnt.sizes, busy=busy)
        return packed(self._deps.remote.client, found) if isinstance(found, Call) else found

    def give_back_slot(self) -> None:
        """Return the limiter's slot of the last call."""
        if self._slot is not None:
            self._deps.remote.transport.release(self._slot)
            self._slot = None


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
