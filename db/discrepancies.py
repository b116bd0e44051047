"""What verifications found, and when each calendar was verified last.

open ─▶ repairing ─▶ healed          a walk that does not see it any more heals it from every state;
  └───▶ ticket ────▶ healed          one that sees it again opens it again
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from db.tables import AnyRow, discrepancies, jobs, mirror, terms, verifications
from db.upsert import insert_missing, upsert
from domain.terms import ARCHIVED

OPEN, REPAIRING, HEALED, TICKET = "open", "repairing", "healed", "ticket"
NOT_HEALED = (OPEN, REPAIRING, TICKET)
_HISTORY = 50  # entries kept of one discrepancy


@dataclass(frozen=True, slots=True)
class Found:
    """A difference as a row: what, of which target, and both sides as JSON objects."""

    id: str
    kind: str
    what: str
    target: str
    thing: str
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]


def note(
    connection: Connection,
    found: Sequence[Found],
    *,
    tenant: str,
    term: str,
    group_id: str,
    lane: str,
    run_id: str | None,
    now: int,
    still_to_send: Collection[str],
    not_looked_for: Collection[str] = (),
) -> dict[str, int]:
    """Write what a whole walk of a calendar found. Returns id → how many walks have seen it by now.

    What the walk did not find is healed, unless its repair is among what is `still_to_send` (targets): then the mirror agrees
    with WPS only because it was made to; or it is of a kind that was `not_looked_for`. What was healed and is back is as new.
    """
    known = {row.id: row for row in of_calendar(connection, tenant=tenant, term=term, group_id=group_id)}
    place = {"tenant_id": tenant, "term": term, "group_id": group_id, "lane": lane}
    looks: dict[str, int] = {}
    for one in sorted(found, key=lambda each: each.id):
        row = known.get(one.id)
        looks[one.id] = 1 if row is None or row.state == HEALED else row.scans + 1
        values: dict[str, Any] = {"ours": _json(one.ours), "theirs": _json(one.theirs)}
        values |= {"scans": looks[one.id], "last_scan_ms": now, "run_id": run_id}
        if row is None:
            fresh = _as_new(one, now=now, run_id=run_id)
            connection.execute(discrepancies.insert(), [{**place, **fresh, **values}])
        else:
            _change(connection, tenant, one.id, values | _opened_again(row, now=now, run_id=run_id))
    for row in known.values():
        waits = row.state == REPAIRING and row.target in still_to_send
        if row.id not in looks and row.state != HEALED and not waits and row.what not in not_looked_for:
            _heal(connection, row, now=now, run_id=run_id)
    return looks


def _as_new(one: Found, *, now: int, run_id: str | None) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "what": one.what,
        "target": one.target,
        "thing": one.thing,
        "state": OPEN,
        "first_scan_ms": now,
        "history": _json([{"at_ms": now, "run": run_id, "did": "found"}]),
    }


def _opened_again(row: AnyRow, *, now: int, run_id: str | None) -> dict[str, Any]:
    """What changes of a known row that is seen once more, beside what is seen."""
    if row.state == HEALED:
        again = _longer(row, now=now, run_id=run_id, did="found again")
        return {"state": OPEN, "first_scan_ms": now, "healed_ms": None, "history": again}
    if row.state == REPAIRING:
        return {"state": OPEN, "history": _longer(row, now=now, run_id=run_id, did="still there")}
    return {}


def _heal(connection: Connection, row: AnyRow, *, now: int, run_id: str | None) -> None:
    history = _longer(row, now=now, run_id=run_id, did="not seen any more")
    values = {"state": HEALED, "healed_ms": now, "run_id": run_id, "history": history}
    _change(connection, row.tenant_id, row.id, values)


def is_known(connection: Connection, *, tenant: str, what: str) -> bool:
    """Whether something of this kind was found and is not healed."""
    where = (discrepancies.c.tenant_id == tenant, discrepancies.c.state.in_(NOT_HEALED), discrepancies.c.what == what)
    return connection.execute(select(discrepancies.c.id).where(*where).limit(1)).first() is not None


def of_calendar(connection: Connection, *, tenant: str, term: str, group_id: str) -> list[AnyRow]:
    """Everything that was ever found in a calendar."""
    mine = (
        discrepancies.c.tenant_id == tenant,
        discrepancies.c.state.in_((*NOT_HEALED, HEALED)),
        discrepancies.c.term == term,
        discrepancies.c.group_id == group_id,
    )
    return list(connection.execute(select(discrepancies).where(*mine)))


def did(
    connection: Connection, row_id: str, *, tenant: str, state: str, what: str, run_id: str | None, now: int
) -> None:
    """A repair did something about it, or left it to a person."""
    where = (discrepancies.c.tenant_id == tenant, discrepancies.c.id == row_id)
    row = connection.execute(select(discrepancies).where(*where)).one()
    _change(connection, tenant, row_id, {"state": state, "history": _longer(row, now=now, run_id=run_id, did=what)})


def _change(connection: Connection, tenant: str, row_id: str, values: Mapping[str, Any]) -> None:
    where = (discrepancies.c.tenant_id == tenant, discrepancies.c.id == row_id)
    connection.execute(update(discrepancies).where(*where).values(**values))


def _longer(row: AnyRow, *, now: int, run_id: str | None, did: str) -> str:
    return _json([*json.loads(row.history), {"at_ms": now, "run": run_id, "did": did}][-_HISTORY:])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def close_without_calendar(connection: Connection, *, tenant: str, now: int) -> None:
    """What was found in calendars that have left the timetable since is of no interest any more."""
    live = select(mirror.c.target).where(
        mirror.c.tenant_id == tenant,
        mirror.c.term == discrepancies.c.term,
        mirror.c.target == discrepancies.c.group_id,
        mirror.c.state == "live",
    )
    connection.execute(
        update(discrepancies)
        .where(discrepancies.c.tenant_id == tenant, discrepancies.c.state.in_(NOT_HEALED), ~live.exists())
        .values(state=HEALED, healed_ms=now)
    )


def listing(
    connection: Connection,
    *,
    tenant: str,
    run_id: str | None = None,
    states: Collection[str],
    limit: int,
    lanes: Collection[str] | None = None,
    what: str | None = None,
    offset: int = 0,
    after: tuple[int, int, str] | None = None,
) -> list[AnyRow]:
    """Discrepancies in the given states, newest first; with `run_id` only those that this run saw last, and of `lanes` (None:
    of all) and one kind where these are given. `after` is (last seen, first seen, id) of the last one that was shown."""
    where = [discrepancies.c.tenant_id == tenant, discrepancies.c.state.in_(sorted(states))]
    if lanes is not None:
        where.append(discrepancies.c.lane.in_(sorted(lanes)))
    if what is not None:
        where.append(discrepancies.c.what == what)
    if run_id is not None:
        where.append(discrepancies.c.run_id == run_id)
    if after is not None:
        where.append(_behind(*after))
    order = (discrepancies.c.last_scan_ms.desc(), discrepancies.c.first_scan_ms.desc(), discrepancies.c.id)
    return list(connection.execute(select(discrepancies).where(*where).order_by(*order).limit(limit).offset(offset)))


def _behind(last_ms: int, first_ms: int, row_id: str) -> ColumnElement[bool]:
    """What `listing` shows after a row."""
    last, first = discrepancies.c.last_scan_ms, discrepancies.c.first_scan_ms
    same_time = (first < first_ms) | ((first == first_ms) & (discrepancies.c.id > row_id))
    return (last < last_ms) | ((last == last_ms) & same_time)


def one(connection: Connection, row_id: str, *, tenant: str) -> AnyRow | None:
    """A discrepancy by its id."""
    where = (discrepancies.c.tenant_id == tenant, discrepancies.c.id == row_id)
    return connection.execute(select(discrepancies).where(*where)).one_or_none()


def counts(
    connection: Connection, *, tenant: str, run_id: str | None = None, lanes: Collection[str] | None = None
) -> list[tuple[str, str, int]]:
    """(what, state, how many) of everything that is not healed, or of everything the run saw last; of `lanes` (None: of all)."""
    where = [discrepancies.c.tenant_id == tenant]
    if lanes is not None:
        where.append(discrepancies.c.lane.in_(sorted(lanes)))
    where.append(
        discrepancies.c.state.in_(NOT_HEALED) if run_id is None else discrepancies.c.run_id == run_id,
    )
    what, state = discrepancies.c.what, discrepancies.c.state
    rows = connection.execute(select(what, state, func.count()).where(*where).group_by(what, state))
    return sorted((row[0], row[1], int(row[2])) for row in rows)


# --- when and what was looked at ----------------------------------------------------------------------------------------


def unfinished(connection: Connection, *, tenant: str, term: str, target: str) -> str | None:
    """What a walk that was interrupted has seen so far."""
    where = (
        verifications.c.tenant_id == tenant,
        verifications.c.term == term,
        verifications.c.target == target,
    )
    return connection.execute(select(verifications.c.walk).where(*where)).scalar_one_or_none()


def keep_walk(connection: Connection, walk: str | None, *, tenant: str, term: str, target: str) -> None:
    """Keep what an interrupted walk has seen (None: forget it)."""
    key = {"tenant_id": tenant, "term": term, "target": target}
    zero = {"verified_ms": 0, "events": 0, "strangers": 0, "members": 0, "differences": 0}
    insert_missing(connection, verifications, [{**key, **zero}])
    where = (verifications.c[name] == value for name, value in key.items())
    connection.execute(update(verifications).where(*where).values(walk=walk))


def verified(
    connection: Connection,
    *,
    tenant: str,
    term: str,
    target: str,
    run_id: str | None,
    now: int,
    events: int,
    strangers: int,
    members: int,
    differences: int,
) -> None:
    """A calendar was seen as a whole."""
    row = {
        "tenant_id": tenant,
        "term": term,
        "target": target,
        "run_id": run_id,
        "verified_ms": now,
        "events": events,
        "strangers": strangers,
        "members": members,
        "differences": differences,
        "walk": None,
    }
    upsert(
        connection, verifications, [row], update=[name for name in row if name not in ("tenant_id", "term", "target")]
    )


def totals(connection: Connection, *, tenant: str, run_id: str) -> dict[str, int]:
    """What a run looked at: calendars, and in them events, strangers' events, members."""
    names = ("events", "strangers", "members", "differences")
    sums = [func.sum(verifications.c[name]).label(name) for name in names]
    mine = (verifications.c.tenant_id == tenant, verifications.c.run_id == run_id)
    row = connection.execute(select(func.count().label("calendars"), *sums).where(*mine)).one()
    return {"calendars": int(row.calendars), **{name: int(getattr(row, name) or 0) for name in names}}


