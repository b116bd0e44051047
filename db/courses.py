"""Courses, their classes, and whose they are: as people look them up.

`Within` says which courses a list may show: it is part of every question, so that a page is full and nothing is read in vain.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, exists, false, or_, select

from db.people import TEACHER
from db.tables import AnyRow, offerings, rolls, rooms, sessions, terms, users
from domain.plans import course_title


@dataclass(frozen=True, slots=True)
class Within:
    """Courses of `colleges` (None: of all), and beside them those that `taught_by` teaches and those on whose roll `on` is."""

    colleges: tuple[str, ...] | None = None
    taught_by: str | None = None
    on: str | None = None

    def where(self, tenant: str) -> list[ColumnElement[bool]]:
        """The condition on `offerings`."""
        if self.colleges is None:
            return [offerings.c.tenant_id == tenant]
        either: list[ColumnElement[bool]] = [false()]
        if self.colleges:
            either.append(offerings.c.college.in_([one for one in self.colleges if one]))
        if self.taught_by is not None:
            either.append(_on_roll(tenant, rolls.c.kind == TEACHER, rolls.c.code == self.taught_by))
        if self.on is not None:
            either.append(_on_roll(tenant, rolls.c.kind.in_(("student", TEACHER)), rolls.c.code == self.on))
        return [offerings.c.tenant_id == tenant, or_(*either)]


ALL = Within()


def _on_roll(tenant: str, *more: ColumnElement[bool]) -> ColumnElement[bool]:
    same = (rolls.c.term == offerings.c.term, rolls.c.offering_id == offerings.c.id)
    return exists().where(rolls.c.tenant_id == tenant, *same, *more)


def like(text: str) -> str:
    """A pattern that finds the text anywhere; the escape character is /."""
    plain = text.replace("/", "//").replace("%", "/%").replace("_", "/_")
    return f"%{plain}%"


def page(
    connection: Connection,
    *,
    tenant: str,
    within: Within,
    limit: int,
    term: str | None = None,
    text: str | None = None,
    called: Sequence[str] = (),
    college: str | None = None,
    after: tuple[str, str] | None = None,
    offset: int = 0,
) -> list[AnyRow]:
    """Courses by term and id: those behind (term, id) `after`, or all but the first `offset`. `text` is part of a name or a
    number; those that are `called` one of these names are found too."""
    where = within.where(tenant)
    if term is not None:
        where.append(offerings.c.term == term)
    if college is not None:
        where.append(offerings.c.college == college)
    if text is not None:
        named = (offerings.c.name, offerings.c.kkh, offerings.c.kcbh)
        where.append(or_(offerings.c.name.in_(called), *(column.like(like(text), escape="/") for column in named)))
    if after is not None:
        where.append(or_(offerings.c.term > after[0], and_(offerings.c.term == after[0], offerings.c.id > after[1])))
    order = (offerings.c.term, offerings.c.id)
    return list(connection.execute(select(offerings).where(*where).order_by(*order).limit(limit).offset(offset)))


def get(connection: Connection, course_id: str, *, tenant: str) -> AnyRow | None:
    """A course by its id alone, in the newest term that has it."""
    known = select(terms.c.xnxq).where(terms.c.tenant_id == tenant)
    where = (offerings.c.tenant_id == tenant, offerings.c.term.in_(known), offerings.c.id == course_id)
    return connection.execute(select(offerings).where(*where).order_by(offerings.c.term.desc()).limit(1)).one_or_none()


def kinds_on_roll(connection: Connection, course: AnyRow, code: str, *, tenant: str) -> set[str]:
    """As what the person is on the roll of a course: student, teacher, both or neither."""
    where = (rolls.c.tenant_id == tenant, rolls.c.term == course.term, rolls.c.offering_id == course.id)
    return set(connection.execute(select(rolls.c.kind).where(*where, rolls.c.code == code)).scalars())


def of_person(
    connection: Connection, code: str, *, tenant: str, kinds: Sequence[str], term: str | None, limit: int
) -> list[AnyRow]:
    """The courses on whose rolls a person is, newest term first, at most `limit`."""
    mine = (rolls.c.tenant_id == tenant, rolls.c.kind.in_(kinds), rolls.c.code == code)
    same = (offerings.c.term == rolls.c.term) & (offerings.c.id == rolls.c.offering_id)
    where = [*mine, offerings.c.tenant_id == tenant]
    if term is not None:
        where.append(rolls.c.term == term)
    joined = rolls.join(offerings, (offerings.c.tenant_id == rolls.c.tenant_id) & same)
    order = (offerings.c.term.desc(), offerings.c.name, offerings.c.id)
    found = select(offerings).select_from(joined).where(*where).distinct().order_by(*order).limit(limit)
    return list(connection.execute(found))


def person(connection: Connection, code: str, *, tenant: str) -> AnyRow | None:
    """Somebody by number; who teaches and learns is a teacher first."""
    where = (users.c.tenant_id == tenant, users.c.code == code)
    return connection.execute(select(users).where(*where).order_by(users.c.kind.desc()).limit(1)).one_or_none()


# --- classes ------------------------------------------------------------------------------------------------------------

_OF_COURSE = (offerings.c.name, offerings.c.kkh, offerings.c.kcbh, offerings.c.college)
_SHOWN = (sessions, *_OF_COURSE)
# What a list tells of a class: a driver in Python takes its time for each column.
_LISTED = (
    *(sessions.c[name] for name in ("id", "term", "offering_id", "jxz", "zc", "jc_s", "date", "start_ms", "end_ms")),
    sessions.c.rooms, sessions.c.teachers, *_OF_COURSE,
)  # fmt: skip


def _joined() -> Any:
    same = (offerings.c.term == sessions.c.term) & (offerings.c.id == sessions.c.offering_id)
    return sessions.join(offerings, (offerings.c.tenant_id == sessions.c.tenant_id) & same)


def classes(
    connection: Connection,
    *,
    tenant: str,
    within: Within,
    limit: int,
    term: str | None = None,
    course: str | None = None,
    room: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    after: tuple[str, str] | None = None,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Classes by term and id that begin from `since_ms` on and before `until_ms`. `room` is the name of one, as rows have it."""
    where = [sessions.c.tenant_id == tenant, *within.where(tenant)]
    for column, wanted in ((sessions.c.term, term), (sessions.c.offering_id, course)):
        if wanted is not None:
            where.append(column == wanted)
    if room is not None:
        where.append(sessions.c.rooms.like(like(json.dumps(room, ensure_ascii=False)), escape="/"))
    if since_ms is not None:
        where.append(sessions.c.start_ms >= since_ms)
    if until_ms is not None:
        where.append(sessions.c.start_ms < until_ms)
    if after is not None:
        where.append(or_(sessions.c.term > after[0], and_(sessions.c.term == after[0], sessions.c.id > after[1])))
    order = (sessions.c.term, sessions.c.id)
    statement = select(*_LISTED).select_from(_joined()).where(*where).order_by(*order).limit(limit).offset(offset)
    return [_as_dict(row) for row in connection.execute(statement)]


