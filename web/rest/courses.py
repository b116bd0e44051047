"""Courses, their classes, what somebody has today, and finding things."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from db import courses
from db.courses import Within
from db.engine import reading
from db.people import TEACHER
from db.tables import AnyRow
from domain.tenancy import Reach, Scope, Thing, reaches
from domain.timetable import local_ms
from web import site
from web.envelope import Answer, Written, written
from web.errors import ApiError, Detail
from web.paging import cursor_of, page_meta, read_cursor
from web.policy import needs, needs_some
from web.routes import Feature
from web.schemas import courses as shapes

feature = Feature("courses", "课程与课表 courses, classes and my timetable")
_FOUND: Final = 20
_OF_A_PERSON: Final = 500
_LONGEST_DAYS: Final = 62
SELF: Final = "self"


# --- what a request is about --------------------------------------------------------------------------------------------


def course_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The course that the address names, with its college; and the caller where he is on its roll."""
    return thing_of_course(tx, scope, said["path"].course_id)


def thing_of_course(tx: Connection, scope: Scope, course_id: str) -> Thing | None:
    """A course of the caller's school."""
    row = courses.get(tx, course_id, tenant=scope.tenant)
    if row is None:
        return None
    kinds = courses.kinds_on_roll(tx, row, scope.user, tenant=scope.tenant)
    mine = frozenset({scope.user})
    return Thing(
        scope.tenant,
        frozenset({row.college} - {""}),
        people=mine if kinds else frozenset(),
        teachers=mine if TEACHER in kinds else frozenset(),
    )


def person_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The person that the address names; ``self`` is the caller, whether he is on a list or not."""
    return oneself(scope, said) or thing_of_person(tx, scope, code_of(said["path"].code, scope))


def oneself(scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The caller, where the address names him: by far the most ask for themselves, and their college makes no difference."""
    code = code_of(said["path"].code, scope)
    if code == scope.user and Reach.OWN in reaches(scope, "timetable.read"):
        return Thing(scope.tenant, frozenset(), people=frozenset({code}))
    return None


def thing_of_person(tx: Connection, scope: Scope, code: str) -> Thing | None:
    """Somebody of the caller's school."""
    row = courses.person(tx, code, tenant=scope.tenant)
    if row is None and code != scope.user:
        return None
    colleges = frozenset() if row is None else frozenset({row.college} - {""})
    return Thing(scope.tenant, colleges, people=frozenset({code}))


def code_of(said: str, scope: Scope) -> str:
    """Whose number is meant."""
    return scope.user if said == SELF else said


def within(action: str) -> Within:
    """The courses that the caller reaches with `action`."""
    scope, granted = site.scope(), site.reach(action)
    return Within(
        colleges=site.colleges(action),
        taught_by=scope.user if Reach.TAUGHT in granted else None,
        on=scope.user if Reach.OWN in granted else None,
    )


# --- courses ------------------------------------------------------------------------------------------------------------


@feature.get("/courses", needs_some("course.read"), items=shapes.Course)
def list_courses(query: shapes.CoursesQuery) -> Answer:
    """Courses that the caller may see: of the school, of his colleges, taught or taken by him."""
    with reading(site.deps().engine) as tx:
        rows = courses.page(
            tx,
            tenant=site.scope().tenant,
            within=within("course.read"),
            term=query.term,
            college=query.college,
            text=query.q,
            limit=query.size + 1,
            offset=query.offset,
            after=_after(query.cursor),
        )
    shown = rows[: query.size]
    cursor = cursor_of(shown[-1].term, shown[-1].id) if shown else None
    page = page_meta(query, shown=shown, more=len(rows) > query.size, cursor=cursor)
    return Answer({"items": [shapes.Course.of(row).as_json() for row in shown]}, page=page)


def _after(cursor: str | None) -> tuple[str, str] | None:
    if cursor is None:
        return None
    term, last = read_cursor(cursor)
    return str(term), str(last)


@feature.get("/courses/<course_id>", needs("course.read", course_of), data=shapes.Course)
def show_course(path: shapes.CoursePath) -> Answer:
    """One course."""
    return Answer(shapes.Course.of(course_row(path.course_id)).as_json())


def course_row(course_id: str) -> AnyRow:
    """A course of the caller's school. Raises `ApiError` 404."""
    with reading(site.deps().engine) as tx:
        row = courses.get(tx, course_id, tenant=site.scope().tenant)
    if row is None:
        raise ApiError("NOT_FOUND")
    return row


