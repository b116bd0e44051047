"""Shapes of courses, classes, searches and exports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict

from db.tables import AnyRow
from domain.plans import course_title
from web.paging import PageQuery
from web.schemas.base import ID, In, Out, Text, Wrong, instant


def _day(text: str) -> str:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise Wrong("没有这一天，请写成 2024-09-02", "there is no such day; write it as 2024-09-02") from None
    if not _FIRST <= found <= _LAST:
        raise Wrong(f"请写 {_FIRST} 至 {_LAST} 之间的日期", f"give a day from {_FIRST} to {_LAST}")
    return text


_FIRST, _LAST = date(1970, 1, 2), date(9998, 12, 31)  # of which the day before and the day after can be told


Day = Annotated[str, Strict(), Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_day)]
Short = Annotated[Text, Field(min_length=1, max_length=60)]
TermCode = Annotated[Text, Field(min_length=1, max_length=20)]


class CoursePath(In):
    """Which course."""

    course_id: Annotated[str, Field(pattern=ID, alias="course_id")]


class PersonPath(In):
    """Whose: a number of a person, or ``self``."""

    code: Short


class TermOfPath(In):
    """Which term."""

    term: TermCode


class CoursesQuery(PageQuery):
    """Which courses; ``q`` is part of a name or a number."""

    term: TermCode | None = None
    college: Short | None = None
    q: Short | None = None


class ClassesQuery(PageQuery):
    """Which classes; ``from`` and ``to`` are days, both included, ``room`` the name of one without its building."""

    term: TermCode | None = None
    course_id: Annotated[str, Field(pattern=ID)] | None = None
    room: Short | None = None
    since: Annotated[Day | None, Field(alias="from")] = None
    until: Annotated[Day | None, Field(alias="to")] = None


class DaysQuery(In):
    """Which days, both included: a day is enough. Without any it is today."""

    since: Annotated[Day | None, Field(alias="from")] = None
    until: Annotated[Day | None, Field(alias="to")] = None


class TermQuery(In):
    """Which term; without one all of them."""

    term: TermCode | None = None


class TableExport(In):
    """As which kind of file."""

    format: Literal["csv", "xlsx"] = "csv"


class CalendarExport(In):
    """As which kind of file."""

    format: Literal["csv", "xlsx", "ics"] = "csv"


class PersonExport(CalendarExport):
    """Of which term (without one of all), as which kind of file."""

    term: TermCode | None = None


class SearchQuery(In):
    """What to look for: part of a name or a number."""

    q: Short


class RoomQuery(In):
    """Which room, in which term."""

    room: Short
    term: TermCode | None = None


class RoomExport(RoomQuery, TableExport):
    """Which room, in which term, as which kind of file."""


class Course(Out):
    """A course as it is offered in a term."""

    id: str
    term: str
    number: str
    code: str
    name: str
    title: str
    college: str | None

    @classmethod
    def of(cls, row: AnyRow) -> Course:
        """From its row."""
        title = course_title(name=row.name, kcbh=row.kcbh, kkh=row.kkh)
        return cls(
            id=row.id, term=row.term, number=row.kkh, code=row.kcbh, name=row.name, title=title,
            college=row.college or None,
        )  # fmt: skip


class Session(Out):
    """A class: when, where, with whom."""

    id: str
    term: str
    course_id: str
    title: str
    college: str | None
    week: int | None
    weekday: int | None
    periods: str
    date: str
    start_at: str
    end_at: str
    rooms: list[str]
    teachers: list[str]

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Session:
        """From what the database says."""
        told = {name: value for name, value in one.items() if name not in ("start_ms", "end_ms", "college")}
        starts, ends = instant(one["start_ms"]) or "", instant(one["end_ms"]) or ""
        return cls(**told, college=one["college"] or None, start_at=starts, end_at=ends)


class FoundTeacher(Out):
    """Somebody who teaches."""

    code: str
    name: str
    college: str | None


class FoundRoom(Out):
    """A room."""

    campus: str
    building: str
    room: str


class Found(Out):
    """What a search has found, at most twenty of each."""

    courses: list[Course]
    teachers: list[FoundTeacher]
    rooms: list[FoundRoom]
