"""The calls of one slice of a lane: each is paid for, promised, sent, and what came of it is written.

    choose ─▶ pay the limiter ─▶ one transaction: results, and the intent of this call ─▶ guard ─▶ call ─▶ guard ─▶ call …
       ▲                                                                                            │
       └── while it is in flight: what came of the one before is written, the next one is promised ─┘

Two calls of a lane never overlap: the next one is sent only when the one before has come back. What overlaps is everything
else, so that between an answer and the next request there is nothing left to do but to look at the clock. A next call that
may not be promised ahead (`may_promise_ahead`) is only chosen meanwhile.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from db import lanes
from db.engine import in_unit, reading
from domain.lanes import DOWN, SLEEP_LIMIT_MS, keeps_promise, may_promise_ahead, may_send, slice_is_over
from domain.outcomes import counts_before
from observability.failpoints import failpoint
from observability.tracing import Origin, continued
from remote.wps.errors import GuardRefused
from remote.wps.transport import Admitted, Parked
from usecases.deps import Deps
from usecases.lanes import Holding
from usecases.sync import origins, recording
from usecases.sync.choosing import choose
from usecases.sync.counting import count_call
from usecases.sync.failures import GO_ON, Rest
from usecases.sync.learning import Learnt
from usecases.sync.recording import Scope
from usecases.sync.sending import packed, send
from usecases.sync.work import Call, Done, Outcome, Work

QUEUE = "lanes"
_FLUSH_BEFORE_SLEEP_MS = 20
_ASK_EVERY_S = 0.5  # how often a lane whose slice is over asks whether another one waits


class Stop(Exception):
    """The slice ends here; the lane rests as told. `more`: it was only its turn that ended."""

    def __init__(self, rest: Rest, *, more: bool = False) -> None:
        super().__init__(rest.note)
        self.rest = rest
        self.more = more


class Turn:
    """How long a slice may go on. Once it is over it stays so."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._started = self._ask_again = time.monotonic()
        self._over = False
        self.calls = 0

    @property
    def must_stop(self) -> bool:
        """Whether the process comes to rest, or the queue is paused."""
        return self._deps.stopping.is_set() or QUEUE in self._deps.paused()

    def is_over(self, *, in_flight: int = 0) -> bool:
        """Whether others go first now; asked of the others only after the lane's own share, and not at each call."""
        self._over = self._over or self.must_stop or self._others_go_first(self.calls + in_flight)
        return self._over

    def _others_go_first(self, calls: int) -> bool:
        now = time.monotonic()
        if now < self._ask_again or not slice_is_over(calls=calls, elapsed_ms=(now - self._started) * 1000):
            return False
        self._ask_again = now + _ASK_EVERY_S
        return self._deps.hints.others_wait()


@dataclass(frozen=True, slots=True)
class Promised:
    """A call that is paid for and whose intent is in the database since the monotonic time `since`, at the latest."""

    call: Call
    on: Admitted
    since: float
    origin: Origin


