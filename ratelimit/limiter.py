"""What every limiter promises: one shared budget of remote calls per key, spent before the call is made.

A limiter never sleeps. `acquire` answers *start in so many milliseconds* (the budget is then spent and a slot is held)
or *park for so many milliseconds* (nothing is spent). Two implementations keep these promises with the same arithmetic:
`redis_limiter` for processes on any number of machines, `memory_limiter` for one process and for tests. The model
itself is explained at the head of `token_bucket.lua`.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from ratelimit.breaker import BreakerState, Change

CUT = 0.7
"""Factor on the rate when the remote side throttles; the multiplicative decrease of botocore's adaptive mode."""
FLOOR_SHARE = 0.2
"""The rate is never cut below this share of the configured one …"""
FLOOR_PER_S = 1.0
"""… nor below one call a second, unless the configured rate itself is lower."""
COOL_US = 1_000_000
"""After a throttle the rate rests this long (and as long as the block lasts) before it grows again."""
FULL_GROWTH_S = 8.0
"""A rate of zero would be back at the configured one after this long: with the rest above, under ten seconds."""
IN_FLIGHT_POLL_MS = 100
"""A full house has a free slot after one call, long before the first deadline: look again no later than this."""
MAX_BLOCK_MS = 15 * 60 * 1000
"""No answer of the remote side may stop the work for longer than this."""

ParkReason = Literal["rate", "blocked", "in_flight", "down"]
"""`down`: the breaker is open (`breaker`)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The configured budget: calls per second, calls that may start at once after a pause, calls at the same time.

    Raises ValueError unless rate_per_s > 0, burst ≥ 1 and max_in_flight ≥ 1.
    """

    rate_per_s: float
    burst: float
    max_in_flight: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate_per_s) and self.rate_per_s > 0):
            raise ValueError(f"rate_per_s must be above 0, not {self.rate_per_s!r}")
        if not (math.isfinite(self.burst) and self.burst >= 1):
            raise ValueError(f"burst must be at least 1, not {self.burst!r}: a smaller bucket never holds one call")
        if self.max_in_flight < 1:
            raise ValueError(f"max_in_flight must be at least 1, not {self.max_in_flight!r}")


@dataclass(frozen=True, slots=True)
class Start:
    """The call may start `wait_ms` after the answer; its cost is spent.

    `epoch` goes into `throttled` if the remote side refuses the call. `slot` counts as in flight until it is released
    (best with the next `acquire`) or until its deadline: the granted start plus `hold_ms`.

    `trip` goes into `report`. `doubted`: the breaker waits for good news, so that a call which goes well is reported
    too; otherwise only one which fails.
    """

    wait_ms: int
    epoch: int
    slot: str
    trip: int = 0
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Park:
    """Not now. Nothing was spent or reserved: the state is byte for byte what it was, but for a slot in `release`.

    `wait_ms` is how long the caller would have to wait if nobody else came ('rate', 'blocked'), or when it is worth
    looking again ('in_flight': at most `IN_FLIGHT_POLL_MS` beyond the rate's own wait; 'down': at the next probe).
    """

    wait_ms: int
    epoch: int
    reason: ParkReason


@dataclass(frozen=True, slots=True)
class LimiterState:
    """What the limiter knows now. `tokens` below zero is debt: starts that are granted and still to come."""

    rate_per_s: float
    max_rate_per_s: float
    tokens: float
    burst: float
    in_flight: int
    max_in_flight: int
    blocked_ms: int
    epoch: int


class LimiterAway(Exception):
    """The shared store did not answer or refused to write: no call may start (fail closed)."""


class CostTooLarge(ValueError):
    """The call costs more than the bucket ever holds, so that no wait would help."""

    def __init__(self, cost: float, burst: float) -> None:
        super().__init__(
            f"a cost of {cost:g} never fits a burst of {burst:g}: send less in one call or raise the burst"
        )
        self.cost = cost
        self.burst = burst


class Limiter(Protocol):
    """One budget per key, shared by everyone who uses the same store. All methods raise `LimiterAway`."""

    def acquire(
        self,
        key: str,
        *,
        hold_ms: int,
        max_wait_ms: int = 250,
        cost: float = 1.0,
        release: str | None = None,
        pass_on: str | None = None,
    ) -> Start | Park:
        """Spends `cost` and takes a slot for `hold_ms` if the call may start within `max_wait_ms`; never sleeps.

        `release` gives back the caller's previous slot first, whatever the answer is, so that an admission costs one
        round trip. `pass_on` names the slot of a call of the caller that is still in flight and will be over before this
        one starts: it does not count against this one, and is given back only if this one may start. Raises
        `CostTooLarge`, and ValueError for a cost, hold or wait that makes no sense.
        """
        ...

    def release(self, key: str, slot: str) -> None:
        """Gives a slot back. A slot that is unknown, released or past its deadline is no error."""
        ...

    def throttled(self, key: str, *, epoch: int, retry_after_ms: int) -> None:
        """The remote side refused a call that was started in `epoch`.

        Nobody starts anything new for `retry_after_ms` (at most `MAX_BLOCK_MS`; a longer block stays). The first such
        report of an epoch cuts the rate once and begins a new epoch; the others of that epoch only block.
        """
        ...

    def configure(self, key: str, limits: Limits) -> None:
        """Sets the budget for everyone, at run time. The same limits again change nothing.

        A lower rate counts at once. A higher one is grown into, and only after the starts already granted are over.
        """
        ...

    def report(self, key: str, *, slot: str, trip: int, failed: bool, why: str = "") -> Change | None:
        """What came of the call that holds `slot`: failed (no answer, or theirs that they are broken) or answered.

        Returns what this changed; exactly one caller is told of each opening and closing.
        """
        ...

    def hold_open(self, key: str, *, why: str) -> None:
        """Opens the breaker, without probes, until `close_breaker`."""
        ...

    def close_breaker(self, key: str) -> None:
        """Closes the breaker, whoever opened it."""
        ...

    def breaker(self, key: str) -> BreakerState:
        """Reads without changing anything."""
        ...

    def state(self, key: str) -> LimiterState:
        """Reads without changing anything; for a key never used, what its first use would find."""
        ...


def check_request(*, cost: float, hold_ms: int, max_wait_ms: int) -> None:
    """Raises ValueError for an `acquire` that makes no sense; both limiters refuse the same ones."""
    if not (math.isfinite(cost) and cost > 0):
        raise ValueError(f"cost must be above 0, not {cost!r}")
    if hold_ms < 1:
        raise ValueError(f"hold_ms must be at least 1, not {hold_ms!r}")
    if max_wait_ms < 0:
        raise ValueError(f"max_wait_ms must not be negative, not {max_wait_ms!r}")


def block_ms(retry_after_ms: int) -> int:
    """The length of a block that may be shared; raises ValueError when it is negative."""
    if retry_after_ms < 0:
        raise ValueError(f"retry_after_ms must not be negative, not {retry_after_ms!r}")
    return min(retry_after_ms, MAX_BLOCK_MS)
