"""Who is expected in a session, what became of each, and how many of which.

Everyone who writes locks in one order: details by session and student, then rosters by session. Rows are added and updated,
never removed.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from db import key_ranges
from db.check_ins import of_keys
from db.clock import now_ms
from db.key_ranges import Keys
from db.tables import (
    AnyRow,
    attendance_facts,
    attendance_roster,
    attendance_roster_detail,
    rolls,
    sessions,
)  # fmt: skip
from db.upsert import insert_rows, update_rows
from domain.attendance import COUNTERS, PENDING, Fact, Standing

roster, detail = attendance_roster, attendance_roster_detail

WAITING, RUNNING, COMPLETED, CANCELLED = "PENDING", "IN_PROGRESS", "COMPLETED", "CANCELLED"

_DETAIL: Final = ("session_id", "code", "why", "since_ms")
# Blank is not counted yet: working the student out does that, under locks, and so only once.
_NEW_DETAIL: Final = {"status": "", "leave_noted": False, "produced_by": "", "until_ms": None, "counted": ""}
_ROSTER: Final = ("session_id", "course_id", "course_date", "start_ms", "end_ms")


# --- rosters ---------------------------------------------------------------------------------------------------------


def get(connection: Connection, session_id: str, *, tenant: str, term: str) -> AnyRow | None:
    """The roster of a session."""
    where = (roster.c.tenant_id == tenant, roster.c.term == term, roster.c.session_id == session_id)
    return connection.execute(select(roster).where(*where)).one_or_none()


def find(connection: Connection, session_id: str, *, tenant: str) -> AnyRow | None:
    """The roster of a session whose term is not known: looks in all of them."""
    where = (roster.c.tenant_id == tenant, roster.c.session_id == session_id)
    return connection.execute(select(roster).where(*where).limit(1)).one_or_none()


def of_ids(connection: Connection, session_ids: Collection[str], *, tenant: str) -> list[AnyRow]:
    """Rosters of sessions whose terms are not known."""
    where = (roster.c.tenant_id == tenant, roster.c.session_id.in_(sorted(session_ids)))
    return list(connection.execute(select(roster).where(*where)))


def between(connection: Connection, from_ms: int, until_ms: int, *, tenant: str) -> list[AnyRow]:
    """Rosters of sessions that start in that time."""
    where = (roster.c.tenant_id == tenant, roster.c.start_ms >= from_ms, roster.c.start_ms < until_ms)
    return list(connection.execute(select(roster).where(*where).order_by(roster.c.start_ms, roster.c.session_id)))


def begun(connection: Connection, now: int, *, tenant: str, limit: int) -> list[AnyRow]:
    """Rosters that still wait, of sessions that go on now."""
    where = (roster.c.tenant_id == tenant, roster.c.status == WAITING, roster.c.end_ms > now, roster.c.start_ms <= now)
    return list(connection.execute(select(roster).where(*where).order_by(roster.c.start_ms).limit(limit)))


def ended(connection: Connection, before_ms: int, *, tenant: str, limit: int) -> list[AnyRow]:
    """Rosters that nobody has closed to the end, of sessions that ended before, the oldest first."""
    where = (roster.c.tenant_id == tenant, roster.c.status.in_((WAITING, RUNNING)), roster.c.end_ms <= before_ms)
    return list(connection.execute(select(roster).where(*where).order_by(roster.c.end_ms).limit(limit)))


def marked(connection: Connection, *, tenant: str, limit: int = 200) -> list[AnyRow]:
    """Rosters with check-ins that their keys in the stream's server do not know of. Waits for those that are being marked."""
    where = (roster.c.tenant_id == tenant, roster.c.marks > 0)
    return list(connection.execute(select(roster).where(*where).limit(limit).with_for_update()))


def mark(connection: Connection, session_id: str, *, tenant: str, term: str) -> None:
    """A check-in was written past the stream, in this unit."""
    where = (roster.c.tenant_id == tenant, roster.c.term == term, roster.c.session_id == session_id)
    connection.execute(update(roster).where(*where).values(marks=roster.c.marks + 1))


def unmark(connection: Connection, rows: Collection[AnyRow]) -> int:
    """The keys know of all that these rows were marked for. Returns how many were not marked again since."""
    hits = 0
    for row in sorted(rows, key=lambda row: (row.tenant_id, row.term, row.session_id)):
        where = (roster.c.tenant_id == row.tenant_id, roster.c.term == row.term, roster.c.session_id == row.session_id)
        hits += connection.execute(update(roster).where(*where, roster.c.marks == row.marks).values(marks=0)).rowcount
    return hits


