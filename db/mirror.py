"""The mirror: what WPS has for each target, and what we are about to send.

The row of a calendar also carries two instants for its whole group. `settle_at`: from when the open intents of the group
can be settled; NULL when there are none. `parked_until`: nothing of the calendar is sent before. Both are there and not on
the rows of events, because a list of a hundred would move two hundred entries of an index.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, bindparam, case, func, or_, select, update
from sqlalchemy.sql.functions import Function

from db.clock import db_now_ms, now_ms
from db.jobs import OF_TENANT, SCHEMA_VER
from db.spelled import Spelled
from db.tables import AnyRow, jobs, members, mirror
from db.upsert import update_rows
from domain.settlement import Intent, Mirrored, Verb


@dataclass(frozen=True, slots=True)
class GroupRef:
    """A calendar with something to do: settle its open intents, or carry out its due jobs."""

    term: str
    group_id: str
    settle: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A due lane job together with the mirror row of its target (None for look-ups, which have none)."""

    job_id: str
    kind: str
    target: str
    group_id: str
    term: str
    rev: int
    attempts: int
    payload: str
    desired_hash: str
    run_id: str | None
    last_error: str | None
    mirrored: Mirrored | None
    error_code: str | None = None
    tier: int = 0


_MIRRORED = (
    mirror.c.target, mirror.c.kind, mirror.c.group_id, mirror.c.lane, mirror.c.state, mirror.c.remote_id, mirror.c.marker,
    mirror.c.name, mirror.c.generation, mirror.c.sent_hash, mirror.c.from_ms, mirror.c.until_ms, mirror.c.list_max,
    mirror.c.import_no,
)  # fmt: skip
_INTENT = (
    mirror.c.intent_verb, mirror.c.intent_hash, mirror.c.intent_rev, mirror.c.intent_ms, mirror.c.intent_from_ms,
    mirror.c.intent_until_ms,
)  # fmt: skip
_REST = (mirror.c.intent_ids, mirror.c.settle_at)
_VALUES = (*_MIRRORED, *_INTENT, *_REST)
_INTENT_AT, _REST_AT = len(_MIRRORED), len(_MIRRORED) + len(_INTENT)


def _packed(*columns: ColumnElement[Any]) -> Function[str]:
    """One JSON text of a row: drivers decode value by value, some of them in Python, and describe each column each time."""
    return func.json_array(*columns, type_=Text())


def _mirrored(values: Sequence[Any]) -> Mirrored:
    """A row of `_VALUES`."""
    intent = None
    if values[_INTENT_AT] is not None:
        verb, hash_, rev, *times = values[_INTENT_AT:_REST_AT]
        intent = Intent(Verb(verb), hash_ or "", rev or 0, *times)
    return Mirrored(*[*values[:_INTENT_AT], intent, *values[_REST_AT:]])


def mirrored_of(row: AnyRow) -> Mirrored:
    """A row of the table as the value that settlement decides on."""
    found = row._mapping
    return _mirrored([found[column] for column in _VALUES])


