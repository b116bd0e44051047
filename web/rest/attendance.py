"""Histories and reports: one's own check-ins, those of one's classes, of a course, of a person; as lists and as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response
from sqlalchemy import Connection

from db import attendance
from db.attendance import Which
from db.courses import Within
from db.engine import reading
from db.tables import AnyRow
from domain.attendance import COUNTERS
from domain.plans import course_title
from domain.tenancy import Reach
from usecases.export_tables import standings
from web import site
from web.envelope import Answer
from web.paging import page_meta
from web.policy import needs, needs_some
from web.rest.classes import after_of, counts_of, cursor_for, entry_of
from web.rest.courses import code_of, course_of, course_row, person_of
from web.rest.exports import TABLES, file_of
from web.rest.statistics import SHORT, rates_of
from web.routes import Feature
from web.schemas import attendance as shapes
from web.schemas import courses as course_shapes
from web.schemas.base import instant

feature = Feature("attendance", "考勤记录与统计 records and statistics of attendance")


@feature.get("/checkins", needs_some("check_in.read"), items=shapes.RollEntry)
def list_check_ins(query: shapes.CheckInsQuery) -> Answer:
    """Check-ins and what became of those who did not: one's own, and those of the courses that one teaches or looks after.

    The latest class comes first. `status=REVIEW` is what waits for the teacher.
    """
    scope, granted = site.scope(), site.reach("check_in.read")
    within = Within(site.colleges("check_in.read"), taught_by=scope.user if Reach.TAUGHT in granted else None)
    user = None if query.user_id is None else code_of(query.user_id, scope)
    which = Which(user, query.course_id, query.schedule_id, query.status, query.start_date, query.end_date)
    with reading(site.deps().engine) as tx:
        found = attendance.page(
            tx, which, tenant=scope.tenant, within=within, own=scope.user, limit=query.size + 1, offset=query.offset,
            after=after_of(query.cursor),
        )  # fmt: skip
        shown = found[: query.size]
        names = attendance.names_of(tx, [row.code for row in shown], tenant=scope.tenant)
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor_for(shown))
    items = [entry_of(row, names, with_receipt=row.code == scope.user).as_json() for row in shown]
    return Answer({"items": items}, page=page)


@feature.get("/courses/<course_id>/attendance", needs("roll.read", course_of), data=shapes.CourseAttendance)
def show_course_attendance(path: course_shapes.CoursePath) -> Answer:
    """A course: the counters of its classes, and the statistics of its students over those that are closed."""
    tenant, course = site.scope().tenant, course_row(path.course_id)
    with reading(site.deps().engine) as tx:
        classes = attendance.rosters_of(tx, course, tenant=tenant)
        stats = _stats(tx, attendance.stats_of(tx, tenant=tenant, term=course.term, course=course.id), tenant)
        of = rates_of(tx, tenant)
    sums = {_name(one): sum(getattr(row, one) for row in classes) for one in COUNTERS}
    listed = [
        shapes.ClassCounts(
            schedule_id=row.session_id, date=row.course_date, start_at=instant(row.start_ms) or "", status=row.status,
            counts=counts_of(row),
        )
        for row in classes
    ]  # fmt: skip
    shape = shapes.CourseAttendance(
        course_id=course.id,
        counts=shapes.RosterCounts(**sums),
        rate=of(*(sum(getattr(one, name) for one in stats) for name in ("attended", "total", "leave"))),
        classes=listed,
        students=stats,
    )
    return Answer(shape.as_json())


@feature.get("/users/<code>/attendance", needs("check_in.read", person_of), items=shapes.StudentStats)
def list_attendance_of(path: course_shapes.PersonPath, query: shapes.ReportQuery) -> Answer:
    """A student's statistics, course by course, over the classes that are closed; ``self``: one's own."""
    scope = site.scope()
    with reading(site.deps().engine) as tx:
        rows = attendance.stats_of(tx, tenant=scope.tenant, term=query.term, user=code_of(path.code, scope))
        stats = _stats(tx, rows, scope.tenant)
    return Answer({"items": [one.as_json() for one in stats]})


def _stats(tx: Connection, rows: Sequence[AnyRow], tenant: str) -> list[shapes.StudentStats]:
    titles = attendance.titles(tx, [row.course_id for row in rows], tenant=tenant)
    names = attendance.names_of(tx, [row.user_id for row in rows], tenant=tenant)
    of = rates_of(tx, tenant)
    found = []
    for row in rows:
        course = titles.get((row.xnxq, row.course_id))
        counts = {name: getattr(row, column) for name, column in SHORT.items()}
        title = None if course is None else course_title(name=course.name, kcbh=course.kcbh, kkh=course.kkh)
        found.append(
            shapes.StudentStats(
                student=row.user_id, name=names.get(row.user_id), course_id=row.course_id, course_name=title, term=row.xnxq,
                rate=of(counts["attended"], counts["total"], counts["leave"]), **counts,
            )
        )  # fmt: skip
    return found


def _name(counter: str) -> str:
    return counter.removesuffix("_count").removesuffix("_students")


# --- files ------------------------------------------------------------------------------------------------------------


@feature.get("/exports/courses/<course_id>/attendance", needs("export.create", course_of), raw=TABLES, errors=(409,))
def export_course_attendance(path: course_shapes.CoursePath, query: course_shapes.TableExport) -> Response:
    """What became of each student in each class of a course."""
    which = Which(course=course_row(path.course_id).id)
    return file_of(standings(site.deps(), which), query.format)


@feature.get("/exports/users/<code>/attendance", needs("export.read", person_of), raw=TABLES, errors=(409,))
def export_attendance_of(path: course_shapes.PersonPath, query: course_shapes.TableExport) -> Response:
    """What became of a student in each class; ``self``: of oneself."""
    which = Which(user=code_of(path.code, site.scope()))
    return file_of(standings(site.deps(), which), query.format)