def change(connection: Connection, session_id: str, *, tenant: str, term: str, **values: Any) -> bool:
    """Overwrite columns of a roster and raise its version."""
    where = (roster.c.tenant_id == tenant, roster.c.term == term, roster.c.session_id == session_id)
    hit = connection.execute(update(roster).where(*where).values(version=roster.c.version + 1, **values))
    return hit.rowcount == 1


def sessions_without(
    connection: Connection, from_ms: int, until_ms: int, *, tenant: str, term: str, after: str, limit: int
) -> list[AnyRow]:
    """Sessions that start in that time, after an id: a page, whether or not they have a roster."""
    where = (sessions.c.tenant_id == tenant, sessions.c.term == term, sessions.c.id > after)
    when = sessions.c.start_ms.between(from_ms, until_ms - 1)
    return list(connection.execute(select(sessions).where(*where, when).order_by(sessions.c.id).limit(limit)))


def session(connection: Connection, session_id: str, *, tenant: str) -> AnyRow | None:
    """A session of the timetable whose term is not known: looks in all of them."""
    where = (sessions.c.tenant_id == tenant, sessions.c.id == session_id)
    return connection.execute(select(sessions).where(*where).limit(1)).one_or_none()


def in_timetable(connection: Connection, session_ids: Sequence[str], *, tenant: str) -> set[str]:
    """Those of the sessions that the timetable still has."""
    where = (sessions.c.tenant_id == tenant, sessions.c.id.in_(session_ids))
    return set(connection.execute(select(sessions.c.id).where(*where)).scalars())


def rooms_of_all(
    connection: Connection, session_ids: Collection[str], *, tenant: str
) -> dict[str, list[tuple[str, str, str]]]:
    """Session → campus, building and room of each of its places."""
    where = (sessions.c.tenant_id == tenant, sessions.c.id.in_(sorted(session_ids)))
    rows = connection.execute(select(sessions.c.id, sessions.c.rooms).where(*where))
    return {row.id: [tuple(one) for one in json.loads(row.rooms)] for row in rows}


def make(connection: Connection, found: Sequence[AnyRow], *, tenant: str, term: str) -> None:
    """Make rosters for sessions (rows of `sessions`, sorted by id); those that are there stay."""
    same = {
        "tenant_id": tenant, "term": term, "status": WAITING, "version": 1, "marks": 0, "opened_ms": None, "extended_ms": None,
        "ended_ms": None, "swept_ms": None, "college": None, "made_ms": now_ms(connection), **dict.fromkeys(COUNTERS, 0),
    }  # fmt: skip
    rows = [(one.id, one.offering_id, one.date, one.start_ms, one.end_ms) for one in found]
    insert_rows(connection, roster, _ROSTER, rows, same=same, keeping=True)


def enrolled(
    connection: Connection, course_ids: Collection[str], *, tenant: str, term: str
) -> dict[str, dict[str, int]]:
    """Course → student → the import that says so."""
    where = (rolls.c.tenant_id == tenant, rolls.c.term == term, rolls.c.kind == "student")
    rows = connection.execute(
        select(rolls.c.offering_id, rolls.c.code, rolls.c.import_no).where(*where, rolls.c.offering_id.in_(course_ids))
    )
    found: dict[str, dict[str, int]] = {one: {} for one in course_ids}
    for row in rows:
        found[row.offering_id][row.code] = row.import_no
    return found


# --- details ---------------------------------------------------------------------------------------------------------


def page_after(connection: Connection, after: str, *, tenant: str, term: str, limit: int) -> list[str]:
    """The sessions of a page of rosters, behind one, in the order of their ids."""
    where = (roster.c.tenant_id == tenant, roster.c.term == term, roster.c.session_id > after)
    found = select(roster.c.session_id).where(*where).order_by(roster.c.session_id).limit(limit)
    return list(connection.execute(found).scalars())


def students(
    connection: Connection, session_ids: Sequence[str], *, tenant: str, term: str
) -> dict[str, dict[str, AnyRow]]:
    """Session → student → detail."""
    where = (detail.c.tenant_id == tenant, detail.c.term == term, detail.c.session_id.in_(session_ids))
    found: dict[str, dict[str, AnyRow]] = {one: {} for one in session_ids}
    for row in connection.execute(select(detail).where(*where)):
        found[row.session_id][row.code] = row
    return found


def students_expected(
    connection: Connection, session_ids: Sequence[str], *, tenant: str, term: str
) -> dict[str, list[str]]:
    """Session → who is on its roster now."""
    c = detail.c
    where = (c.tenant_id == tenant, c.term == term, c.session_id.in_(session_ids), c.until_ms.is_(None))
    found: dict[str, list[str]] = {one: [] for one in session_ids}
    for session_id, code in connection.execute(select(c.session_id, c.code).where(*where)):
        found[session_id].append(code)
    return found