def looked_at(
    connection: Connection,
    *,
    tenant: str,
    lanes: Collection[str] | None,
    after: tuple[str, str] | None,
    limit: int,
    offset: int = 0,
) -> list[AnyRow]:
    """When each calendar was seen as a whole, and what was in it: by term and target, behind `after`; of `lanes`."""
    same = (mirror.c.tenant_id == verifications.c.tenant_id) & (mirror.c.term == verifications.c.term)
    joined = verifications.join(mirror, same & (mirror.c.target == verifications.c.target))
    v = verifications.c
    where = [v.tenant_id == tenant, mirror.c.tenant_id == tenant, v.verified_ms > 0]
    if lanes is not None:
        where.append(mirror.c.lane.in_(sorted(lanes)))
    if after is not None:
        where.append(or_(v.term > after[0], and_(v.term == after[0], v.target > after[1])))
    shown = (
        v.term, v.target, v.run_id, v.verified_ms, v.events, v.strangers, v.members, v.differences, mirror.c.lane,
        mirror.c.name,
    )  # fmt: skip
    statement = select(*shown).select_from(joined).where(*where).order_by(v.term, v.target)
    return list(connection.execute(statement.limit(limit).offset(offset)))


@dataclass(frozen=True, slots=True)
class LiveCalendar:
    """A calendar that WPS has, as far as we know."""

    term: str
    target: str
    lane: str


