"""A limiter on a virtual clock, and callers that want more than it gives."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from ratelimit.limiter import Limiter, Limits, Start

KEY = "tenant-1"
ROOMY = Limits(rate_per_s=100, burst=10, max_in_flight=1_000)
S = 1_000_000


class Clock:
    """Microseconds that pass only when told; begins at a real date so that the digits are those of production."""

    def __init__(self) -> None:
        self.now_us = 1_800_000_000 * S

    def __call__(self) -> int:
        return self.now_us


@dataclass
class World:
    """One limiter, its clock, and a way to look at every byte it keeps."""

    limiter: Limiter
    clock: Clock
    snapshot: Callable[[], object]
    forget: Callable[[], object]

    def warm(self) -> None:
        """Brings the bucket to the full rate and full of tokens."""
        self.limiter.acquire(KEY, hold_ms=1)
        self.clock.now_us += 20 * S
        state = self.limiter.state(KEY)
        assert (state.rate_per_s, state.tokens) == (state.max_rate_per_s, state.burst)

    def take(self, *, hold_ms: int = 1_000, max_wait_ms: int = 250) -> Start:
        answer = self.limiter.acquire(KEY, hold_ms=hold_ms, max_wait_ms=max_wait_ms)
        assert isinstance(answer, Start), answer
        return answer

    def hungry(self, callers: int, *, seconds: float, call_ms: int = 0) -> list[tuple[int, int]]:
        """Callers that always want more, one call at a time each: (granted start in µs, caller), in the order asked."""
        end_us = self.clock.now_us + int(seconds * S)
        turns: list[tuple[int, int, str | None]] = [(self.clock.now_us, caller, None) for caller in range(callers)]
        granted = []
        while turns and turns[0][0] < end_us:
            at_us, caller, slot = heapq.heappop(turns)
            self.clock.now_us = max(self.clock.now_us, at_us)
            answer = self.limiter.acquire(KEY, hold_ms=5_000, release=slot)
            next_us = self.clock.now_us + answer.wait_ms * 1_000
            if isinstance(answer, Start):
                granted.append((next_us, caller))
                heapq.heappush(turns, (next_us + call_ms * 1_000, caller, answer.slot))
            else:
                heapq.heappush(turns, (next_us, caller, None))
        self.clock.now_us = end_us
        return granted


def starts_s(granted: list[tuple[int, int]]) -> list[float]:
    return [(at_us - 1_800_000_000 * S) / S for at_us, _ in granted]
