"""What guards count, by SQL: rows of two imports, events that have lost their session, and some of them in words."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, case, exists, func, not_, or_, select

from db.personal_scopes import event_in
from db.rolls import SUBSTITUTE
from db.tables import discrepancies, enrolments, jobs, meetings, mirror, offerings, pins, rolls, sessions, terms
from domain.guards import LaneLoss
from domain.scopes import EVERYTHING, Scope
from domain.terms import OPEN

SAMPLE = 20
PARTS: Mapping[str, Table] = {"meetings": meetings, "enrolments": enrolments}
_EVENT = "evt:"


def rows_used(connection: Connection, *, tenant: str, import_no: int) -> dict[str, int]:
    """Part of the source → rows of an import that count: meetings that are used, enrolments; of terms that are open now."""
    found = {}
    for part, table in PARTS.items():
        where = [table.c.tenant_id == tenant, table.c.import_no == import_no, table.c.term.not_in(_closed(tenant))]
        if table is meetings:
            where.append(meetings.c.held.is_(None))
        found[part] = int(connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one())
    return found


def _closed(tenant: str) -> Any:
    return select(terms.c.xnxq).where(terms.c.tenant_id == tenant, terms.c.status != OPEN)


def rows_by_college(connection: Connection, *, tenant: str, before: int, now: int) -> list[tuple[str, int, int]]:
    """(college, used rows of the import `before`, those of the import `now`) where they differ, the greatest loss first."""
    counts: dict[str, list[int]] = {}
    for place, number in enumerate((before, now)):
        rows = connection.execute(
            select(meetings.c.kkxy, func.count())
            .where(
                meetings.c.tenant_id == tenant,
                meetings.c.import_no == number,
                meetings.c.held.is_(None),
                meetings.c.term.not_in(_closed(tenant)),
            )
            .group_by(meetings.c.kkxy)
        )
        for college, count in rows:
            counts.setdefault(college, [0, 0])[place] = int(count)
    changed = [(college, was, is_) for college, (was, is_) in counts.items() if was != is_]
    return sorted(changed, key=lambda one: (one[2] - one[1], one[0]))


def rows_missing(connection: Connection, *, tenant: str, before: int, now: int) -> list[dict[str, Any]]:
    """Some of the used meetings of one import that the other does not have, as they were in the source."""
    again = meetings.alias("again")
    still_there = exists().where(
        again.c.tenant_id == tenant, again.c.import_no == now, again.c.row_hash == meetings.c.row_hash
    )
    rows = connection.execute(
        select(meetings)
        .where(
            meetings.c.tenant_id == tenant,
            meetings.c.import_no == before,
            meetings.c.held.is_(None),
            meetings.c.term.not_in(_closed(tenant)),
            ~still_there,
        )
        .order_by(meetings.c.offering_id, meetings.c.line)
        .limit(SAMPLE)
    )
    return [
        {
            "lane": row.kkxy,
            "course": row.kcmc or row.kcbh or row.kkh,
            "start_ms": row.start_ms,
            "end_ms": row.end_ms,
            "place": row.lq + row.room,
        }
        for row in rows
    ]


# --- deletes ------------------------------------------------------------------------------------------------------------


def losses(connection: Connection, *, tenant: str, only: Scope = EVERYTHING) -> list[LaneLoss]:
    """For each lane what it has at WPS and what of it, and of the scope `only`, the timetable does not have any more.

    A calendar that goes takes its events with it: their sessions are gone too, so that they are counted here. An event that
    changes keeps its session and does not count. Events of frozen and archived terms make no budget larger.
    """
    open_ = mirror.c.term.not_in(_closed(tenant))
    going = and_(_goes(), event_in(only))
    rows = connection.execute(
        _events(
            tenant,
            mirror.c.lane,
            func.sum(case((or_(open_, going), 1), else_=0)).label("live"),
            func.sum(case((going, 1), else_=0)).label("going"),
        ).group_by(mirror.c.lane)
    )
    found = []
    for lane, live, gone in rows:
        gone_, live_ = int(gone), int(live)
        stays = gone_ < live_ or _is_taught(connection, tenant, lane)
        found.append(LaneLoss(lane, live_, gone_, stays))
    return found


def _events(tenant: str, *columns: Any) -> Any:
    """Events that are at WPS, or may be, with their session and whatever keeps them there without one."""
    known = (sessions.c.tenant_id == mirror.c.tenant_id) & (sessions.c.term == mirror.c.term)
    session_id = func.coalesce(mirror.c.source_id, func.substr(mirror.c.target, len(_EVENT) + 1))
    # A target that was taken back stays although the source has no session for it.
    kept = (pins.c.tenant_id == mirror.c.tenant_id) & (pins.c.term == mirror.c.term)
    kept &= (pins.c.target == mirror.c.target) & (pins.c.source_hash == "") & (pins.c.desired_hash != "")
    return (
        select(*columns)
        .select_from(mirror)
        .outerjoin(sessions, known & (sessions.c.id == session_id))
        .outerjoin(pins, kept)
        .where(
            mirror.c.tenant_id == tenant,
            mirror.c.kind == "event",
            mirror.c.target.like(f"{_EVENT}%"),
            or_(mirror.c.state == "live", mirror.c.intent_verb.is_not(None)),
        )
    )


def _goes() -> ColumnElement[bool]:
    """Whether such an event would be deleted: its session is gone, or it is a person's who does not take the course any more."""
    whose = mirror.alias("whose")
    takes = exists().where(
        whose.c.tenant_id == mirror.c.tenant_id,
        whose.c.term == mirror.c.term,
        whose.c.target == mirror.c.group_id,
        rolls.c.tenant_id == mirror.c.tenant_id,
        rolls.c.term == mirror.c.term,
        rolls.c.offering_id == sessions.c.offering_id,
        rolls.c.kind.in_(("student", "teacher", SUBSTITUTE)),
        rolls.c.code == whose.c.source_id,
    )
    left = and_(mirror.c.source_id.is_not(None), not_(takes))
    return and_(or_(sessions.c.id.is_(None), left), pins.c.target.is_(None))


