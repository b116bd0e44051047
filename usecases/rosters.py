"""Rosters: made ahead of their sessions, kept up while these lie ahead, closed at their end, counted again at night."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from db import check_ins, rosters, statistics
from db.check_in_stream import CheckInStream
from db.check_ins import OpenPlace
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import AnyRow
from db.timetable import load_terms
from domain.attendance import COUNTERS, Fact, count
from domain.terms import OPEN
from observability.log import get_logger
from usecases import check_in_batch, standings

log = get_logger("rosters")

CHUNK = 500
_AT_A_TIME = 100  # sessions


def make_ahead(engine: Engine, *, tenant: str, from_ms: int, until_ms: int) -> dict[str, Any]:
    """Make the rosters of all sessions that start in that time, and bring those that are there up to date. Again is harmless.

    Returns how many sessions were looked at, students added, dropped, rosters moved and cancelled, and under `changed` the ids
    of the sessions whose keys are not right any more. In units of at most 500 rows.
    """
    done: Counter[str] = Counter(sessions=0, added=0, dropped=0, cancelled=0, moved=0)
    changed: set[str] = set()
    with reading(engine) as tx:
        codes = sorted(code for code, term in load_terms(tx, tenant).items() if term.status == OPEN)
    for term in codes:
        after = ""
        while page := _page(engine, from_ms, until_ms, tenant=tenant, term=term, after=after):
            changed |= _bring_up_to_date(engine, page, done, tenant=tenant, term=term)
            after = page[-1].id
    gone = _cancel_vanished(engine, from_ms, until_ms, tenant=tenant)
    done["cancelled"] += len(gone)
    return {**done, "changed": sorted({*changed, *gone})}


def _page(engine: Engine, from_ms: int, until_ms: int, *, tenant: str, term: str, after: str) -> list[AnyRow]:
    with reading(engine) as tx:
        return rosters.sessions_without(tx, from_ms, until_ms, tenant=tenant, term=term, after=after, limit=_AT_A_TIME)


def make_one(engine: Engine, session_id: str, *, tenant: str) -> AnyRow | None:
    """The roster of a session, made now where there is none. None where there is no such session."""
    with reading(engine) as tx:
        row = rosters.find(tx, session_id, tenant=tenant)
        session = rosters.session(tx, session_id, tenant=tenant)
    if row is not None or session is None:
        return row
    _bring_up_to_date(engine, [session], Counter(), tenant=tenant, term=session.term)
    with reading(engine) as tx:
        return rosters.get(tx, session_id, tenant=tenant, term=session.term)


def _bring_up_to_date(engine: Engine, page: Sequence[Any], done: Counter[str], *, tenant: str, term: str) -> set[str]:
    ids = [one.id for one in page]
    in_unit(engine, lambda tx: rosters.make(tx, page, tenant=tenant, term=term))
    with reading(engine) as tx:
        now = now_ms(tx)
        made = {row.session_id: row for row in rosters.of_sessions(tx, ids, tenant=tenant, term=term, lock=False)}
        enrolled = rosters.enrolled(tx, {one.offering_id for one in page}, tenant=tenant, term=term)
        there = rosters.students(tx, ids, tenant=tenant, term=term)
    added: list[tuple[str, str, str]] = []
    dropped: list[tuple[str, str]] = []
    back: list[tuple[str, str]] = []
    for one in page:
        roster, known, wanted = made[one.id], there[one.id], enrolled[one.offering_id]
        done["sessions"] += 1
        done["moved"] += _follow(engine, roster, one)
        if roster.start_ms <= now and known:
            continue  # what was, was: who joins or leaves later does so for the sessions to come
        added += [(one.id, code, f"import {number}") for code, number in wanted.items() if code not in known]
        back += [(one.id, code) for code in wanted if code in known and known[code].until_ms is not None]
        dropped += [
            (one.id, code)
            for code, detail in known.items()
            if code not in wanted and detail.until_ms is None and detail.why.startswith("import")
        ]
    for chunk in _chunks(sorted(added)):
        in_unit(engine, lambda tx, c=chunk: standings.expect(tx, c, tenant=tenant, term=term, now_ms=now))  # type: ignore[misc]
    for pairs, until_ms in ((dropped, now), (back, None)):
        for pair_chunk in _chunks(sorted(pairs)):
            in_unit(engine, lambda tx, c=pair_chunk, u=until_ms: _until(tx, c, u, tenant=tenant, term=term))  # type: ignore[misc]
    changed = {one[0] for one in (*added, *dropped, *back)}
    for session_id in sorted(changed):
        in_unit(engine, lambda tx, s=session_id: rosters.change(tx, s, tenant=tenant, term=term))  # type: ignore[misc]
    done["added"] += len(added) + len(back)
    done["dropped"] += len(dropped)
    return changed


def _follow(engine: Engine, roster: AnyRow, session: Any) -> bool:
    """A session was moved: its roster moves with it, and comes back where it was cancelled, unless it is over."""
    same = (roster.start_ms, roster.end_ms, roster.course_date) == (session.start_ms, session.end_ms, session.date)
    if roster.swept_ms is not None or (same and roster.status != rosters.CANCELLED):
        return False
    values = {
        "start_ms": session.start_ms,
        "end_ms": session.end_ms,
        "course_date": session.date,
        "status": rosters.WAITING,
    }
    key = {"tenant": roster.tenant_id, "term": roster.term}
    return in_unit(engine, lambda tx: rosters.change(tx, roster.session_id, **key, **values))


def _until(tx: Connection, pairs: Sequence[tuple[str, str]], until_ms: int | None, *, tenant: str, term: str) -> None:
    keys: dict[str, list[str]] = {}
    for session_id, code in pairs:
        keys.setdefault(session_id, []).append(code)
    rosters.set_until(tx, keys, until_ms, tenant=tenant, term=term)
    standings.work_out(tx, keys, tenant=tenant, term=term)


def _cancel_vanished(engine: Engine, from_ms: int, until_ms: int, *, tenant: str) -> list[str]:
    """Rosters whose session is no more, and whose time has not come: cancelled, never removed."""
    with reading(engine) as tx:
        found = rosters.between(tx, max(from_ms, now_ms(tx)), until_ms, tenant=tenant)
        there: set[str] = set()
        for chunk in _chunks([row.session_id for row in found]):
            there |= rosters.in_timetable(tx, chunk, tenant=tenant)
    gone = [row for row in found if row.session_id not in there and row.status in (rosters.WAITING, rosters.RUNNING)]
    for row in gone:
        cancel(engine, row)
    return [row.session_id for row in gone]


def cancel(engine: Engine, row: AnyRow) -> None:
    """The session does not take place."""
    key = {"tenant": row.tenant_id, "term": row.term}
    in_unit(engine, lambda tx: rosters.change(tx, row.session_id, **key, status=rosters.CANCELLED))


def _chunks(listed: list[Any]) -> Iterable[list[Any]]:
    return (listed[at : at + CHUNK] for at in range(0, len(listed), CHUNK))


def add_facts(
    engine: Engine,
    session_id: str,
    facts: Sequence[tuple[str, Fact]],
    *,
    tenant: str,
    term: str,
    actor: str,
    note: str | None = None,
) -> dict[str, int] | None:
    """Store what people said about students of a session, (student, fact), and work these out.

    Returns the counters if they changed.
    """

    def work(tx: Connection) -> dict[str, dict[str, int]]:
        listed = [(session_id, code, fact) for code, fact in facts]
        rosters.add_facts(tx, listed, tenant=tenant, term=term, actor=actor, note=note)
        return standings.work_out(tx, {session_id: [code for code, _ in facts]}, tenant=tenant, term=term)

    return in_unit(engine, work).get(session_id)


def begin(engine: Engine, *, tenant: str, limit: int = 500, now: int | None = None) -> int:
    """Rosters of sessions that have begun are under way. Returns how many."""
    with reading(engine) as tx:
        found = rosters.begun(tx, now_ms(tx) if now is None else now, tenant=tenant, limit=limit)
    for row in found:
        key = {"tenant": tenant, "term": row.term}
        in_unit(engine, lambda tx, r=row, k=key: rosters.change(tx, r.session_id, **k, status=rosters.RUNNING))  # type: ignore[misc]
    return len(found)


# --- the end ---------------------------------------------------------------------------------------------------------


def sweep(
    engine: Engine,
    stream: CheckInStream,
    *,
    tenant: str,
    limit: int = 200,
    now: int | None = None,
    open_place: OpenPlace = check_ins.plain_place,
) -> int:
    """Close the rosters of sessions that are over: whoever has not come is absent. Returns how many were closed.

    A session stays open while its stream still holds a record from before its end. Raises RedisError: what cannot be asked is
    not closed.
    """
    with reading(engine) as tx:
        found = rosters.ended(tx, now_ms(tx) if now is None else now, tenant=tenant, limit=limit)
    closed = 0
    for row in found:
        oldest = stream.oldest_ms(row.session_id)
        if oldest is None or oldest > row.end_ms:
            close(engine, row, open_place=open_place)
            closed += 1
    return closed


def close(engine: Engine, row: AnyRow, *, open_place: OpenPlace = check_ins.plain_place) -> None:
    """Write the end into the roster, then work out its students by pages; done again from the start after a crash."""
    key = {"tenant": row.tenant_id, "term": row.term}
    if row.college is None:
        in_unit(engine, lambda tx: statistics.count_from_now(tx, row, status=rosters.RUNNING))
    after = ""
    while True:
        after = in_unit(engine, lambda tx, a=after: _close_page(tx, row.session_id, a, open_place, **key))  # type: ignore[misc]
        if not after:
            break
    in_unit(engine, lambda tx: rosters.change(tx, row.session_id, **key, status=rosters.COMPLETED))


def _close_page(tx: Connection, session_id: str, after: str, open_place: OpenPlace, *, tenant: str, term: str) -> str:
    codes = rosters.codes_after(tx, session_id, tenant=tenant, term=term, after=after, limit=CHUNK)
    if not codes:
        return ""
    keys = {session_id: codes}
    # Two writers at the same time may each have missed what the other's check-in shows.
    records = check_ins.find(tx, keys, tenant=tenant, term=term)
    traces = [check_ins.trace_of(record, open_place(tenant, record)) for record in records.values()]
    for other, code in check_in_batch.doubt(tx, traces, tenant=tenant, term=term, open_place=open_place):
        keys = {**keys, other: sorted({*keys.get(other, ()), code})}
    standings.work_out(tx, keys, tenant=tenant, term=term)
    return codes[-1]


# --- at night --------------------------------------------------------------------------------------------------------


def recount(engine: Engine, *, tenant: str, from_ms: int, until_ms: int, mend: bool = True) -> list[dict[str, Any]]:
    """Count the details of all rosters that start in that time, and report each counter that says something else.

    With `mend` the counter is overwritten, under the locks that every writer takes.
    """
    with reading(engine) as tx:
        found = rosters.between(tx, from_ms, until_ms, tenant=tenant)
    drift: list[dict[str, Any]] = []
    by_term: dict[str, list[str]] = {}
    for row in found:
        by_term.setdefault(row.term, []).append(row.session_id)
    for term, ids in by_term.items():
        for chunk in _chunks(ids):
            drift += in_unit(engine, lambda tx, c=chunk, t=term: recount_page(tx, c, tenant=tenant, term=t, mend=mend))  # type: ignore[misc]
    if drift:
        log.error("rosters.drift", rosters=len(drift), first=drift[0])
    return drift


def recount_page(tx: Connection, ids: Sequence[str], *, tenant: str, term: str, mend: bool) -> list[dict[str, Any]]:
    """The same of some rosters, in a unit of the caller's."""
    # The rosters' locks are enough: whoever changes a detail waits for them before it commits.
    rows = rosters.of_sessions(tx, ids, tenant=tenant, term=term, lock=True)
    real = rosters.recounted(tx, ids, tenant=tenant, term=term)
    drift = []
    for row in rows:
        should = count(status for status, many in real[row.session_id].items() for _ in range(many))
        if any(getattr(row, name) != should[name] for name in COUNTERS):
            is_ = {name: getattr(row, name) for name in COUNTERS}
            named = {"term": term, "session_id": row.session_id, "course_id": row.course_id}
            drift.append({**named, "was": is_, "is": should})
    if mend:
        rosters.set_counters(tx, {one["session_id"]: one["is"] for one in drift}, tenant=tenant, term=term)
    return drift
