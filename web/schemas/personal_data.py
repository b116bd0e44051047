"""Shapes of what is kept about a person's attendance."""

from __future__ import annotations

from typing import Any

from web.schemas.base import Out

Rows = list[dict[str, Any]]


class AttendanceKept(Out):
    """Every row about a student's attendance, as it stands in the database."""

    student: str
    standings: Rows
    check_ins: Rows
    facts: Rows
    refusals: Rows
    statistics: Rows
    refused_by_database: Rows


class AttendanceErased(Out):
    """How many check-ins lost their evidence, how many notes their words, and how many refusals were forgotten."""

    check_ins: int
    notes: int
    refusals: int
    refused_by_database: int
