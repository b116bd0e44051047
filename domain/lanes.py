"""Who may work a lane, for how long, and when a call of it may start.

A lane is owned by one drain at a time. The owner is written in the database together with a fence that grows with every
change of owner; each effect of a drain names the fence it was claimed with and is refused when the lane has moved on.

    free ──claim──▶ owned ──release──▶ free
                      │ lease runs out (its process died, froze, or lost the database)
                      ▼
                  take over: fence + 1, owner gone, not_before = old lease + 1.1 × budget ──claim──▶ owned

The pause after a take-over is there because the old owner may have sent a call at the last moment its lease allowed; a call
is over within its budget, so after 1.1 × budget WPS sees one call of the lane again, not two.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

SLICE_MS = 2000
SLICE_CALLS = 12
SLEEP_LIMIT_MS = 250
DOWN = "WPS is down; its next probe decides"
"""The note of a lane that rests because the circuit breaker is open; such lanes are woken when it closes."""


@dataclass(frozen=True, slots=True)
class Times:
    """The clockwork of lanes and settlement; all milliseconds.

    budget: the longest a call may take, everything included; lease: how long a claim holds without renewal; late: how
    long after we gave up a request may still be applied; lag: how long a list may miss a fresh object; guard: the
    longest time between committing an intent and the first byte of its call.
    """

    budget_ms: int
    lease_ms: int
    late_ms: int
    lag_ms: int
    guard_ms: int = 500

    @property
    def takeover_ms(self) -> int:
        """How long after the end of a lost lease the lane rests."""
        return math.ceil(1.1 * self.budget_ms)

    @property
    def settle_ms(self) -> int:
        """How long after an intent its outcome can be read off WPS: no request of it lands later, no list misses it."""
        return self.guard_ms + self.budget_ms + self.late_ms + self.lag_ms

    @property
    def renew_ms(self) -> int:
        return self.lease_ms // 4


class OnClaim(Enum):
    """What a claim of a lane does."""

    TAKE = auto()
    TAKE_OVER = auto()
    REFUSE = auto()


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane as the database has it; instants in milliseconds UTC of the database's clock."""

    owner: str | None
    fence: int
    lease_until: int
    not_before: int
    paused: bool


def on_claim(lane: LaneRow, *, now: int) -> OnClaim:
    """A free lane that is due is taken; one whose lease ran out is first taken from its owner, and then rests."""
    if lane.paused:
        return OnClaim.REFUSE
    if lane.owner is not None:
        return OnClaim.TAKE_OVER if lane.lease_until < now else OnClaim.REFUSE
    return OnClaim.TAKE if lane.not_before <= now else OnClaim.REFUSE


def taken(lane: LaneRow, *, claim: str, now: int, times: Times) -> LaneRow:
    """The row of a lane that `claim` has taken."""
    return LaneRow(claim, lane.fence + 1, now + times.lease_ms, lane.not_before, lane.paused)


def taken_over(lane: LaneRow, *, times: Times) -> LaneRow:
    """The row of a lane that was taken from an owner whose lease ran out: nobody's, and at rest."""
    return LaneRow(None, lane.fence + 1, lane.lease_until, lane.lease_until + times.takeover_ms, lane.paused)


def may_write(lane: LaneRow, *, fence: int) -> bool:
    """Whether an effect under `fence` counts. What an older owner still wanted to write is refused."""
    return lane.fence == fence


def may_renew(lane: LaneRow, *, claim: str, fence: int) -> bool:
    """Whether the lease of `claim` may be prolonged: it has to be the owner still, not only the last one."""
    return lane.fence == fence and lane.owner == claim


def shows_life(*, since_step_ms: float, times: Times) -> bool:
    """Whether a drain's keeper may renew for it: it has reported a step within two call budgets."""
    return since_step_ms <= 2 * times.budget_ms


def slice_is_over(*, calls: int, elapsed_ms: float) -> bool:
    """Whether a drain has had its share; it yields then only if another lane is due."""
    return calls >= SLICE_CALLS or elapsed_ms >= SLICE_MS


def may_send(*, since_commit_ms: float, lease_left_ms: float, times: Times) -> bool:
    """The send guard: young enough since the intent was committed, and lease enough for a whole call."""
    return since_commit_ms <= times.guard_ms and lease_left_ms >= times.budget_ms


def may_promise_ahead(*, counted: bool, waited_ms: float, doubted: bool, latency_ms: float, times: Times) -> bool:
    """Whether the next call may be paid for and promised while the one before it is in flight.

    counted: the attempt of its job counts from the promise on. If the call in flight kills the worker, that job would be
    charged with a death that is not its own; and again each time the two of them meet.
    waited_ms, doubted: of the call in flight. Where the limiter lets calls wait, each starts at the moment it was granted;
    and a call that decides about an outage is waited for.
    latency_ms: how long calls take. A promise has to be young when its call goes out: half the guard is left to chance.
    """
    return not counted and not doubted and waited_ms == 0 and latency_ms <= times.guard_ms / 2


def keeps_promise(*, done: bool, since_commit_ms: float, lease_left_ms: float, times: Times) -> bool:
    """Whether a call that was promised ahead goes out, now that the one before it is over (done: as it should be).

    Otherwise it is taken back: after a failure the lane may have to rest, and rows in doubt would rest with it.
    """
    return done and may_send(since_commit_ms=since_commit_ms, lease_left_ms=lease_left_ms, times=times)


def active_cap(*, rate_per_s: float, latency_ms: float) -> int:
    """How many lanes may be drained at once: Little's law with half as much again, and two to spare.

    More would only wait for the limiter, each on a thread of its own.
    """
    return math.ceil(1.5 * rate_per_s * latency_ms / 1000) + 2
