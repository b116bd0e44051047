"""Lists come in pages; a page is only worth something when the walk over all of them finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote, urlencode

from domain.calendars import Page
from remote.wps.payloads import BadPayload, items_in, next_token_in

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

CALENDARS_PER_PAGE: Final = 20
MEMBERS_PER_PAGE: Final = 20
EVENTS_PER_PAGE: Final = 100
"""The largest pages the service gives."""


def path(*parts: str) -> str:
    """`/v7/…` with every part percent-encoded. Raises ValueError for an id that would change the path."""
    for part in parts:
        if part in ("", ".", ".."):
            raise ValueError(f"not an id: {part!r}")
    return "/v7/" + "/".join(quote(part, safe="") for part in parts)


def page_target(base: str, *, page_size: int, token: str | None, **more: str) -> str:
    """Path and query of one page; no token asks for the first."""
    query: dict[str, str] = {**more, "page_size": str(page_size)}
    if token:
        query["page_token"] = token
    return f"{base}?{urlencode(query, quote_via=quote, safe='')}"


def read_page(data: object, read_item: Callable[[object], T], *, asked: str | None) -> Page[T]:
    """One page. Raises BadPayload when it is malformed or names itself as the next: a walk must end."""
    next_token = next_token_in(data)
    if next_token is not None and next_token == asked:
        raise BadPayload("the page names itself as the next one")
    return Page([read_item(item) for item in items_in(data)], next_token)
