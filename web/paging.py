"""Lists a page at a time, by number or by cursor.

``page`` and ``size`` are for people who leaf; ``cursor`` is for programs: it names the last entry seen, so that nothing is
left out or comes twice when entries are added meanwhile. It is signed for its list and its caller's school.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from typing import Annotated, Any, Final

from flask import request
from pydantic import Field

from web.errors import ApiError, Detail
from web.schemas.base import In, Instant, Text
from web.site import deps

LARGEST: Final = 200
DEEPEST_ENTRY: Final = 10_000
"""How far leafing goes: beyond it the database would read everything before the page."""


class PartQuery(In):
    """Which part of a list. ``cursor`` goes before ``page``."""

    page: Annotated[int, Field(ge=1, le=DEEPEST_ENTRY)] = 1
    size: Annotated[int, Field(ge=1, le=LARGEST)] = 20
    cursor: Annotated[Text, Field(max_length=400)] | None = None

    @property
    def offset(self) -> int:
        """How many entries come before the page. Raises `ApiError` 422 beyond `DEEPEST_ENTRY`."""
        found = (self.page - 1) * self.size
        if self.cursor is None and found > DEEPEST_ENTRY:
            raise ApiError(
                "INVALID", Detail("page", f"leafing ends at entry {DEEPEST_ENTRY}", "use the cursor instead")
            )
        return 0 if self.cursor is not None else found


class PageQuery(PartQuery):
    """The same of things that change; ``updatedAfter`` leaves out what has not changed since."""

    updated_after: Instant | None = None


class LeafQuery(In):
    """Which page of a list that is short enough to be leafed through."""

    page: Annotated[int, Field(ge=1, le=DEEPEST_ENTRY)] = 1
    size: Annotated[int, Field(ge=1, le=LARGEST)] = 20

    def leaf(self, entries: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The entries of the page, and what ``meta.page`` says of it."""
        start = (self.page - 1) * self.size
        shown = list(entries[start : start + self.size])
        return shown, {"page": self.page, "size": self.size, "count": len(shown), "total": len(entries), "next": None}


def cursor_of(*values: Any) -> str:
    """A cursor that names an entry of the list at hand by the values it is sorted by."""
    body = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
    return urlsafe_b64encode(_sign(body) + body).decode().rstrip("=")


def read_cursor(text: str) -> list[Any]:
    """The values of `cursor_of`. Raises `ApiError` 422 for a cursor of another list, or none at all."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (NotBase64, ValueError):
        raw = b""
    body = raw[16:]
    if len(raw) < 17 or not hmac.compare_digest(raw[:16], _sign(body)):
        raise ApiError("INVALID", Detail("cursor", "it is not a cursor of this list", "begin without one"))
    found: list[Any] = json.loads(body)
    return found


def when_and_id(cursor: str | None) -> tuple[int, str] | None:
    """The instant and the id that a cursor of a list by time names. Raises `ApiError` as `read_cursor` does."""
    if cursor is None:
        return None
    at_ms, one = read_cursor(cursor)
    return int(at_ms), str(one)


def page_meta(query: PartQuery, *, shown: Sequence[Any], more: bool, cursor: str | None) -> dict[str, Any]:
    """What ``meta.page`` says: the page, and the cursor by which the list goes on; None at its end."""
    numbered = {} if query.cursor is not None else {"page": query.page}
    return {**numbered, "size": query.size, "count": len(shown), "next": cursor if more else None}


def _sign(body: bytes) -> bytes:
    here = deps()
    place = f"cursor|{here.tenant}|{request.endpoint}|".encode()
    return hmac.new(here.secret, place + body, hashlib.sha256).digest()[:16]