def _live(tenant: str) -> Any:
    """All but those of archived terms, which nobody changes any more."""
    archived = select(terms.c.xnxq).where(terms.c.tenant_id == tenant, terms.c.status == ARCHIVED)
    return (
        select(mirror.c.term, mirror.c.target, mirror.c.lane)
        .outerjoin(
            verifications,
            (verifications.c.tenant_id == mirror.c.tenant_id)
            & (verifications.c.term == mirror.c.term)
            & (verifications.c.target == mirror.c.target),
        )
        .where(
            mirror.c.tenant_id == tenant,
            mirror.c.kind == "calendar",
            mirror.c.state == "live",
            mirror.c.target.not_like("sur:%"),
            mirror.c.term.not_in(archived),
        )
    )


def calendars_after(connection: Connection, *, tenant: str, term: str, target: str, limit: int) -> list[LiveCalendar]:
    """The next page of all live calendars."""
    after = (mirror.c.term > term) | ((mirror.c.term == term) & (mirror.c.target > target))
    rows = connection.execute(_live(tenant).where(after).order_by(mirror.c.term, mirror.c.target).limit(limit))
    return [LiveCalendar(*row) for row in rows]


def longest_unseen(connection: Connection, *, tenant: str, limit: int) -> list[LiveCalendar]:
    """The live calendars whose last verification is longest ago, those never verified first."""
    seen = func.coalesce(verifications.c.verified_ms, 0)
    rows = connection.execute(_live(tenant).order_by(seen, mirror.c.term, mirror.c.target).limit(limit))
    return [LiveCalendar(*row) for row in rows]


