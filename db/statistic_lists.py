"""Statistics of attendance as people look them up, page by page, within what the caller may see."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, false, func, or_, select

from db.courses import ALL, Within
from db.statistics import about, is_day, of_pair
from db.tables import (
    AnyRow,
    attendance_roster,
    attendance_roster_detail,
    attendance_stats,
    offerings,
    users,
)  # fmt: skip
from domain.statistics import COLLEGE, COURSE, DAY, TEACHER, TERM, USER, WEEK, Key, add, periods_of, week_of

_stats, _roster, _detail = attendance_stats.c, attendance_roster.c, attendance_roster_detail.c
_SUBJECT: Final = {
    USER: _stats.user_id, COURSE: _stats.course_id, TEACHER: _stats.teacher_id, COLLEGE: _stats.college,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Which:
    """Sums that are asked for; None: all. `since` and `until` are days, both included; weeks are those that these lie in."""

    kind: str
    per: str = TERM
    term: str | None = None
    subject: str | None = None
    course: str | None = None  # of kind user: students in that course
    college: str | None = None  # of the person or course
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """Whom the caller may see: people and colleges of `colleges` (None: all), courses `within`, and himself as `own`."""

    colleges: tuple[str, ...] | None = None
    within: Within = ALL
    own: str | None = None


def page(
    connection: Connection,
    which: Which,
    seen: Seen,
    *,
    tenant: str,
    limit: int,
    offset: int = 0,
    after: tuple[str, str, str] | None = None,
) -> list[AnyRow]:
    """Sums by term, subject and period, each with the name and college of its subject; `after` is those three of the last one."""
    subject = _SUBJECT[which.kind]
    where = [_stats.tenant_id == tenant, _stats.total_classes > 0, *_of(which), *_period(which)]
    source, name, college = _named(which.kind, tenant)
    where += _visible(which, seen, tenant, subject, college)
    where += [] if which.college is None else [college == which.college]
    if after is not None:
        term, last, period = after
        behind = or_(subject > last, and_(subject == last, _stats.period > period))
        where.append(or_(_stats.xnxq > term, and_(_stats.xnxq == term, behind)))
    order = (_stats.xnxq, subject, _stats.period)
    columns = (attendance_stats, subject.label("subject"), *name, college.label("of_college"))
    asked = select(*columns).select_from(source).where(*where).order_by(*order).limit(limit).offset(offset)
    return list(connection.execute(asked))


def _of(which: Which) -> list[ColumnElement[bool]]:
    where = of_pair(which.course) if which.kind == USER and which.course is not None else about(which.kind)
    if which.kind == USER and which.course is None:
        where.append(_stats.course_id == "")
    for column, value in ((_stats.xnxq, which.term), (_SUBJECT[which.kind], which.subject)):
        where += [] if value is None else [column == value]
    return where


def _period(which: Which) -> list[ColumnElement[bool]]:
    if which.per == TERM:
        return [_stats.period == ""]
    weeks = which.per == WEEK
    where = [_stats.period.like("%-W%") if weeks else is_day()]
    if which.since is not None:
        where.append(_stats.period >= (week_of(which.since) if weeks else which.since))
    if which.until is not None:
        where.append(_stats.period <= (week_of(which.until) if weeks else which.until))
    return where


def _named(kind: str, tenant: str) -> tuple[Any, tuple[Any, ...], Any]:
    """Sums joined with what names their subject; the columns of its name; its college."""
    if kind == COLLEGE:
        return attendance_stats, (), _stats.college
    if kind == COURSE:
        same = and_(
            offerings.c.tenant_id == tenant, offerings.c.term == _stats.xnxq, offerings.c.id == _stats.course_id
        )
        names = (offerings.c.name, offerings.c.kkh, offerings.c.kcbh)
        return attendance_stats.join(offerings, same, isouter=True), names, offerings.c.college
    who = "student" if kind == USER else TEACHER
    person = and_(users.c.tenant_id == tenant, users.c.kind == who, users.c.code == _SUBJECT[kind])
    return attendance_stats.join(users, person, isouter=True), (users.c.name,), users.c.college


def _visible(which: Which, seen: Seen, tenant: str, subject: Any, college: Any) -> list[ColumnElement[bool]]:
    """What narrows the sums to those that the caller may see."""
    if seen.colleges is None:
        return []
    mine: list[ColumnElement[bool]] = [false()]
    mine += [subject == seen.own] if seen.own is not None and which.kind in (USER, TEACHER) else []
    if which.kind == COURSE:
        return seen.within.where(tenant)
    if which.kind == USER and which.course is not None:
        there = (offerings.c.term == _stats.xnxq, offerings.c.id == which.course)
        mine.append(select(offerings.c.id).where(*seen.within.where(tenant), *there).exists())
    elif seen.colleges:
        mine.append(college.in_([one for one in seen.colleges if one]))
    return [or_(*mine)]


def of_student(
    connection: Connection, code: str, *, tenant: str, per: str, term: str | None, course: str | None = None
) -> list[tuple[str, Key, Counter[str]]]:
    """The sums of a student by week or day, or by term: (term, key, counts) from details, in their order."""
    same = and_(
        _roster.tenant_id == _detail.tenant_id, _roster.term == _detail.term, _roster.session_id == _detail.session_id
    )
    where = [_detail.tenant_id == tenant, _detail.code == code, _detail.counted != ""]
    where += [] if term is None else [_detail.term == term]
    where += [] if course is None else [_roster.course_id == course]
    columns = (_detail.term, _roster.course_date, _detail.counted)
    joined = attendance_roster_detail.join(attendance_roster, same)
    rows = connection.execute(
        select(*columns, func.count().label("many")).select_from(joined).where(*where).group_by(*columns)
    )
    at = (TERM, WEEK, DAY).index(per)
    sums: dict[str, dict[Key, Counter[str]]] = {}
    for row in rows:
        key = Key(code, course or "", period=periods_of(row.course_date)[at])
        add(sums.setdefault(row.term, {}), [key], "", row.counted, times=row.many)
    return [(xnxq, key, counts) for xnxq, found in sorted(sums.items()) for key, counts in sorted(found.items())]
