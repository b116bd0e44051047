"""Counts over all schools that are told as metrics. Each names the schools, and has an index to go by."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from db.tables import (
    attendance_roster,
    discrepancies,
    jobs,
    quarantine,
    run_questions,
    runs,
    verifications,
)
from domain.runs import ENDED

_STANDINGS = ("attended", "absent", "leave", "pending", "review", "late", "early")


def dead_letters(connection: Connection, tenants: Sequence[str]) -> dict[str, int]:
    """Kind → jobs that gave up."""
    of = (jobs.c.tenant_id.in_(tenants), jobs.c.state == "dead")
    rows = connection.execute(select(jobs.c.kind, func.count()).where(*of).group_by(jobs.c.kind))
    return {kind: int(count) for kind, count in rows}


def runs_by_state(connection: Connection, tenants: Sequence[str]) -> dict[str, int]:
    """State → runs that have not ended."""
    of = (runs.c.tenant_id.in_(tenants), runs.c.state.not_in(ENDED))
    rows = connection.execute(select(runs.c.state, func.count()).where(*of).group_by(runs.c.state))
    return {state: int(count) for state, count in rows}


def last_success_ms(connection: Connection, tenants: Sequence[str]) -> int | None:
    """When the last run over a timetable succeeded, of the school where that was the longest ago; None: nowhere yet."""
    of = (runs.c.tenant_id.in_(tenants), runs.c.kind.in_(("full", "incremental")), runs.c.state == "succeeded")
    rows = connection.execute(select(func.max(runs.c.finished_ms)).where(*of).group_by(runs.c.tenant_id)).scalars()
    return min((int(ms) for ms in rows if ms is not None), default=None)


def open_questions(connection: Connection, tenants: Sequence[str]) -> tuple[int, int | None]:
    """How many runs wait for an answer, and since when the oldest does."""
    of = (run_questions.c.tenant_id.in_(tenants), run_questions.c.state == "open")
    count, oldest = connection.execute(select(func.count(), func.min(run_questions.c.asked_ms)).where(*of)).one()
    return int(count), oldest


def differences(connection: Connection, tenants: Sequence[str]) -> dict[str, int]:
    """State → discrepancies that are not healed."""
    of = (discrepancies.c.tenant_id.in_(tenants), discrepancies.c.state != "healed")
    rows = connection.execute(select(discrepancies.c.state, func.count()).where(*of).group_by(discrepancies.c.state))
    return {state: int(count) for state, count in rows}


def verified(connection: Connection, tenants: Sequence[str]) -> tuple[int, int]:
    """(calendars that were verified to the end, those of them without a difference)."""
    of = (verifications.c.tenant_id.in_(tenants), verifications.c.verified_ms > 0)
    total = int(connection.execute(select(func.count()).where(*of)).scalar_one())
    good = int(connection.execute(select(func.count()).where(*of, verifications.c.differences == 0)).scalar_one())
    return total, good


def standings(connection: Connection, tenants: Sequence[str], *, since_ms: int, until_ms: int) -> dict[str, int]:
    """Standing → students in the sessions that began in that time. Who was late or left early has also attended."""
    of = attendance_roster.c
    sums = [func.sum(of[f"{name}_count"]) for name in _STANDINGS]
    where = (of.tenant_id.in_(tenants), of.start_ms >= since_ms, of.start_ms < until_ms)
    row = connection.execute(select(*sums).where(*where)).one()
    return {name: int(count or 0) for name, count in zip(_STANDINGS, row, strict=True)}


def quarantined(connection: Connection, tenants: Sequence[str]) -> dict[str, int]:
    """Kind → rows of the sources in the quarantine."""
    of = quarantine.c
    rows = connection.execute(select(of.kind, func.count()).where(of.tenant_id.in_(tenants)).group_by(of.kind))
    return {kind: int(count) for kind, count in rows}
