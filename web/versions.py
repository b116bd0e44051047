"""If-Match on writes: nobody overwrites, or decides about, what has changed since they looked."""

from __future__ import annotations

from flask import request

from web.errors import ApiError


def seen() -> str | None:
    """The version that the caller saw; None where he does not say, or takes any. Raises `ApiError` 400 for several."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    tags = [*request.if_match.as_set(include_weak=True)]
    if len(tags) != 1:
        raise ApiError("BAD_REQUEST")
    return str(tags[0])


def must_be_seen() -> str:
    """The same where a version has to be said. Raises `ApiError` 428, and 412 for one that no thing ever has."""
    if "If-Match" not in request.headers:
        raise ApiError("VERSION_MISSING")
    found = seen()
    if found is None:
        raise ApiError("VERSION_MISSING")
    return found
