"""How often somebody may ask: per caller over all routes, per caller and route where a route says so, per address for those
that nobody knows yet.

A campus leaves through one address, so that an address never limits people who are signed in. The counts are on the cache's
Redis; while that is away each process counts for itself by the same limits, so that its loss neither shuts the API nor opens it.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final

import redis
from flask import Flask, g, request

from bootstrap.broker import counting_client
from bootstrap.settings import Settings
from db.request_counts import Counted, RequestCounts, Window
from observability.log import get_logger
from web.errors import ApiError
from web.routes import Route
from web.site import holder, maybe_scope

log = get_logger("web.limits")

_MINUTE_MS: Final = 60_000
_UNITS_MS: Final = {"second": 1_000, "minute": _MINUTE_MS, "hour": 60 * _MINUTE_MS}
_LIMIT: Final = re.compile(r"(\d+)/(second|minute|hour)")
_WINDOWS: Final = 50_000  # of a process that counts for itself
_AWAY_S: Final = (1.0, 32.0)  # how long Redis is left alone after a failure, at first and at most


def install(app: Flask, settings: Settings, routes: Mapping[str, Route]) -> None:
    """Limit the requests of an application from here on in its order of hooks: the caller has to be known before."""
    counts = _Counts(RequestCounts(counting_client(settings)))
    counted = InProcess(settings.user_limit_per_min)

    def check() -> None:
        endpoint = request.endpoint
        if endpoint is None or endpoint in FREE or endpoint.endswith(".static") or request.method == "OPTIONS":
            return
        route, scope = routes.get(endpoint), maybe_scope()
        if route is not None and route.keyed and scope is not None:
            counted.count(f"{scope.tenant}:{scope.user}")
            return
        who, known = _who()
        windows = [Window(who, settings.user_limit_per_min if known else settings.ip_limit_per_min, _MINUTE_MS)]
        if route is not None and route.limit is not None:
            windows.append(Window(f"{who}:{route.endpoint}", *parsed(route.limit)))
        # What is told is the narrowest: that of the route, or the one that is full.
        g.counted = found = counts.count(windows)[-1]
        if found.is_full:
            raise ApiError("RATE_LIMITED", headers={"Retry-After": str(_seconds(found.left_ms))})

    app.before_request(check)


@cache
def parsed(limit: str) -> tuple[int, int]:
    """``10/minute`` → (10, 60,000 ms). Raises ValueError."""
    found = _LIMIT.fullmatch(limit)
    if found is None:
        raise ValueError(f"{limit!r} is no limit: write it as 10/minute")
    return int(found[1]), _UNITS_MS[found[2]]


class _Counts:
    """Counts in Redis, and in this process while Redis is away."""

    def __init__(self, shared: RequestCounts, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared, self._clock = shared, clock
        self._own = OwnCounts(clock)
        self._again_s, self._pause_s = 0.0, 0.0

    def count(self, windows: Sequence[Window]) -> list[Counted]:
        if self._clock() >= self._again_s:
            try:
                found = self._shared.count(windows)
            except redis.RedisError as error:
                first, most = _AWAY_S
                self._pause_s = min(most, max(first, 2 * self._pause_s))
                self._again_s = self._clock() + self._pause_s
                log.warning("limits.on_my_own", error=type(error).__name__, for_s=self._pause_s)
            else:
                self._pause_s = 0.0
                return found
        return self._own.count(windows)


class OwnCounts:
    """The same counts as those in Redis, of one process. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, float]] = {}

    def count(self, windows: Sequence[Window]) -> list[Counted]:
        """One more in each, until one is full."""
        found: list[Counted] = []
        with self._lock:
            now = self._clock()
            if len(self._seen) > _WINDOWS:
                self._seen = {key: one for key, one in self._seen.items() if one[1] > now}
            for window in windows:
                count, ends = self._seen.get(window.key, (0, 0.0))
                if ends <= now:
                    count, ends = 0, now + window.length_ms / 1000
                self._seen[window.key] = (count + 1, ends)
                found.append(Counted(window, count + 1, round((ends - now) * 1000)))
                if found[-1].is_full:
                    break
        return found


class InProcess:
    """Requests of callers, counted in this process by the minute: for a route that has no time to ask a server."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._minute, self._seen = 0, Counter[str]()

    def count(self, who: str) -> None:
        """One more. Raises `ApiError` 429."""
        now = time.time()
        if int(now // 60) != self._minute:
            self._minute, self._seen = int(now // 60), Counter()
        self._seen[who] += 1
        if self._seen[who] > self._most:
            raise ApiError("RATE_LIMITED", headers={"Retry-After": str(60 - int(now % 60))})


FREE = frozenset({"health.healthz", "health.readyz", "metrics.show_metrics"})
"""Routes that machines ask all the time: not counted."""


def told() -> dict[str, str]:
    """How much is left to the caller, as headers of the standard."""
    counted: Counted | None = g.get("counted")
    if counted is None:
        return {}
    most = counted.window.most
    return {
        "RateLimit-Limit": str(most),
        "RateLimit-Remaining": str(max(0, most - counted.count)),
        "RateLimit-Reset": str(_seconds(counted.left_ms)),
    }


def _who() -> tuple[str, bool]:
    """Whom a request is counted for, and whether that is somebody we know."""
    scope = maybe_scope()
    if scope is not None:
        return f"user:{scope.tenant}:{scope.user}", True
    if holder() is not None:
        # A campus fetches its calendars through one address: each of them is counted by itself.
        return f"address:{hashlib.sha256(request.path.encode()).hexdigest()[:24]}", True
    return f"ip:{request.remote_addr or '-'}", False


def _seconds(ms: int) -> int:
    return max(1, -(-ms // 1000))
