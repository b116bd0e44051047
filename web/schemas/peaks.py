"""Shapes of forecasts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from web.schemas.base import In, Out, Whole


class PeakQuery(In):
    """How far ahead."""

    hours: Annotated[int, Field(ge=1, le=24)] = 3


class PeakMinute(Out):
    """A minute, and how many check-ins are expected in it."""

    at: str
    check_ins: float


class WorkersSuggested(Out):
    """How many processes of each kind."""

    web: Whole
    checkins: Whole
    lanes: Whole


class Peak(Out):
    """What the next hours bring. ``waiting``: check-ins that are not written yet, null where nobody can be asked."""

    hours: int
    highest_per_minute: float
    highest_at: str | None
    waiting: int | None
    lanes_due: int
    suggested: WorkersSuggested
    minutes: list[PeakMinute]
