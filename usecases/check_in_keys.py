"""The keys of sessions in the stream's server: loaded ahead, made again where they are missing or not to be trusted.

roster and details ─▶ keys        seen = what waits in the stream, then what the database has (read in that order: a record
                                  leaves the stream only after it is committed, so it is in at least one of the two)
"""

from collections.abc import Sequence

from sqlalchemy import Engine

from db import check_ins, rosters
from db.check_in_stream import CheckInStream, SessionKeys
from db.engine import in_unit, reading
from db.tables import AnyRow
from observability.log import get_logger

log = get_logger("check_in")

_SESSIONS = 50
_LEAD_MS = 5_000  # longer than it takes: after it somebody else goes on for one who died


def load(engine: Engine, stream: CheckInStream, found: Sequence[AnyRow]) -> int:
    """Load the keys of these rosters where they are missing. Returns how many were. Raises RedisError."""
    loaded = 0
    for at in range(0, len(found), _SESSIONS):
        loaded += _load(engine, stream, found[at : at + _SESSIONS])
    return loaded


def _load(engine: Engine, stream: CheckInStream, found: Sequence[AnyRow]) -> int:
    tenant = found[0].tenant_id
    known = stream.known(tenant, [row.session_id for row in found])
    wanted = [row for row in found if row.session_id not in known and row.status != rosters.CANCELLED]
    by_term: dict[str, list[AnyRow]] = {}
    for row in wanted:
        by_term.setdefault(row.term, []).append(row)
    for term, rows in by_term.items():
        ids = [row.session_id for row in rows]
        waiting = stream.waiting(tenant, ids)  # before the database: see above
        with reading(engine) as tx:
            expected = rosters.students_expected(tx, ids, tenant=tenant, term=term)
            came = check_ins.seen_in(tx, ids, tenant=tenant, term=term)
        for row in rows:
            seen: dict[str, str] = {}
            devices: dict[str, str] = {}
            of_stream = ((one.code, one.receipt, one.device) for one in waiting[row.session_id])
            for code, receipt, device in (*came[row.session_id], *of_stream):
                seen.setdefault(code, receipt)
                if device:
                    devices.setdefault(device, code)
            stream.load(tenant, SessionKeys(row.session_id, row.end_ms, expected[row.session_id], seen, devices))
    return len(wanted)


def load_ahead(engine: Engine, stream: CheckInStream, *, tenant: str, from_ms: int, until_ms: int) -> int:
    """Load the keys of all sessions that start in that time. Raises RedisError."""
    with reading(engine) as tx:
        found = rosters.between(tx, from_ms, until_ms, tenant=tenant)
    return load(engine, stream, found)


def restore_marked(engine: Engine, stream: CheckInStream, *, tenant: str, me: str) -> int | None:
    """Make the keys again of sessions with check-ins that were written past the stream. Returns how many sessions; None where
    somebody else than `me` is at it.

    Between forgetting and loading such a session is *unknown*, so that nobody is accepted against keys that lack somebody. A
    mark set after the database was read stays. Raises RedisError.
    """
    found = in_unit(engine, lambda tx: rosters.marked(tx, tenant=tenant))
    if not found:
        return 0
    what = f"marks:{tenant}"
    if not stream.lead(what, me, for_ms=_LEAD_MS):
        return None
    try:
        stream.forget(tenant, [row.session_id for row in found])
        load(engine, stream, found)
    finally:
        stream.follow(what, me)
    in_unit(engine, lambda tx: rosters.unmark(tx, found))
    log.info("check_in.restored", sessions=len(found))
    return len(found)