def classes_of_person(
    connection: Connection, code: str, *, tenant: str, since: str | None, until: str | None, term: str | None = None
) -> list[dict[str, Any]]:
    """What somebody has, as a student or a teacher, in the order of time."""
    narrowed = {
        name: value for name, value in (("since", since), ("until", until), ("term", term)) if value is not None
    }
    said = {"tenant": tenant, "code": code, **narrowed}
    return [_as_dict(row) for row in connection.execute(_classes_of_person(frozenset(narrowed)), said)]


@cache
def _classes_of_person(narrowed: frozenset[str]) -> Select[Any]:
    """The statement, made once: making it takes longer than asking."""
    same = (rolls.c.term == sessions.c.term) & (rolls.c.offering_id == sessions.c.offering_id)
    joined = _joined().join(rolls, (rolls.c.tenant_id == sessions.c.tenant_id) & same)
    kinds = rolls.c.kind.in_(("student", TEACHER))
    where = [rolls.c.tenant_id == bindparam("tenant"), kinds, rolls.c.code == bindparam("code")]
    by_name = {
        "term": rolls.c.term == bindparam("term"),
        "since": sessions.c.date >= bindparam("since"),
        "until": sessions.c.date <= bindparam("until"),
    }
    where += [by_name[name] for name in sorted(narrowed)]
    statement = select(*_LISTED).distinct().select_from(joined).where(*where)
    return statement.order_by(sessions.c.start_ms, sessions.c.id)


