"""Timetables as CSV, XLSX or iCalendar: of a person, a course, a room, a term."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from flask import Response

from db import courses
from db.engine import reading
from domain import csv_cells
from usecases import feeds, sheets
from web import site
from web.policy import needs, whole_school
from web.rest.courses import code_of, course_of, course_row, person_of
from web.rest.schedules import term_named
from web.routes import Feature
from web.schemas import courses as shapes

feature = Feature("exports", "导出 timetables as files")
_CSV: Final = "text/csv"
_XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_ICS: Final = "text/calendar"
_TABLES: Final = (_CSV, _XLSX)
_CHUNK: Final = 1 << 16
_PAGE: Final = 1_000
_HEAD: Final = (
    "学期", "课程", "开课单位", "周次", "星期", "节次", "日期", "开始", "结束", "教室", "教师",
)  # fmt: skip


@feature.get("/exports/users/<code>", needs("export.read", person_of), raw=(*_TABLES, _ICS), errors=(409,))
def export_person(path: shapes.PersonPath, query: shapes.PersonExport) -> Response:
    """What somebody has in a term, or in all of them; ``self``: oneself. As iCalendar: of all terms."""
    scope = site.scope()
    code = code_of(path.code, scope)
    if query.format == "ics":
        return _calendar(feeds.USER, code)
    with reading(site.deps().engine) as tx:
        found = courses.classes_of_person(tx, code, tenant=scope.tenant, since=None, until=None, term=query.term)
    return _file(found, query.format)


@feature.get("/exports/courses/<course_id>", needs("export.create", course_of), raw=(*_TABLES, _ICS), errors=(409,))
def export_course(path: shapes.CoursePath, query: shapes.CalendarExport) -> Response:
    """The classes of a course."""
    course = course_row(path.course_id)
    if query.format == "ics":
        return _calendar(feeds.COURSE, course.id)
    return _file(_every(term=course.term, course=course.id), query.format)


@feature.get("/exports/rooms", needs("export.create", whole_school), raw=_TABLES, errors=(409,))
def export_room(query: shapes.RoomExport) -> Response:
    """What takes place in a room."""
    return _file(_every(room=query.room, term=query.term), query.format)


@feature.get("/exports/terms/<term>", needs("export.create", term_named), raw=_TABLES, errors=(409,))
def export_term(path: shapes.TermOfPath, query: shapes.TableExport) -> Response:
    """All classes of a term. A long one goes as CSV: XLSX ends at 50,000 classes."""
    return _file(_every(term=path.term), query.format)


def _calendar(kind: str, subject: str) -> Response:
    body = feeds.once(site.deps(), kind=kind, subject=subject, now_ms=site.now_ms())
    sent = {"Content-Disposition": 'attachment; filename="timetable.ics"'}
    return Response(body, content_type=f"{_ICS}; charset=utf-8", headers=sent)


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


def _file(found: Iterable[Mapping[str, Any]], wanted: str) -> Response:
    """A file that a spreadsheet opens."""
    zone = site.deps().zone
    return _workbook(found, zone) if wanted == "xlsx" else _lines(found, zone)


def _workbook(found: Iterable[Mapping[str, Any]], zone: ZoneInfo) -> Response:
    """As XLSX, made on the disk and sent piece by piece. Raises `TooLong`."""
    # It has no name, so that it goes whatever becomes of the request; it is open until the last piece is sent.
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the response
    try:
        sheets.write(file, _HEAD, (_row(one, zone) for one in found), called="timetable")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    sent = {"Content-Disposition": 'attachment; filename="timetable.xlsx"'}
    response = Response(iter(lambda: file.read(_CHUNK), b""), content_type=_XLSX, headers=sent)
    response.call_on_close(file.close)
    return response


def _lines(found: Iterable[Mapping[str, Any]], zone: ZoneInfo) -> Response:
    """As CSV, sent as it is read."""

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
