"""Timetables as CSV: of a person, a course, a room, a term."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from flask import Response

from db import courses
from db.engine import reading
from domain import csv_cells
from web import site
from web.policy import needs, whole_school
from web.rest.courses import code_of, course_of, course_row, person_of
from web.rest.schedules import term_named
from web.routes import Feature
from web.schemas import courses as shapes

feature = Feature("exports", "导出 timetables as CSV")
_CSV: Final = "text/csv"
_PAGE: Final = 1_000
_HEAD: Final = (
    "学期", "课程", "开课单位", "周次", "星期", "节次", "日期", "开始", "结束", "教室", "教师",
)  # fmt: skip


@feature.get("/exports/users/<code>", needs("export.read", person_of), raw=_CSV)
def export_person(path: shapes.PersonPath, query: shapes.TermQuery) -> Response:
    """What somebody has in a term, or in all of them; ``self``: oneself."""
    scope = site.scope()
    code = code_of(path.code, scope)
    with reading(site.deps().engine) as tx:
        found = courses.classes_of_person(tx, code, tenant=scope.tenant, since=None, until=None, term=query.term)
    return _file(found)


@feature.get("/exports/courses/<course_id>", needs("export.create", course_of), raw=_CSV)
def export_course(path: shapes.CoursePath) -> Response:
    """The classes of a course."""
    course = course_row(path.course_id)
    return _file(_every(term=course.term, course=course.id))


@feature.get("/exports/rooms", needs("export.create", whole_school), raw=_CSV)
def export_room(query: shapes.RoomQuery) -> Response:
    """What takes place in a room."""
    return _file(_every(room=query.room, term=query.term))


@feature.get("/exports/terms/<term>", needs("export.create", term_named), raw=_CSV)
def export_term(path: shapes.TermOfPath) -> Response:
    """All classes of a term."""
    return _file(_every(term=path.term))


def _every(**which: Any) -> Iterator[dict[str, Any]]:
    """All classes of the caller's school that are meant, read while they are sent."""
    engine, tenant = site.deps().engine, site.scope().tenant

    def found() -> Iterator[dict[str, Any]]:
        after: tuple[str, str] | None = None
        while True:
            # A transaction for each page: whoever reads slowly holds none.
            with reading(engine) as tx:
                page = courses.classes(tx, tenant=tenant, within=courses.ALL, limit=_PAGE, after=after, **which)
            yield from page
            if len(page) < _PAGE:
                return
            after = (page[-1]["term"], page[-1]["id"])

    return found()


def _file(found: Iterable[Mapping[str, Any]]) -> Response:
    """A file that a spreadsheet opens, sent as it is made."""
    zone = site.deps().zone

    def text() -> Iterator[str]:
        yield csv_cells.BOM + csv_cells.lines([_HEAD])
        rows = iter(found)
        while some := list(islice(rows, _PAGE)):
            yield csv_cells.lines(_row(one, zone) for one in some)

    sent = {"Content-Disposition": 'attachment; filename="timetable.csv"'}
    return Response(text(), content_type=f"{_CSV}; charset=utf-8", headers=sent)


def _row(one: Mapping[str, Any], zone: ZoneInfo) -> tuple[object, ...]:
    clock = [f"{datetime.fromtimestamp(one[name] / 1000, zone):%H:%M}" for name in ("start_ms", "end_ms")]
    told = (one["term"], one["title"], one["college"], one["week"], one["weekday"], one["periods"], one["date"])
    return (*told, *clock, "; ".join(one["rooms"]), "; ".join(one["teachers"]))
