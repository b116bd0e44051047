"""Shapes of what a course asks of check-ins."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, Strict

from web.schemas.base import ID, In, Out


class RulesPath(In):
    """Which course."""

    course_id: Annotated[str, Field(pattern=ID, alias="course_id")]


class RulesIn(In):
    """Rules to set for this course, by name (``late_minutes``, ``checkout_required``, …); null: what the school says holds."""

    rules: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")],
            Annotated[bool, Strict()] | Annotated[int, Strict()] | None,
        ],
        Field(min_length=1, max_length=30),
    ]


class RuleTold(Out):
    """A rule: what holds, whether the course says so itself, and what it means."""

    name: str
    value: Any
    own: bool
    zh: str
    en: str


class RulesTold(Out):
    """What a course asks of check-ins."""

    course_id: str
    rules: list[RuleTold]
