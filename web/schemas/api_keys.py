"""Shapes of API keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from usecases.api_keys import LONGEST_DAYS
from web.schemas.base import Identifier, In, Out, Text, Whole


class KeyPath(In):
    """Which key, by its prefix."""

    prefix: Annotated[str, Field(pattern=r"^[0-9a-f]{1,16}$")]


class MakeKey(In):
    """A key for a service: what it may do, as ``resource.action:reach``, and for how many days."""

    name: Annotated[Text, Field(min_length=1, max_length=60, examples=["timetable screen in the hall"])]
    permissions: Annotated[list[Identifier], Field(min_length=1, max_length=200, examples=[["run.read:tenant"]])]
    colleges: Annotated[list[Identifier], Field(max_length=100, default_factory=list)]
    days: Annotated[Whole, Field(ge=1, le=LONGEST_DAYS)] = 90


class RotateKey(In):
    """For how many hours the old key stays good."""

    overlap_hours: Annotated[Whole, Field(ge=0, le=720)] = 24


class Key(Out):
    """A key without its secret."""

    prefix: str
    name: str
    state: str
    permissions: list[str]
    colleges: list[str]
    made_by: str
    successor: str | None
    created_at: str
    ends_at: str
    revoked_at: str | None
    last_used_at: str | None


class Made(Out):
    """A new key: ``key`` is the whole of it, and is told once."""

    key: str
    prefix: str
    ends_at: str


class Revoked(Out):
    """A key that has ended; ``already`` where it had before."""

    prefix: str
    already: bool
