"""A source that people write to is read again where it changed, before what was read of it counts.

A row that moves while the pages go by may be met by none of them. It is no gap in the end: whatever was written after the
watermark is read once more, as a whole number, into the same import. Only then is the import complete, so nothing is ever
deleted because a reading had looked elsewhere at the time.
"""

from dataclasses import replace
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from db import changes, import_bases, imports, sources, timetable
from db.engine import in_unit, reading
from db.imports import Import
from db.sources import Part
from remote.sources.base import ChangeSet, TimetableSource
from usecases.sync.bulk import PAGE_ROWS, Fence
from usecases.sync.change_rows import ChangeRows
from usecases.sync.change_sets import apply_page


def catch_up(
    engine: Engine,
    *,
    tenant: str,
    import_no: int,
    source: TimetableSource,
    zone: ZoneInfo,
    fence: Fence,
    part: Part | None = None,
) -> None:
    """Read what changed since the watermark of a whole import that is in staging and read to its end.

    `part`: what the import has of this source, where it has several; the watermark is that of the part then.
    After a crash it begins again: applying changes twice is applying them once. Raises BadSource, what `fence` raises.
    """
    with reading(engine) as connection:
        at = imports.load(connection, tenant=tenant, import_no=import_no)
    newest = source.watermark()
    found = source.changes(since=at.watermark if part is None else part.watermark)
    if found is None or at.state != imports.STAGING:
        return
    number = 0 if part is None else part.source_no
    _read(engine, at, found, ChangeRows(tenant, whole=found.whole, source_no=number), zone=zone, fence=fence)
    while apply_page(
        engine,
        tenant=tenant,
        import_no=import_no,
        staging_no=import_no,
        buffer_no=import_no,
        fence=fence,
        source_no=number,
    ):
        pass

    def work(connection: Connection) -> None:
        fence(connection)
        if part is None:
            import_bases.set_watermark(connection, tenant=tenant, import_no=import_no, watermark=newest)
        else:
            sources.note(connection, [replace(part, watermark=newest)], tenant=tenant, import_no=import_no)

    in_unit(engine, work)


def _read(engine: Engine, at: Import, found: ChangeSet, how: ChangeRows, *, zone: ZoneInfo, fence: Fence) -> None:
    """All changes into a buffer under the number of the import."""
    with reading(engine) as connection:
        calendar = timetable.load_calendar(connection, tenant=how.tenant, zone=zone)

    def empty(connection: Connection) -> int:
        fence(connection)
        return changes.discard(connection, tenant=how.tenant, buffer_no=at.import_no)

    while in_unit(engine, empty):
        pass
    for part in found.parts():
        after = 0
        while rows := found.rows(part, after=after, limit=PAGE_ROWS):
            after += len(rows)
            page = how.stage(replace(at, part=part, buffer_no=at.import_no), rows, calendar, found.file_of(part))

            def keep(connection: Connection, page: object = page) -> None:
                fence(connection)
                page(connection)  # type: ignore[operator]

            in_unit(engine, keep)
