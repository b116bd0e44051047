"""Shapes of explanations. What the pages of people show of rows is told as it stands there; instants are RFC 3339."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic.alias_generators import to_camel

from web.schemas.base import ID, In, Out, instant
from web.schemas.courses import Short


class SessionPath(In):
    """Which class."""

    session_id: Annotated[str, Field(pattern=ID, alias="session_id")]


class StudentPath(In):
    """Whom of which class."""

    session_id: Annotated[str, Field(pattern=ID, alias="session_id")]
    code: Short


class Happened(Out):
    """Something that happened: when, what, who did it, and the request or the run that it came by."""

    at: str
    what: str
    actor: str | None
    request: str | None
    run_id: str | None
    thing: str | None


class Explanation(Out):
    """A class from its source rows to WPS and its roster; ``person`` and what follows it only of one student."""

    session: dict[str, Any]
    course: dict[str, Any]
    source: dict[str, Any] | None
    changes: list[dict[str, Any]]
    operations: list[dict[str, Any]]
    wps: list[dict[str, Any]]
    discrepancies: list[dict[str, Any]]
    roster: dict[str, Any] | None
    person: dict[str, Any] | None = None
    roster_row: dict[str, Any] | None = None
    check_in: dict[str, Any] | None = None
    refusals: list[dict[str, Any]] | None = None
    facts: list[dict[str, Any]] | None = None
    timeline: list[Happened]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Explanation:
        """From what the use case says."""
        told = {name: _told(value) for name, value in found.items() if name != "timeline"}
        timeline = [
            Happened(**{name: value for name, value in one.items() if name != "at_ms"}, at=instant(one["at_ms"]) or "")
            for one in found["timeline"]
        ]
        return cls(**told, timeline=timeline)


def _told(value: Any) -> Any:
    """Names as JSON has them here, milliseconds as instants."""
    if isinstance(value, list):
        return [_told(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {_name(name): instant(one) if name.endswith("_ms") else _told(one) for name, one in value.items()}


def _name(name: str) -> str:
    return to_camel(f"{name.removesuffix('_ms')}_at" if name.endswith("_ms") else name)