# Statements of the drain are built once: building one costs more than carrying it out.
_KEY = (
    mirror.c.tenant_id == bindparam("b_tenant"),
    mirror.c.term == bindparam("b_term"),
    mirror.c.target == bindparam("b_target"),
)
_ONE = select(mirror).where(*_KEY)
_PARK = update(mirror).where(*_KEY).values(parked_until=bindparam("b_until"))
_DOUBT = Spelled(update(mirror).where(*_KEY).values(parked_until=bindparam("b_until"), settle_at=bindparam("b_until")))
_FREE = Spelled(update(mirror).where(*_KEY).values(parked_until=0, settle_at=None))
_calendar = mirror.alias("calendar")
_UNSETTLED = Spelled(
    select(_packed(mirror.c.term, mirror.c.group_id, *_VALUES))
    .where(
        # Few calendars are in doubt: found by their time. An index of the tenant, which SQLite prefers, has every row.
        mirror.c.tenant_id.concat("") == bindparam("b_tenant"),
        mirror.c.lane == bindparam("b_lane"),
        mirror.c.settle_at <= bindparam("b_now"),
        mirror.c.parked_until <= bindparam("b_now"),
        mirror.c.group_id.not_in([bindparam("b_busy"), bindparam("b_busy_too")]),
    )
    .order_by(mirror.c.settle_at)
    .limit(1)
)
_NEXT_JOB = Spelled(
    select(_packed(jobs.c.term, jobs.c.group_id, *(_calendar.c[one.name] for one in _VALUES)))
    .join(
        _calendar,
        (_calendar.c.tenant_id == jobs.c.tenant_id)
        & (_calendar.c.term == jobs.c.term)
        & (_calendar.c.target == jobs.c.group_id),
        isouter=True,
    )
    .where(
        jobs.c.tenant_id == bindparam("b_tenant"),
        jobs.c.lane == bindparam("b_lane"),
        jobs.c.state == "queued",
        jobs.c.run_at <= bindparam("b_now"),
        jobs.c.schema_ver <= SCHEMA_VER,
        jobs.c.group_id.not_in([bindparam("b_busy"), bindparam("b_busy_too")]),
        or_(
            jobs.c.kind == "users",
            jobs.c.kind == "walk",
            (_calendar.c.parked_until <= bindparam("b_now"))
            & or_(_calendar.c.state == "live", jobs.c.kind == "calendar"),
        ),
    )
    .order_by(jobs.c.tier, jobs.c.priority, jobs.c.id)
    .limit(1)
)
_NONE_BUSY = ""  # no calendar has a blank target


def due_group(
    connection: Connection, *, tenant: str, lane: str, now: int, busy: Sequence[str] = ()
) -> tuple[GroupRef, Mirrored | None] | None:
    """The next calendar of the lane, and its mirror row (None for look-ups, which have none): one to settle first, else
    the one of the most urgent due job. Those in `busy`, two at most, are left out."""
    first, second = (*busy, _NONE_BUSY, _NONE_BUSY)[:2]
    where = {"b_tenant": tenant, "b_lane": lane, "b_now": now, "b_busy": first, "b_busy_too": second}
    for statement, settle in ((_UNSETTLED, True), (_NEXT_JOB, False)):
        found = statement.run(connection, where).scalar()
        if found is not None:
            term, group_id, *values = json.loads(found)
            calendar = _mirrored(values) if values[0] is not None else None
            return GroupRef(term, group_id, settle), calendar
    return None


def read_one(connection: Connection, *, tenant: str, term: str, target: str) -> Mirrored | None:
    """The mirror of one target, None when nothing was ever put for it."""
    row = connection.execute(_ONE, {"b_tenant": tenant, "b_term": term, "b_target": target}).one_or_none()
    return None if row is None else mirrored_of(row)


_JOB = (
    jobs.c.id, jobs.c.kind, jobs.c.target, jobs.c.group_id, jobs.c.term, jobs.c.rev, jobs.c.attempts, jobs.c.payload,
    jobs.c.desired_hash, jobs.c.run_id, jobs.c.last_error, jobs.c.error_code, jobs.c.tier,
)  # fmt: skip
_ORDER = {"calendar": 0, "members": 1, "event": 2}
_DUE_JOBS = Spelled(
    select(_packed(*_JOB, *_VALUES))
    .join(
        mirror,
        (mirror.c.tenant_id == jobs.c.tenant_id) & (mirror.c.term == jobs.c.term) & (mirror.c.target == jobs.c.target),
        isouter=True,
    )
    .where(
        jobs.c.tenant_id == bindparam("b_tenant"),
        jobs.c.lane == bindparam("b_lane"),
        jobs.c.group_id == bindparam("b_group"),
        jobs.c.state == "queued",
        jobs.c.run_at <= bindparam("b_now"),
        jobs.c.schema_ver <= SCHEMA_VER,
    )
    # Nothing can be done in a calendar that is not there, so what it is comes before how near it is.
    .order_by(case(_ORDER, value=jobs.c.kind, else_=len(_ORDER)), jobs.c.tier, jobs.c.id)
    .limit(bindparam("b_limit"))
)


def due_jobs(
    connection: Connection, *, tenant: str, lane: str, ref: GroupRef, now: int, limit: int = 120
) -> list[Wanted]:
    """The due jobs of one calendar in the order in which they go, with their mirror rows."""
    key = {"b_tenant": tenant, "b_lane": lane, "b_group": ref.group_id}
    rows = _DUE_JOBS.run(connection, {**key, "b_now": now, "b_limit": limit}).scalars()
    return [_wanted(json.loads(row)) for row in rows]


