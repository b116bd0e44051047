"""How often somebody may ask: per caller over all routes, per caller and route where a route says so, per address for those
that nobody knows yet.

A campus leaves through one address, so that an address never limits people who are signed in. The counts are on the cache's
Redis; while that is away each process counts for itself by the same limits, so that its loss neither shuts the API nor opens it.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping

from flask import Flask, Response, request
from flask_limiter import HeaderNames, Limiter

from bootstrap.settings import Settings
from web.errors import ApiError
from web.routes import Route
from web.site import holder, maybe_scope

_PREFIX = "obsync-api-fixed-window"  # with the strategy: another one cannot read the keys of this one
_RESET = "RateLimit-Reset"
_HEADERS = {
    HeaderNames.LIMIT: "RateLimit-Limit",
    HeaderNames.REMAINING: "RateLimit-Remaining",
    HeaderNames.RESET: _RESET,
}
_WAITING = (409, 429, 503)


def install(app: Flask, settings: Settings, routes: Mapping[str, Route]) -> None:
    """Limit the requests of an application from here on in its order of hooks: the caller has to be known before."""
    for_users, for_strangers = f"{settings.user_limit_per_min}/minute", f"{settings.ip_limit_per_min}/minute"

    def whole() -> str:
        known = maybe_scope() is not None or holder() is not None
        return for_users if known else for_strangers

    def of_route() -> str:
        route = routes.get(request.endpoint or "")
        return (route.limit if route is not None else None) or ""

    limiter = _Sparing(
        _who,
        application_limits=[whole],
        default_limits=[of_route],
        storage_uri=_uri(settings.cache_url),
        storage_options={"socket_timeout": 1, "socket_connect_timeout": 1},
        strategy="fixed-window",
        key_prefix=_PREFIX,
        headers_enabled=True,
        header_name_mapping=_HEADERS,
        in_memory_fallback_enabled=True,
    )
    counted = Counted(settings.user_limit_per_min)

    def is_free() -> bool:
        if request.endpoint in FREE or request.method == "OPTIONS":
            return True
        route, scope = routes.get(request.endpoint or ""), maybe_scope()
        if route is None or not route.keyed or scope is None:
            return False
        counted.count(f"{scope.tenant}:{scope.user}")
        return True

    limiter.is_free = is_free
    limiter.init_app(app)


class _Sparing(Limiter):
    """Asks first whether a request is counted at all: the library asks last, when it has looked up all that it could count."""

    is_free: Callable[[], bool]

    def _check_request_limit(self, callable_name: str | None = None, in_middleware: bool = True) -> None:
        if not self.is_free():
            super()._check_request_limit(callable_name, in_middleware)


class Counted:
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


def finish(response: Response) -> None:
    """Make the library's headers those of the standard: seconds from now, and Retry-After only where one has to wait."""
    reset = response.headers.get(_RESET)
    if reset is not None:
        response.headers[_RESET] = str(max(0, int(reset) - int(time.time())))
    if response.status_code not in _WAITING:
        response.headers.pop("Retry-After", None)


def _who() -> str:
    scope = maybe_scope()
    if scope is not None:
        return f"user:{scope.tenant}:{scope.user}"
    if holder() is not None:
        # A campus fetches its calendars through one address: each of them is counted by itself.
        return f"address:{hashlib.sha256(request.path.encode()).hexdigest()[:24]}"
    return f"ip:{request.remote_addr or '-'}"


def _uri(url: str) -> str:
    """The address in the spelling of the library that counts."""
    return "redis+" + url if url.startswith("unix://") else url
