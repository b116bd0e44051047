"""Shapes of statistics and of the counts that look whether they are right."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from web.paging import PartQuery
from web.schemas.attendance import ClassesCounted, RollEntry
from web.schemas.base import ID, In, Out, Yes
from web.schemas.courses import Day, Short, TermCode

Per = Literal["term", "week", "day"]


class SumsQuery(PartQuery):
    """Which sums: of whole terms, of weeks or of days; ``from`` and ``to`` are days, both included."""

    term: TermCode | None = None
    per: Per = "term"
    college: Short | None = None
    since: Annotated[Day | None, Field(alias="from")] = None
    until: Annotated[Day | None, Field(alias="to")] = None


class CourseSumsQuery(SumsQuery):
    """The same of courses, or of one."""

    course_id: Annotated[str, Field(pattern=ID)] | None = None


class TeacherSumsQuery(SumsQuery):
    """The same of teachers, or of one."""

    teacher: Short | None = None


class StudentsQuery(PartQuery):
    """Which students; with a course their sums in that course."""

    term: TermCode | None = None
    college: Short | None = None
    student: Short | None = None
    course_id: Annotated[str, Field(pattern=ID)] | None = None


class OwnSumsQuery(In):
    """Which sums of a student."""

    term: TermCode | None = None
    per: Per = "week"
    course_id: Annotated[str, Field(pattern=ID)] | None = None


class AttendanceSums(ClassesCounted):
    """The closed classes of a student, a course, a teacher or a college. `week` is by ISO 8601, `teachingWeek` by the term."""

    subject: str
    name: str | None
    college: str | None
    course_id: str | None
    term: str
    per: Per
    week: str | None
    teaching_week: int | None
    day: str | None


class ExceptionsQuery(PartQuery):
    """Of which day and college; without a day of today."""

    date: Day | None = None
    college: Short | None = None


class DayQuery(In):
    """Of which day; without one of today."""

    date: Day | None = None


class ExceptionsFile(In):
    """Of which day and college, as which kind of file."""

    date: Day
    college: Short | None = None
    format: Literal["csv", "xlsx"] = "csv"


class CheckInException(RollEntry):
    """A check-in that somebody had to look at. `kind`: it waits for a person, a person refused it, or it is suspicious and
    stands."""

    kind: Literal["review", "refused", "suspicious"]
    college: str | None


class ExceptionCounts(Out):
    """How many of a college, and of which kind."""

    college: str | None
    review: int
    refused: int
    suspicious: int


class BeginRecount(In):
    """Which terms; without any all that are open. `mend` false: report only."""

    terms: Annotated[list[TermCode], Field(max_length=20, default_factory=list)]
    mend: Yes = True


class RecountPath(In):
    """Which recount."""

    recount_id: Annotated[str, Field(pattern=ID, alias="recount_id")]


class Recount(Out):
    """A count of attendance: how far, and how many counters and sums said something else. `expected` is about how many."""

    id: str
    state: Literal["working", "done", "cancelled"]
    asked_by: str
    terms: list[str]
    mends: bool
    compared: int
    expected: int
    differing: int
    mended: int
    created_at: str
    finished_at: str | None


class Drift(Out):
    """A counter or sum that was wrong: of what, what it was, and what was counted."""

    number: int
    of: Literal["roster", "user", "course", "teacher", "college"]
    term: str
    subject: str
    course_id: str | None
    period: str
    college: str | None
    was: dict[str, int]
    now: dict[str, int]
