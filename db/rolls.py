"""The roll of an offering as WPS should see it: who reads its calendar, who writes."""

from sqlalchemy import Connection, select

from db.tables import rolls, users

READER, WRITER = "reader", "writer"


def wanted_members(
    connection: Connection, *, tenant: str, term: str, offering_ids: list[str]
) -> dict[str, dict[str, str]]:
    """offering → {WPS user: role} for the people of its roll whose WPS account is known; a teacher's role wins."""
    rows = connection.execute(
        select(rolls.c.offering_id, rolls.c.kind, users.c.wps_id)
        .join(
            users,
            (users.c.tenant_id == rolls.c.tenant_id) & (users.c.kind == rolls.c.kind) & (users.c.code == rolls.c.code),
        )
        .where(
            rolls.c.tenant_id == tenant,
            rolls.c.term == term,
            rolls.c.offering_id.in_(offering_ids),
            users.c.wps_id.is_not(None),
        )
    )
    wanted: dict[str, dict[str, str]] = {}
    for row in rows:
        roll = wanted.setdefault(row.offering_id, {})
        if row.kind == "teacher" or roll.get(row.wps_id) != WRITER:
            roll[row.wps_id] = WRITER if row.kind == "teacher" else READER
    return wanted