def codes_after(
    connection: Connection, session_id: str, *, tenant: str, term: str, after: str, limit: int
) -> list[str]:
    """A page of the students of a session, by number."""
    where = (detail.c.tenant_id == tenant, detail.c.term == term, detail.c.session_id == session_id)
    rows = connection.execute(
        select(detail.c.code).where(*where, detail.c.code > after).order_by(detail.c.code).limit(limit)
    )
    return list(rows.scalars())


def is_expected(connection: Connection, session_id: str, code: str, *, tenant: str, term: str) -> bool:
    """Whether the student is on the session's roster now."""
    where = (detail.c.tenant_id == tenant, detail.c.term == term, detail.c.session_id == session_id)
    one = select(detail.c.code).where(*where, detail.c.code == code, detail.c.until_ms.is_(None))
    return connection.execute(one).one_or_none() is not None


def add_students(
    connection: Connection, added: Sequence[tuple[str, str, str]], *, tenant: str, term: str, now_ms: int
) -> None:
    """Put students on rosters: (session, student, why), sorted. Who is on one stays as they are.

    New ones have no status yet and are in no counter, until the caller has them worked out in the same unit.
    """
    rows = [(session_id, code, why, now_ms) for session_id, code, why in added]
    same = {"tenant_id": tenant, "term": term, **_NEW_DETAIL}
    insert_rows(connection, detail, _DETAIL, rows, same=same, keeping=True)


def set_until(connection: Connection, keys: Keys, until_ms: int | None, *, tenant: str, term: str) -> None:
    """From when on these students are not expected any more; None: they are."""
    where = (detail.c.tenant_id == tenant, detail.c.term == term, of_keys(detail, keys))
    connection.execute(update(detail).where(*where).values(until_ms=until_ms))


_STANDING: Final = "session_id, code, status, leave_noted, produced_by, until_ms, counted"


def lock_details(connection: Connection, keys: Keys, *, tenant: str, term: str) -> dict[tuple[str, str], AnyRow]:
    """(session, student) → detail, locked to the end of the unit in the order of the key."""
    where, values = key_ranges.of_keys(connection, keys, tenant=tenant, term=term)
    asked = f"SELECT {_STANDING} FROM {detail.name} WHERE {where} ORDER BY session_id, code"  # noqa: S608 (places for values)
    rows = connection.exec_driver_sql(asked + key_ranges.for_update(connection), values)
    return {(row.session_id, row.code): row for row in rows}


def set_standings(
    connection: Connection, found: Mapping[tuple[str, str], tuple[Standing, str]], *, tenant: str, term: str
) -> None:
    """Write standings, each with the status that the statistics know. One statement for all that are equal."""
    alike: dict[tuple[Standing, str], dict[str, list[str]]] = {}
    for (session_id, code), both in sorted(found.items()):
        alike.setdefault(both, {}).setdefault(session_id, []).append(code)
    at = key_ranges.place(connection)
    changed = f"status = {at}, leave_noted = {at}, produced_by = {at}, counted = {at}"
    for (standing, counted), keys in alike.items():
        where, values = key_ranges.of_keys(connection, keys, tenant=tenant, term=term)
        statement = f"UPDATE {detail.name} SET {changed} WHERE {where}"  # noqa: S608 (places for values)
        new = (standing.status, standing.leave_noted, standing.by, counted)
        connection.exec_driver_sql(statement, (*new, *values))


def settle_pending(
    connection: Connection, standings: Mapping[Standing, Mapping[str, Sequence[str]]], *, tenant: str, term: str
) -> int:
    """Give students who are pending a standing: standing → session → students. Who is not pending, or not on the roster, stays as
    they are. Returns how many were given one. One statement for all, so that it locks in the order of the key."""
    most, *others = sorted(standings, key=lambda one: -sum(map(len, standings[one].values())))
    keys: dict[str, list[str]] = {}
    for by_session in standings.values():
        for session_id, codes in by_session.items():
            keys.setdefault(session_id, []).extend(codes)
    at = key_ranges.place(connection)
    status, new = at, (most.status,)
    for one in others:
        where, values = key_ranges.ranges(connection, standings[one])
        status, new = f"CASE WHEN {where} THEN {at} ELSE {status} END", (*values, one.status, *new)
    where, values = key_ranges.of_keys(connection, keys, tenant=tenant, term=term)
    changed = f"status = {status}, leave_noted = {at}, produced_by = {at}"
    statement = f"UPDATE {detail.name} SET {changed} WHERE {where} AND status = {at}"  # noqa: S608 (places for values)
    given = (*new, False, most.by, *values, PENDING)
    return int(connection.exec_driver_sql(statement, given).rowcount)


