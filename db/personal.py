"""What the planner reads in layout `personal`: people with an account and classes, and calendars that are left over."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select

from db import opt_outs
from db.people import TEACHER
from db.rolls import SUBSTITUTE
from db.tables import mirror, offerings, rolls, sessions, users
from domain.layouts import PERSONAL, PREFIX, person_key
from domain.plans import course_title

PAGE_PEOPLE = 6
"""People of a page: a student has some 300 classes in a term, so that a page has about 2,000 events."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person in a term: all of its rolls as one, whatever kind. `taken` has (offering, whether as a teacher), `stood_in`
    the offerings of which it has some classes only, as a substitute.
    """

    term: str
    code: str
    name: str
    college: str
    wps_id: str
    taken: tuple[tuple[str, bool], ...]
    stood_in: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """What its targets are made of."""
        return person_key(term=self.term, code=self.code)

    @property
    def title(self) -> str:
        """What its calendar is called."""
        return self.name or self.code

    @property
    def offerings(self) -> set[str]:
        """Every offering that some class of this person is of."""
        return {offering for offering, _ in self.taken}.union(self.stood_in)

    @property
    def teaches(self) -> bool:
        """Whether it is on a roll as a teacher."""
        return bool(self.stood_in) or any(teacher for _, teacher in self.taken)


def _has_classes(*more: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a row of `users` is on a roll and has not opted out of its term; `more` are conditions on the roll."""
    held = exists().where(
        sessions.c.tenant_id == rolls.c.tenant_id,
        sessions.c.term == rolls.c.term,
        sessions.c.offering_id == rolls.c.offering_id,
    )
    same = (rolls.c.tenant_id == users.c.tenant_id, rolls.c.code == users.c.code)
    inside = ~opt_outs.out(rolls.c.tenant_id, rolls.c.term, rolls.c.code)
    # Two questions, each answered by the index of `rolls`; one with OR inside is not.
    own = exists().where(*same, rolls.c.kind == users.c.kind, *more, held, inside)
    stands_in = exists().where(*same, rolls.c.kind == SUBSTITUTE, *more, held, inside)
    return or_(own, and_(users.c.kind == TEACHER, stands_in))


def people(
    connection: Connection, *, tenant: str, term: str, after: str, among: Sequence[ColumnElement[bool]] = ()
) -> list[Person]:
    """The next people after the number `after` who have an account and a class in the term, in the order of their numbers.

    `among` are conditions on `rolls` that choose people by what they take: those of some offerings, say.
    """
    codes = connection.execute(
        select(users.c.code)
        .distinct()
        .where(
            users.c.tenant_id == tenant,
            users.c.wps_id.is_not(None),
            users.c.code > after,
            _has_classes(rolls.c.term == term, *among),
        )
        .order_by(users.c.code)
        .limit(PAGE_PEOPLE)
    )
    return _read(connection, list(codes.scalars()), tenant=tenant, term=term)


def people_among(connection: Connection, codes: Sequence[str], *, tenant: str, term: str) -> list[Person]:
    """Those of some numbers who have an account and a class in the term, in the order of their numbers."""
    return _read(
        connection, sorted(still_needed(connection, codes, tenant=tenant, term=term)), tenant=tenant, term=term
    )


def person(connection: Connection, *, tenant: str, term: str, group_id: str) -> Person | None:
    """Whose calendar that is; None when there was none, or when nobody needs it any more."""
    where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target == group_id)
    code = connection.execute(select(mirror.c.source_id).where(*where)).scalar()
    found = [] if code is None else _read(connection, [code], tenant=tenant, term=term)
    return found[0] if found else None


