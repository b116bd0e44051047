"""Numbered imports and their staging. Staging of an import that is not complete is read by nobody but that import."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, delete, func, or_, select, update

from db.clock import now_ms
from db.tables import enrolments, imports, meetings, tenants
from db.upsert import insert_missing

STAGING, HELD, COMPLETE, FAILED = "staging", "held", "complete", "failed"
_NOT_ENDED = (STAGING, HELD)
READ = "read"  # the `part` of an import whose source has been read to the end
APPLYING = "applying"  # the `part` of one whose changes are going into the staging it is based on
WHOLE, CHANGES, PEOPLE = "whole", "changes", "people"
DECIDED = "decided"  # of an import that reads nothing: people decided something about classes


def file_named(files: Mapping[str, str], part: str, source_no: int | None = None) -> str:
    """The file that a part was read from; of several sources that of one of them, or the first where none is asked for."""
    if source_no is not None:
        return files.get(f"{part}@{source_no}") or files.get(part, "")
    return next((file for name, file in files.items() if name.partition("@")[0] == part), "")


class ImportOver(Exception):
    """The import is not (or no longer) the one to work on: failed, complete, or overtaken by a newer one."""

    def __init__(self, import_no: int, why: str) -> None:
        super().__init__(f"import {import_no} {why}")
        self.import_no = import_no


class UnknownTenant(Exception):
    """There is no tenant of that name."""


@dataclass(frozen=True, slots=True)
class Import:
    """One row of `imports`. `cursor` counts the rows of `part` that are staged."""

    import_no: int
    run_id: str | None
    fingerprint: str
    state: str
    part: str
    cursor: int
    rows_in: int
    staged: int
    rejected: int
    held: int
    files: Mapping[str, str]
    kind: str
    base_no: int | None
    buffer_no: int | None
    watermark: str | None
    source_no: int = 0

    @property
    def staging_no(self) -> int:
        """Under which number its meetings and enrolments stand: its own, or that of the import it goes on with."""
        return self.import_no if self.base_no is None else self.base_no


@dataclass(frozen=True, slots=True)
class Gain:
    """What one page adds to the counters of its import. Rows of meetings only."""

    rows_in: int = 0
    staged: int = 0
    rejected: int = 0
    held: int = 0


def begin(
    connection: Connection,
    *,
    tenant: str,
    run_id: str,
    source: str,
    files: Mapping[str, str],
    fingerprint: str,
    part: str,
    kind: str = WHOLE,
    watermark: str | None = None,
    source_no: int = 0,
) -> int:
    """A new import in state staging; returns its number, higher than any before. Raises UnknownTenant."""
    import_no = next_number(connection, tenant)
    connection.execute(
        imports.insert().values(
            tenant_id=tenant,
            import_no=import_no,
            run_id=run_id,
            source=source[:500],
            files=json.dumps(dict(files), ensure_ascii=False),
            fingerprint=fingerprint,
            state=STAGING,
            part=part,
            cursor=0,
            rows_in=0,
            staged=0,
            rejected=0,
            held=0,
            findings=0,
            sessions=0,
            kind=kind,
            base_no=None,
            buffer_no=import_no if kind == CHANGES else None,
            watermark=watermark,
            source_no=source_no,
            planned=False,
            error=None,
            started_ms=now_ms(connection),
            finished_ms=None,
        )
    )
    return import_no


def next_number(connection: Connection, tenant: str) -> int:
    """The number of the next import, higher than any before. Raises UnknownTenant."""
    raised = connection.execute(
        update(tenants).where(tenants.c.id == tenant).values(last_import_no=tenants.c.last_import_no + 1)
    )
    if raised.rowcount != 1:
        raise UnknownTenant(tenant)
    number: int = connection.execute(select(tenants.c.last_import_no).where(tenants.c.id == tenant)).scalar_one()
    return number


def as_import(row: Row[Any]) -> Import:
    """A row of the table as a value."""
    return Import(
        row.import_no, row.run_id, row.fingerprint, row.state, row.part, row.cursor, row.rows_in, row.staged,
        row.rejected, row.held, json.loads(row.files), row.kind, row.base_no, row.buffer_no, row.watermark, row.source_no,
    )  # fmt: skip


def load(connection: Connection, *, tenant: str, import_no: int) -> Import:
    """The import. Raises ImportOver where there is none."""
    row = connection.execute(
        select(imports).where(imports.c.tenant_id == tenant, imports.c.import_no == import_no)
    ).one_or_none()
    if row is None:
        raise ImportOver(import_no, "does not exist")
    return as_import(row)


def staging_of(connection: Connection, *, tenant: str, run_id: str) -> Import | None:
    """The newest import that the run has in staging."""
    row = connection.execute(
        select(imports)
        .where(imports.c.tenant_id == tenant, imports.c.run_id == run_id, imports.c.state == STAGING)
        .order_by(imports.c.import_no.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else as_import(row)


def latest_complete(connection: Connection, tenant: str) -> int | None:
    """The number of the newest complete import; None before the first."""
    found: int | None = connection.execute(
        select(func.max(imports.c.import_no)).where(imports.c.tenant_id == tenant, imports.c.state == COMPLETE)
    ).scalar_one()
    return found


def version(connection: Connection, *, tenant: str) -> int | None:
    """A number that changes with each import, whether it became complete or not; None while one is being written."""
    mine = imports.c.tenant_id == tenant
    writing = select(imports.c.import_no).where(mine, imports.c.state == STAGING).exists()
    last = select(func.coalesce(func.max(imports.c.import_no), 0)).where(mine).scalar_subquery()
    row = connection.execute(select(last.label("last"), writing.label("writing"))).one()
    return None if row.writing else int(row.last)


def hold_tenant(connection: Connection, *, tenant: str) -> None:
    """One at a time for the tenant, until the unit ends."""
    connection.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update())


def hold_latest(connection: Connection, *, tenant: str, import_no: int) -> None:
    """Raise ImportOver unless this is the newest complete import; it stays so until the unit ends."""
    connection.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update(read=True))
    latest = latest_complete(connection, tenant)
    if latest != import_no:
        raise ImportOver(import_no, f"is not the latest complete one ({latest})")


def advance(connection: Connection, before: Import, *, tenant: str, part: str, cursor: int, gain: Gain) -> None:
    """Move the cursor from where `before` saw it. Raises ImportOver when somebody else moved it or ended the import."""
    moved = connection.execute(
        update(imports)
        .where(
            imports.c.tenant_id == tenant,
            imports.c.import_no == before.import_no,
            imports.c.state == STAGING,
            imports.c.part == before.part,
            imports.c.cursor == before.cursor,
        )
        .values(
            part=part,
            cursor=cursor,
            rows_in=imports.c.rows_in + gain.rows_in,
            staged=imports.c.staged + gain.staged,
            rejected=imports.c.rejected + gain.rejected,
            held=imports.c.held + gain.held,
        )
    )
    if moved.rowcount != 1:
        raise ImportOver(before.import_no, "was ended or is being read by somebody else")


def fail(connection: Connection, *, tenant: str, import_no: int, error: str) -> None:
    """End an import that is in staging or held. One that already ended stays as it is.

    So do changes that are partly in: the next run of that kind carries them to their end.
    """
    connection.execute(
        update(imports)
        .where(imports.c.tenant_id == tenant, imports.c.import_no == import_no, imports.c.state.in_(_NOT_ENDED))
        .where(imports.c.part != APPLYING)
        .values(state=FAILED, error=error, finished_ms=now_ms(connection))
    )


def fail_older(connection: Connection, *, tenant: str, import_no: int) -> None:
    """End every older import that is still in staging: its rows are about to be removed.

    Changes that only wait have no rows there; those that were going in have lost what they were going into.
    """
    waits = and_(imports.c.kind == CHANGES, imports.c.part != APPLYING)
    connection.execute(
        update(imports)
        .where(imports.c.tenant_id == tenant, imports.c.import_no < import_no, imports.c.state.in_(_NOT_ENDED), ~waits)
        .values(state=FAILED, error=f"overtaken by import {import_no}", finished_ms=now_ms(connection))
    )


def hold(connection: Connection, *, tenant: str, import_no: int) -> None:
    """It was read to the end and waits for a person: not the latest, and nobody's staging to go on with."""
    _change_state(connection, tenant, import_no, before=STAGING, after=HELD)


