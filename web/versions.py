"""If-Match on writes: nobody overwrites, or decides about, what has changed since they looked."""

from __future__ import annotations

import re
from typing import Final

from flask import request

from web.errors import ApiError

_ETAG: Final = re.compile(r'(?:W/)?"([!#-~]{1,64})"')


def seen() -> str | None:
    """The version that the caller saw; None where he does not say, or takes any. Raises `ApiError` 400 for several, and for
    what is no ETag: it has its quotes."""
    said = request.headers.get("If-Match")
    if said is None or said.strip() == "*":
        return None
    found = _ETAG.fullmatch(said.strip())
    if found is None:
        raise ApiError("BAD_REQUEST")
    return found[1]


def must_be_seen() -> str:
    """The same where a version has to be said. Raises `ApiError` 428, and 412 for one that no thing ever has."""
    if "If-Match" not in request.headers:
        raise ApiError("VERSION_MISSING")
    found = seen()
    if found is None:
        raise ApiError("VERSION_MISSING")
    return found