def _read(connection: Connection, codes: Sequence[str], *, tenant: str, term: str) -> list[Person]:
    if not codes:
        return []
    known: dict[str, tuple[str, str, str]] = {}
    rows = connection.execute(
        # Whoever teaches and learns is a teacher first: descending, "teacher" is before "student".
        select(users.c.code, users.c.name, users.c.college, users.c.wps_id)
        .where(users.c.tenant_id == tenant, users.c.code.in_(codes), users.c.wps_id.is_not(None))
        .order_by(users.c.code, users.c.kind.desc())
    )
    for row in rows:
        name, college, wps_id = known.get(row.code, ("", "", row.wps_id))
        known[row.code] = (name or row.name, college or row.college, wps_id)
    taken: dict[str, list[tuple[str, bool]]] = {}
    stood_in: dict[str, list[str]] = {}
    listed = connection.execute(
        select(rolls.c.code, rolls.c.offering_id, rolls.c.kind)
        .where(rolls.c.tenant_id == tenant, rolls.c.kind.in_(("student", TEACHER, SUBSTITUTE)), rolls.c.code.in_(codes))
        .where(rolls.c.term == term, ~opt_outs.out(rolls.c.tenant_id, rolls.c.term, rolls.c.code))
        .order_by(rolls.c.offering_id)
    )
    for code, offering_id, kind in listed:
        if kind == SUBSTITUTE:
            stood_in.setdefault(code, []).append(offering_id)
        else:
            taken.setdefault(code, []).append((offering_id, kind == TEACHER))
    return [
        Person(term, code, *known[code], tuple(taken.get(code, ())), tuple(stood_in.get(code, ())))
        for code in sorted(codes)
        if code in known and (code in taken or code in stood_in)
    ]


def titles(connection: Connection, offering_ids: Sequence[str], *, tenant: str, term: str) -> dict[str, str]:
    """Offering → what people call it."""
    where = (offerings.c.tenant_id == tenant, offerings.c.term == term, offerings.c.id.in_(offering_ids))
    rows = connection.execute(select(offerings.c.id, offerings.c.name, offerings.c.kcbh, offerings.c.kkh).where(*where))
    return {row.id: course_title(name=row.name, kcbh=row.kcbh, kkh=row.kkh) for row in rows}


@dataclass(frozen=True, slots=True)
class Kept:
    """A calendar of ours, whatever has become of it: its target, its lane, and whose it is (layout `personal`)."""

    target: str
    lane: str
    code: str | None


def calendars(connection: Connection, *, tenant: str, term: str, prefix: str, after: str, limit: int) -> list[Kept]:
    """The next calendars whose targets begin with `prefix`, in their order."""
    rows = connection.execute(
        select(mirror.c.target, mirror.c.lane, mirror.c.source_id)
        .where(
            mirror.c.tenant_id == tenant,
            mirror.c.term == term,
            # The end of the range keeps the walk off the events, which are most of the table.
            mirror.c.target > (after or prefix),
            mirror.c.target < _end(prefix),
        )
        .order_by(mirror.c.target)
        .limit(limit)
    )
    return [Kept(row.target, row.lane, row.source_id) for row in rows]


def kept(connection: Connection, targets: Sequence[str], *, tenant: str, term: str) -> list[Kept]:
    """Those of some calendars that are, or were, there."""
    where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target.in_(targets))
    rows = connection.execute(select(mirror.c.target, mirror.c.lane, mirror.c.source_id).where(*where))
    return [Kept(row.target, row.lane, row.source_id) for row in rows]


def everybody(connection: Connection, *, tenant: str, term: str) -> list[str]:
    """The numbers of all who have an account and a class in the term, or a calendar, sorted."""
    where = (users.c.tenant_id == tenant, users.c.wps_id.is_not(None), _has_classes(rolls.c.term == term))
    own = PREFIX[PERSONAL]
    there = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target > own, mirror.c.target < _end(own))
    holders = select(mirror.c.source_id).where(*there, mirror.c.source_id.is_not(None))
    return sorted({*connection.scalars(select(users.c.code).where(*where)), *connection.scalars(holders)})


def _end(prefix: str) -> str:
    """What no target that begins so sorts behind."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def still_needed(connection: Connection, codes: Sequence[str], *, tenant: str, term: str) -> set[str]:
    """Those of the numbers whose people have an account and a class in the term."""
    where = and_(users.c.tenant_id == tenant, users.c.code.in_(codes), users.c.wps_id.is_not(None))
    rows = connection.execute(select(users.c.code).where(where, _has_classes(rolls.c.term == term)))
    return set(rows.scalars())


def in_use(connection: Connection, *, tenant: str, prefix: str) -> int:
    """How many calendars of a layout WPS has, or may have."""
    where = (mirror.c.tenant_id == tenant, mirror.c.kind == "calendar", mirror.c.target.like(f"{prefix}%"))
    there = (mirror.c.state == "live") | mirror.c.intent_verb.is_not(None)
    return len(connection.execute(select(mirror.c.target).where(*where, there)).all())
