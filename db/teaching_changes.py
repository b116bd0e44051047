"""Teaching changes as rows. `listing` is what everything reads that wants to know what was decided: statistics, notices,
rosters; a class itself says by `sessions.altered` what of it is in force."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from db.clock import now_ms
from db.courses import ALL, Within
from db.tables import AnyRow, offerings, sessions, teaching_changes, tenants
from domain.alterations import CANCELLED, EXCHANGE_DAY
from domain.teaching_changes import ABSORBED, APPLIED, WITHDRAWN, Before, Change, DayRule, Verdict

Key = tuple[str, str]
"""Term and offering."""


def add(
    connection: Connection, rows: Sequence[Mapping[str, Any]], *, tenant: str, batch_id: str, actor: str, run_id: str
) -> None:
    """Write changes that were decided together, in their order. Each has id, term, type, and what its type needs."""
    connection.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update())
    mine = teaching_changes.c.tenant_id == tenant
    newest = connection.execute(select(func.max(teaching_changes.c.at_ms)).where(mine)).scalar() or 0
    at_ms = max(now_ms(connection), newest + 1)
    empty = ("day", "date", "start_ms", "end_ms", "rooms", "teachers", "before", "source_id", "ended_ms", "ended_by")
    same: dict[str, Any] = dict.fromkeys(empty)
    same |= {"tenant_id": tenant, "batch_id": batch_id, "actor": actor, "run_id": run_id, "state": APPLIED}
    same |= {"offering_id": "", "session_id": "", "reason": ""}
    connection.execute(
        teaching_changes.insert(), [{**same, **row, "at_ms": at_ms + place} for place, row in enumerate(rows)]
    )


def of_offerings(connection: Connection, offering_ids: Sequence[str], *, tenant: str) -> dict[str, list[Change]]:
    """Offering → its changes that are not withdrawn, of a page of offerings."""
    where = (teaching_changes.c.tenant_id == tenant, teaching_changes.c.state != WITHDRAWN)
    rows = connection.execute(
        select(teaching_changes).where(*where, teaching_changes.c.offering_id.in_(sorted(offering_ids)))
    )
    found: dict[str, list[Change]] = {}
    for row in rows:
        found.setdefault(row.offering_id, []).append(as_change(row))
    return found


def as_change(row: AnyRow) -> Change:
    """A row as a value."""
    before = json.loads(row.before) if row.before is not None else None
    return Change(
        id=row.id,
        type=row.type,
        session_id=row.session_id,
        order=(row.at_ms, row.id),
        state=row.state,
        date=row.date or "",
        start_ms=row.start_ms or 0,
        end_ms=row.end_ms or 0,
        rooms=_rooms(row.rooms),
        teachers=tuple((code, name) for code, name in json.loads(row.teachers or "[]")),
        reason=row.reason,
        before=before and Before(
            before["jxz"], before["zc"], tuple(before["periods"]), before["date"], before["start_ms"], before["end_ms"],
            tuple((xq, lq, room) for xq, lq, room in before["rooms"]), tuple(before["teachers"]),
        ),
        source_id=row.source_id,
    )  # fmt: skip


def _rooms(text: str | None) -> tuple[tuple[str, str, str], ...]:
    return tuple((xq, lq, room) for xq, lq, room in json.loads(text or "[]"))


def days(connection: Connection, *, tenant: str, term: str | None = None) -> dict[str, dict[date, DayRule]]:
    """Term → teaching day → where its classes are held."""
    where = [
        teaching_changes.c.tenant_id == tenant,
        teaching_changes.c.offering_id == "",
        teaching_changes.c.type == EXCHANGE_DAY,
        teaching_changes.c.state == APPLIED,
    ]
    if term is not None:
        where.append(teaching_changes.c.term == term)
    found: dict[str, dict[date, DayRule]] = {}
    for row in connection.execute(select(teaching_changes).where(*where).order_by(teaching_changes.c.at_ms)):
        day, held = date.fromisoformat(row.day), date.fromisoformat(row.date) if row.date else None
        found.setdefault(row.term, {})[day] = DayRule(row.id, day, held, row.reason)
    return found


def settle(connection: Connection, verdicts: Mapping[str, Verdict], *, tenant: str) -> None:
    """Keep what became of changes, a page of them. One that was withdrawn meanwhile stays so."""
    if not verdicts:
        return
    mine = (teaching_changes.c.tenant_id == tenant, teaching_changes.c.state != WITHDRAWN)
    known = connection.execute(
        select(teaching_changes.c.id, teaching_changes.c.state, teaching_changes.c.source_id)
        .where(*mine, teaching_changes.c.id.in_(sorted(verdicts)))
        .order_by(teaching_changes.c.id)
    ).all()
    for row in known:
        one = verdicts[row.id]
        if (one.state, one.source_id) != (row.state, row.source_id):
            ended = now_ms(connection) if one.state == ABSORBED else None
            connection.execute(
                update(teaching_changes)
                .where(*mine, teaching_changes.c.id == row.id)
                .values(state=one.state, source_id=one.source_id, ended_ms=ended)
            )


def withdraw(connection: Connection, ids: Iterable[str], *, tenant: str, actor: str) -> int:
    """Let changes count no more. Returns how many counted until now."""
    mine = (teaching_changes.c.tenant_id == tenant, teaching_changes.c.id.in_(sorted(ids)))
    # A cancelled class that the source has dropped as well is absorbed only for as long as it is missing there.
    counts = or_(teaching_changes.c.state == APPLIED, teaching_changes.c.type == CANCELLED)
    ended = {"state": WITHDRAWN, "ended_ms": now_ms(connection), "ended_by": actor}
    return int(
        connection.execute(
            update(teaching_changes).where(*mine, counts, teaching_changes.c.state != WITHDRAWN).values(**ended)
        ).rowcount
    )


def by_ids(connection: Connection, ids: Sequence[str], *, tenant: str) -> list[AnyRow]:
    """These changes, in their order."""
    where = (teaching_changes.c.tenant_id == tenant, teaching_changes.c.id.in_(sorted(ids)))
    return list(connection.execute(select(teaching_changes).where(*where).order_by(teaching_changes.c.at_ms)))


def by_reference(connection: Connection, text: str, *, tenant: str) -> list[AnyRow]:
    """Changes whose id, or whose batch's, is `text`, in their order."""
    either = or_(teaching_changes.c.id == text, teaching_changes.c.batch_id == text)
    rows = connection.execute(
        select(teaching_changes)
        .where(teaching_changes.c.tenant_id == tenant, either)
        .order_by(teaching_changes.c.at_ms)
    )
    return list(rows)


