"""Statistics of attendance: of students, courses, teachers and colleges, by term, week and day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection

from db import statistic_lists as lists
from db.courses import Within
from db.engine import reading
from db.statistic_lists import Seen, Which
from db.tables import AnyRow
from db.timetable import load_terms
from domain.plans import course_title
from domain.statistics import COLLEGE, COURSE, DAY, NO_COLLEGE, TEACHER, USER, WEEK, per_of, rate, teaching_week
from domain.tenancy import Reach
from usecases import configs
from web import site
from web.envelope import Answer
from web.paging import PartQuery, cursor_of, page_meta, read_cursor
from web.policy import needs, needs_some
from web.rest.courses import code_of, person_of
from web.routes import Feature
from web.schemas import courses as course_shapes
from web.schemas import statistics as shapes

feature = Feature("statistics", "考勤统计 statistics of attendance")

SHORT: Final = {
    "total": "total_classes", "attended": "attended_classes", "absent": "absence_classes", "leave": "leave_classes",
    "pending": "pending_classes", "review": "review_classes", "late": "late_classes", "early": "early_leave_classes",
}  # fmt: skip
_READ: Final = "check_in.read"


def rates_of(tx: Connection, tenant: str) -> Callable[[int, int, int], float | None]:
    """(attended, total, leave) → the rate, as the school's setting wants it."""
    counts = configs.value_of(tx, "attendance.leave_counts", tenant=tenant)
    return lambda attended, total, leave: rate(attended, total, leave, without_leave=not counts)


@feature.get("/statistics/students", needs_some(_READ), items=shapes.AttendanceSums)
def list_student_statistics(query: shapes.StudentsQuery) -> Answer:
    """Students over a whole term, or in one course: oneself, those of a course that one teaches, or of one's colleges."""
    which = Which(USER, term=query.term, subject=query.student, course=query.course_id, college=query.college)
    return _listed(query, which)


@feature.get("/statistics/courses", needs_some(_READ), items=shapes.AttendanceSums)
def list_course_statistics(query: shapes.CourseSumsQuery) -> Answer:
    """Courses that one teaches or looks after, by term, week or day."""
    return _listed(query, _which(COURSE, query, query.course_id))


@feature.get("/statistics/teachers", needs_some(_READ), items=shapes.AttendanceSums)
def list_teacher_statistics(query: shapes.TeacherSumsQuery) -> Answer:
    """The classes of teachers, by term, week or day: one's own, or of one's colleges."""
    return _listed(query, _which(TEACHER, query, query.teacher))


@feature.get("/statistics/colleges", needs_some(_READ), items=shapes.AttendanceSums)
def list_college_statistics(query: shapes.SumsQuery) -> Answer:
    """Colleges, by term, week or day; `_` is what belongs to none."""
    return _listed(query, _which(COLLEGE, query, None))


def _which(kind: str, query: shapes.SumsQuery, subject: str | None) -> Which:
    return Which(kind, query.per, query.term, subject, None, query.college, query.since, query.until)


def seen_by_caller(kind: str) -> Seen:
    """Whom the caller may see among subjects of a kind."""
    scope, granted, colleges = site.scope(), site.reach(_READ), site.colleges(_READ)
    mine = (Reach.TAUGHT if kind == TEACHER else Reach.OWN) in granted
    # Not those that the caller takes: the sums of a course are about the others in it.
    within = Within(colleges, taught_by=scope.user if Reach.TAUGHT in granted else None)
    return Seen(colleges, within, scope.user if mine else None)


def _listed(query: PartQuery, which: Which) -> Answer:
    tenant = site.scope().tenant
    after = None
    if query.cursor is not None:
        term, subject, period = read_cursor(query.cursor)
        after = (str(term), str(subject), str(period))
    with reading(site.deps().engine) as tx:
        found = lists.page(
            tx, which, seen_by_caller(which.kind), tenant=tenant, limit=query.size + 1, offset=query.offset, after=after
        )
        shape = _shaped(tx, tenant)
    shown = found[: query.size]
    last = shown[-1] if shown else None
    cursor = None if last is None else cursor_of(last.xnxq, last.subject, last.period)
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor)
    return Answer({"items": [shape(row).as_json() for row in shown]}, page=page)


def _shaped(tx: Connection, tenant: str) -> Callable[[AnyRow], shapes.AttendanceSums]:
    sums = _sums(tx, tenant)

    def shape(row: AnyRow) -> shapes.AttendanceSums:
        name = row._mapping.get("name")
        if row._mapping.get("kkh") is not None:
            name = course_title(name=row.name, kcbh=row.kcbh, kkh=row.kkh)
        college = None if row.of_college in (None, "", NO_COLLEGE) else row.of_college
        counts = {short: getattr(row, column) for short, column in SHORT.items()}
        return sums(
            row.xnxq,
            row.period,
            counts,
            subject=row.subject,
            name=name,
            college=college,
            course_id=row.course_id or None,
        )

    return shape


def _sums(tx: Connection, tenant: str) -> Callable[..., shapes.AttendanceSums]:
    rates, mondays = rates_of(tx, tenant), {code: one.first_monday for code, one in load_terms(tx, tenant).items()}

    def shape(term: str, period: str, counts: Mapping[str, Any], **more: Any) -> shapes.AttendanceSums:
        per: Any = per_of(period)
        monday = mondays.get(term)
        return shapes.AttendanceSums(
            term=term, per=per, week=_week(period), teaching_week=teaching_week(period, monday),
            day=period if per == DAY else None, rate=rates(counts["attended"], counts["total"], counts["leave"]),
            **counts, **more,
        )  # fmt: skip

    return shape


def _week(period: str) -> str | None:
    if per_of(period) == WEEK:
        return period
    if not period:
        return None
    year, week, _ = date.fromisoformat(period).isocalendar()
    return f"{year}-W{week:02d}"


@feature.get("/users/<code>/attendance/periods", needs(_READ, person_of), items=shapes.AttendanceSums)
def list_periods_of(path: course_shapes.PersonPath, query: shapes.OwnSumsQuery) -> Answer:
    """A student's classes week by week or day by day; ``self``: one's own."""
    scope = site.scope()
    code = code_of(path.code, scope)
    with reading(site.deps().engine) as tx:
        found = lists.of_student(tx, code, tenant=scope.tenant, per=query.per, term=query.term, course=query.course_id)
        sums = _sums(tx, scope.tenant)
    items = [
        sums(
            term, key.period, {short: counts[column] for short, column in SHORT.items()}, subject=code, name=None,
            college=None, course_id=query.course_id,
        ).as_json()
        for term, key, counts in found
    ]  # fmt: skip
    return Answer({"items": items})
