"""Imports that go on with the staging of an earlier one: changes, and lists of people."""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select, update

from db import imports, tables
from db.imports import Import
from db.tables import imports as table


def newest_of_source(connection: Connection, *, tenant: str, source: str, kinds: Sequence[str]) -> Import | None:
    """The newest complete import of these kinds that was read from the source."""
    row = connection.execute(
        select(table)
        .where(table.c.tenant_id == tenant, table.c.state == imports.COMPLETE, table.c.source == source[:500])
        .where(table.c.kind.in_(kinds))
        .order_by(table.c.import_no.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else imports.as_import(row)


def rebase(connection: Connection, at: Import, *, tenant: str, to_no: int) -> Import:
    """Let an import that has read everything go on with the staging of the complete import `to_no`.

    One that waited while newer imports were completed gets a new number: numbers say in which order things took effect.
    """
    latest = imports.latest_complete(connection, tenant) or 0
    number = at.import_no if at.import_no > latest else imports.next_number(connection, tenant)
    base_no = imports.load(connection, tenant=tenant, import_no=to_no).staging_no
    mine = (table.c.tenant_id == tenant, table.c.import_no == at.import_no, table.c.state == imports.STAGING)
    connection.execute(update(table).where(*mine).values(import_no=number, base_no=base_no, part=imports.APPLYING))
    import_sources = tables.import_sources
    parts = (import_sources.c.tenant_id == tenant, import_sources.c.import_no == at.import_no)
    connection.execute(update(import_sources).where(*parts).values(import_no=number))
    return imports.load(connection, tenant=tenant, import_no=number)


def half_applied(connection: Connection, *, tenant: str) -> Import | None:
    """Changes that were going into a staging when their run ended: they have to go in before anything else does."""
    row = connection.execute(
        select(table)
        .where(table.c.tenant_id == tenant, table.c.state == imports.STAGING, table.c.part == imports.APPLYING)
        .order_by(table.c.import_no)
        .limit(1)
    ).one_or_none()
    return None if row is None else imports.as_import(row)


def any_unfinished(connection: Connection, *, tenant: str) -> bool:
    """Whether a whole import was begun that may still become the latest one: of a run that waits for a person, say."""
    open_ = (table.c.kind == imports.WHOLE, table.c.state.in_((imports.STAGING, imports.HELD)))
    return connection.execute(select(table.c.import_no).where(table.c.tenant_id == tenant, *open_)).first() is not None


def stand_on(connection: Connection, base: Import, *, tenant: str, run_id: str) -> int:
    """A complete import that has all of `base`, the latest one, and is newer: what is put by it counts over what was put before.

    Raises what `imports.begin` and `imports.complete` raise.
    """
    number = imports.begin(
        connection,
        tenant=tenant,
        run_id=run_id,
        source=imports.DECIDED,
        files=base.files,
        fingerprint="",
        part=imports.READ,
        kind=imports.DECIDED,
    )
    mine = (table.c.tenant_id == tenant, table.c.import_no == number)
    connection.execute(update(table).where(*mine).values(base_no=base.staging_no))
    imports.complete(connection, tenant=tenant, import_no=number, findings=0)
    return number


def set_planned(connection: Connection, *, tenant: str, import_no: int) -> None:
    """All of the staging that the import stands on was compared with the mirror: from here on, differences are enough."""
    staging_no = imports.load(connection, tenant=tenant, import_no=import_no).staging_no
    connection.execute(
        update(table).where(table.c.tenant_id == tenant, table.c.import_no == staging_no).values(planned=True)
    )


def is_planned(connection: Connection, *, tenant: str, import_no: int) -> bool:
    """Whether `set_planned` was said of its staging."""
    staging_no = imports.load(connection, tenant=tenant, import_no=import_no).staging_no
    where = (table.c.tenant_id == tenant, table.c.import_no == staging_no)
    return bool(connection.execute(select(table.c.planned).where(*where)).scalar())


def staging_no(connection: Connection, *, tenant: str, import_no: int) -> int:
    """Under which number the rows of an import stand. Raises ImportOver where there is none."""
    return imports.load(connection, tenant=tenant, import_no=import_no).staging_no


def files_of_buffers(connection: Connection, *, tenant: str) -> dict[int, str]:
    """Buffer → the file or table that its changes of meetings were read from."""
    rows = connection.execute(
        select(table.c.import_no, table.c.buffer_no, table.c.files).where(table.c.tenant_id == tenant)
    )
    return {row.buffer_no or row.import_no: imports.file_named(json.loads(row.files), "meetings") for row in rows}


def add_files(connection: Connection, more: Mapping[str, str], *, tenant: str, import_no: int) -> None:
    """Name the files of parts that stand in for sources which were not read."""
    known = imports.load(connection, tenant=tenant, import_no=import_no).files
    where = (table.c.tenant_id == tenant, table.c.import_no == import_no)
    said = json.dumps({**more, **known}, ensure_ascii=False)
    connection.execute(update(table).where(*where).values(files=said))


def set_watermark(connection: Connection, *, tenant: str, import_no: int, watermark: str | None) -> None:
    """Up to when what was read says that it was changed."""
    where = (table.c.tenant_id == tenant, table.c.import_no == import_no)
    connection.execute(update(table).where(*where).values(watermark=watermark))
