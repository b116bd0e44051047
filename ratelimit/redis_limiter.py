"""The limiter that all processes share: one Lua script on one Redis, one round trip per admission."""

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import redis
from redis.exceptions import NoScriptError, RedisError

from ratelimit.breaker import WHY_CHARS, BreakerState, Change, told_state
from ratelimit.limiter import (
    CostTooLarge,
    LimiterAway,
    LimiterState,
    Limits,
    Park,
    ParkReason,
    Start,
    block_ms,
    check_request,
)

_HERE = Path(__file__).parent
# The first line makes the server refuse the whole script when it is out of memory or a replica.
_SCRIPT = "#!lua\n" + "".join(
    (_HERE / name).read_text(encoding="utf-8") for name in ("breaker.lua", "token_bucket.lua")
)
# Redis names a script by this digest; it is no protection of anything.
_SCRIPT_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

_STARTED = 0
_REASONS: dict[int, ParkReason] = {1: "rate", 2: "blocked", 3: "in_flight", 5: "down"}
_CHANGES: dict[int, Change] = {1: "opened", 2: "still open", 3: "closed"}


class RedisLimiter:
    """`Limiter` on Redis 7.0+ or Valkey; safe to share between threads (the client has the connections).

    `limits` are what a key starts with when Redis knows nothing about it; afterwards only `configure` changes them, for
    everyone. The client should not repeat commands by itself: a repeated `acquire` pays twice (never starts twice), and
    repeating delays the caller. Every failure of Redis (away, slow, out of memory, a replica) is `LimiterAway`.

    `clock_us` replaces the server's clock and is for tests: in production only the server's TIME counts.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        limits: Limits,
        namespace: str = "obsync",
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        self._client = client
        self._limits = limits
        self._namespace = namespace
        self._clock_us = clock_us

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
        slot = secrets.token_hex(8)  # random, so that a late release can never hit the slot of somebody else
        answer = self._run(key, "acquire", self._limits, cost, hold_ms, max_wait_ms, slot, release or "", pass_on or "")
        code, wait_ms, epoch, burst = int(answer[0]), int(answer[1]), int(answer[2]), float(answer[3])
        if code == _STARTED:
            return Start(wait_ms, epoch, slot, trip=int(answer[4]), doubted=bool(answer[5]))
        if code in _REASONS:
            return Park(wait_ms=wait_ms, epoch=epoch, reason=_REASONS[code])
        raise CostTooLarge(cost, burst)

    def release(self, key: str, slot: str) -> None:
        try:
            self._client.zrem(self._slots_key(key), slot)
        except RedisError as error:
            raise _away(error) from error

    def throttled(self, key: str, *, epoch: int, retry_after_ms: int) -> None:
        self._run(key, "throttled", self._limits, epoch, block_ms(retry_after_ms))

    def configure(self, key: str, limits: Limits) -> None:
        self._run(key, "configure", limits)

    def report(self, key: str, *, slot: str, trip: int, failed: bool, why: str = "") -> Change | None:
        answer = self._run(key, "report", self._limits, slot, trip, int(failed), why[:WHY_CHARS])
        return _CHANGES.get(int(answer[0]))

    def hold_open(self, key: str, *, why: str) -> None:
        self._run(key, "hold", self._limits, why[:WHY_CHARS])

    def close_breaker(self, key: str) -> None:
        self._run(key, "close", self._limits)

    def breaker(self, key: str) -> BreakerState:
        *numbers, why = self._run(key, "breaker", self._limits)
        open_, held, for_ms, failures, next_ms, probing, trip = map(int, numbers)
        name = told_state(open_=bool(open_), held=bool(held), next_ms=next_ms)
        return BreakerState(name, bool(held), for_ms, failures, next_ms, bool(probing), trip, why.decode())

    def state(self, key: str) -> LimiterState:
        rate, max_rate, tokens, burst, in_flight, cap, blocked_ms, epoch = map(
            float, self._run(key, "state", self._limits)
        )
        return LimiterState(
            rate_per_s=rate,
            max_rate_per_s=max_rate,
            tokens=tokens,
            burst=burst,
            in_flight=int(in_flight),
            max_in_flight=int(cap),
            blocked_ms=int(blocked_ms),
            epoch=int(epoch),
        )

    def _run(self, key: str, operation: str, limits: Limits, *arguments: float | str) -> list[Any]:
        keys_and_arguments: list[float | str] = [
            self._bucket_key(key),
            self._slots_key(key),
            self._breaker_key(key),
            operation,
            "" if self._clock_us is None else self._clock_us(),
            limits.rate_per_s,
            limits.burst,
            limits.max_in_flight,
            *arguments,
        ]
        try:
            try:
                answer = self._client.evalsha(_SCRIPT_SHA, 3, *keys_and_arguments)
            except NoScriptError:  # a restarted or flushed server: EVAL runs the script and keeps it
                answer = self._client.eval(_SCRIPT, 3, *keys_and_arguments)
        except RedisError as error:
            raise _away(error) from error
        return cast("list[Any]", answer)

    def _bucket_key(self, key: str) -> str:
        return f"{{{self._namespace}:limiter:{key}}}:bucket"

    def _slots_key(self, key: str) -> str:
        return f"{{{self._namespace}:limiter:{key}}}:slots"

    def _breaker_key(self, key: str) -> str:
        return f"{{{self._namespace}:limiter:{key}}}:breaker"


def _away(error: RedisError) -> LimiterAway:
    return LimiterAway(f"no call may start, because the limiter's Redis failed: {type(error).__name__}: {error}")
