"""What became of students, as people look it up: rows of rosters with their check-ins, sums of courses and of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from db.courses import Within
from db.tables import (
    AnyRow,
    attendance_roster,
    attendance_roster_detail,
    attendance_stats,
    checkin_records,
    offerings,
    users,
)  # fmt: skip
from domain.attendance import ABNORMAL

_roster, _detail, _record = attendance_roster.c, attendance_roster_detail.c, checkin_records.c


@dataclass(frozen=True, slots=True)
class Which:
    """Rows that are asked for; None: all."""

    user: str | None = None
    course: str | None = None
    session: str | None = None
    status: str | None = None
    since: str | None = None
    until: str | None = None
    began: tuple[int, int] | None = None  # from, before; ms UTC
    exceptional: bool = False  # check-ins that somebody had to look at


def _joined() -> Any:
    roster = (_roster.tenant_id == _detail.tenant_id) & (_roster.term == _detail.term)
    record = (_record.tenant_id == _detail.tenant_id) & (_record.term == _detail.term)
    course = (offerings.c.tenant_id == _roster.tenant_id) & (offerings.c.term == _roster.term)
    return (
        attendance_roster_detail.join(attendance_roster, roster & (_roster.session_id == _detail.session_id))
        .join(offerings, course & (offerings.c.id == _roster.course_id), isouter=True)
        .join(
            checkin_records,
            record & (_record.session_id == _detail.session_id) & (_record.code == _detail.code),
            isouter=True,
        )
    )


def page(
    connection: Connection,
    which: Which,
    *,
    tenant: str,
    within: Within,
    own: str | None,
    limit: int,
    offset: int = 0,
    after: tuple[int, str, str] | None = None,
) -> list[AnyRow]:
    """Rows of rosters, the latest class first: of courses `within`, and those of the student `own` wherever they are.

    `after` is (start, session, student) of the last one seen.
    """
    where: list[ColumnElement[bool]] = [_detail.tenant_id == tenant, _detail.status != ""]
    if within.colleges is not None:
        mine = [_detail.code == own] if own is not None else []
        where.append(or_(and_(*within.where(tenant)), *mine))
    wanted = ((_detail.code, which.user), (_roster.course_id, which.course), (_detail.session_id, which.session))
    where += [column == value for column, value in (*wanted, (_detail.status, which.status)) if value is not None]
    where += [_roster.course_date >= which.since] if which.since is not None else []
    where += [_roster.course_date <= which.until] if which.until is not None else []
    where += _exceptional(which)
    if after is not None:
        start, session, code = after
        behind = or_(_detail.session_id > session, and_(_detail.session_id == session, _detail.code > code))
        where.append(or_(_roster.start_ms < start, and_(_roster.start_ms == start, behind)))
    columns = (
        _detail.term, _detail.session_id, _detail.code, _detail.status, _detail.leave_noted, _detail.produced_by, _detail.why,
        _roster.course_id, _roster.course_date, _roster.start_ms, _roster.end_ms, offerings.c.name, offerings.c.kkh,
        offerings.c.kcbh, _record.at_ms, _record.way, _record.reasons, _record.doubts, _record.outside_m, _record.accuracy_m,
        _record.rule_version, _record.receipt, _record.client_ms, _record.timing, _record.code_step,
        offerings.c.college,
    )  # fmt: skip
    order = (_roster.start_ms.desc(), _detail.session_id, _detail.code)
    return list(
        connection.execute(
            select(*columns).select_from(_joined()).where(*where).order_by(*order).limit(limit).offset(offset)
        )
    )


def _exceptional(which: Which) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if which.began is not None:
        where += [_roster.start_ms >= which.began[0], _roster.start_ms < which.began[1]]
    if which.exceptional:
        where.append(or_(_record.status == ABNORMAL, _record.doubts != ""))
    return where


def exceptions_by_college(
    connection: Connection, began: tuple[int, int], *, tenant: str, within: Within
) -> list[tuple[str, str, str, int]]:
    """(college, status, what it comes from, how many) of the check-ins that somebody had to look at, of classes that began in
    that time."""
    where = [_detail.tenant_id == tenant, *_exceptional(Which(began=began, exceptional=True))]
    where += [] if within.colleges is None else within.where(tenant)
    college = func.coalesce(offerings.c.college, "")
    columns = (college.label("college"), _detail.status, _detail.produced_by)
    asked = select(*columns, func.count().label("many")).select_from(_joined()).where(*where).group_by(*columns)
    return [(row.college, row.status, row.produced_by, row.many) for row in connection.execute(asked)]


def rosters_of(connection: Connection, course: AnyRow, *, tenant: str) -> list[AnyRow]:
    """The rosters of a course, the first class first."""
    where = (_roster.tenant_id == tenant, _roster.term == course.term, _roster.course_id == course.id)
    order = (_roster.start_ms, _roster.session_id)
    return list(connection.execute(select(attendance_roster).where(*where).order_by(*order)))


def stats_of(
    connection: Connection, *, tenant: str, term: str | None = None, course: str | None = None, user: str | None = None
) -> list[AnyRow]:
    """Statistics of closed sessions, (student, course): of a course those of its students, of a student those of his courses."""
    c = attendance_stats.c
    where: list[ColumnElement[bool]] = [c.tenant_id == tenant, c.user_id != "", c.course_id != ""]
    for column, value in ((c.xnxq, term), (c.course_id, course), (c.user_id, user)):
        if value is not None:
            where.append(column == value)
    return list(connection.execute(select(attendance_stats).where(*where).order_by(c.xnxq, c.course_id, c.user_id)))


def titles(connection: Connection, course_ids: Sequence[str], *, tenant: str) -> dict[tuple[str, str], AnyRow]:
    """(term, course) → the course."""
    where = (offerings.c.tenant_id == tenant, offerings.c.id.in_(sorted({*course_ids})))
    return {(row.term, row.id): row for row in connection.execute(select(offerings).where(*where))}


def names_of(connection: Connection, codes: Sequence[str], *, tenant: str) -> dict[str, str]:
    """Student → name."""
    where = (users.c.tenant_id == tenant, users.c.kind == "student", users.c.code.in_(sorted({*codes})))
    return {row.code: row.name for row in connection.execute(select(users.c.code, users.c.name).where(*where))}
