"""The limiter for one process and for tests: the arithmetic of `token_bucket.lua`, line by line, with a given clock.

The two are compared by a property test on random histories, so a change here is a change there.
"""

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ratelimit.breaker import BreakerState, Change
from ratelimit.limiter import (
    COOL_US,
    CUT,
    FLOOR_PER_S,
    FLOOR_SHARE,
    FULL_GROWTH_S,
    IN_FLIGHT_POLL_MS,
    CostTooLarge,
    LimiterState,
    Limits,
    Park,
    Start,
    block_ms,
    check_request,
)
from ratelimit.memory_breaker import MemoryBreaker

_US_PER_S = 1_000_000


@dataclass(slots=True)
class _Bucket:
    """The hash and the sorted set of one key; the fields are described in `token_bucket.lua`."""

    limits: Limits
    last_us: float
    rate: float
    grow_us: float
    tokens: float = 0.0
    block_us: float = 0.0
    epoch: int = 0
    slots: dict[str, float] = field(default_factory=dict)

    @property
    def _slope(self) -> float:
        return self.limits.rate_per_s / FULL_GROWTH_S / _US_PER_S

    @property
    def _full_us(self) -> float:
        return self.grow_us + max(0.0, self.limits.rate_per_s - self.rate) / self._slope

    def rate_at(self, at_us: float) -> float:
        if at_us <= self.grow_us:
            return self.rate
        if at_us >= self._full_us:
            return self.limits.rate_per_s
        return self.rate + self._slope * (at_us - self.grow_us)

    def born(self, from_us: float, to_us: float) -> float:
        """Tokens born between two moments: the area under the rate, flat, ramp, flat."""
        grow, full = self.grow_us, self._full_us
        ramp_from, ramp_to = min(max(from_us, grow), full), min(max(to_us, grow), full)
        before = max(0.0, min(to_us, grow) - from_us) * self.rate
        ramp = (ramp_to - ramp_from) * (self.rate + self._slope * ((ramp_from - grow) + (ramp_to - grow)) / 2)
        after = max(0.0, to_us - max(from_us, full)) * self.limits.rate_per_s
        return (before + ramp + after) / _US_PER_S

    def paid_after(self, from_us: float, debt: float) -> float:
        """How many µs after `from_us` the debt is paid: the inverse of `born`."""
        slope, full, top = self._slope, self._full_us, self.limits.rate_per_s
        need, passed = debt * _US_PER_S, 0.0
        if from_us < self.grow_us:
            available = (self.grow_us - from_us) * self.rate
            if need <= available:
                return need / self.rate
            need, passed = need - available, self.grow_us - from_us
        at_us = from_us + passed
        if at_us < full:
            rate = self.rate + slope * (at_us - self.grow_us)
            available = (full - at_us) * (rate + top) / 2
            if need <= available:
                return passed + 2 * need / (rate + math.sqrt(rate * rate + 2 * slope * need))
            need, passed = need - available, passed + (full - at_us)
        return passed + need / top

    def settle(self, now_us: float) -> None:
        from_us = max(self.last_us, self.block_us)
        if now_us > from_us:
            self.tokens = min(self.limits.burst, self.tokens + self.born(from_us, now_us))
        self.last_us = now_us

    def debt_paid_at(self, now_us: float, tokens: float) -> float:
        from_us = max(now_us, self.block_us)
        return from_us if tokens >= 0 else from_us + self.paid_after(from_us, -tokens)

    def set_back(self, now_us: float) -> None:
        """The clock was set back: as if the time since `last_us` had not passed."""
        step = self.last_us - now_us
        if step <= 0:
            return
        self.last_us, self.grow_us, self.block_us = now_us, self.grow_us - step, max(0.0, self.block_us - step)
        self.slots = {slot: deadline_us - step for slot, deadline_us in self.slots.items()}

    def live_deadlines(self, now_us: float) -> list[float]:
        return [deadline_us for deadline_us in self.slots.values() if deadline_us > now_us]

    def copy(self) -> "_Bucket":
        return replace(self, slots=dict(self.slots))


