"""Shapes of whom the desk turned away."""

from __future__ import annotations

from typing import Literal

from domain.check_in_words import CAUSES
from web.paging import PartQuery
from web.schemas.base import Out
from web.schemas.courses import Day, Short


class RefusalsQuery(PartQuery):
    """Of which day, college and cause; without a day of today."""

    date: Day | None = None
    college: Short | None = None
    cause: Literal[tuple(sorted(CAUSES))] | None = None  # type: ignore[valid-type]


class CheckInRefusal(Out):
    """A student who was turned away from a class for one cause, and how often. `status`: what became of him in it, null: he is
    not on its roster. `error` is the code that the phone was answered."""

    student: str
    name: str | None
    schedule_id: str
    course_id: str
    course_name: str
    college: str | None
    date: str
    start_at: str
    cause: str
    error: str
    message: str
    attempts: int
    first_at: str
    last_at: str
    outside_metres: int | None
    status: str | None


class RefusalCounts(Out):
    """How many students of a college were turned away for a cause, how often, and how many of them did not come in after all."""

    college: str | None
    cause: str
    message: str
    students: int
    attempts: int
    out: int
