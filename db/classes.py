"""Classes as people look for them, and those that go on at the same time."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, func, or_, select

from db.people import STUDENT, TEACHER
from db.rolls import SUBSTITUTE
from db.tables import AnyRow, offerings, rolls, rooms, sessions, users
from domain.aggregation import Session
from domain.alterations import alteration_of
from domain.clashes import Held
from domain.plans import course_title

_SAME_COURSE = (
    (offerings.c.tenant_id == sessions.c.tenant_id)
    & (offerings.c.term == sessions.c.term)
    & (offerings.c.id == sessions.c.offering_id)
)


def _classes() -> Select[Any]:
    return select(sessions, offerings.c.kkh, offerings.c.kcbh, offerings.c.name).join(offerings, _SAME_COURSE)


def find(
    connection: Connection,
    *,
    tenant: str,
    term: str | None = None,
    course: str | None = None,
    teacher: str | None = None,
    room: str | None = None,
    day: str | None = None,
    student: str | None = None,
    since_ms: int | None = None,
    limit: int = 50,
) -> list[AnyRow]:
    """Classes by time. `course` is a number, a code or part of a name; `teacher` a name or a code; `room` as people write it."""
    where: list[ColumnElement[bool]] = [sessions.c.tenant_id == tenant]
    where += [sessions.c.term == term] if term is not None else []
    where += [sessions.c.date == day] if day is not None else []
    where += [sessions.c.end_ms > since_ms] if since_ms is not None else []
    if course is not None:
        named = offerings.c.name.contains(course, autoescape=True)
        where.append(or_(offerings.c.kkh == course, offerings.c.kcbh == course, named))
    if room is not None:
        # The JSON of a room without what stands between its parts reads as people write it: 一教101.
        where.append(func.replace(sessions.c.rooms, '", "', "").contains(room, autoescape=True))
    if teacher is not None:
        where.append(_taught_by(connection, tenant, teacher))
    if student is not None:
        where.append(_on_roll(rolls.c.kind == STUDENT, rolls.c.code == student))
    rows = connection.execute(_classes().where(*where).order_by(sessions.c.start_ms, sessions.c.id).limit(limit))
    return list(rows)


def _taught_by(connection: Connection, tenant: str, teacher: str) -> ColumnElement[bool]:
    where = (users.c.tenant_id == tenant, users.c.kind == TEACHER, users.c.code == teacher)
    name = connection.execute(select(users.c.name).where(*where)).scalar()
    if name is None:
        return sessions.c.teachers.contains(json.dumps(teacher, ensure_ascii=False), autoescape=True)
    said = sessions.c.teachers.contains(json.dumps(name or teacher, ensure_ascii=False), autoescape=True)
    return said & _on_roll(rolls.c.kind.in_((TEACHER, SUBSTITUTE)), rolls.c.code == teacher)


def _on_roll(*who: ColumnElement[bool]) -> ColumnElement[bool]:
    same = (
        rolls.c.tenant_id == sessions.c.tenant_id,
        rolls.c.term == sessions.c.term,
        rolls.c.offering_id == sessions.c.offering_id,
    )
    return exists().where(*same, *who)


def by_id(connection: Connection, text: str, *, tenant: str) -> list[AnyRow]:
    """The class of that id; or the first few whose ids begin so."""
    mine = sessions.c.tenant_id == tenant
    rows = connection.execute(_classes().where(mine, sessions.c.id == text)).all()
    if not rows:
        rows = connection.execute(
            _classes().where(mine, sessions.c.id.startswith(text, autoescape=True)).limit(3)
        ).all()
    return list(rows)


def of_course(connection: Connection, kkh: str, kcbh: str | None, *, tenant: str, term: str) -> list[AnyRow]:
    """The offerings of a number, and of a code where one is given."""
    where = [offerings.c.tenant_id == tenant, offerings.c.term == term, offerings.c.kkh == kkh]
    where += [offerings.c.kcbh == kcbh] if kcbh is not None else []
    return list(connection.execute(select(offerings).where(*where).order_by(offerings.c.kcbh)))


def at(
    connection: Connection, *, tenant: str, start_ms: int, end_ms: int, dates: Sequence[str], but: Collection[str] = ()
) -> list[AnyRow]:
    """Classes that are held, and go on between two instants; `dates` are the dates on which such a class may begin."""
    rows = connection.execute(
        _classes().where(
            sessions.c.tenant_id == tenant,
            sessions.c.date.in_(dates),
            sessions.c.start_ms < end_ms,
            sessions.c.end_ms > start_ms,
            sessions.c.cancelled.is_(False),
        )
    )
    return [row for row in rows if row.id not in but]


def of_days(connection: Connection, days: Sequence[str], *, tenant: str, term: str) -> list[AnyRow]:
    """Every class of the term that the source has on one of these dates."""
    of_source = func.coalesce(sessions.c.source_date, sessions.c.date)
    where = (sessions.c.tenant_id == tenant, sessions.c.term == term, of_source.in_(days))
    return list(connection.execute(_classes().where(*where).order_by(sessions.c.id)))


def students(
    connection: Connection, offering_ids: Collection[str], *, tenant: str, term: str
) -> Iterator[tuple[str, str, str]]:
    """(offering, kind, code) of everybody on the rolls of these offerings."""
    ids = sorted(offering_ids)
    for first in range(0, len(ids), 500):
        some = rolls.c.offering_id.in_(ids[first : first + 500])
        rows = connection.execute(
            select(rolls.c.offering_id, rolls.c.kind, rolls.c.code).where(
                rolls.c.tenant_id == tenant, rolls.c.term == term, some
            )
        )
        yield from ((row.offering_id, row.kind, row.code) for row in rows)


def rooms_called(connection: Connection, text: str, *, tenant: str) -> list[tuple[str, str, str]]:
    """The known rooms that people call so: by building and number, or by number alone."""
    known = connection.execute(select(rooms.c.xq, rooms.c.lq, rooms.c.room).where(rooms.c.tenant_id == tenant))
    listed = [(xq, lq, room) for xq, lq, room in known]
    whole = [one for one in listed if one[1] + one[2] == text]
    return whole or [one for one in listed if one[2] == text]


def teachers_called(connection: Connection, text: str, *, tenant: str) -> list[tuple[str, str]]:
    """(code, name) of the teachers of that code, else of that name."""
    mine = (users.c.tenant_id == tenant, users.c.kind == TEACHER)
    found: list[tuple[str, str]] = []
    for column in (users.c.code, users.c.name):
        rows = connection.execute(
            select(users.c.code, users.c.name).where(*mine, column == text).order_by(users.c.code)
        )
        found = found or [(code, name) for code, name in rows]
    return found


# --- rows as values -----------------------------------------------------------------------------------------------------


def title_of(row: AnyRow) -> str:
    """What people call the course of a class."""
    return course_title(name=row.name, kcbh=row.kcbh, kkh=row.kkh)


def as_session(row: AnyRow) -> Session:
    """A class as it is to be."""
    return Session(
        id=row.id,
        jxz=row.jxz,
        zc=row.zc,
        periods=tuple(int(one) for one in row.jc_s.split("/") if one),
        date=row.date,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        rooms=tuple((xq, lq, room) for xq, lq, room in json.loads(row.rooms)),
        teachers=tuple(json.loads(row.teachers)),
        lines=(),
        alteration=alteration_of(row.altered),
        source_date=row.source_date or "",
    )


def as_held(row: AnyRow) -> Held:
    """A class as far as it can be in the way of another."""
    listed = tuple(lq + room for _, lq, room in json.loads(row.rooms) if room)
    return Held(
        row.id, row.offering_id, title_of(row), row.start_ms, row.end_ms, listed, tuple(json.loads(row.teachers))
    )
