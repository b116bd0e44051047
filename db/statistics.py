"""Sums of attendance, and counting them again.

Whoever changes what a detail is counted as changes, in the same transaction, the sum of the whole term of its student, course,
teachers and college, and in the order of the keys that sum before any other of the same subject. So who holds the lock of that
one row sees all sums of the subject, and all details behind them, as they were before or after any writer: never in between.
A plain read is enough for the details, because every writer that is not over waits for the lock that the counter holds.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, tuple_, update

from db.tables import (
    AnyRow,
    attendance_roster,
    attendance_roster_detail,
    attendance_roster_teachers,
    attendance_stats,
    offerings,
    rolls,
    sessions,
    users,
)  # fmt: skip
from db.upsert import insert_missing, insert_rows, upsert
from domain.statistics import (
    COLLEGE,
    COURSE,
    NO_COLLEGE,
    STATS,
    TEACHER,
    USER,
    Key,
    Place,
    add,
    key_of,
    periods_of,
)  # fmt: skip

_stats, _roster, _detail, _taught = (
    attendance_stats.c, attendance_roster.c, attendance_roster_detail.c, attendance_roster_teachers.c,
)  # fmt: skip
_KEY: Final = tuple(Key._fields)
_COLUMN: Final[Mapping[str, str]] = {
    USER: "user_id", COURSE: "course_id", TEACHER: "teacher_id", COLLEGE: "college",
}  # fmt: skip

Sums = dict[Key, Counter[str]]


# --- what a class counts for -----------------------------------------------------------------------------------------


def count_from_now(connection: Connection, row: AnyRow, *, status: str) -> bool:
    """Write down, once, what a roster counts for, and that its session has ended. False where that was done before."""
    mine = (_roster.tenant_id == row.tenant_id, _roster.term == row.term, _roster.session_id == row.session_id)
    place = _place_of(connection, row)
    values = {"swept_ms": func.coalesce(_roster.swept_ms, row.end_ms), "status": status, "version": _roster.version + 1}
    hit = connection.execute(
        update(attendance_roster).where(*mine, _roster.college.is_(None)).values(college=place.college, **values)
    )
    if hit.rowcount != 1:
        return False
    same = {"tenant_id": row.tenant_id, "term": row.term, "session_id": row.session_id}
    insert_rows(connection, attendance_roster_teachers, ("code",), [(code,) for code in place.teachers], same=same)
    ours = (_detail.tenant_id == row.tenant_id, _detail.term == row.term, _detail.session_id == row.session_id)
    if row.swept_ms is not None:  # closed by older code: it is in none of these sums
        connection.execute(update(attendance_roster_detail).where(*ours, _detail.counted != "").values(counted=""))
    return True


def _place_of(connection: Connection, row: AnyRow) -> Place:
    """As the timetable says now. Teachers are those of the course whose name the session has, or else all of them."""
    course = (offerings.c.tenant_id == row.tenant_id, offerings.c.term == row.term, offerings.c.id == row.course_id)
    college = connection.execute(select(offerings.c.college).where(*course)).scalar()
    mine = (sessions.c.tenant_id == row.tenant_id, sessions.c.term == row.term, sessions.c.id == row.session_id)
    named = set(json.loads(connection.execute(select(sessions.c.teachers).where(*mine)).scalar() or "[]"))
    people = (users.c.tenant_id == rolls.c.tenant_id) & (users.c.kind == rolls.c.kind) & (users.c.code == rolls.c.code)
    on_roll = (rolls.c.tenant_id == row.tenant_id, rolls.c.term == row.term, rolls.c.offering_id == row.course_id)
    found = connection.execute(
        select(rolls.c.code, users.c.name)
        .select_from(rolls.join(users, people, isouter=True))
        .where(*on_roll, rolls.c.kind == "teacher")
    ).all()
    meant = [one.code for one in found if one.name in named] or [one.code for one in found]
    return Place(row.course_id, college or NO_COLLEGE, row.course_date, tuple(sorted(meant)))


def places(connection: Connection, rosters: Iterable[AnyRow], *, tenant: str, term: str) -> dict[str, Place]:
    """Session → what it counts for, of rosters that count for something."""
    counting = {row.session_id: row for row in rosters if row.college is not None}
    where = (_taught.tenant_id == tenant, _taught.term == term, _taught.session_id.in_(sorted(counting)))
    teachers: dict[str, list[str]] = {}
    for row in connection.execute(select(_taught.session_id, _taught.code).where(*where)) if counting else ():
        teachers.setdefault(row.session_id, []).append(row.code)
    return {
        one: Place(row.course_id, row.college, row.course_date, tuple(sorted(teachers.get(one, ()))))
        for one, row in counting.items()
    }


# --- sums ------------------------------------------------------------------------------------------------------------


def add_to(connection: Connection, sums: Mapping[Key, Mapping[str, int]], *, tenant: str, term: str) -> None:
    """Add to sums, in the order of their keys."""
    rows = [(*key, *(counts.get(name, 0) for name in STATS)) for key, counts in sorted(sums.items())]
    same = {"tenant_id": tenant, "xnxq": term}
    insert_rows(connection, attendance_stats, (*_KEY, *STATS), rows, same=same, adding=STATS)


def lock(connection: Connection, keys: Collection[Key], *, tenant: str, term: str) -> None:
    """Hold these sums to the end of the unit, in the order of their keys; those that are not there are made."""
    zeros = dict.fromkeys(STATS, 0)
    rows = [{"tenant_id": tenant, "xnxq": term, **key._asdict(), **zeros} for key in sorted(keys)]
    insert_missing(connection, attendance_stats, rows)
    where = (_stats.tenant_id == tenant, _stats.xnxq == term, _in(keys))
    connection.execute(select(_stats.period).where(*where).order_by(*_columns()).with_for_update()).all()


def overwrite(connection: Connection, sums: Mapping[Key, Mapping[str, int]], *, tenant: str, term: str) -> None:
    """Set sums of subjects that this unit has locked."""
    rows = [
        {"tenant_id": tenant, "xnxq": term, **key._asdict(), **{name: counts.get(name, 0) for name in STATS}}
        for key, counts in sorted(sums.items())
    ]
    upsert(connection, attendance_stats, rows, update=STATS)


def _columns() -> tuple[Any, ...]:
    return tuple(_stats[name] for name in _KEY)


def _in(keys: Collection[Key]) -> ColumnElement[bool]:
    return tuple_(*_columns()).in_([tuple(key) for key in sorted(keys)])


def about(kind: str) -> list[ColumnElement[bool]]:
    """The sums about a kind of subject; those of students in courses are about the students."""
    free = {_COLUMN[kind], "period"} | ({"course_id"} if kind == USER else set())
    return [_stats[_COLUMN[kind]] != "", *(_stats[name] == "" for name in _KEY if name not in free)]


def of_pair(course: str) -> list[ColumnElement[bool]]:
    """The sums of students in a course."""
    return [_stats.course_id == course, _stats.user_id != "", _stats.teacher_id == "", _stats.college == ""]


def stored(
    connection: Connection, kind: str, subjects: Collection[str], *, tenant: str, term: str, periods: Any = None
) -> Sums:
    """The sums of subjects that are not nothing. `periods` is a condition on `attendance_stats.period`."""
    where = [
        _stats.tenant_id == tenant,
        _stats.xnxq == term,
        *about(kind),
        _stats[_COLUMN[kind]].in_(sorted(subjects)),
    ]
    where += [] if periods is None else [periods]
    found: Sums = {}
    for row in connection.execute(select(attendance_stats).where(*where)):
        counts = Counter({name: getattr(row, name) for name in STATS})
        if any(counts.values()):
            found[Key(*(getattr(row, name) for name in _KEY))] = counts
    return found


# --- counting again --------------------------------------------------------------------------------------------------


def counted(
    connection: Connection, kind: str, subjects: Collection[str], *, tenant: str, term: str, day: str | None = None
) -> Sums:
    """The same sums from details; `day`: of that day alone."""
    subject, source = _source(kind)
    where = [_detail.tenant_id == tenant, _detail.term == term, _detail.counted != "", subject.in_(sorted(subjects))]
    where += [] if day is None else [_roster.course_date == day]
    second = _roster.course_id if kind == USER else _roster.course_date
    columns = (subject.label("subject"), second.label("second"), _detail.counted)
    rows = connection.execute(
        select(*columns, func.count().label("many")).select_from(source).where(*where).group_by(*columns)
    )
    found: Sums = {}
    for row in rows:
        if kind == USER:
            keys = [key_of(USER, row.subject), Key(row.subject, row.second)]
        else:
            keys = [key_of(kind, row.subject, one) for one in ([day] if day else periods_of(row.second))]
        add(found, keys, "", row.counted, times=row.many)
    return {key: counts for key, counts in found.items() if any(counts.values())}


def _source(kind: str) -> tuple[Any, Any]:
    """The column of a kind of subject, and details joined with what has it."""
    same = and_(
        _roster.tenant_id == _detail.tenant_id, _roster.term == _detail.term, _roster.session_id == _detail.session_id
    )
    joined = attendance_roster_detail.join(attendance_roster, same)
    if kind == TEACHER:
        taught = and_(
            _taught.tenant_id == _roster.tenant_id,
            _taught.term == _roster.term,
            _taught.session_id == _roster.session_id,
        )
        return _taught.code, joined.join(attendance_roster_teachers, taught)
    return {USER: _detail.code, COURSE: _roster.course_id, COLLEGE: _roster.college}[kind], joined


def days_added_up(connection: Connection, college: str, *, tenant: str, term: str) -> Sums:
    """The sums of a college over weeks and the term, from those of its days."""
    found: Sums = {}
    by_day = stored(connection, COLLEGE, [college], tenant=tenant, term=term, periods=is_day())
    for key, counts in by_day.items():
        for period in periods_of(key.period)[:-1]:
            found.setdefault(key_of(COLLEGE, college, period), Counter()).update(counts)
    return found


def is_day() -> ColumnElement[bool]:
    """The condition that a sum is of a day."""
    return and_(_stats.period != "", _stats.period.not_like("%W%"))


def is_period(period: str) -> ColumnElement[bool]:
    """The condition that a sum is of this period."""
    return _stats.period == period


def subjects_after(connection: Connection, kind: str, after: str, *, tenant: str, term: str, limit: int) -> list[str]:
    """Subjects behind one, in their order: those of rosters and those that have a sum."""
    column = {USER: _detail.code, COURSE: _roster.course_id, TEACHER: _taught.code, COLLEGE: _roster.college}[kind]
    table = column.table
    where = (table.c.tenant_id == tenant, table.c.term == term, column > after)
    there = connection.execute(select(column).where(*where).distinct().order_by(column).limit(limit)).scalars()
    mine = _stats[_COLUMN[kind]]
    mine_only = (_stats.tenant_id == tenant, _stats.xnxq == term, *about(kind), mine > after)
    summed = connection.execute(select(mine).where(*mine_only).distinct().order_by(mine).limit(limit)).scalars()
    return sorted({*there, *summed})[:limit]


def college_days_after(
    connection: Connection, college: str, day: str, *, tenant: str, term: str, limit: int
) -> list[tuple[str, str]]:
    """(college, day) behind one, in their order."""
    found: set[tuple[str, str]] = set()
    for table, xnxq, one, when in (
        (attendance_roster, _roster.term, _roster.college, _roster.course_date),
        (attendance_stats, _stats.xnxq, _stats.college, _stats.period),
    ):
        behind = or_(one > college, and_(one == college, when > day))
        where = [table.c.tenant_id == tenant, xnxq == term, behind]
        where += [*about(COLLEGE), is_day()] if table is attendance_stats else []
        rows = connection.execute(select(one, when).where(*where).distinct().order_by(one, when).limit(limit))
        found |= {(row[0], row[1]) for row in rows}
    return sorted(found)[:limit]


def how_many(connection: Connection, terms: Sequence[str], *, tenant: str) -> int:
    """About how many things a recount compares: rosters, and whom there are sums about."""
    rosters = (_roster.tenant_id == tenant, _roster.term.in_(terms))
    of_terms = (_stats.tenant_id == tenant, _stats.xnxq.in_(terms), _stats.period == "")
    whole = or_(_stats.user_id == "", _stats.course_id == "")
    counts = (
        select(func.count()).select_from(attendance_roster).where(*rosters),
        select(func.count()).select_from(attendance_stats).where(*of_terms, whole),
    )
    return sum(int(connection.execute(one).scalar_one()) for one in counts)


def colleges_of(
    connection: Connection, kind: str, subjects: Collection[str], *, tenant: str, term: str
) -> dict[str, str]:
    """Subject → its college, where that is known: of a session and a course the course's."""
    if kind in (USER, TEACHER):
        who = "student" if kind == USER else TEACHER
        mine = (users.c.tenant_id == tenant, users.c.kind == who, users.c.code.in_(sorted(subjects)))
        return {row.code: row.college for row in connection.execute(select(users.c.code, users.c.college).where(*mine))}
    if kind == COLLEGE:
        return {one: one for one in subjects}
    course = (offerings.c.tenant_id == tenant, offerings.c.term == term, offerings.c.id.in_(sorted(subjects)))
    return {
        row.id: row.college for row in connection.execute(select(offerings.c.id, offerings.c.college).where(*course))
    }
