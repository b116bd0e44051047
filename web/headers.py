"""Headers of every answer, errors included: what browsers may do with it, and who may read it from another site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask import Response, request

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
_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
_ASKED: Final = (
    "Authorization, Content-Type, Accept-Language, Idempotency-Key, If-Match, X-API-Key, X-Request-ID, X-Tenant-ID, "
    "traceparent"
)
_SHOWN: Final = (
    "ETag, Idempotency-Replayed, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, "
    "X-Request-ID"
)


def put(response: Response, wanted: Mapping[str, str], *, keep: bool = False) -> None:
    """Set headers, with `keep` only those that are not there. All at once: each by itself would be looked for among all."""
    there = {name.lower() for name, _ in response.headers}
    fresh = []
    for name, value in wanted.items():
        if name.lower() not in there:
            fresh.append((name, value))
        elif not keep:
            response.headers[name] = value
    response.headers.extend(fresh)


def secure(response: Response) -> None:
    """Set the headers that every answer has. What is not a static file is not kept by anybody
    unless its route says otherwise."""
    put(response, _ALWAYS if is_static() else _NOT_STATIC, keep=True)
    is_page = response.mimetype in ("text/html", "text/css", "text/javascript", "image/svg+xml")
    said = {"Content-Security-Policy": PAGE_CSP if is_page else API_CSP}
    if response.headers.get("Vary") is None:
        said["Vary"] = _VARY
    else:
        response.vary.update(_VARY.split(", "))
    put(response, said)


def is_static() -> bool:
    """Whether a file of the documentation is asked for, which is the same for everybody."""
    return (request.endpoint or "").endswith(".static")


def allow_origins(response: Response, origins: frozenset[str]) -> None:
    """Let the sites of an exact list read the answer; nobody else, and never with cookies."""
    origin = request.headers.get("Origin")
    if origin is None or origin not in origins:
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Access-Control-Expose-Headers"] = _SHOWN
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = _ASKED
        response.headers["Access-Control-Max-Age"] = "600"