def _as_dict(row: AnyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "term": row.term,
        "course_id": row.offering_id,
        "title": course_title(name=row.name, kcbh=row.kcbh, kkh=row.kkh),
        "college": row.college,
        "week": row.jxz,
        "weekday": row.zc,
        "periods": row.jc_s,
        "date": row.date,
        "start_ms": row.start_ms,
        "end_ms": row.end_ms,
        "rooms": [" ".join(part for part in place if part) for place in json.loads(row.rooms)],
        "teachers": json.loads(row.teachers),
    }


def session(connection: Connection, session_id: str, *, tenant: str) -> AnyRow | None:
    """A class by its id, in the newest term that has it, with what names its course."""
    known = select(terms.c.xnxq).where(terms.c.tenant_id == tenant)
    where = (sessions.c.tenant_id == tenant, sessions.c.term.in_(known), sessions.c.id == session_id)
    statement = select(*_SHOWN, offerings.c.lane).select_from(_joined()).where(*where, offerings.c.tenant_id == tenant)
    return connection.execute(statement.order_by(sessions.c.term.desc()).limit(1)).one_or_none()


# --- search -------------------------------------------------------------------------------------------------------------


def names(connection: Connection, *, tenant: str, limit: int) -> dict[str, list[str]]:
    """The names that can be looked for, each once: of courses, teachers and buildings, at most `limit` of each."""
    asked = {
        "courses": select(offerings.c.name).where(offerings.c.tenant_id == tenant),
        "teachers": select(users.c.name).where(users.c.tenant_id == tenant, users.c.kind == TEACHER),
        "buildings": select(rooms.c.lq).where(rooms.c.tenant_id == tenant),
    }
    return {
        what: sorted(one for one in connection.execute(statement.distinct().limit(limit)).scalars() if one)
        for what, statement in asked.items()
    }


def teachers_like(
    connection: Connection,
    text: str,
    *,
    tenant: str,
    colleges: tuple[str, ...] | None,
    limit: int,
    called: Sequence[str] = (),
) -> list[AnyRow]:
    """Teachers with the text in their name or number, or with one of these names, of these colleges (None: of all)."""
    named = or_(
        users.c.name.in_(called), *(column.like(like(text), escape="/") for column in (users.c.name, users.c.code))
    )
    where = [users.c.tenant_id == tenant, users.c.kind == TEACHER, named]
    if colleges is not None:
        where.append(users.c.college.in_([one for one in colleges if one]))
    return list(connection.execute(select(users).where(*where).order_by(users.c.code).limit(limit)))


def rooms_like(
    connection: Connection, text: str, *, tenant: str, limit: int, called: Sequence[str] = ()
) -> list[AnyRow]:
    """Rooms with the text in the name of room, building or campus, or in one of these buildings."""
    named = or_(
        rooms.c.lq.in_(called),
        *(column.like(like(text), escape="/") for column in (rooms.c.room, rooms.c.lq, rooms.c.xq)),
    )
    order = (rooms.c.xq, rooms.c.lq, rooms.c.room)
    return list(
        connection.execute(select(rooms).where(rooms.c.tenant_id == tenant, named).order_by(*order).limit(limit))
    )
