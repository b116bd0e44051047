"""Timetables as CSV, XLSX or iCalendar: of a person, a course, a room, a term."""

from __future__ import annotations

import tempfile
from typing import Final

from flask import Response

from db import courses
from db.engine import reading
from usecases import configs, export_tables, exports, feeds, sheets
from usecases.export_tables import Table, timetable
from web import site
from web.policy import needs, whole_school
from web.rest.courses import code_of, course_of, course_row, person_of
from web.rest.schedules import term_named
from web.routes import Feature
from web.schemas import courses as shapes

feature = Feature("exports", "导出 timetables as files")
CSV: Final = "text/csv"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_ICS: Final = "text/calendar"
TABLES: Final = (CSV, XLSX)
_CHUNK: Final = 1 << 16


@feature.get("/exports/users/<code>", needs("export.read", person_of), raw=(*TABLES, _ICS), errors=(409,))
def export_person(path: shapes.PersonPath, query: shapes.PersonExport) -> Response:
    """What somebody has in a term, or in all of them; ``self``: oneself. As iCalendar: of all terms."""
    scope = site.scope()
    code = code_of(path.code, scope)
    if query.format == "ics":
        return _calendar(feeds.USER, code)
    with reading(site.deps().engine) as tx:
        found = courses.classes_of_person(tx, code, tenant=scope.tenant, since=None, until=None, term=query.term)
    return file_of(export_tables.classes(iter(found), site.deps().zone), query.format)


@feature.get("/exports/courses/<course_id>", needs("export.create", course_of), raw=(*TABLES, _ICS), errors=(409,))
def export_course(path: shapes.CoursePath, query: shapes.CalendarExport) -> Response:
    """The classes of a course."""
    course = course_row(path.course_id)
    if query.format == "ics":
        return _calendar(feeds.COURSE, course.id)
    return file_of(timetable(site.deps(), term=course.term, course=course.id), query.format)


@feature.get("/exports/rooms", needs("export.create", whole_school), raw=TABLES, errors=(409,))
def export_room(query: shapes.RoomExport) -> Response:
    """What takes place in a room."""
    return file_of(timetable(site.deps(), room=query.room, term=query.term), query.format)


@feature.get("/exports/terms/<term>", needs("export.create", term_named), raw=TABLES, errors=(409,))
def export_term(path: shapes.TermOfPath, query: shapes.TableExport) -> Response:
    """All classes of a term. A long one goes as CSV, or is made by a worker: see /export-tasks."""
    return file_of(timetable(site.deps(), term=path.term), query.format)


def _calendar(kind: str, subject: str) -> Response:
    body = feeds.once(site.deps(), kind=kind, subject=subject, now_ms=site.now_ms())
    sent = {"Content-Disposition": 'attachment; filename="timetable.ics"'}
    return Response(body, content_type=f"{_ICS}; charset=utf-8", headers=sent)


def file_of(table: Table, wanted: str) -> Response:
    """A file that a spreadsheet opens. Raises `TooLong` for an XLSX that takes longer than somebody waits."""
    return _workbook(table) if wanted == "xlsx" else _lines(table)


def _workbook(table: Table) -> Response:
    """As XLSX, made on the disk and sent piece by piece."""
    with reading(site.deps().engine) as tx:
        most = configs.value_of(tx, "export.direct_rows", tenant=site.scope().tenant)
    # It has no name, so that it goes whatever becomes of the request; it is open until the last piece is sent.
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the response
    try:
        sheets.write(file, table.head, table.rows, called=table.called, most=most)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    sent = {"Content-Disposition": f'attachment; filename="{table.called}.xlsx"'}
    response = Response(iter(lambda: file.read(_CHUNK), b""), content_type=XLSX, headers=sent)
    response.call_on_close(file.close)
    return response


def _lines(table: Table) -> Response:
    """As CSV, sent as it is read."""
    sent = {"Content-Disposition": f'attachment; filename="{table.called}.csv"'}
    return Response(exports.lines(table), content_type=f"{CSV}; charset=utf-8", headers=sent)
