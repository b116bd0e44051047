"""How often somebody may ask: per caller over all routes, per caller and route where a route says so, per address for those
that nobody knows yet.

A campus leaves through one address, so that an address never limits people who are signed in. The counts of all processes come
together on the cache's Redis; while that is away each process counts for itself by the same limits, so that its loss neither
shuts the API nor opens it.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Final

from flask import Request

from bootstrap.broker import counting_client
from bootstrap.settings import Settings
from db.request_counts import Counted, RequestCounts, Window
from domain.tenancy import Scope
from web.errors import ApiError
from web.request_counts import Counts
from web.routes import Route
from web.site import Known

_MINUTE_MS: Final = 60_000
_UNITS_MS: Final = {"second": 1_000, "minute": _MINUTE_MS, "hour": 60 * _MINUTE_MS}
_LIMIT: Final = re.compile(r"(\d+)/(second|minute|hour)")


def of(settings: Settings) -> Callable[[Request, Known, Route | None], None]:
    """What limits the requests of an application: asked when the caller is known, with the request, what is kept of it, and its
    route. Raises `ApiError` 429."""
    counts = Counts(RequestCounts(counting_client(settings)))
    counted = InProcess(settings.user_limit_per_min)

    def check(ask: Request, known: Known, route: Route | None) -> None:
        endpoint = ask.endpoint
        if endpoint is None or endpoint in FREE or endpoint.endswith(".static") or ask.method == "OPTIONS":
            return
        scope: Scope | None = known.get("scope")
        if route is not None and route.keyed and scope is not None:
            counted.count(f"{scope.tenant}:{scope.user}")
            return
        who = _who(ask, known)
        is_known = scope is not None or known.get("holder") is not None
        most = settings.user_limit_per_min if is_known else settings.ip_limit_per_min
        windows = [Window(who, most, _MINUTE_MS)]
        if route is not None and route.limit is not None:
            windows.append(Window(f"{who}:{route.endpoint}", *parsed(route.limit)))
        # What is told is the narrowest: that of the route, or the one that is full.
        known.counted = found = counts.count(windows)[-1]
        if found.is_full:
            raise ApiError("RATE_LIMITED", headers={"Retry-After": str(_seconds(found.left_ms))})

    return check


@cache
def parsed(limit: str) -> tuple[int, int]:
    """``10/minute`` → (10, 60,000 ms). Raises ValueError."""
    found = _LIMIT.fullmatch(limit)
    if found is None:
        raise ValueError(f"{limit!r} is no limit: write it as 10/minute")
    return int(found[1]), _UNITS_MS[found[2]]


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


def told(known: Known) -> dict[str, str]:
    """How much is left to the caller, as headers of the standard."""
    counted: Counted | None = known.get("counted")
    if counted is None:
        return {}
    most = counted.window.most
    return {
        "RateLimit-Limit": str(most),
        "RateLimit-Remaining": str(max(0, most - counted.count)),
        "RateLimit-Reset": str(_seconds(counted.left_ms)),
    }


def _who(ask: Request, known: Known) -> str:
    """Whom a request is counted for."""
    scope: Scope | None = known.get("scope")
    if scope is not None:
        return f"user:{scope.tenant}:{scope.user}"
    if known.get("holder") is not None:
        # A campus fetches its calendars through one address: each of them is counted by itself.
        return f"address:{hashlib.sha256(ask.path.encode()).hexdigest()[:24]}"
    return f"ip:{ask.remote_addr or '-'}"


def _seconds(ms: int) -> int:
    return max(1, -(-ms // 1000))
