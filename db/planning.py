"""What the planner reads, a page of courses at a time: courses, their classes, what WPS has of them, and what is on its way.

Most plans find nothing to do. So a page is first asked for the courses that may differ, by the hashes that both sides carry,
and only these are read and compared whole. The question may name a course too many, and never one too few.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Table, and_, func, literal, or_, select

from db import mirror as mirror_rows
from db import pins as pin_rows
from db.clock import now_ms
from db.jobs import MIRRORED, OPEN
from db.tables import AnyRow, failures, jobs, mirror, offerings, run_offerings, sessions, tenants, terms
from domain.alterations import alteration_of
from domain.pins import Pin
from domain.plans import Operation, SessionView, calendar_target, course_title, members_target
from domain.scopes import EVERYTHING, Scope
from domain.settlement import Mirrored
from domain.terms import ARCHIVED

PAGE_ROWS: Final = 1_850
"""Classes of a page; with the calendars and rolls of their courses about 2,000 targets."""

PAGE_COURSES: Final = 200
LAST_CALENDAR: Final = "cal;"
"""No calendar of a course sorts behind it."""

_ASKED_FOR: Final = (*OPEN, "dead")  # what died is tried again


@dataclass(frozen=True, slots=True)
class Chosen:
    """Only what a run has chosen (see `db.scopes`), and of that, with `needs`, only what needs one of these.

    `only` is the scope of the run, which layout `personal` goes by; with `of_people` its colleges are those of people.
    """

    run_id: str
    needs: int = 0
    only: Scope = EVERYTHING
    of_people: bool = False

    def holds(self, term: ColumnElement[str], offering_id: ColumnElement[str]) -> ColumnElement[bool]:
        """Whether the offering is one of them."""
        same = (run_offerings.c.run_id == self.run_id, run_offerings.c.term == term)
        needs = (run_offerings.c.needs.bitwise_and(self.needs) != 0,) if self.needs else ()
        return select(run_offerings.c.needs).where(*same, run_offerings.c.offering_id == offering_id, *needs).exists()


@dataclass(frozen=True, slots=True)
class Course:
    """An offering as the planner reads it. `held` is how many classes it has."""

    term: str
    id: str
    kkh: str
    kcbh: str
    name: str
    college: str
    lane: str | None
    held: int

    @property
    def title(self) -> str:
        """What people call it."""
        return course_title(name=self.name, kcbh=self.kcbh, kkh=self.kkh)


def terms_of(connection: Connection, table: Table, *, tenant: str, since: str) -> list[str]:
    """The terms from `since` on that the table has rows of, without archived ones: nothing is planned for these any more."""
    archived = select(terms.c.xnxq).where(terms.c.tenant_id == tenant, terms.c.status == ARCHIVED)
    closed = set(connection.execute(archived).scalars())
    found: list[str] = []
    # One step of the key for each term, however many rows it has.
    after = table.c.term >= since
    while True:
        term = connection.execute(select(func.min(table.c.term)).where(table.c.tenant_id == tenant, after)).scalar()
        if term is None:
            return [one for one in found if one not in closed]
        found.append(term)
        after = table.c.term > term


_COURSE: Final = (
    offerings.c.term, offerings.c.id, offerings.c.kkh, offerings.c.kcbh, offerings.c.name, offerings.c.college,
    offerings.c.lane,
)  # fmt: skip


def courses(
    connection: Connection, *, tenant: str, term: str, after: str, chosen: Chosen | None = None
) -> list[Course]:
    """The courses after the one with id `after`, in the order of their ids: as many as make a page, at least one."""
    mine = () if chosen is None else (chosen.holds(offerings.c.term, offerings.c.id),)
    rows = connection.execute(
        select(*_COURSE)
        .where(offerings.c.tenant_id == tenant, offerings.c.term == term, offerings.c.id > after, *mine)
        .order_by(offerings.c.id)
        .limit(PAGE_COURSES)
    ).all()
    if not rows:
        return []
    held = _held(connection, tenant, term, _among(sessions.c.offering_id, [row.id for row in rows], chosen))
    page: list[Course] = []
    left = PAGE_ROWS
    for row in rows:
        left -= held.get(row.id, 0)
        if left < 0 and page:
            break
        page.append(Course(*row, held.get(row.id, 0)))
    return page


def course(connection: Connection, *, tenant: str, term: str, offering_id: str) -> Course | None:
    """One course; None when the timetable has no such course."""
    where = (offerings.c.tenant_id == tenant, offerings.c.term == term, offerings.c.id == offering_id)
    row = connection.execute(select(*_COURSE).where(*where)).one_or_none()
    if row is None:
        return None
    held = _held(connection, tenant, term, sessions.c.offering_id == offering_id)
    return Course(*row, held.get(offering_id, 0))


def courses_of(connection: Connection, *, tenant: str, term: str, offering_ids: Sequence[str]) -> list[Course]:
    """Those of these courses that the timetable has."""
    where = (offerings.c.tenant_id == tenant, offerings.c.term == term, offerings.c.id.in_(offering_ids))
    rows = connection.execute(select(*_COURSE).where(*where).order_by(offerings.c.id)).all()
    if not rows:
        return []
    held = _held(connection, tenant, term, sessions.c.offering_id.in_([row.id for row in rows]))
    return [Course(*row, held.get(row.id, 0)) for row in rows]


def _among(column: ColumnElement[str], ids: Sequence[str], chosen: Chosen | None) -> ColumnElement[bool]:
    """Whether the column is one of sorted ids: where these are everything between the first and the last, by that range."""
    return column.between(ids[0], ids[-1]) if chosen is None else column.in_(ids)


def _held(connection: Connection, tenant: str, term: str, among: ColumnElement[bool]) -> dict[str, int]:
    """How many classes each of some offerings has."""
    rows = connection.execute(
        select(sessions.c.offering_id, func.count())
        .where(sessions.c.tenant_id == tenant, sessions.c.term == term, among)
        .group_by(sessions.c.offering_id)
    )
    return {row[0]: row[1] for row in rows}


# --- which courses may differ -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """What WPS has of a calendar or of its members: just enough to see that nothing has changed."""

    state: str
    sent_hash: str
    name: str | None
    settled: bool


def heads(connection: Connection, *, tenant: str, term: str, offering_ids: Sequence[str]) -> dict[str, Head]:
    """The calendars and members of courses, by target."""
    targets = [make(one) for one in offering_ids for make in (calendar_target, members_target)]
    rows = connection.execute(
        select(mirror.c.target, mirror.c.state, mirror.c.sent_hash, mirror.c.name, mirror.c.intent_verb).where(
            mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target.in_(targets)
        )
    )
    return {target: Head(state, sent, name, intent is None) for target, state, sent, name, intent in rows.all()}


def changed_courses(
    connection: Connection, *, tenant: str, term: str, page: Sequence[Course], chosen: Chosen | None = None
) -> set[str]:
    """Those courses of a page of which an event is not as it was sent, or a job is open or dead.

    `page` has every course of its range of ids, in their order; or those that are `chosen`.
    """
    ids = [one.id for one in page]
    wanted = connection.execute(
        select(sessions.c.offering_id)
        .distinct()
        .join(
            mirror,
            and_(
                mirror.c.tenant_id == sessions.c.tenant_id,
                mirror.c.term == sessions.c.term,
                mirror.c.target == literal("evt:").concat(sessions.c.id),
            ),
            isouter=True,
        )
        .where(
            sessions.c.tenant_id == tenant,
            sessions.c.term == term,
            _among(sessions.c.offering_id, ids, chosen),
            or_(
                mirror.c.target.is_(None),
                sessions.c.event_hash.is_(None),
                sessions.c.event_hash != mirror.c.sent_hash,
                mirror.c.state != "live",
                mirror.c.intent_verb.is_not(None),
            ),
        )
    )
    found = set(wanted.scalars())
    groups = _surplus_groups(connection, tenant, term, ids, chosen) | _busy_groups(connection, tenant, page)
    groups |= _pinned_groups(connection, tenant, term, page)
    return found | {one.partition(":")[2] for one in groups}


def _surplus_groups(
    connection: Connection, tenant: str, term: str, ids: Sequence[str], chosen: Chosen | None
) -> set[str]:
    """Calendars in which WPS has an event whose class is gone."""
    rows = connection.execute(
        select(mirror.c.group_id)
        .distinct()
        .join(
            sessions,
            and_(
                sessions.c.tenant_id == mirror.c.tenant_id,
                sessions.c.term == mirror.c.term,
                sessions.c.id == func.substr(mirror.c.target, 5),
            ),
            isouter=True,
        )
        .where(
            mirror.c.tenant_id == tenant,
            mirror.c.term == term,
            _among(mirror.c.group_id, [calendar_target(one) for one in ids], chosen),
            mirror.c.kind == "event",
            mirror.c.target.like("evt:%"),
            or_(mirror.c.state == "live", mirror.c.intent_verb.is_not(None)),
            sessions.c.id.is_(None),
        )
    )
    return set(rows.scalars())


def _busy_groups(connection: Connection, tenant: str, page: Sequence[Course]) -> set[str]:
    """Calendars of which something is on its way to WPS, or did not get there."""
    rows = connection.execute(
        select(jobs.c.group_id)
        .distinct()
        .where(
            jobs.c.tenant_id == tenant,
            jobs.c.group_id.in_([calendar_target(one.id) for one in page]),
            jobs.c.state.in_(_ASKED_FOR),
            jobs.c.kind.in_(MIRRORED),
        )
    )
    return set(rows.scalars())


def _pinned_groups(connection: Connection, tenant: str, term: str, page: Sequence[Course]) -> set[str]:
    """Calendars of which something was taken back and is kept so."""
    groups = [calendar_target(one.id) for one in page]
    return set(pin_rows.of_calendars(connection, tenant=tenant, term=term, groups=groups))


# --- courses as a whole -------------------------------------------------------------------------------------------------


def classes(
    connection: Connection, *, tenant: str, term: str, offering_ids: Sequence[str]
) -> dict[str, list[SessionView]]:
    """Offering → its classes, by id."""
    columns = sessions.c
    rows = connection.execute(
        select(
            columns.offering_id,
            columns.id,
            columns.date,
            columns.start_ms,
            columns.end_ms,
            columns.rooms,
            columns.teachers,
            columns.altered,
        )
        .where(columns.tenant_id == tenant, columns.term == term, columns.offering_id.in_(offering_ids))
        .order_by(columns.id)
    )
    found: dict[str, list[SessionView]] = {}
    for offering_id, id_, day, start_ms, end_ms, rooms, teachers, altered in rows.all():
        said = alteration_of(altered)
        view = SessionView(id_, day, start_ms, end_ms, _rooms(rooms), _teachers(teachers), said)
        found.setdefault(offering_id, []).append(view)
    return found


# The classes of a course mostly are in one room, with one teacher.
@lru_cache(maxsize=512)
def _rooms(text: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((xq, lq, room) for xq, lq, room in json.loads(text))


@lru_cache(maxsize=512)
def _teachers(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


@dataclass(frozen=True, slots=True)
class State:
    """Mirror rows by calendar, what the open jobs of those calendars ask for, the targets of dead letters with their
    calendar, and what was taken back, by calendar."""

    mirrored: Mapping[str, list[Mirrored]]
    queued: Mapping[str, str]
    dead: Mapping[str, str]
    pins: Mapping[str, list[Pin]]

    def unwanted(self, calendar: str, operations: Iterable[Operation]) -> list[str]:
        """The dead letters of a calendar that are not put again by these operations."""
        again = {one.target for one in operations}
        return sorted(target for target, group in self.dead.items() if group == calendar and target not in again)


def state(connection: Connection, *, tenant: str, term: str, groups: Sequence[str]) -> State:
    """What WPS has of these calendars, and what is on its way."""
    where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.group_id.in_(groups))
    mirrored: dict[str, list[Mirrored]] = {}
    for row in connection.execute(select(mirror).where(*where)):
        mirrored.setdefault(row.group_id, []).append(mirror_rows.mirrored_of(row))
    asked_for = connection.execute(
        select(jobs.c.group_id, jobs.c.target, jobs.c.desired_hash, jobs.c.state).where(
            jobs.c.tenant_id == tenant,
            jobs.c.group_id.in_(groups),
            jobs.c.state.in_(_ASKED_FOR),
            jobs.c.kind.in_(MIRRORED),
        )
    ).all()
    queued = {row.target: row.desired_hash for row in asked_for if row.state != "dead"}
    dead = {row.target: row.group_id for row in asked_for if row.state == "dead"}
    return State(mirrored, queued, dead, pin_rows.of_calendars(connection, tenant=tenant, term=term, groups=groups))


@dataclass(frozen=True, slots=True)
class Orphan:
    """A calendar whose course is gone from the timetable."""

    target: str
    lane: str


def orphans(
    connection: Connection, *, tenant: str, term: str, after: str, limit: int, chosen: Chosen | None = None
) -> tuple[list[Orphan], str | None]:
    """Those of the next `limit` calendars whose course is gone; and the last calendar looked at, None at the end."""
    columns: tuple[Any, ...] = (mirror.c.target, mirror.c.lane, offerings.c.id)
    same_course = and_(
        offerings.c.tenant_id == mirror.c.tenant_id,
        offerings.c.term == mirror.c.term,
        offerings.c.id == func.substr(mirror.c.target, 5),
    )
    mine = () if chosen is None else (chosen.holds(mirror.c.term, func.substr(mirror.c.target, 5)),)
    rows: Sequence[AnyRow] = connection.execute(
        select(*columns)
        .join(offerings, same_course, isouter=True)
        .where(
            mirror.c.tenant_id == tenant,
            mirror.c.term == term,
            # The end of the range keeps the walk off the events, which are most of the table.
            mirror.c.target > (after or "cal:"),
            mirror.c.target < LAST_CALENDAR,
            *mine,
        )
        .order_by(mirror.c.target)
        .limit(limit)
    ).all()
    return [Orphan(row[0], row[1]) for row in rows if row[2] is None], rows[-1][0] if rows else None


def dead_copies(connection: Connection, *, tenant: str, term: str) -> list[Orphan]:
    """Second copies of calendars that could not be deleted: no course has them, and few there are."""
    where = (
        failures.c.tenant_id == tenant,
        failures.c.dead.is_(True),
        failures.c.kind == "calendar",
        failures.c.term == term,
        failures.c.target.like("sur:%"),
    )
    rows = connection.execute(select(failures.c.target, failures.c.lane).where(*where).order_by(failures.c.target))
    return [Orphan(row.target, row.lane) for row in rows]


def local_day(connection: Connection, *, tenant: str) -> tuple[date, ZoneInfo]:
    """The day it is for the tenant by the database's clock, and the zone that its days are in."""
    said = connection.execute(select(tenants.c.zone).where(tenants.c.id == tenant)).scalar_one_or_none()
    zone = ZoneInfo(said or "UTC")
    return datetime.fromtimestamp(now_ms(connection) / 1000, zone).date(), zone


def names_taken(connection: Connection, names: Sequence[str], *, tenant: str) -> set[str]:
    """Which of these calendar names are in use, in any term."""
    if not names:
        return set()
    where = (mirror.c.tenant_id == tenant, mirror.c.name.in_(names))
    return set(connection.execute(select(mirror.c.name).where(*where)).scalars())
