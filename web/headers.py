"""Headers of every answer, errors included: what browsers may do with it, and who may read it from another site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask import Request, Response

API_CSP: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PAGE_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
"""For pages that people open: the documentation and its own scripts, nothing from anywhere else."""

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_NOT_STATIC: Final = {**_ALWAYS, "Cache-Control": "no-store"}
_VARY: Final = "Accept, Accept-Language, Authorization, Origin"
_PAGES: Final = ("text/html", "text/css", "text/javascript", "image/svg+xml")
_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
_ASKED: Final = (
    "Authorization, Content-Type, Accept-Language, Idempotency-Key, If-Match, X-API-Key, X-Request-ID, X-Tenant-ID, "
    "traceparent"
)
_SHOWN: Final = (
    "ETag, Idempotency-Replayed, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, "
    "X-Request-ID"
)


def secure(response: Response, ask: Request, more: Mapping[str, str]) -> None:
    """Set the headers that every answer has, and `more`. What is not a static file is not kept by anybody unless its route says
    otherwise."""
    is_page = (response.content_type or "").partition(";")[0] in _PAGES
    said = {"Content-Security-Policy": PAGE_CSP if is_page else API_CSP, **more}
    if "Vary" in response.headers:
        response.vary.update(_VARY.split(", "))
    else:
        said["Vary"] = _VARY
    _put(response, said, _ALWAYS if is_static(ask) else _NOT_STATIC)


def _put(response: Response, said: Mapping[str, str], unless_there: Mapping[str, str]) -> None:
    """All at once: each by itself would be looked for among all others."""
    there = {name.lower() for name, _ in response.headers}
    for name in said:
        if name.lower() in there:
            response.headers.pop(name, None)
    # As they are: what is said here has no line breaks, and the list takes them one by one through ten calls each.
    response.headers._list += said.items()
    response.headers._list += [one for one in unless_there.items() if one[0].lower() not in there]


def is_static(ask: Request) -> bool:
    """Whether a file of the documentation is asked for, which is the same for everybody."""
    return (ask.endpoint or "").endswith(".static")


def allow_origins(response: Response, ask: Request, origins: frozenset[str]) -> None:
    """Let the sites of an exact list read the answer; nobody else, and never with cookies."""
    origin = ask.headers.get("Origin")
    if origin is None or origin not in origins:
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Access-Control-Expose-Headers"] = _SHOWN
    if ask.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = _ASKED
        response.headers["Access-Control-Max-Age"] = "600"