# --- facts -----------------------------------------------------------------------------------------------------------


def facts_of(connection: Connection, keys: Keys, *, tenant: str, term: str) -> dict[tuple[str, str], list[Fact]]:
    """(session, student) → leaves, corrections and check-outs."""
    where, values = key_ranges.of_keys(connection, keys, tenant=tenant, term=term)
    asked = f"SELECT session_id, code, id, kind, at_ms, says, about FROM {attendance_facts.name} WHERE {where}"  # noqa: S608 (places for values)
    found: dict[tuple[str, str], list[Fact]] = {}
    for row in connection.exec_driver_sql(asked, values):
        fact = Fact(row.id, row.kind, row.at_ms, row.says, row.about)
        found.setdefault((row.session_id, row.code), []).append(fact)
    return found


def with_facts(
    connection: Connection, session_ids: Collection[str], *, tenant: str, term: str, limit: int
) -> list[tuple[str, str]]:
    """(session, student) of leaves, corrections and check-outs in these sessions, so many at most."""
    c = attendance_facts.c
    where = (c.tenant_id == tenant, c.term == term, c.session_id.in_(sorted(session_ids)))
    rows = connection.execute(select(c.session_id, c.code).where(*where).limit(limit))
    return [(row.session_id, row.code) for row in rows]


_FACT: Final = ("session_id", "code", "id", "kind", "at_ms", "says", "about")


def add_facts(
    connection: Connection,
    facts: Sequence[tuple[str, str, Fact]],
    *,
    tenant: str,
    term: str,
    actor: str,
    note: str | None,
) -> None:
    """Store facts: (session, student, fact). One that is there stays as it is."""
    rows = sorted((session_id, code, f.id, f.kind, f.at_ms, f.says, f.about) for session_id, code, f in facts)
    same = {"tenant_id": tenant, "term": term, "actor": actor, "note": note}
    insert_rows(connection, attendance_facts, _FACT, rows, same=same, keeping=True)


# --- counters --------------------------------------------------------------------------------------------------------


def of_sessions(
    connection: Connection, session_ids: Collection[str], *, tenant: str, term: str, lock: bool
) -> list[AnyRow]:
    """Rosters of sessions in the order of the key, locked if asked for."""
    where = (roster.c.tenant_id == tenant, roster.c.term == term, roster.c.session_id.in_(sorted(session_ids)))
    asked = select(roster).where(*where).order_by(roster.c.session_id)
    return list(connection.execute(asked.with_for_update() if lock else asked))


_LOCKED: Final = (roster.c.session_id, roster.c.swept_ms, *(roster.c[name] for name in COUNTERS))
_SPOKEN_OF: Final = (
    select(attendance_facts.c.id)
    .where(
        attendance_facts.c.tenant_id == roster.c.tenant_id,
        attendance_facts.c.term == roster.c.term,
        attendance_facts.c.session_id == roster.c.session_id,
    )
    .exists()
    .label("spoken_of")
)


def lock_counters(connection: Connection, session_ids: Collection[str], *, tenant: str, term: str) -> list[AnyRow]:
    """The end and the counters of rosters in the order of the key, locked, and whether there are any facts (`spoken_of`)."""
    where = (roster.c.tenant_id == tenant, roster.c.term == term, roster.c.session_id.in_(sorted(session_ids)))
    asked = select(*_LOCKED, _SPOKEN_OF).where(*where).order_by(roster.c.session_id).with_for_update()
    return list(connection.execute(asked))


def set_counters(connection: Connection, counters: Mapping[str, Mapping[str, int]], *, tenant: str, term: str) -> None:
    """Overwrite the counters of rosters that this unit has locked."""
    rows = [
        {"session_id": one, **{name: counts[name] for name in COUNTERS}} for one, counts in sorted(counters.items())
    ]
    if rows:
        update_rows(connection, roster, rows, same={"tenant_id": tenant, "term": term}, key="session_id")


def recounted(
    connection: Connection, session_ids: Collection[str], *, tenant: str, term: str
) -> dict[str, dict[str, int]]:
    """Session → status → how many details have it."""
    where = (detail.c.tenant_id == tenant, detail.c.term == term, detail.c.session_id.in_(sorted(session_ids)))
    rows = connection.execute(
        select(detail.c.session_id, detail.c.status, func.count())
        .where(*where)
        .group_by(detail.c.session_id, detail.c.status)
    )
    found: dict[str, dict[str, int]] = {one: {} for one in session_ids}
    for session_id, status, many in rows:
        found[session_id][status] = many
    return found