def _is_taught(connection: Connection, tenant: str, lane: str) -> bool:
    """Whether a course of the lane has a session, in an open term."""
    mine = or_(offerings.c.lane == lane, and_(offerings.c.lane.is_(None), offerings.c.college == lane))
    statement = (
        select(sessions.c.id)
        .join(
            offerings,
            (offerings.c.tenant_id == sessions.c.tenant_id)
            & (offerings.c.term == sessions.c.term)
            & (offerings.c.id == sessions.c.offering_id),
        )
        .where(sessions.c.tenant_id == tenant, mine, sessions.c.term.not_in(_closed(tenant)))
        .limit(1)
    )
    return connection.execute(statement).first() is not None


def going(
    connection: Connection, *, tenant: str, lanes: Sequence[str], only: Scope = EVERYTHING
) -> list[dict[str, Any]]:
    """Some of the events of these lanes and of the scope that would be deleted, by time, in words as far as they are known."""
    statement = _events(tenant, mirror).where(_goes(), event_in(only), mirror.c.lane.in_(lanes))
    rows = connection.execute(statement.order_by(mirror.c.from_ms, mirror.c.target).limit(SAMPLE)).all()
    return in_words(connection, rows, tenant=tenant)


def named(connection: Connection, *, tenant: str, targets: Sequence[str]) -> list[dict[str, Any]]:
    """These events, at most a page, in words."""
    where = (mirror.c.tenant_id == tenant, mirror.c.target.in_(targets))
    rows = connection.execute(select(mirror).where(*where).order_by(mirror.c.from_ms, mirror.c.target)).all()
    return in_words(connection, rows, tenant=tenant)