def listing(
    connection: Connection,
    *,
    tenant: str,
    term: str | None = None,
    kinds: Sequence[str] = (),
    states: Sequence[str] = (),
    offering_ids: Sequence[str] | None = None,
    session_id: str | None = None,
    since_ms: int | None = None,
    within: Within | None = None,
    limit: int = 50,
    offset: int = 0,
    after: tuple[int, str] | None = None,
) -> list[AnyRow]:
    """Changes, newest first, each with the course it is about (`course`, NULL for exchange days); with `within` only those of
    the courses that it has. `after` is (when, id) of the last one that was shown."""
    where: list[ColumnElement[bool]] = [teaching_changes.c.tenant_id == tenant]
    where += within.where(tenant) if within is not None and within != ALL else []
    for column, value in (("term", term), ("session_id", session_id)):
        where += [teaching_changes.c[column] == value] if value is not None else []
    for column, values in (("type", kinds), ("state", states)):
        where += [teaching_changes.c[column].in_(values)] if values else []
    where += [teaching_changes.c.offering_id.in_(offering_ids)] if offering_ids is not None else []
    where += [teaching_changes.c.at_ms >= since_ms] if since_ms is not None else []
    where += [_behind(*after)] if after is not None else []
    same = (
        (offerings.c.tenant_id == teaching_changes.c.tenant_id)
        & (offerings.c.term == teaching_changes.c.term)
        & (offerings.c.id == teaching_changes.c.offering_id)
    )
    called = func.coalesce(func.nullif(offerings.c.name, ""), func.nullif(offerings.c.kcbh, ""), offerings.c.kkh)
    rows = connection.execute(
        select(teaching_changes, called.label("course"))
        .outerjoin(offerings, same)
        .where(*where)
        .order_by(teaching_changes.c.at_ms.desc(), teaching_changes.c.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return list(rows)


def _behind(at_ms: int, change_id: str) -> ColumnElement[bool]:
    """What `listing` shows after a change."""
    at = teaching_changes.c.at_ms
    return (at < at_ms) | ((at == at_ms) & (teaching_changes.c.id < change_id))


def concerned_by_days(
    connection: Connection, days: Sequence[str], *, tenant: str, term: str, after: str, limit: int = 500
) -> list[str]:
    """The next offerings that have, or in the source have, a class on one of these dates."""
    of_source = func.coalesce(sessions.c.source_date, sessions.c.date)
    rows = connection.execute(
        select(sessions.c.offering_id)
        .distinct()
        .where(sessions.c.tenant_id == tenant, sessions.c.term == term, sessions.c.offering_id > after)
        .where(or_(of_source.in_(days), sessions.c.date.in_(days)))
        .order_by(sessions.c.offering_id)
        .limit(limit)
    )
    return list(rows.scalars())
