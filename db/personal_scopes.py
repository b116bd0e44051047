"""Scopes in layout `personal`: whose calendars a run looks at, and to which course each of their events belongs.

An event is found by its session, and by the beginning of its id where the session is gone: that is how the id of its course
begins. A few ids do not say it; such an event belongs to no course that a scope could name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, true

from db.planning import Chosen
from db.scopes import calendar_in, offering_in
from db.tables import mirror, offerings, rolls, sessions, users
from domain.aggregation import TOGETHER_CHARS, TOLD_CHARS, beginning_of_offering
from domain.plans import calendar_target
from domain.scopes import Scope

_events, _calendars = mirror.alias("events"), mirror.alias("calendars")


def courses(connection: Connection, scope: Scope, *, tenant: str, term: str) -> frozenset[str] | None:
    """The courses whose events the scope names, in a term; None where it names all classes of its people."""
    if not scope.divides_people:
        return None
    where = (offerings.c.tenant_id == tenant, offerings.c.term == term, _named(scope))
    return frozenset(connection.scalars(select(offerings.c.id).where(*where)))


def _named(scope: Scope) -> ColumnElement[bool]:
    """Whether the classes of a row of `offerings` are in the scope, whoever takes them."""
    return offering_in(replace(scope, users=()))


def people(
    connection: Connection, chosen: Chosen, of_courses: frozenset[str] | None, *, tenant: str, term: str
) -> list[str] | None:
    """The numbers of everybody with a calendar that the run may change, sorted; None: everybody.

    Of courses that is who takes them, and who has an event of them and does not take them any more.
    """
    scope = chosen.only
    if chosen.of_people:
        where = [users.c.tenant_id == tenant]
        where += [users.c.code.in_(scope.users)] if scope.users else []
        where += [users.c.college.in_(scope.colleges)] if scope.colleges else []
        return sorted(set(connection.scalars(select(users.c.code).where(*where))))
    if scope.users:
        return sorted(scope.users)
    if of_courses is None:
        return None
    named = select(offerings.c.id).where(offerings.c.tenant_id == tenant, offerings.c.term == term, _named(scope))
    taking = select(rolls.c.code).where(
        rolls.c.tenant_id == tenant, rolls.c.term == term, rolls.c.offering_id.in_(named)
    )
    return sorted({*connection.scalars(taking.distinct()), *_holders(connection, of_courses, tenant=tenant, term=term)})


def _holders(connection: Connection, of_courses: frozenset[str], *, tenant: str, term: str) -> set[str]:
    """Whose calendars have, or may have, an event of these courses."""
    if not of_courses:
        return set()
    untold = select(sessions.c.id).where(
        sessions.c.tenant_id == tenant,
        sessions.c.term == term,
        sessions.c.offering_id.in_(of_courses),
        func.length(sessions.c.id) != TOLD_CHARS,
    )
    beginnings = sorted({one[:TOGETHER_CHARS] for one in of_courses})
    its = and_(
        _calendars.c.tenant_id == _events.c.tenant_id,
        _calendars.c.term == _events.c.term,
        _calendars.c.target == _events.c.group_id,
    )
    found = (
        select(_calendars.c.source_id)
        .distinct()
        .select_from(_events.join(_calendars, its))
        .where(
            _events.c.tenant_id == tenant,
            _events.c.term == term,
            _events.c.kind == "event",
            or_(_events.c.state != "gone", _events.c.intent_verb.is_not(None)),
            or_(func.substr(_events.c.source_id, 1, TOGETHER_CHARS).in_(beginnings), _events.c.source_id.in_(untold)),
            _calendars.c.source_id.is_not(None),
        )
    )
    return set(connection.scalars(found))


def sessions_of_events(connection: Connection, groups: Sequence[str], *, tenant: str, term: str) -> dict[str, str]:
    """Target → session, of every event of these calendars."""
    where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.group_id.in_(groups))
    rows = connection.execute(
        select(mirror.c.target, mirror.c.source_id).where(
            *where, mirror.c.kind == "event", mirror.c.source_id.is_not(None)
        )
    )
    return {row.target: row.source_id for row in rows}


def are_of(
    connection: Connection, session_ids: Sequence[str], of_courses: frozenset[str], *, tenant: str, term: str
) -> Mapping[str, bool]:
    """Session → whether it is, or was, a class of one of these courses."""
    where = (sessions.c.tenant_id == tenant, sessions.c.term == term, sessions.c.id.in_(session_ids))
    rows = connection.execute(select(sessions.c.id, sessions.c.offering_id).where(*where))
    there = {row.id: row.offering_id in of_courses for row in rows}
    beginnings = {one[:TOGETHER_CHARS] for one in of_courses}
    return {one: there.get(one, beginning_of_offering(one) in beginnings) for one in session_ids}


# --- for guards ---------------------------------------------------------------------------------------------------------


def event_in(scope: Scope) -> ColumnElement[bool]:
    """Whether a row of `mirror` that is an event, with its row of `sessions` or none beside it, is in the scope."""
    if scope.is_everything:
        return true()
    of_course, of_person = mirror.c.source_id.is_(None), mirror.c.source_id.is_not(None)
    return or_(and_(of_course, _in_calendar_of_course(scope)), and_(of_person, _in_calendar_of_person(scope)))


def _in_calendar_of_course(scope: Scope) -> ColumnElement[bool]:
    its = (
        offerings.c.tenant_id == mirror.c.tenant_id,
        offerings.c.term == mirror.c.term,
        offerings.c.id == func.substr(mirror.c.group_id, len(calendar_target("")) + 1),
    )
    return or_(exists().where(*its, offering_in(scope)), and_(~exists().where(*its), calendar_in(scope)))


def _in_calendar_of_person(scope: Scope) -> ColumnElement[bool]:
    tests: list[ColumnElement[bool]] = [true()]
    if scope.terms:
        tests.append(mirror.c.term.in_(scope.terms))
    if scope.users:
        whose = mirror.alias("its_calendar")
        its = (whose.c.tenant_id == mirror.c.tenant_id, whose.c.term == mirror.c.term)
        tests.append(exists().where(*its, whose.c.target == mirror.c.group_id, whose.c.source_id.in_(scope.users)))
    if scope.divides_people:
        same = (offerings.c.tenant_id == mirror.c.tenant_id, offerings.c.term == mirror.c.term, _named(scope))
        began = func.substr(offerings.c.id, 1, TOGETHER_CHARS) == func.substr(mirror.c.source_id, 1, TOGETHER_CHARS)
        told = and_(sessions.c.id.is_(None), func.length(mirror.c.source_id) == TOLD_CHARS)
        of_session = exists().where(*same, offerings.c.id == sessions.c.offering_id)
        tests.append(or_(of_session, and_(told, exists().where(*same, began))))
    return and_(*tests)
