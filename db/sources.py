"""The sources of a tenant, and what each import has of each of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from db import imports
from db.clock import now_ms
from db.tables import AnyRow, import_sources, sources
from db.tables import imports as import_table
from db.upsert import insert_missing, upsert

READ, CHANGES, SAME, KEPT, ABSENT, FAILED = "read", "changes", "same", "kept", "absent", "failed"
"""What an import has of a source: its rows, its changes, its rows as they were because they are the same, those of its last
good import because it cannot be read, nothing because there was none; `failed`: it broke off, and the import with it."""
_SAYS = (READ, CHANGES, SAME)


def all_of(connection: Connection, *, tenant: str) -> list[AnyRow]:
    """The tenant's sources in the order of precedence."""
    where = sources.c.tenant_id == tenant
    return list(connection.execute(select(sources).where(where).order_by(sources.c.rank, sources.c.source_no)))


def get(connection: Connection, *, tenant: str, name: str) -> AnyRow | None:
    """One source."""
    where = (sources.c.tenant_id == tenant, sources.c.name == name)
    return connection.execute(select(sources).where(*where)).one_or_none()


def next_number(connection: Connection, *, tenant: str) -> int:
    """A number above 0 that no source has or had."""
    highest = 0
    for table in (sources, import_sources):
        found = connection.execute(select(func.max(table.c.source_no)).where(table.c.tenant_id == tenant)).scalar()
        highest = max(highest, found or 0)
    return highest + 1


def put(connection: Connection, *, tenant: str, name: str, new: Mapping[str, Any], **values: Any) -> None:
    """Write a source: `new` are the values that only a new one gets, the others are changed where it is there."""
    row = {
        "tenant_id": tenant, "name": name, "created_ms": now_ms(connection), "checked_ms": None, "answered_ms": None,
        "changed_ms": None, "mark": "", "error": None, "enabled": True, **new, **values,
    }  # fmt: skip
    insert_missing(connection, sources, [row])
    if values:
        change(connection, tenant=tenant, name=name, **values)


def change(connection: Connection, *, tenant: str, name: str, **values: Any) -> int:
    """Overwrite columns of a source; returns how many there are of that name: one or none."""
    where = (sources.c.tenant_id == tenant, sources.c.name == name)
    return int(connection.execute(update(sources).where(*where).values(**values)).rowcount)


def remove(connection: Connection, *, tenant: str, name: str) -> int:
    """Forget a source; returns how many there were of that name. What imports have of it stays theirs."""
    where = (sources.c.tenant_id == tenant, sources.c.name == name)
    return int(connection.execute(delete(sources).where(*where)).rowcount)


def answered(connection: Connection, *, tenant: str, source_no: int, mark: str) -> None:
    """It could be read, and this is its mark."""
    where = (sources.c.tenant_id == tenant, sources.c.source_no == source_no)
    now = now_ms(connection)
    connection.execute(
        update(sources).where(*where, sources.c.mark != mark).values(mark=mark, changed_ms=now, answered_ms=now)
    )
    connection.execute(update(sources).where(*where).values(checked_ms=now, answered_ms=now, error=None))


def silent(connection: Connection, *, tenant: str, source_no: int, error: str) -> None:
    """It could not be read."""
    where = (sources.c.tenant_id == tenant, sources.c.source_no == source_no)
    connection.execute(update(sources).where(*where).values(checked_ms=now_ms(connection), error=error[:2000]))


# --- imports ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """What one import has of one source."""

    source_no: int
    name: str
    outcome: str
    mark: str = ""
    watermark: str | None = None
    problem: str | None = None
    remedy: str | None = None


def note(connection: Connection, parts: Sequence[Part], *, tenant: str, import_no: int) -> None:
    """Write what the import has of these sources, in place of what was written before."""
    rows = [
        {
            "tenant_id": tenant, "import_no": import_no, "source_no": one.source_no, "name": one.name,
            "outcome": one.outcome, "mark": one.mark, "watermark": one.watermark, "problem": one.problem,
            "remedy": one.remedy,
        }
        for one in sorted(parts, key=lambda part: part.source_no)
    ]  # fmt: skip
    names = ("name", "outcome", "mark", "watermark", "problem", "remedy")
    upsert(connection, import_sources, rows, update=names)


def parts_of(connection: Connection, *, tenant: str, import_no: int) -> list[Part]:
    """What an import has of each source."""
    where = (import_sources.c.tenant_id == tenant, import_sources.c.import_no == import_no)
    rows = connection.execute(select(import_sources).where(*where).order_by(import_sources.c.source_no))
    return [_part(row) for row in rows]


def _part(row: AnyRow) -> Part:
    return Part(row.source_no, row.name, row.outcome, row.mark, row.watermark, row.problem, row.remedy)


def last_said(connection: Connection, *, tenant: str) -> dict[int, Part]:
    """Source → what the newest complete import that it had a say in has of it."""
    same = (import_table.c.tenant_id == import_sources.c.tenant_id) & (
        import_table.c.import_no == import_sources.c.import_no
    )
    newest = (
        select(import_sources.c.source_no, func.max(import_sources.c.import_no).label("import_no"))
        .join(import_table, same)
        .where(
            import_sources.c.tenant_id == tenant,
            import_sources.c.outcome.in_(_SAYS),
            import_table.c.state == imports.COMPLETE,
        )
        .group_by(import_sources.c.source_no)
        .subquery()
    )
    rows = connection.execute(
        select(import_sources)
        .join(
            newest,
            (newest.c.source_no == import_sources.c.source_no) & (newest.c.import_no == import_sources.c.import_no),
        )
        .where(import_sources.c.tenant_id == tenant)
    )
    return {row.source_no: _part(row) for row in rows}


def failed_in_run(connection: Connection, *, tenant: str, run_id: str) -> dict[int, Part]:
    """Sources that broke off in an import of this run that came to nothing."""
    same = (import_table.c.tenant_id == import_sources.c.tenant_id) & (
        import_table.c.import_no == import_sources.c.import_no
    )
    rows = connection.execute(
        select(import_sources)
        .join(import_table, same)
        .where(import_sources.c.tenant_id == tenant, import_table.c.run_id == run_id)
        .where(import_sources.c.outcome == FAILED)
    )
    return {row.source_no: _part(row) for row in rows}


def mapping_of(row: AnyRow) -> dict[str, Any]:
    """How the columns of a source are read."""
    said: dict[str, Any] = json.loads(row.mapping)
    return said
