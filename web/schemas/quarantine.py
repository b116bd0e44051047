"""Shapes of the quarantine."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from web.paging import PageQuery
from web.schemas.base import ID, In, Out, Text, instant


class EntryPath(In):
    """Which entry."""

    entry_id: Annotated[str, Field(pattern=ID, alias="entry_id")]


class QuarantineQuery(PageQuery):
    """Which entries. ``updatedAfter``: those that were opened since."""

    kind: Literal["reject", "finding", "held"] | None = None
    reason: Annotated[Text, Field(min_length=1, max_length=60)] | None = None


class QuarantineEntry(Out):
    """A row of the source that was not used, waits, or looks odd; and why, in a sentence."""

    id: str
    kind: str
    reason: str
    file: str
    line: int
    sentence: str
    first_import: int
    last_import: int
    opened_at: str
    row: Any

    @classmethod
    def of(cls, one: dict[str, Any]) -> QuarantineEntry:
        """From a row as the database has it."""
        told = {name: value for name, value in one.items() if name != "opened_ms"}
        return cls(**told, opened_at=instant(one["opened_ms"]) or "")


class QuarantineCount(Out):
    """How many open entries there are of a kind and reason."""

    kind: str
    reason: str
    count: int
