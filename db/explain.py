"""What is written about one class, and about one student in it, wherever it is written."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, or_, select

from db.check_ins import find as check_ins_of
from db.tables import (
    AnyRow,
    attendance_facts,
    attendance_roster,
    attendance_roster_detail,
    discrepancies,
    imports,
    jobs,
    members,
    mirror,
    rolls,
    runs,
    users,
)  # fmt: skip
from db.tables import audit as audit_rows

MOST = 50
"""Rows of a kind that are read of one class."""


def import_of(connection: Connection, import_no: int, *, tenant: str) -> AnyRow | None:
    """An import."""
    where = (imports.c.tenant_id == tenant, imports.c.import_no == import_no)
    return connection.execute(select(imports).where(*where)).one_or_none()


def mirrored(connection: Connection, group_id: str, *, tenant: str, term: str, session_id: str) -> list[AnyRow]:
    """What WPS has of a calendar as far as a class is concerned: the calendar, its people, the event."""
    mine = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.group_id == group_id)
    about = or_(mirror.c.kind != "event", mirror.c.target == f"evt:{session_id}", mirror.c.source_id == session_id)
    return list(connection.execute(select(mirror).where(*mine, about).order_by(mirror.c.kind, mirror.c.target)))


def jobs_of(connection: Connection, targets: Collection[str], group_id: str, *, tenant: str) -> list[AnyRow]:
    """Jobs of these targets of a calendar, newest first."""
    where = (jobs.c.tenant_id == tenant, jobs.c.group_id == group_id, jobs.c.target.in_(sorted(targets)))
    return list(connection.execute(select(jobs).where(*where).order_by(jobs.c.created_ms.desc()).limit(MOST)))


def runs_of(connection: Connection, run_ids: Collection[str], *, tenant: str) -> list[AnyRow]:
    """Runs by their ids."""
    where = (runs.c.tenant_id == tenant, runs.c.id.in_(sorted(run_ids)))
    return list(connection.execute(select(runs).where(*where)))


def acts_on(connection: Connection, things: Collection[str], *, tenant: str) -> list[AnyRow]:
    """What people did to these things."""
    where = (audit_rows.c.tenant_id == tenant, audit_rows.c.thing.in_(sorted(things)))
    return list(connection.execute(select(audit_rows).where(*where).order_by(audit_rows.c.at_ms.desc()).limit(MOST)))


def found_at(connection: Connection, group_id: str, targets: Sequence[str], *, tenant: str, term: str) -> list[AnyRow]:
    """What differs, or did, at WPS."""
    mine = (discrepancies.c.tenant_id == tenant, discrepancies.c.term == term, discrepancies.c.group_id == group_id)
    about = discrepancies.c.target.in_(targets)
    return list(connection.execute(select(discrepancies).where(*mine, about).limit(MOST)))


def roster_of(connection: Connection, session_id: str, *, tenant: str, term: str) -> AnyRow | None:
    """The roster of a class."""
    roster = attendance_roster.c
    where = (roster.tenant_id == tenant, roster.term == term, roster.session_id == session_id)
    return connection.execute(select(attendance_roster).where(*where)).one_or_none()


# --- one student ----------------------------------------------------------------------------------------------------


def on_roll(connection: Connection, offering_id: str, code: str, *, tenant: str, term: str) -> list[AnyRow]:
    """As what somebody is on the roll of a course."""
    mine = (rolls.c.tenant_id == tenant, rolls.c.term == term, rolls.c.offering_id == offering_id)
    return list(connection.execute(select(rolls).where(*mine, rolls.c.code == code)))


def people(connection: Connection, code: str, *, tenant: str) -> list[AnyRow]:
    """Who goes by a number."""
    return list(connection.execute(select(users).where(users.c.tenant_id == tenant, users.c.code == code)))


def member(connection: Connection, group_id: str, wps_ids: Collection[str], *, tenant: str, term: str) -> list[AnyRow]:
    """As what WPS has somebody in a calendar."""
    mine = (members.c.tenant_id == tenant, members.c.term == term, members.c.group_id == group_id)
    return list(connection.execute(select(members).where(*mine, members.c.user_id.in_(sorted(wps_ids)))))


def detail(connection: Connection, session_id: str, code: str, *, tenant: str, term: str) -> AnyRow | None:
    """A student's row of a roster."""
    of = attendance_roster_detail.c
    where = (of.tenant_id == tenant, of.term == term, of.session_id == session_id, of.code == code)
    return connection.execute(select(attendance_roster_detail).where(*where)).one_or_none()


def check_in(connection: Connection, session_id: str, code: str, *, tenant: str, term: str) -> AnyRow | None:
    """The check-in that was committed."""
    return check_ins_of(connection, {session_id: {code}}, tenant=tenant, term=term).get((session_id, code))


def facts(connection: Connection, session_id: str, code: str, *, tenant: str, term: str) -> list[AnyRow]:
    """Leaves, corrections and check-outs."""
    of = attendance_facts.c
    where = (of.tenant_id == tenant, of.term == term, of.session_id == session_id, of.code == code)
    return list(connection.execute(select(attendance_facts).where(*where).order_by(of.at_ms)))