class MemoryLimiter:
    """`Limiter` within one process, on the given clock (µs, any origin ≥ 0); safe to share between threads."""

    def __init__(self, *, limits: Limits, clock_us: Callable[[], int]) -> None:
        self._limits = limits
        self._clock_us = clock_us
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}
        self._breakers: dict[str, MemoryBreaker] = {}
        self._slot_numbers = itertools.count(1)

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
        check_request(cost=cost, hold_ms=hold_ms, max_wait_ms=max_wait_ms)
        with self._lock:
            now_us = self._clock_us()
            kept = self._open(key, now_us)
            if release is not None:
                kept.slots.pop(release, None)
            if cost > kept.limits.burst:
                raise CostTooLarge(cost, kept.limits.burst)
            breaker = self._breaker(key, now_us)
            closed_ms = breaker.gate(kept.slots, now_us)
            if closed_ms is not None:
                return Park(closed_ms, kept.epoch, "down")
            bucket = kept.copy()
            bucket.settle(now_us)
            wait_ms = math.ceil((bucket.debt_paid_at(now_us, bucket.tokens - cost) - now_us) / 1000)
            if wait_ms > max_wait_ms:
                return Park(wait_ms, bucket.epoch, "blocked" if bucket.block_us > now_us else "rate")
            deadlines = bucket.live_deadlines(now_us)
            passed_on = bucket.slots.get(pass_on or "", 0) > now_us
            if len(deadlines) - passed_on >= bucket.limits.max_in_flight:
                return Park(max(wait_ms, _next_look_ms(deadlines, now_us)), bucket.epoch, "in_flight")
            slot = str(next(self._slot_numbers))
            bucket.tokens -= cost
            bucket.slots = {name: at_us for name, at_us in bucket.slots.items() if at_us > now_us and name != pass_on}
            bucket.slots[slot] = now_us + (wait_ms + hold_ms) * 1000
            self._buckets[key] = bucket
            breaker.started(slot, now_us)
            return Start(wait_ms, bucket.epoch, slot, breaker.trip, breaker.open or breaker.streak > 0)

    def release(self, key: str, slot: str) -> None:
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is not None:
                bucket.slots.pop(slot, None)

    def throttled(self, key: str, *, epoch: int, retry_after_ms: int) -> None:
        blocked_us = block_ms(retry_after_ms) * 1000
        with self._lock:
            now_us = self._clock_us()
            bucket = self._open(key, now_us)
            bucket.settle(now_us)
            bucket.tokens = min(bucket.tokens, 0.0)
            bucket.block_us = max(bucket.block_us, now_us + blocked_us)
            bucket.rate = bucket.rate_at(now_us)
            bucket.grow_us = max(now_us + COOL_US, bucket.block_us, bucket.grow_us)
            if epoch == bucket.epoch:
                floor = min(bucket.rate, _lowest(bucket.limits.rate_per_s))
                bucket.rate = max(floor, bucket.rate * CUT)
                bucket.epoch += 1

    def configure(self, key: str, limits: Limits) -> None:
        with self._lock:
            now_us = self._clock_us()
            bucket = self._open(key, now_us, limits)
            if bucket.limits == limits:
                return
            bucket.settle(now_us)
            bucket.rate = min(bucket.rate_at(now_us), limits.rate_per_s)
            bucket.grow_us = max(bucket.grow_us, now_us)
            bucket.limits = limits
            bucket.tokens = min(bucket.tokens, limits.burst)
            flat = replace(bucket, grow_us=math.inf)
            bucket.grow_us = max(bucket.grow_us, flat.debt_paid_at(now_us, bucket.tokens))

    def report(self, key: str, *, slot: str, trip: int, failed: bool, why: str = "") -> Change | None:
        with self._lock:
            now_us = self._clock_us()
            return self._breaker(key, now_us).report(slot, trip=trip, failed=failed, why=why, now_us=now_us)

    def hold_open(self, key: str, *, why: str) -> None:
        with self._lock:
            now_us = self._clock_us()
            self._breaker(key, now_us).hold(why, now_us)

    def close_breaker(self, key: str) -> None:
        with self._lock:
            now_us = self._clock_us()
            self._breaker(key, now_us).close(now_us)

    def breaker(self, key: str) -> BreakerState:
        with self._lock:
            now_us = self._clock_us()
            bucket = self._buckets.get(key)
            return self._breaker(key, now_us).state(bucket.slots if bucket else {}, now_us)

    def state(self, key: str) -> LimiterState:
        with self._lock:
            now_us = self._clock_us()
            kept = self._buckets.get(key)
            bucket = _fresh(self._limits, now_us) if kept is None else kept.copy()
            bucket.set_back(now_us)
            bucket.settle(now_us)
            return LimiterState(
                rate_per_s=bucket.rate_at(now_us),
                max_rate_per_s=bucket.limits.rate_per_s,
                tokens=bucket.tokens,
                burst=bucket.limits.burst,
                in_flight=len(bucket.live_deadlines(now_us)),
                max_in_flight=bucket.limits.max_in_flight,
                blocked_ms=max(0, math.ceil((bucket.block_us - now_us) / 1000)),
                epoch=bucket.epoch,
            )

    def _breaker(self, key: str, now_us: int) -> MemoryBreaker:
        return self._breakers.setdefault(key, MemoryBreaker()).at(now_us)

    def _open(self, key: str, now_us: int, limits: Limits | None = None) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _fresh(limits or self._limits, now_us)
        bucket.set_back(now_us)
        return bucket


def _lowest(rate_per_s: float) -> float:
    return min(rate_per_s, max(FLOOR_PER_S, FLOOR_SHARE * rate_per_s))


def _fresh(limits: Limits, now_us: int) -> _Bucket:
    return _Bucket(limits=limits, last_us=now_us, rate=_lowest(limits.rate_per_s), grow_us=now_us)


def _next_look_ms(deadlines: list[float], now_us: int) -> int:
    return min(IN_FLIGHT_POLL_MS, max(1, math.ceil((min(deadlines) - now_us) / 1000)))
