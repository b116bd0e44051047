"""The roll of an offering as WPS should see it: who reads its calendar, who writes."""

from sqlalchemy import ColumnElement, Connection, case, or_, select

from db import opt_outs
from db.tables import mirror, rolls, users
from domain.layouts import COURSE, PERSONAL, PREFIX, layout_of

READER, WRITER = "reader", "writer"
SUBSTITUTE = "substitute"
"""A kind of people on a roll, beside students and teachers: teachers who stand in for some of its classes."""


def kind_of_user() -> ColumnElement[str]:
    """As which kind of user a row of `rolls` is known: a substitute is one of the teachers."""
    return case((rolls.c.kind == SUBSTITUTE, "teacher"), else_=rolls.c.kind)


def wanted_members(
    connection: Connection, *, tenant: str, term: str, offering_ids: list[str]
) -> dict[str, dict[str, str]]:
    """offering → {WPS user: role} for the people of its roll whose WPS account is known; a teacher's role wins.

    Students who have opted out of the term are left out.
    """
    rows = connection.execute(
        select(rolls.c.offering_id, rolls.c.kind, users.c.wps_id)
        .join(
            users,
            (users.c.tenant_id == rolls.c.tenant_id)
            & (users.c.kind == kind_of_user())
            & (users.c.code == rolls.c.code),
        )
        .where(
            rolls.c.tenant_id == tenant,
            rolls.c.term == term,
            rolls.c.offering_id.in_(offering_ids),
            users.c.wps_id.is_not(None),
            # Whoever writes a calendar keeps it for everybody.
            or_(rolls.c.kind != "student", ~opt_outs.out(rolls.c.tenant_id, rolls.c.term, rolls.c.code)),
        )
    )
    wanted: dict[str, dict[str, str]] = {}
    for offering_id, kind, wps_id in rows.all():
        roll = wanted.setdefault(offering_id, {})
        if kind != "student" or roll.get(wps_id) != WRITER:
            roll[wps_id] = READER if kind == "student" else WRITER
    return wanted


def own_reader(connection: Connection, *, tenant: str, term: str, group_id: str) -> dict[str, str]:
    """The one reader of a person's own calendar; nobody while the account is not known."""
    owner = (mirror.c.tenant_id == users.c.tenant_id) & (mirror.c.source_id == users.c.code)
    where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target == group_id)
    known = users.c.wps_id.is_not(None)
    wps_id = connection.execute(select(users.c.wps_id).join(mirror, owner).where(*where, known).limit(1)).scalar()
    return {} if wps_id is None else {wps_id: READER}


def reader(connection: Connection, *, tenant: str, code: str) -> dict[str, str]:
    """The one reader of a calendar that is a person's own, given their number; nobody while the account is not known."""
    where = (users.c.tenant_id == tenant, users.c.code == code, users.c.wps_id.is_not(None))
    wps_id = connection.execute(select(users.c.wps_id).where(*where).limit(1)).scalar()
    return {} if wps_id is None else {wps_id: READER}


def members_now(connection: Connection, *, tenant: str, term: str, group_id: str) -> dict[str, str]:
    """WPS user → role on a calendar, whatever layout it belongs to."""
    if layout_of(group_id) == PERSONAL:
        return own_reader(connection, tenant=tenant, term=term, group_id=group_id)
    offering_id = group_id.removeprefix(PREFIX[COURSE])
    return wanted_members(connection, tenant=tenant, term=term, offering_ids=[offering_id]).get(offering_id, {})