def release(connection: Connection, *, tenant: str, import_no: int) -> None:
    """A person let it go on. One that is not held stays as it is."""
    _change_state(connection, tenant, import_no, before=HELD, after=STAGING)


def _change_state(connection: Connection, tenant: str, import_no: int, *, before: str, after: str) -> None:
    connection.execute(
        update(imports)
        .where(imports.c.tenant_id == tenant, imports.c.import_no == import_no, imports.c.state == before)
        .values(state=after)
    )


def complete(connection: Connection, *, tenant: str, import_no: int, findings: int) -> None:
    """Make it the latest complete import. Raises ImportOver when it ended otherwise or a newer one is complete."""
    connection.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update())
    latest = latest_complete(connection, tenant)
    if latest is not None and latest > import_no:
        raise ImportOver(import_no, f"is older than the complete import {latest}")
    flipped = connection.execute(
        update(imports)
        .where(imports.c.tenant_id == tenant, imports.c.import_no == import_no, imports.c.state == STAGING)
        .values(state=COMPLETE, findings=findings, finished_ms=now_ms(connection))
    )
    if flipped.rowcount != 1:
        raise ImportOver(import_no, "is not in staging")


def set_sessions(connection: Connection, *, tenant: str, import_no: int, sessions: int) -> None:
    """Keep how many sessions the import gave."""
    connection.execute(
        update(imports).where(imports.c.tenant_id == tenant, imports.c.import_no == import_no).values(sessions=sessions)
    )


