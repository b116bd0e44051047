"""Shapes of settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from web.schemas.base import Identifier, In, Out, Whole

Named = Literal["user", "course", "tenant", "system"]
Key = Annotated[str, Field(pattern=r"^[a-z_]{1,30}\.[a-z_]{1,30}$")]
Value = Annotated[bool, Strict()] | Annotated[int, Strict()] | Annotated[float, Strict()] | Annotated[str, Strict()] | list[
    Annotated[str, Strict()]
]  # fmt: skip


class LevelPath(In):
    """Which level."""

    level: Named


class ConfigPath(In):
    """Which setting of which level."""

    level: Named
    key: Key


class SubjectQuery(In):
    """Whose: the number of a person (oneself where it is left out) or the id of a course."""

    subject: Identifier | None = None


class HistoryQuery(SubjectQuery):
    """Whose history, and of which setting."""

    key: Key | None = None
    limit: Annotated[Whole, Field(ge=1, le=200)] = 50


class SetConfig(In):
    """The value; its type is the setting's."""

    value: Annotated[Value, Field(examples=[15])]


class Config(Out):
    """A setting at a level: what holds there and from where, and whether it is set at this very level.

    ``version`` goes into If-Match, in quotes; "0" where it is not set.
    """

    key: str
    value: Any
    level: str
    set_at: str | None
    is_set: bool
    version: int
    default: Any
    type: str
    zh: str
    en: str


class Changed(Out):
    """A setting that was changed."""

    key: str
    level: str
    before: Any
    version: int


class Change(Out):
    """What a setting was, and what it became."""

    key: str
    before: Any
    after: Any
    was_set: bool
    is_set: bool
    actor: str
    at: str