def _wanted(values: Sequence[Any]) -> Wanted:
    """A row of `_JOB` and `_VALUES`."""
    *job, error_code, tier = values[: len(_JOB)]
    mirrored = values[len(_JOB) :]
    there = _mirrored(mirrored) if mirrored[0] is not None else None
    return Wanted(*[*job, there, error_code, tier])


_QUEUED = (
    OF_TENANT,
    jobs.c.id.in_(bindparam("b_ids", expanding=True)),
    jobs.c.state == "queued",
)
_STILL_WANTED = select(jobs.c.id, jobs.c.rev).where(*_QUEUED).order_by(jobs.c.id).with_for_update()
_HOW_MANY_AT = Spelled(
    select(func.count(), db_now_ms())
    .select_from(jobs)
    .where(*_QUEUED, jobs.c.rev == bindparam("b_rev"))
    .with_for_update(),
    listed="b_ids",
)


def still_wanted(connection: Connection, revs: Mapping[str, int], *, tenant: str) -> tuple[set[str], int]:
    """Which of the jobs (id → rev) are still queued at the rev that was read, and the database's time.

    Their rows stay locked to the end of the unit.
    """
    ids, seen = sorted(revs), set(revs.values())
    if len(seen) == 1:
        # The usual case, without fetching a row for each: all are as they were read.
        key = {"b_tenant": tenant, "b_ids": ids, "b_rev": seen.pop()}
        count, now = tuple(_HOW_MANY_AT.run(connection, key).one())
        if count == len(ids):
            return set(ids), int(now)
    rows = connection.execute(_STILL_WANTED, {"b_tenant": tenant, "b_ids": ids}).all()
    return {row.id for row in rows if revs[row.id] == row.rev}, now_ms(connection)


def open_intents(connection: Connection, *, tenant: str, term: str, group_id: str) -> list[Mirrored]:
    """Every target of the calendar whose last write is not known to have happened or not."""
    rows = connection.execute(
        select(mirror).where(
            mirror.c.tenant_id == tenant,
            mirror.c.term == term,
            mirror.c.group_id == group_id,
            mirror.c.intent_verb.is_not(None),
        )
    )
    return [mirrored_of(row) for row in rows]


def park_group(connection: Connection, *, tenant: str, term: str, group_id: str, until: int) -> None:
    """Send nothing of the calendar before `until`; what is in doubt stays so."""
    connection.execute(_PARK, {"b_tenant": tenant, "b_term": term, "b_target": group_id, "b_until": until})


def doubt_group(connection: Connection, *, tenant: str, term: str, group_id: str, until: int) -> None:
    """The calendar has open intents, whose outcome can be read off WPS from `until` on; nothing is sent before."""
    _DOUBT.run(connection, {"b_tenant": tenant, "b_term": term, "b_target": group_id, "b_until": until})


def free_group(connection: Connection, *, tenant: str, term: str, group_id: str) -> None:
    """No intent of the calendar is open any more."""
    _FREE.run(connection, {"b_tenant": tenant, "b_term": term, "b_target": group_id})


_NO_INTENT: dict[str, Any] = {
    "intent_verb": None,
    "intent_hash": None,
    "intent_rev": None,
    "intent_ms": None,
    "intent_from_ms": None,
    "intent_until_ms": None,
    "intent_ids": None,
}


@dataclass(frozen=True, slots=True)
class IntentRow:
    """What is about to be sent for one target; `name` only for calendars."""

    target: str
    verb: Verb
    hash: str
    rev: int
    from_ms: int | None = None
    until_ms: int | None = None
    ids: str | None = None


def write_intents(connection: Connection, rows: Sequence[IntentRow], *, tenant: str, term: str, now: int) -> None:
    """Say what is about to be sent."""
    update_rows(
        connection,
        mirror,
        [
            {
                "target": row.target,
                "intent_verb": row.verb.value,
                "intent_hash": row.hash,
                "intent_rev": row.rev,
                "intent_from_ms": row.from_ms,
                "intent_until_ms": row.until_ms,
                "intent_ids": row.ids,
            }
            for row in rows
        ],
        same={"tenant_id": tenant, "term": term},
        key="target",
        also={"intent_ms": now},
    )


