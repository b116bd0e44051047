"""Whom the desk has turned away, by class, student and cause: what a teacher, a secretary and an appeal want to know.

A refusal is no check-in and counts for nothing. Rows are what processes noted, added up; a process that is killed takes what it
noted in its last seconds with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, and_, delete, func, or_, select, update

from db.courses import Within
from db.tables import AnyRow, attendance_roster, attendance_roster_detail, checkin_refusals, offerings
from domain.attendance import ATTENDED, EARLY, LATE, REVIEW

_refusal, _roster, _detail = checkin_refusals.c, attendance_roster.c, attendance_roster_detail.c
_CAME = (ATTENDED, LATE, EARLY, REVIEW)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What one student was told about one class for one cause, `attempts` times. Metres outside of the fence; ms UTC."""

    term: str
    session_id: str
    code: str
    cause: str
    attempts: int
    first_ms: int
    last_ms: int
    outside_m: int | None = None


def add(connection: Connection, found: Sequence[Refusal], *, tenant: str) -> None:
    """Add what a process noted to what is known. Rows are written in the order of their keys."""
    for one in sorted(found, key=lambda each: (each.term, each.session_id, each.code, each.cause)):
        key = {
            "tenant_id": tenant,
            "term": one.term,
            "session_id": one.session_id,
            "code": one.code,
            "cause": one.cause,
        }
        where = (
            _refusal.tenant_id == tenant, _refusal.term == one.term, _refusal.session_id == one.session_id,
            _refusal.code == one.code, _refusal.cause == one.cause,
        )  # fmt: skip
        newest = {"last_ms": one.last_ms, "outside_m": one.outside_m}
        more = update(checkin_refusals).where(*where).values(attempts=_refusal.attempts + one.attempts, **newest)
        if connection.execute(more).rowcount == 0:
            connection.execute(
                checkin_refusals.insert(), [{**key, **newest, "attempts": one.attempts, "first_ms": one.first_ms}]
            )


def _joined() -> Any:
    roster = (_roster.tenant_id == _refusal.tenant_id) & (_roster.term == _refusal.term)
    detail = (_detail.tenant_id == _refusal.tenant_id) & (_detail.term == _refusal.term)
    course = (offerings.c.tenant_id == _roster.tenant_id) & (offerings.c.term == _roster.term)
    of_student = (_detail.session_id == _refusal.session_id) & (_detail.code == _refusal.code)
    return (
        checkin_refusals.join(attendance_roster, roster & (_roster.session_id == _refusal.session_id))
        .join(offerings, course & (offerings.c.id == _roster.course_id), isouter=True)
        .join(attendance_roster_detail, detail & of_student, isouter=True)
    )


def page(
    connection: Connection,
    began: tuple[int, int],
    *,
    tenant: str,
    within: Within,
    own: str | None = None,
    cause: str | None = None,
    limit: int,
    offset: int = 0,
    after: tuple[int, str, str, str] | None = None,
) -> list[AnyRow]:
    """Refusals in classes that began in that time, the latest class first: of courses `within`, and the student's `own`.

    Each with what became of the student (`status`, None: not on the roster). `after` is (start, session, student, cause) of the
    last one seen.
    """
    where = [_refusal.tenant_id == tenant, *_began(began), _reached(within, own, tenant)]
    where += [_refusal.cause == cause] if cause is not None else []
    if after is not None:
        start, *rest = after
        where.append(or_(_roster.start_ms < start, and_(_roster.start_ms == start, _behind(*rest))))
    columns = (
        *checkin_refusals.c, _roster.course_id, _roster.course_date, _roster.start_ms, _detail.status, offerings.c.name,
        offerings.c.kkh, offerings.c.kcbh, offerings.c.college,
    )  # fmt: skip
    order = (_roster.start_ms.desc(), _refusal.session_id, _refusal.code, _refusal.cause)
    asked = select(*columns).select_from(_joined()).where(*where).order_by(*order)
    return list(connection.execute(asked.limit(limit).offset(offset)))


def _behind(session: str, code: str, cause: str) -> ColumnElement[bool]:
    same = _refusal.session_id == session
    later = or_(_refusal.code > code, and_(_refusal.code == code, _refusal.cause > cause))
    return or_(_refusal.session_id > session, and_(same, later))


def _began(began: tuple[int, int]) -> list[ColumnElement[bool]]:
    return [_roster.start_ms >= began[0], _roster.start_ms < began[1]]


def _reached(within: Within, own: str | None, tenant: str) -> ColumnElement[bool]:
    if within.colleges is None:
        return _refusal.tenant_id == tenant
    mine = [] if own is None else [_refusal.code == own]
    return or_(and_(*within.where(tenant)), *mine)


def by_college(
    connection: Connection, began: tuple[int, int], *, tenant: str, within: Within
) -> list[tuple[str, str, int, int, int]]:
    """(college, cause, students, attempts, students who did not come in after all) of classes that began in that time."""
    where = [_refusal.tenant_id == tenant, *_began(began), _reached(within, None, tenant)]
    college = func.coalesce(offerings.c.college, "").label("college")
    counted = _counted(_joined(), where, college)
    return sorted(
        (row.college, row.cause, row.students, int(row.attempts), int(row.out)) for row in connection.execute(counted)
    )


def of_session(connection: Connection, session_id: str, *, tenant: str, term: str) -> list[tuple[str, int, int, int]]:
    """(cause, students, attempts, students who did not come in after all) of a class."""
    where = [_refusal.tenant_id == tenant, _refusal.term == term, _refusal.session_id == session_id]
    counted = _counted(_joined(), where)
    return sorted((row.cause, row.students, int(row.attempts), int(row.out)) for row in connection.execute(counted))


def _counted(joined: Any, where: Sequence[ColumnElement[bool]], *by: Any) -> Any:
    came = func.coalesce(func.sum(_detail.status.in_(_CAME).cast(Integer)), 0)
    sums = (
        func.count().label("students"),
        func.sum(_refusal.attempts).label("attempts"),
        (func.count() - came).label("out"),
    )
    return select(*by, _refusal.cause, *sums).select_from(joined).where(*where).group_by(*by, _refusal.cause)


def of_student(connection: Connection, session_id: str, code: str, *, tenant: str, term: str) -> list[AnyRow]:
    """Why a student was turned away from a class, the first time first."""
    where = (
        _refusal.tenant_id == tenant,
        _refusal.term == term,
        _refusal.session_id == session_id,
        _refusal.code == code,
    )
    return list(connection.execute(select(checkin_refusals).where(*where).order_by(_refusal.first_ms, _refusal.cause)))


def forget(connection: Connection, before_ms: int, *, tenant: str, limit: int) -> int:
    """Take away some that are older. Returns how many."""
    keys = (_refusal.term, _refusal.session_id, _refusal.code, _refusal.cause)
    old = select(*keys).where(_refusal.tenant_id == tenant, _refusal.last_ms < before_ms).limit(limit)
    found = connection.execute(old).all()
    for row in found:
        same = [column == value for column, value in zip(keys, row, strict=True)]
        connection.execute(delete(checkin_refusals).where(_refusal.tenant_id == tenant, *same))
    return len(found)
