"""Shapes of switches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from web.schemas.base import In, Instant, Out, Text, Yes

Named = Literal["statistics_off", "simple_check_in", "read_only", "maintenance"]


class SwitchPath(In):
    """Which switch."""

    switch: Named


class SwitchIn(In):
    """What is said about a switch. ``until``: when the end is expected; nothing ends by itself. ``checkIns``: whether
    check-ins are taken all the same; left out: as it is usual for the switch."""

    on: Yes
    until: Instant | None = None
    note: Annotated[Text, Field(max_length=500)] = ""
    check_ins: Yes | None = None


class SwitchTold(Out):
    """A switch, what it means, and who said so when."""

    name: str
    zh: str
    en: str
    on: bool
    until: str | None
    check_ins: bool
    note: str
    actor: str | None
    at: str | None
