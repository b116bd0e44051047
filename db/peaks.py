"""Who is expected when: of rosters, and of classes that have none yet."""

from collections import Counter

from sqlalchemy import Connection, and_, func, select

from db.rosters import CANCELLED
from db.tables import attendance_roster, rolls, sessions


def expected(connection: Connection, from_ms: int, until_ms: int, *, tenant: str) -> dict[int, int]:
    """Start in ms UTC → students of the classes that start then."""
    roster = attendance_roster.c
    where = (roster.tenant_id == tenant, roster.start_ms.between(from_ms, until_ms - 1), roster.status != CANCELLED)
    made = select(roster.start_ms, func.sum(roster.total_students)).where(*where).group_by(roster.start_ms)
    found = Counter({int(start): int(many) for start, many in connection.execute(made)})
    there = and_(
        roster.tenant_id == sessions.c.tenant_id, roster.term == sessions.c.term, roster.session_id == sessions.c.id
    )
    students = and_(
        rolls.c.tenant_id == sessions.c.tenant_id, rolls.c.term == sessions.c.term,
        rolls.c.offering_id == sessions.c.offering_id, rolls.c.kind == "student",
    )  # fmt: skip
    lacking = (
        select(sessions.c.start_ms, func.count())
        .select_from(sessions.join(rolls, students).join(attendance_roster, there, isouter=True))
        .where(
            sessions.c.tenant_id == tenant,
            sessions.c.start_ms.between(from_ms, until_ms - 1),
            roster.session_id.is_(None),
        )
        .group_by(sessions.c.start_ms)
    )
    for start, many in connection.execute(lacking):
        found[int(start)] += int(many)
    return dict(found)
