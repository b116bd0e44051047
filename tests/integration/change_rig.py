"""Change sets written row by row, taken in as an incremental run does it, and a look at what they come to."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from db import imports
from db.engine import reading
from db.imports import CHANGES, READ, Import
from db.tables import offerings, rolls, sessions
from remote.sources.base import ChangeSet
from remote.sources.csv_folder import ChangesFile
from tests.integration.campus_rig import COLUMNS, ZONE, contents, free
from usecases.sync import change_sets, importing, touched
from usecases.sync.change_rows import ChangeRows
from usecases.sync.importing import Fence

Row = dict[str, str]


def write_changes(file: Path, rows: Iterable[Row], columns: Iterable[str] = COLUMNS) -> Path:
    """A file of changes."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return file


def take_in(engine: Engine, changes: Path | ChangeSet, *, run_id: str, fence: Fence = free) -> Import:
    """Read, apply and aggregate a change set, going on wherever an earlier try had stopped."""
    found: ChangeSet = ChangesFile(changes) if isinstance(changes, Path) else changes
    with reading(engine) as connection:
        begun = imports.staging_of(connection, tenant="main", run_id=run_id)
    if begun is None or begun.part not in (READ, imports.APPLYING):
        _read(engine, found, run_id=run_id, fence=fence)
    with reading(engine) as connection:
        at = imports.staging_of(connection, tenant="main", run_id=run_id)
    if at is not None:
        if at.part == READ:
            at = change_sets.rebase(engine, at, tenant="main", fence=fence)
        _apply(engine, at, fence)
    with reading(engine) as connection:
        latest = imports.latest_complete(connection, "main")
        assert latest is not None
    while touched.step(engine, tenant="main", import_no=latest, zone=ZONE, fence=fence):
        pass
    with reading(engine) as connection:
        return imports.load(connection, tenant="main", import_no=latest)


def _read(engine: Engine, found: ChangeSet, *, run_id: str, fence: Fence) -> None:
    number = importing.begin(engine, tenant="main", run_id=run_id, source=found, fence=fence, kind=CHANGES)
    how = ChangeRows("main", whole=found.whole)
    reading_on = True
    while reading_on:
        done = importing.step(
            engine,
            tenant="main",
            import_no=number,
            source=found,
            zone=ZONE,
            fence=fence,
            may_change=found.whole,
            stages=how.stage,
        )
        reading_on = not done.finished
    found.close()


def _apply(engine: Engine, at: Import, fence: Fence) -> None:
    assert at.buffer_no is not None
    with reading(engine) as connection:
        covered = imports.load(connection, tenant="main", import_no=at.staging_no).watermark
    while change_sets.apply_page(
        engine,
        tenant="main",
        import_no=at.import_no,
        staging_no=at.staging_no,
        buffer_no=at.buffer_no,
        fence=fence,
        covered_until=covered,
    ):
        pass
    change_sets.complete(engine, tenant="main", import_no=at.import_no, fence=fence, also=lambda _: None)


def timetable(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Offerings, sessions and rolls without what differs by the way they came in: numbers of imports, counts of rows."""
    but = {"import_no", "lane", "source_rows"}
    return {table.name: contents(engine, table, but=but) for table in (offerings, sessions, rolls)}