def set_name(connection: Connection, *, tenant: str, term: str, target: str, name: str) -> None:
    """The whole name a calendar is about to be given."""
    connection.execute(
        update(mirror)
        .where(mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target == target)
        .values(name=name)
    )


@dataclass(frozen=True, slots=True)
class SentRow:
    """A write that is known to have happened: the mirror becomes what was sent."""

    target: str
    remote_id: str
    hash: str
    from_ms: int | None
    until_ms: int | None
    list_max: int


def write_sent(connection: Connection, rows: Sequence[SentRow], *, tenant: str, term: str) -> None:
    """Mirror := what was sent; the intent is answered."""
    update_rows(
        connection,
        mirror,
        [
            {
                "target": row.target,
                "remote_id": row.remote_id,
                "sent_hash": row.hash,
                "from_ms": row.from_ms,
                "until_ms": row.until_ms,
                "list_max": row.list_max,
            }
            for row in rows
        ],
        same={"tenant_id": tenant, "term": term},
        key="target",
        also={"state": "live", **_NO_INTENT},
    )


def clear_intents(connection: Connection, targets: Sequence[str], *, tenant: str, term: str) -> None:
    """The write certainly did not happen."""
    _update_targets(connection, targets, tenant=tenant, term=term, values=_NO_INTENT)


def set_list_max(connection: Connection, targets: Sequence[str], *, tenant: str, term: str, list_max: int) -> None:
    """How many of these rows the next list may hold."""
    _update_targets(connection, targets, tenant=tenant, term=term, values={"list_max": max(1, min(100, list_max))})


def write_gone(
    connection: Connection, target: str, *, tenant: str, term: str, marker: str | None, generation: int
) -> None:
    """The remote object is gone; the next one will be of a new generation with a marker of its own."""
    values = {"state": "gone", "remote_id": None, "sent_hash": "", "generation": generation, "marker": marker}
    _update_targets(connection, [target], tenant=tenant, term=term, values={**values, **_NO_INTENT})


def group_rows(connection: Connection, *, tenant: str, term: str, group_id: str) -> list[Mirrored]:
    """Every target of a calendar, itself included."""
    where = (mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.group_id == group_id)
    return [mirrored_of(row) for row in connection.execute(select(mirror).where(*where))]


def _update_targets(
    connection: Connection, targets: Sequence[str], *, tenant: str, term: str, values: Mapping[str, Any]
) -> None:
    if targets:
        connection.execute(
            update(mirror)
            .where(mirror.c.tenant_id == tenant, mirror.c.term == term, mirror.c.target.in_(targets))
            .values(**values)
        )


# --- members ----------------------------------------------------------------------------------------------------------


def present_members(connection: Connection, *, tenant: str, term: str, group_id: str) -> dict[str, tuple[str, str]]:
    """WPS user → (role, permission id) as last seen or written."""
    where = (members.c.tenant_id == tenant, members.c.term == term, members.c.group_id == group_id)
    return {row.user_id: (row.role, row.permission_id) for row in connection.execute(select(members).where(*where))}


def add_members(
    connection: Connection, rows: Sequence[tuple[str, str, str]], *, tenant: str, term: str, group_id: str
) -> None:
    """Note permissions (user, role, permission id) that a call has given."""
    if rows:
        drop_members(connection, [user for user, _, _ in rows], tenant=tenant, term=term, group_id=group_id)
        key = {"tenant_id": tenant, "term": term, "group_id": group_id}
        connection.execute(
            members.insert(), [{**key, "user_id": u, "role": role, "permission_id": p} for u, role, p in rows]
        )


def drop_members(connection: Connection, users: Sequence[str] | None, *, tenant: str, term: str, group_id: str) -> None:
    """Forget permissions that are gone; None forgets all of the calendar."""
    statement = members.delete().where(
        members.c.tenant_id == tenant, members.c.term == term, members.c.group_id == group_id
    )
    if users is not None:
        statement = statement.where(members.c.user_id.in_(users))
    connection.execute(statement)