def in_words(connection: Connection, rows: Sequence[Any], *, tenant: str) -> list[dict[str, Any]]:
    """Mirror rows of events, at most a page, as a person knows them: course, time, place."""
    groups = sorted({row.group_id for row in rows})
    names = connection.execute(
        select(mirror.c.target, mirror.c.name).where(mirror.c.tenant_id == tenant, mirror.c.target.in_(groups))
    )
    called = {row.target: row.name for row in names}
    sent = sent_payloads(connection, tenant=tenant, groups=groups, targets=[row.target for row in rows])
    found = []
    for row in rows:
        said = json.loads(sent.get((row.target, row.sent_hash), "{}"))
        found.append(
            {
                "lane": row.lane,
                "course": said.get("summary") or called.get(row.group_id) or row.target,
                "start_ms": row.from_ms,
                "end_ms": row.until_ms,
                "place": said.get("location") or "",
            }
        )
    return found


def sent_payloads(
    connection: Connection, *, tenant: str, groups: Sequence[str], targets: Sequence[str]
) -> dict[tuple[str, str], str]:
    """(target, hash) → the payload that was sent with that hash, as far as its job is still there."""
    rows = connection.execute(
        select(jobs.c.target, jobs.c.desired_hash, jobs.c.payload).where(
            jobs.c.tenant_id == tenant, jobs.c.group_id.in_(groups), jobs.c.target.in_(targets), jobs.c.state == "done"
        )
    )
    return {(row.target, row.desired_hash): row.payload for row in rows}


# --- repairs ------------------------------------------------------------------------------------------------------------

_REBUILT = ("calendar_gone",)
_TOUCHED = ("event_missing", "event_replaced", "event_copy", "event_unknown")


def repairs(connection: Connection, *, tenant: str, states: Sequence[str]) -> list[LaneLoss]:
    """For each lane what it has at WPS and how much of it a repair would build again or delete; no person is counted."""
    live = connection.execute(
        select(mirror.c.lane, func.count())
        .where(mirror.c.tenant_id == tenant, mirror.c.kind == "event", mirror.c.state == "live")
        .group_by(mirror.c.lane)
    )
    has = {lane: int(count) for lane, count in live}
    known = (discrepancies.c.tenant_id == tenant, discrepancies.c.state.in_(states))
    single = connection.execute(
        select(discrepancies.c.lane, func.count())
        .where(*known, discrepancies.c.what.in_(_TOUCHED))
        .group_by(discrepancies.c.lane)
    )
    touched = {lane: int(count) for lane, count in single}
    whole = connection.execute(
        select(discrepancies.c.lane, func.count())
        .join(
            mirror,
            (mirror.c.tenant_id == discrepancies.c.tenant_id)
            & (mirror.c.term == discrepancies.c.term)
            & (mirror.c.group_id == discrepancies.c.group_id),
        )
        .where(*known, discrepancies.c.what.in_(_REBUILT), mirror.c.state == "live", mirror.c.kind == "event")
        .group_by(discrepancies.c.lane)
    )
    for lane, count in whole:
        touched[lane] = touched.get(lane, 0) + int(count)
    return [LaneLoss(lane, has.get(lane, 0), count) for lane, count in sorted(touched.items())]


def to_repair(connection: Connection, *, tenant: str, states: Sequence[str]) -> list[dict[str, Any]]:
    """Some of what a repair would build again or delete."""
    rows = connection.execute(
        select(discrepancies)
        .where(
            discrepancies.c.tenant_id == tenant,
            discrepancies.c.state.in_(states),
            discrepancies.c.what.in_((*_REBUILT, *_TOUCHED)),
        )
        .order_by(discrepancies.c.what, discrepancies.c.id)
        .limit(SAMPLE)
    )
    found = []
    for row in rows:
        said = json.loads(row.ours) or json.loads(row.theirs)
        found.append(
            {
                "lane": row.lane,
                "course": said.get("summary") or said.get("name") or row.target or row.thing,
                "start_ms": said.get("start_ms"),
                "end_ms": said.get("end_ms"),
                "place": said.get("location") or "",
                "what": row.what,
            }
        )
    return found
