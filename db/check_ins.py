"""Check-ins as they were committed: the first of each student in each session, and what others show about it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, distinct, func, or_, select, true, update

from db import key_ranges
from db.key_ranges import Keys
from db.tables import AnyRow, checkin_records
from db.upsert import insert_rows
from domain.check_in_traces import DEVICE_MS, POINT_MS, TRAVEL_MS, Trace
from domain.check_ins import CheckIn

_OF_CHECK_IN: Final = (
    "term", "session_id", "code", "client_id", "receipt", "at_ms", "client_ms", "status", "timing", "reasons", "way",
    "outside_m", "accuracy_m", "rule_version", "device", "point", "lat_e2", "lon_e2",
    "code_step", "place",
)  # fmt: skip
_AT_ONCE: Final = 250  # a row has 40 KB at most, with all of it quoted
_COLUMNS: Final = (*_OF_CHECK_IN, "doubts")


def of_keys(table: Table, keys: Keys) -> ColumnElement[bool]:
    """The rows of these students in these sessions. Ranges of the primary key for both databases, as a list of pairs is not."""
    wanted = [and_(table.c.session_id == one, table.c.code.in_(sorted(codes))) for one, codes in sorted(keys.items())]
    return or_(*wanted) if wanted else ~true()


def insert(
    connection: Connection,
    made: Sequence[CheckIn],
    *,
    tenant: str,
    now_ms: int,
    doubts: Mapping[tuple[str, str], str] | None = None,
) -> None:
    """Insert check-ins sorted by key, with what others show about them: (session, student) → doubts. Raises IntegrityError where
    one is there already."""
    if not made:
        return
    values = {name: [getattr(one, name) for one in made] for name in _OF_CHECK_IN}
    values["doubts"] = [doubts.get((one.session_id, one.code), "") for one in made] if doubts else [""] * len(made)
    # Most columns are alike in a batch, and what is alike is quoted once.
    alike = {name: column[0] for name, column in values.items() if column.count(column[0]) == len(column)}
    columns = tuple(name for name in _COLUMNS if name not in alike) or _COLUMNS
    same = {name: value for name, value in alike.items() if name not in columns}
    rows = list(zip(*(values[name] for name in columns), strict=True))
    same |= {"tenant_id": tenant, "created_ms": now_ms}
    insert_rows(connection, checkin_records, columns, rows, same=same, at_once=_AT_ONCE)


def find(connection: Connection, keys: Keys, *, tenant: str, term: str) -> dict[tuple[str, str], AnyRow]:
    """(session, student) → the check-in that was committed."""
    where, values = key_ranges.of_keys(connection, keys, tenant=tenant, term=term)
    rows = connection.exec_driver_sql(f"SELECT * FROM checkin_records WHERE {where}", values)  # noqa: S608 (places for values)
    return {(row.session_id, row.code): row for row in rows}


def of_sessions(connection: Connection, session_ids: Sequence[str], *, tenant: str, term: str) -> list[AnyRow]:
    """All check-ins of these sessions, in the order in which they came."""
    table = checkin_records
    where = (table.c.tenant_id == tenant, table.c.term == term, table.c.session_id.in_(session_ids))
    return list(connection.execute(select(table).where(*where).order_by(table.c.at_ms, table.c.code)))


def seen_in(
    connection: Connection, session_ids: Sequence[str], *, tenant: str, term: str
) -> dict[str, list[tuple[str, str, str | None]]]:
    """Session → student, receipt and device of its check-ins, in the order in which they came."""
    c = checkin_records.c
    where = (c.tenant_id == tenant, c.term == term, c.session_id.in_(session_ids))
    asked = select(c.session_id, c.code, c.receipt, c.device).where(*where).order_by(c.at_ms, c.code)
    found: dict[str, list[tuple[str, str, str | None]]] = {one: [] for one in session_ids}
    for session_id, code, receipt, device in connection.execute(asked):
        found[session_id].append((code, receipt, device))
    return found


def of_student_or_device(
    connection: Connection, session_id: str, code: str, device: str | None, *, tenant: str, term: str
) -> list[AnyRow]:
    """The check-ins of a student in a session, and of others with the same device."""
    c = checkin_records.c
    whose = c.code == code if device is None else or_(c.code == code, c.device == device)
    where = (c.tenant_id == tenant, c.term == term, c.session_id == session_id, whose)
    return list(connection.execute(select(c.code, c.receipt).where(*where)))


_TRACED: Final = "term, session_id, code, at_ms, device, point, lat_e2, lon_e2, place, doubts"

Place = tuple[int, int]
"""Latitude and longitude in hundredths of a degree."""

OpenPlace = Callable[[str, Any], Place | None]
"""Says where a check-in of a school was, given its row; None: nowhere that is kept."""


def plain_place(_tenant: str, row: Any) -> Place | None:
    """The place of a check-in that was never sealed."""
    return None if row.lat_e2 is None or row.lon_e2 is None else (row.lat_e2, row.lon_e2)


def near(
    connection: Connection, traces: Iterable[Trace], *, tenant: str, term: str, open_place: OpenPlace = plain_place
) -> dict[Trace, str]:
    """Check-ins that share a device, a student or a point with these, at a time that matters, with the doubts they have."""
    known = list(traces)
    if not known:
        return {}
    first, last = min(one.at_ms for one in known), max(one.at_ms for one in known)
    asked = (
        ("device", {one.device for one in known if one.device}, DEVICE_MS),
        ("code", {one.code for one in known if one.place is not None}, TRAVEL_MS),
        ("point", {one.point for one in known if one.point}, POINT_MS),
    )
    at = key_ranges.place(connection)
    mine, whose = key_ranges.of_term(connection, tenant=tenant, term=term)
    parts: list[str] = []
    values: list[object] = []
    for name, wanted, span_ms in asked:
        if wanted:
            shares, listed = key_ranges.one_of(connection, name, sorted(wanted))
            where = f"{mine} AND {shares} AND at_ms BETWEEN {at} AND {at}"
            parts.append(f"SELECT {_TRACED} FROM checkin_records WHERE {where}")  # noqa: S608 (places for values)
            values += (*whose, *listed, first - span_ms, last + span_ms)
    rows = connection.exec_driver_sql(" UNION ALL ".join(parts), tuple(values)) if parts else ()
    return {trace_of(row, open_place(tenant, row)): row.doubts for row in rows}


def trace_of(row: Any, place: Place | None) -> Trace:
    """What is kept of a check-in to compare it with others."""
    return Trace(row.at_ms, row.session_id, row.code, row.device or "", row.point or "", place)


def doubt(connection: Connection, doubts: Mapping[tuple[str, str], str], *, tenant: str, term: str) -> None:
    """Write what others show about these check-ins, in the order of the key."""
    by_text: dict[str, dict[str, list[str]]] = {}
    for (session_id, code), text in sorted(doubts.items()):
        by_text.setdefault(text, {}).setdefault(session_id, []).append(code)
    for text, keys in sorted(by_text.items()):
        where = (checkin_records.c.tenant_id == tenant, checkin_records.c.term == term, of_keys(checkin_records, keys))
        connection.execute(update(checkin_records).where(*where).values(doubts=text))


_NOWHERE: Final[Mapping[str, None]] = {"place": None, "lat_e2": None, "lon_e2": None}


def with_points_before(
    connection: Connection, before_ms: int, *, tenant: str, term: str, limit: int
) -> dict[str, list[str]]:
    """Session → students, of some check-ins before then that have the fingerprint of a point still."""
    c = checkin_records.c
    where = (c.tenant_id == tenant, c.term == term, c.point.is_not(None), c.at_ms < before_ms)
    found: dict[str, list[str]] = {}
    for session_id, code in connection.execute(select(c.session_id, c.code).where(*where).limit(limit)):
        found.setdefault(session_id, []).append(code)
    return found


def forget_points(connection: Connection, keys: Keys, *, tenant: str, term: str) -> int:
    """Drop places and points of these students' check-ins. Returns how many."""
    where = (checkin_records.c.tenant_id == tenant, checkin_records.c.term == term, of_keys(checkin_records, keys))
    gone = update(checkin_records).where(*where).values(point=None, **_NOWHERE)
    return int(connection.execute(gone).rowcount)


def forget_places(connection: Connection, session_ids: Sequence[str], *, tenant: str, term: str) -> int:
    """Drop the places of these sessions' check-ins. Returns how many had any."""
    table = checkin_records
    where = (table.c.tenant_id == tenant, table.c.term == term, table.c.session_id.in_(session_ids))
    somewhere = or_(table.c.place.is_not(None), table.c.lat_e2.is_not(None))
    gone = update(table).where(*where, somewhere).values(**_NOWHERE)
    return int(connection.execute(gone).rowcount)


def codes_used(connection: Connection, session_id: str, *, tenant: str, term: str) -> dict[int, tuple[int, int]]:
    """Step of the screen's code → how many students came in by it, and from how many devices."""
    c = checkin_records.c
    where = (c.tenant_id == tenant, c.term == term, c.session_id == session_id, c.code_step.is_not(None))
    counted = select(c.code_step, func.count(), func.count(distinct(c.device))).where(*where).group_by(c.code_step)
    return {int(step): (int(students), int(devices)) for step, students, devices in connection.execute(counted)}