def known_hashes(connection: Connection, hashes: Sequence[str], *, tenant: str, import_no: int) -> set[str]:
    """Those of at most a page of row hashes that the import already has."""
    rows = connection.scalars(
        select(meetings.c.row_hash).where(
            meetings.c.tenant_id == tenant, meetings.c.import_no == import_no, meetings.c.row_hash.in_(hashes)
        )
    )
    return set(rows)


def add_meetings(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Stage rows that are not there yet, at most 500."""
    if rows:
        connection.execute(meetings.insert(), sorted(rows, key=lambda row: (row["offering_id"], row["line"])))


def add_enrolments(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Stage enrolments, at most 500; one that is there already stays."""
    ordered = sorted(rows, key=lambda row: (row["term"], row["kkh"], row["kcbh"], row["code"], row["source_no"]))
    insert_missing(connection, enrolments, ordered)


def used_page(
    connection: Connection, *, tenant: str, import_no: int, after: tuple[str, int], limit: int
) -> Sequence[Row[Any]]:
    """Up to `limit` used meetings after (offering, line), in that order."""
    offering_id, line = after
    return connection.execute(
        select(meetings)
        .where(
            meetings.c.tenant_id == tenant,
            meetings.c.import_no == import_no,
            meetings.c.held.is_(None),
            # Written so that both databases walk the primary key from here.
            meetings.c.offering_id >= offering_id,
            or_(meetings.c.offering_id > offering_id, meetings.c.line > line),
        )
        .order_by(meetings.c.offering_id, meetings.c.line)
        .limit(limit)
    ).all()


def used_of(connection: Connection, *, tenant: str, import_no: int, offering_ids: Sequence[str]) -> list[Row[Any]]:
    """All used meetings of a page of offerings, by offering and line."""
    rows = connection.execute(
        select(meetings)
        .where(meetings.c.tenant_id == tenant, meetings.c.import_no == import_no)
        .where(meetings.c.offering_id.in_(offering_ids), meetings.c.held.is_(None))
        .order_by(meetings.c.offering_id, meetings.c.line)
    )
    return list(rows)


def used_by_time(connection: Connection, *, tenant: str, import_no: int) -> Iterator[Row[Any]]:
    """All used meetings that name a teacher or a room, by start. Streams."""
    named = or_(meetings.c.ghs != "", meetings.c.xms != "", meetings.c.room != "")
    yield from connection.execution_options(stream_results=True, yield_per=2000).execute(
        select(meetings)
        .where(meetings.c.tenant_id == tenant, meetings.c.import_no == import_no, meetings.c.held.is_(None), named)
        .order_by(meetings.c.start_ms, meetings.c.offering_id, meetings.c.line)
    )


def offerings_used(connection: Connection, *, tenant: str, import_no: int) -> int:
    """How many offerings have a used meeting."""
    count: int = connection.execute(
        select(func.count(func.distinct(meetings.c.offering_id))).where(
            meetings.c.tenant_id == tenant, meetings.c.import_no == import_no, meetings.c.held.is_(None)
        )
    ).scalar_one()
    return count


@dataclass(frozen=True, slots=True)
class HeldGroup:
    """Held meetings of one reason and term: how many, and the first of them."""

    reason: str
    term: str
    count: int
    first: Row[Any]


def held_groups(connection: Connection, *, tenant: str, import_no: int) -> list[HeldGroup]:
    """Held meetings by reason and term."""
    mine = and_(meetings.c.tenant_id == tenant, meetings.c.import_no == import_no, meetings.c.held.is_not(None))
    groups = connection.execute(
        select(meetings.c.held, meetings.c.term, func.count().label("count"), func.min(meetings.c.line).label("line"))
        .where(mine)
        .group_by(meetings.c.held, meetings.c.term)
        .order_by(meetings.c.held, meetings.c.term)
    ).all()
    found = []
    for group in groups:
        first = connection.execute(select(meetings).where(mine, meetings.c.line == group.line).limit(1)).one()
        found.append(HeldGroup(group.held, group.term, group[2], first))
    return found


def enrolled_in(
    connection: Connection, *, tenant: str, import_no: int, term: str, kkhs: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """(kkh, kcbh, code) of the enrolments in these offering numbers of a term."""
    rows = connection.execution_options(stream_results=True, yield_per=2000).execute(
        select(enrolments.c.kkh, enrolments.c.kcbh, enrolments.c.code).where(
            enrolments.c.tenant_id == tenant,
            enrolments.c.import_no == import_no,
            enrolments.c.term == term,
            enrolments.c.kkh.in_(kkhs),
        )
    )
    for row in rows:
        yield row.kkh, row.kcbh, row.code


def discardable(connection: Connection, *, tenant: str, import_no: int) -> list[int]:
    """Older imports whose staging nobody needs: all but that of the newest complete one."""
    kept = latest_complete(connection, tenant)
    if kept is not None:
        kept = load(connection, tenant=tenant, import_no=kept).staging_no
    numbers: set[int] = set()
    for table in (meetings, enrolments):
        numbers.update(
            connection.scalars(
                select(table.c.import_no).where(table.c.tenant_id == tenant, table.c.import_no < import_no).distinct()
            )
        )
    return sorted(numbers - {kept})


_STAGES: Mapping[Table, tuple[str, ...]] = {
    meetings: ("offering_id", "line"),
    enrolments: ("term", "kkh", "kcbh", "code", "source_no"),
}


def discard(connection: Connection, *, tenant: str, import_no: int, limit: int = 500) -> int:
    """Remove about `limit` staged rows of an import; 0 means none is left."""
    for table, names in _STAGES.items():
        mine = and_(table.c.tenant_id == tenant, table.c.import_no == import_no)
        key = table.c[names[0]]
        # Whole values of the first key column go together, so that the delete is one range of the primary key.
        keys = connection.scalars(select(key).where(mine).order_by(*(table.c[name] for name in names)).limit(limit))
        found = keys.all()
        if found and found[0] != found[-1]:
            return int(connection.execute(delete(table).where(mine, key < found[-1])).rowcount)
        if found:
            return _discard_one(connection, table, names, mine, found[0], limit)
    return 0


def _discard_one(
    connection: Connection, table: Table, names: tuple[str, ...], mine: Any, first: Any, limit: int
) -> int:
    """Up to `limit` rows that share the first key column."""
    key, following = table.c[names[0]], table.c[names[1]]
    scope = and_(mine, key == first)
    found = connection.scalars(select(following).where(scope).order_by(following).limit(limit)).all()
    deleted = connection.execute(delete(table).where(scope, following <= found[-1]))
    return int(deleted.rowcount)
