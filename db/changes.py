"""Changes that wait to go into a staging, and the offerings that they have touched there."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, tuple_, update

from db.imports import STAGING
from db.tables import change_buffer, enrolments, imports, jobs, meetings, offerings, touched
from db.upsert import insert_missing, upsert
from domain.changes import Change, StagedRow

MEETINGS, ENROLMENTS = "meetings", "enrolments"
_KEY = [change_buffer.c[name] for name in ("part", "term", "kkh", "slot", "line")]


def keep(connection: Connection, rows: Sequence[Mapping[str, Any]], *, tenant: str, buffer_no: int) -> None:
    """Put rows into the buffer, at most 500; one that is there stays. Each has part, term, kkh, slot, line, op, row."""
    ordered = sorted(rows, key=lambda row: (row["part"], row["term"], row["kkh"], row["slot"], row["line"]))
    insert_missing(connection, change_buffer, [{"tenant_id": tenant, "buffer_no": buffer_no, **row} for row in ordered])


@dataclass(frozen=True, slots=True)
class Group:
    """Buffered rows that take effect together: those of a slot, or of a number where the slot is blank."""

    part: str
    term: str
    kkh: str
    slot: str
    changes: tuple[Change, ...]
    lines: tuple[int, ...]


def next_groups(connection: Connection, *, tenant: str, buffer_no: int, limit: int) -> list[Group]:
    """The next whole groups of the buffer, about `limit` rows; none when it is empty."""
    mine = (change_buffer.c.tenant_id == tenant, change_buffer.c.buffer_no == buffer_no)
    rows = connection.execute(select(change_buffer).where(*mine).order_by(*_KEY).limit(limit)).all()
    if len(rows) == limit:
        last = rows[-1]
        whole = [row for row in rows if _group_key(row) != _group_key(last)]
        if not whole:
            # A group longer than a page has to be seen whole.
            same = [column == value for column, value in zip(_KEY[:4], _group_key(last), strict=True)]
            whole = list(connection.execute(select(change_buffer).where(*mine, *same).order_by(*_KEY)))
        rows = whole
    found: dict[tuple[str, ...], list[Any]] = {}
    for row in rows:
        found.setdefault(_group_key(row), []).append(row)
    return [
        Group(
            part=key[0],
            term=key[1],
            kkh=key[2],
            slot=key[3],
            changes=tuple(Change(row.op, json.loads(row.row), row.sj) for row in group),
            lines=tuple(row.line for row in group),
        )
        for key, group in found.items()
    ]


def _group_key(row: Any) -> tuple[str, str, str, str]:
    return (row.part, row.term, row.kkh, row.slot)


def forget(connection: Connection, groups: Sequence[Group], *, tenant: str, buffer_no: int) -> None:
    """Take groups out of the buffer: they have gone in. They are the first ones there, in its order."""
    mine = (change_buffer.c.tenant_id == tenant, change_buffer.c.buffer_no == buffer_no)
    last: dict[tuple[str, str, str], str] = {}
    for one in groups:
        last[one.part, one.term, one.kkh] = one.slot
    # By ranges of the key: neither database walks its index for a list of row values.
    for (part, term, kkh), slot in last.items():
        of = (change_buffer.c.part == part, change_buffer.c.term == term, change_buffer.c.kkh == kkh)
        connection.execute(delete(change_buffer).where(*mine, *of, change_buffer.c.slot <= slot))


def waiting(connection: Connection, *, tenant: str, buffer_no: int) -> int:
    """How many rows are in the buffer."""
    mine = (change_buffer.c.tenant_id == tenant, change_buffer.c.buffer_no == buffer_no)
    return int(connection.execute(select(func.count()).select_from(change_buffer).where(*mine)).scalar_one())


def discard(connection: Connection, *, tenant: str, buffer_no: int, limit: int = 500) -> int:
    """Remove up to `limit` rows of a buffer that will not be applied; returns how many."""
    mine = (change_buffer.c.tenant_id == tenant, change_buffer.c.buffer_no == buffer_no)
    keys = [tuple(row) for row in connection.execute(select(*_KEY).where(*mine).order_by(*_KEY).limit(limit))]
    if keys:
        connection.execute(delete(change_buffer).where(*mine, tuple_(*_KEY).in_(keys)))
    return len(keys)


def stale_buffers(connection: Connection, *, tenant: str) -> list[int]:
    """Buffers whose import has ended: what is left in them will not be applied."""
    open_ = select(func.coalesce(imports.c.buffer_no, imports.c.import_no)).where(
        imports.c.tenant_id == tenant, imports.c.state == STAGING
    )
    mine = change_buffer.c.tenant_id == tenant
    found = select(change_buffer.c.buffer_no).where(mine, change_buffer.c.buffer_no.not_in(open_)).distinct()
    return list(connection.scalars(found))


# --- staging ----------------------------------------------------------------------------------------------------------


def staged_of(
    connection: Connection, *, tenant: str, import_no: int, offering_ids: Sequence[str], source_no: int
) -> list[StagedRow]:
    """Every staged meeting that a source has of the offerings, held ones included."""
    rows = connection.execute(
        select(meetings).where(
            meetings.c.tenant_id == tenant,
            meetings.c.import_no == import_no,
            meetings.c.offering_id.in_(sorted(offering_ids)),
            meetings.c.source_no == source_no,
        )
    )
    return [dict(row._mapping) for row in rows]


def offerings_of(connection: Connection, *, tenant: str, term: str, kkhs: Sequence[str]) -> dict[str, set[str]]:
    """Number → the ids of the offerings that it is known to have."""
    found: dict[str, set[str]] = {}
    rows = connection.execute(
        select(offerings.c.kkh, offerings.c.id).where(
            offerings.c.tenant_id == tenant, offerings.c.term == term, offerings.c.kkh.in_(sorted(kkhs))
        )
    )
    for row in rows:
        found.setdefault(row.kkh, set()).add(row.id)
    return found


def replace_meetings(
    connection: Connection,
    *,
    tenant: str,
    import_no: int,
    source_no: int,
    gone: Sequence[StagedRow],
    fresh: Sequence[Mapping[str, Any]],
) -> None:
    """Take rows out of a staging and put others in, in this order: a row may come back under another line."""
    lines: dict[str, list[int]] = {}
    for row in gone:
        lines.setdefault(row["offering_id"], []).append(row["line"])
    mine = (meetings.c.tenant_id == tenant, meetings.c.import_no == import_no)
    for offering_id, of in sorted(lines.items()):
        connection.execute(
            delete(meetings).where(*mine, meetings.c.offering_id == offering_id, meetings.c.line.in_(of))
        )
    if fresh:
        same = {"tenant_id": tenant, "import_no": import_no, "source_no": source_no}
        rows = [{**row, **same} for row in fresh]
        connection.execute(meetings.insert(), sorted(rows, key=lambda row: (row["offering_id"], row["line"])))


def replace_enrolments(
    connection: Connection,
    *,
    tenant: str,
    import_no: int,
    source_no: int,
    term: str,
    kkh: str,
    rows: Sequence[Mapping[str, Any]],
) -> bool:
    """Let these be all enrolments that a source has of a number. True when that changes anything."""
    mine = (
        enrolments.c.tenant_id == tenant,
        enrolments.c.import_no == import_no,
        enrolments.c.term == term,
        enrolments.c.kkh == kkh,
        enrolments.c.source_no == source_no,
    )
    there = {(row.kcbh, row.code) for row in connection.execute(select(enrolments).where(*mine))}
    wanted = {(row["kcbh"], row["code"]): row for row in rows}
    gone = sorted(there - wanted.keys())
    for start in range(0, len(gone), 200):
        some = tuple_(enrolments.c.kcbh, enrolments.c.code).in_(gone[start : start + 200])
        connection.execute(delete(enrolments).where(*mine, some))
    fresh = [wanted[key] for key in sorted(wanted.keys() - there)]
    if fresh:
        same = {"tenant_id": tenant, "import_no": import_no, "source_no": source_no, "term": term, "kkh": kkh}
        connection.execute(enrolments.insert(), [{**same, **row} for row in fresh])
    return bool(gone or fresh)


# --- touched offerings ------------------------------------------------------------------------------------------------


def touch(connection: Connection, keys: Iterable[tuple[str, str]], *, tenant: str, import_no: int) -> None:
    """Note that an import changed something of these offerings (term, id), at most a page."""
    rows = [
        {"tenant_id": tenant, "term": term, "offering_id": one, "import_no": import_no, "made_no": 0}
        for term, one in sorted(set(keys))
    ]
    upsert(connection, touched, rows, update=("import_no",))


def touch_anew(connection: Connection, keys: Iterable[tuple[str, str]], *, tenant: str, import_no: int) -> None:
    """Let the sessions of these offerings (term, id), at most a page, be made anew as of an import, whatever was made so far."""
    rows = [
        {"tenant_id": tenant, "term": term, "offering_id": one, "import_no": import_no, "made_no": 0}
        for term, one in sorted(set(keys))
    ]
    upsert(connection, touched, rows, update=("import_no", "made_no"))


def touched_by(connection: Connection, ids: Iterable[str], *, tenant: str, import_no: int) -> set[str]:
    """Those of a page of offerings that this import touched."""
    where = (touched.c.tenant_id == tenant, touched.c.import_no == import_no)
    return set(
        connection.scalars(select(touched.c.offering_id).where(*where, touched.c.offering_id.in_(sorted(set(ids)))))
    )


def touch_failed(connection: Connection, *, tenant: str, import_no: int) -> None:
    """Note the offerings whose calendars have dead letters: what failed in one run is tried by the next."""
    rows = connection.execute(
        select(jobs.c.term, jobs.c.group_id)
        .where(jobs.c.tenant_id == tenant, jobs.c.state == "dead", jobs.c.lane.is_not(None))
        .where(jobs.c.group_id.like("cal:%"))
        .distinct()
        .limit(2000)
    )
    keys = {(row.term, row.group_id.partition(":")[2]) for row in rows}
    made = [
        {"tenant_id": tenant, "term": term, "offering_id": one, "import_no": import_no, "made_no": import_no}
        for term, one in sorted(keys)
    ]
    insert_missing(connection, touched, made)


def to_make(connection: Connection, *, tenant: str, limit: int) -> list[tuple[str, str]]:
    """The next touched offerings (term, id) whose sessions are not those of the newest changes."""
    rows = connection.execute(
        select(touched.c.term, touched.c.offering_id)
        .where(touched.c.tenant_id == tenant, touched.c.made_no < touched.c.import_no)
        .order_by(touched.c.term, touched.c.offering_id)
        .limit(limit)
    )
    return [(row.term, row.offering_id) for row in rows]


def made(connection: Connection, keys: Iterable[tuple[str, str]], *, tenant: str, import_no: int) -> None:
    """The sessions of these offerings are as of the import."""
    connection.execute(
        update(touched)
        .where(touched.c.tenant_id == tenant, tuple_(touched.c.term, touched.c.offering_id).in_(sorted(keys)))
        .values(made_no=import_no)
    )


def count_to_make(connection: Connection, *, tenant: str) -> int:
    """How many touched offerings wait for their sessions."""
    where = (touched.c.tenant_id == tenant, touched.c.made_no < touched.c.import_no)
    return int(connection.execute(select(func.count()).select_from(touched).where(*where)).scalar_one())


def settle(connection: Connection, *, tenant: str, up_to: int, limit: int = 500) -> int:
    """Everything was carried out as of the import `up_to`; returns how many were forgotten, fewer than `limit` at last."""
    where = (touched.c.tenant_id == tenant, touched.c.import_no <= up_to)
    keys = [
        tuple(row)
        for row in connection.execute(select(touched.c.term, touched.c.offering_id).where(*where).limit(limit))
    ]
    if keys:
        connection.execute(delete(touched).where(*where, tuple_(touched.c.term, touched.c.offering_id).in_(keys)))
    return len(keys)