class Calls:
    """Not reused. At any time one thread works with it: the one that sends waits for the one beside it."""

    def __init__(self, deps: Deps, holding: Holding, executor: Executor, scope: Scope, turn: Turn) -> None:
        self._deps = deps
        self._holding = holding
        self._executor = executor
        self._scope = scope
        self._turn = turn
        self._learnt = Learnt(holding.held)
        self._finished: list[tuple[Call, Outcome]] = []  # and not written yet: of two calendars at most
        self._slot: Admitted | None = None

    @property
    def all_written(self) -> bool:
        """Whether what came of every call is in the database."""
        return not self._finished

    def make(self, call: Call) -> Work | None:
        """Make the call, and those that could be promised meanwhile; returns what is to be done next.

        Raises Stop, FenceLost, DBAPIError.
        """
        following: Promised | Work | None = self._promise(call, self.admit())
        while isinstance(following, Promised):
            following = self._send(following)
            if isinstance(following, Promised) and not self._is_kept(following):
                self._take_back(following.call)
                return self.choose()
        return following

    def choose(self, flying: Call | None = None) -> Work | None:
        """The next work of the lane, but for calendars that are in flight or not written yet."""
        busy = [one.ref.group_id for one, _ in self._finished]
        if flying is not None:
            busy.append(flying.ref.group_id)
        with reading(self._deps.engine) as connection:
            key = {"tenant": self._scope.tenant, "lane": self._scope.lane}
            found = choose(connection, **key, sizes=self._learnt.sizes, busy=busy)
        return packed(self._deps.remote.client, found) if isinstance(found, Call) else found

    # --- paid and promised --------------------------------------------------------------------------------------------

    def admit(self) -> Admitted:
        """Pay the limiter, and sleep as long as it says. Raises Stop where that is too long."""
        found = self._deps.remote.transport.admit(
            lane=f"{self._scope.tenant}/{self._scope.lane}",
            max_wait_ms=SLEEP_LIMIT_MS,
            release=self._slot.slot if self._slot is not None else None,
        )
        self._slot = None
        if isinstance(found, Parked):
            self.flush()
            note = DOWN if found.reason == "down" else f"limiter: {found.reason}"
            raise Stop(Rest(max(1, found.wait_ms), note))
        self._slot = found
        if found.wait_ms > _FLUSH_BEFORE_SLEEP_MS:
            self.flush()
        if found.wait_ms:
            time.sleep(found.wait_ms / 1000)
        return found

    def _promise(self, call: Call, on: Admitted, *, flying: Call | None = None) -> Promised | Work | None:
        """The one transaction of a call. Where nobody wants it any more, the admission stays with us for the next."""
        since, ready, paused = self._commit(call)
        if paused:
            raise Stop(Rest(0, "paused"))
        if ready is None:
            return self.choose(flying)
        failpoint("lanes.after_intent")
        run_id = ready.wanted[0].run_id
        return Promised(ready, on, since, origins.of_run(self._deps.engine, run_id, tenant=self._scope.tenant))

    def _commit(self, call: Call) -> tuple[float, Call | None, bool]:
        """Write what is finished and the intent. Returns the time before it, what may be sent, and if to stop."""
        before = 0.0

        def work(tx: Connection) -> tuple[Call | None, bool, Rest]:
            nonlocal before
            # The settlement wait counts from the time in the intent: so must the guard, however long the commit takes.
            before = time.monotonic()
            paused, rest = self._write_finished(tx)
            if paused or rest.ms:
                return None, paused, rest
            return recording.commit_intents(tx, self._scope, call), False, GO_ON

        ready, paused, rest = in_unit(self._deps.engine, work)
        self._completed()
        if rest.ms:
            raise Stop(rest)
        return before, ready, paused

    # --- sent ---------------------------------------------------------------------------------------------------------

    def _send(self, promised: Promised) -> Promised | Work | None:
        """Make a promised call; returns what was chosen, or promised, while it was in flight."""
        beside: list[Future[Promised | Work | None]] = []

        def look_ahead() -> None:
            # Not before the request has left: whoever is woken takes the interpreter, and the call would wait for it. The
            # rest goes aside and not the call: nobody has to be woken between an answer and the next request.
            with suppress(RuntimeError):  # the process stops
                beside.append(self._executor.submit(copy_context().run, self._look_ahead, promised))

        on = replace(promised.on, guard=self.guard(promised.since), sent=look_ahead)
        run_id = promised.call.wanted[0].run_id
        try:
            with continued(promised.origin, otherwise=run_id or "-", run_id=run_id):
                outcome = send(self._deps.remote.client, on, promised.call)
        finally:
            wait(beside)
        self._turn.calls += 1
        self._holding.step()
        self._learnt.from_call(promised.call, outcome)
        self._finished.append((promised.call, outcome))
        try:
            return beside[0].result() if beside else self.choose()
        except Stop:
            self.flush()
            raise

    def _look_ahead(self, flying: Promised) -> Promised | Work | None:
        """While a call is in flight: promise the next one where that may be, else choose it."""
        if any(call.leaves_some for call, _ in self._finished):
            # That calendar may be the most urgent still, and is left out while nothing of it is written.
            self.flush()
        work = self.choose(flying.call)
        if work is None and self._finished:
            # There may be more to do in the calendar that was left out because nothing of it was written.
            self.flush()
            work = self.choose(flying.call)
        if not isinstance(work, Call) or self._turn.is_over(in_flight=1) or not self._may_promise(work, flying.on):
            return work
        on = self._deps.remote.transport.admit_next(flying.on)
        if on is None:
            return work
        self._slot = on
        return self._promise(work, on, flying=flying.call)

    def _may_promise(self, call: Call, flying: Admitted) -> bool:
        return call.writes and may_promise_ahead(
            counted=counts_before(alone=call.alone),
            waited_ms=flying.wait_ms,
            doubted=flying.doubted,
            latency_ms=self._deps.remote.transport.latency_ms,
            times=self._deps.times,
        )

    def _is_kept(self, promised: Promised) -> bool:
        """Whether it goes out, now that the one before it is over. Paid for as it is, it is not to go into a block."""
        return not self._turn.must_stop and keeps_promise(
            done=isinstance(self._finished[-1][1], Done) and not self._deps.remote.transport.is_blocked,
            since_commit_ms=(time.monotonic() - promised.since) * 1000,
            lease_left_ms=self._holding.lease_left_ms(),
            times=self._deps.times,
        )

    def guard(self, intended: float) -> Callable[[], None]:
        """What is asked right before the first byte of a call whose intent is of the monotonic time `intended`."""

        def check() -> None:
            since = (time.monotonic() - intended) * 1000
            left = self._holding.lease_left_ms()
            if not may_send(since_commit_ms=since, lease_left_ms=left, times=self._deps.times):
                raise GuardRefused(f"{since:.0f} ms since the intent, {left:.0f} ms of lease left")

        return check

    # --- written ------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what came of calls by itself. Raises Stop where the lane is to rest."""
        if self._finished:
            self._write()

    def _take_back(self, call: Call) -> None:
        """Write that a promised call was not sent, with what came of the one before it."""
        self._write(not_sent=call)

    def _write(self, not_sent: Call | None = None) -> None:
        def work(tx: Connection) -> tuple[bool, Rest]:
            written = self._write_finished(tx)
            if not_sent is not None:
                recording.take_back(tx, self._scope, not_sent)
            return written

        paused, rest = in_unit(self._deps.engine, work)
        self._completed()
        if rest.ms or paused:
            raise Stop(rest if rest.ms else Rest(0, "paused"))

    def _write_finished(self, tx: Connection) -> tuple[bool, Rest]:
        """Enter the lane, and write what came of its calls. Returns whether it is paused, and how long it rests."""
        paused, rest = lanes.enter(tx, self._holding.held), GO_ON
        for call, outcome in self._finished:
            found = recording.record(tx, self._scope, call, outcome)
            rest = max(rest, found, key=lambda one: one.ms)
        if self._finished:
            failpoint("db.before_complete")
        self._learnt.keep(tx)
        return paused, rest

    def _completed(self) -> None:
        if self._finished:
            failpoint("db.after_complete")
        for call, outcome in self._finished:
            count_call(self._scope.tenant, self._scope.lane, call, outcome)
        self._finished.clear()
        self._learnt.kept()

    def give_back_slot(self) -> None:
        """Return the limiter's slot of the last call."""
        if self._slot is not None:
            self._deps.remote.transport.release(self._slot)
            self._slot = None