def touched_since_seen(connection: Connection, *, tenant: str, since_ms: int) -> list[LiveCalendar]:
    """The live calendars to which something was sent since that instant, and since they were looked at last."""
    # Ids begin with the time at which a job was made: a range of the key instead of the whole table.
    first = f"{max(0, since_ms):012x}"
    sent = exists().where(
        jobs.c.id >= f"{first[:8]}-{first[8:]}",
        jobs.c.tenant_id == tenant,
        jobs.c.term == mirror.c.term,
        jobs.c.group_id == mirror.c.target,
        jobs.c.state == "done",
        jobs.c.kind.in_(("calendar", "members", "event")),
        jobs.c.finished_ms >= since_ms,
        jobs.c.finished_ms >= func.coalesce(verifications.c.verified_ms, 0),
    )
    rows = connection.execute(_live(tenant).where(sent).order_by(mirror.c.term, mirror.c.target))
    return [LiveCalendar(*row) for row in rows]


def any_in(connection: Connection, *, tenant: str, states: Sequence[str]) -> bool:
    """Whether any discrepancy is in one of these states."""
    where = (discrepancies.c.tenant_id == tenant, discrepancies.c.state.in_(states))
    return connection.execute(select(discrepancies.c.id).where(*where).limit(1)).first() is not None


def calendars_with_discrepancies(connection: Connection, *, tenant: str) -> list[LiveCalendar]:
    """The live calendars in which something is not healed."""
    wrong = select(discrepancies.c.id).where(
        discrepancies.c.tenant_id == tenant,
        discrepancies.c.state.in_(NOT_HEALED),
        discrepancies.c.term == mirror.c.term,
        discrepancies.c.group_id == mirror.c.target,
    )
    rows = connection.execute(_live(tenant).where(wrong.exists()).order_by(mirror.c.term, mirror.c.target))
    return [LiveCalendar(*row) for row in rows]


def calendars_of_run(connection: Connection, *, tenant: str, run_id: str) -> list[LiveCalendar]:
    """The live calendars that a run has looked at."""
    rows = connection.execute(
        _live(tenant).where(verifications.c.run_id == run_id).order_by(mirror.c.term, mirror.c.target)
    )
    return [LiveCalendar(*row) for row in rows]