@feature.get("/course-arrangements", needs_some("session.read"), items=shapes.Session)
def list_arrangements(query: shapes.ClassesQuery) -> Answer:
    """Classes of the courses that the caller may see."""
    with reading(site.deps().engine) as tx:
        rows = courses.classes(
            tx,
            tenant=site.scope().tenant,
            within=within("session.read"),
            term=query.term,
            course=query.course_id,
            room=query.room,
            since_ms=_midnight(query.since),
            until_ms=_midnight(query.until, days=1),
            limit=query.size + 1,
            offset=query.offset,
            after=_after(query.cursor),
        )
    shown = rows[: query.size]
    cursor = cursor_of(shown[-1]["term"], shown[-1]["id"]) if shown else None
    page = page_meta(query, shown=shown, more=len(rows) > query.size, cursor=cursor)
    return Answer({"items": [shapes.Session.of(one).as_json() for one in shown]}, page=page)


def _midnight(day: str | None, *, days: int = 0) -> int | None:
    """When a day of the school begins, or one so many days later; None stays None."""
    return None if day is None else local_ms(date.fromisoformat(day) + timedelta(days=days), 0, site.deps().zone)


# --- somebody's ---------------------------------------------------------------------------------------------------------


@feature.get("/users/<code>/courses", needs("timetable.read", person_of), items=shapes.Course)
def list_courses_of(path: shapes.PersonPath, query: shapes.TermQuery) -> Answer:
    """The courses that somebody takes or teaches; ``self``: one's own."""
    return _courses(path.code, ("student", TEACHER), query.term)


@feature.get("/teachers/<code>/courses", needs("timetable.read", person_of), items=shapes.Course)
def list_courses_taught_by(path: shapes.PersonPath, query: shapes.TermQuery) -> Answer:
    """The courses that somebody teaches; ``self``: one's own."""
    return _courses(path.code, (TEACHER,), query.term)


def _courses(said: str, kinds: tuple[str, ...], term: str | None) -> Answer:
    scope = site.scope()
    with reading(site.deps().engine) as tx:
        rows = courses.of_person(
            tx, code_of(said, scope), tenant=scope.tenant, kinds=kinds, term=term, limit=_OF_A_PERSON
        )
    return Answer({"items": [shapes.Course.of(row).as_json() for row in rows]})


@feature.get("/users/<code>/timetable", needs("timetable.read", person_of, at_once=oneself), items=shapes.Session)
def list_classes_of(path: shapes.PersonPath, query: shapes.DaysQuery) -> Answer:
    """What somebody has today, or on the days that are named; ``self``: oneself."""
    since, until = _days(query)
    scope = site.scope()
    code, tenant = code_of(path.code, scope), scope.tenant

    def made(tx: Connection) -> Written:
        found = courses.classes_of_person(tx, code, tenant=tenant, since=since, until=until)
        return Written(written({"items": [shapes.Session.of(one).as_json() for one in found]}))

    return Answer(site.site().timetables.get(site.deps().engine, ("days", code, since, until), made, tenant=tenant))


def _days(query: shapes.DaysQuery) -> tuple[str, str]:
    """The days meant; on the school's calendar. Raises `ApiError` 422 for a span that is turned round or too long."""
    today = datetime.fromtimestamp(site.now_ms() / 1000, UTC).astimezone(site.deps().zone).date()
    since = date.fromisoformat(query.since or query.until or today.isoformat())
    until = date.fromisoformat(query.until) if query.until else since
    if not timedelta(0) <= until - since <= timedelta(days=_LONGEST_DAYS):
        raise ApiError("INVALID", Detail("to", f"give at most {_LONGEST_DAYS} days, the first one first"))
    return since.isoformat(), until.isoformat()


# --- search -------------------------------------------------------------------------------------------------------------


@feature.get("/search", needs_some("course.read"), data=shapes.Found)
def search(query: shapes.SearchQuery) -> Answer:
    """Courses, teachers and rooms with the text in a name or a number, as far as the caller may see them.

    Names are found by their sounds (``xianxing``), the first letters of these (``xxds``) and some of their characters (线代) too.
    """
    tenant, q = site.scope().tenant, query.q
    with reading(site.deps().engine) as tx:
        called = site.site().names.meant(tx, q, tenant=tenant)
        found = courses.page(
            tx, tenant=tenant, within=within("course.read"), text=q, called=called.courses, limit=_FOUND
        )
        people = courses.teachers_like(
            tx, q, tenant=tenant, colleges=site.colleges("user.read"), limit=_FOUND, called=called.teachers
        )
        rooms = courses.rooms_like(tx, q, tenant=tenant, limit=_FOUND, called=called.buildings)
    shape = shapes.Found(
        courses=[shapes.Course.of(row) for row in found],
        teachers=[shapes.FoundTeacher(code=one.code, name=one.name, college=one.college or None) for one in people],
        rooms=[shapes.FoundRoom(campus=one.xq, building=one.lq, room=one.room) for one in rooms],
    )
    return Answer(shape.as_json())
