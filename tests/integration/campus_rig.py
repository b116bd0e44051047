"""Campus folders written row by row, imports run to their end, and a look at what is in the tables."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Table, func, select

from db.engine import reading, unit
from db.tables import offerings, quarantine, rolls, sessions, tenants
from remote.sources.base import TimetableSource
from remote.sources.csv_folder import CsvFolder
from usecases.sync import aggregating, importing
from usecases.sync.importing import ImportReport

ZONE = ZoneInfo("Asia/Shanghai")
TERM = "2024-2025-1"
COLUMNS = ("kkh", "kcbh", "kcmc", "xnxq", "jxz", "zc", "jc", "lq", "room", "ghs", "xms", "st", "ed", "rq", "zt", "kkxy")
MONDAY = {
    "kkh": "A-1", "kcbh": "A", "kcmc": "代数", "xnxq": TERM, "jxz": "1", "zc": "1", "jc": "3", "lq": "一教", "room": "101",
    "ghs": "t1", "xms": "甲", "st": "10:00", "ed": "10:45", "rq": "2024-09-02", "zt": "add", "kkxy": "数学学院",
}  # fmt: skip


def free(_connection: Connection) -> None:
    """A fence that nobody contests."""


def write(folder: Path, part: str, rows: Iterable[dict[str, str]], columns: Iterable[str] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    found = list(rows)
    names = list(columns or (COLUMNS if part == "meetings" else found[0]))
    with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def read_in(
    engine: Engine,
    folder: Path,
    *,
    run_id: str = "run",
    fence: importing.Fence = free,
    source: TimetableSource | None = None,
) -> tuple[int, ImportReport]:
    """Import a folder, or any other source, to its end."""
    using = source or CsvFolder(folder)
    mark = using.watermark()
    number = importing.begin(engine, tenant="main", run_id=run_id, source=using, fence=fence, watermark=mark)
    while not importing.step(
        engine, tenant="main", import_no=number, source=using, zone=ZONE, fence=fence
    ).finished:  # fmt: skip
        pass
    using.close()
    return number, importing.complete(engine, tenant="main", import_no=number, fence=fence)


def aggregate(engine: Engine, number: int, *, fence: importing.Fence = free, cursor: str | None = None) -> int:
    """Aggregate an import to its end; how many sessions that wrote."""
    made = 0
    while True:
        done = aggregating.step(engine, tenant="main", import_no=number, cursor=cursor, zone=ZONE, fence=fence)
        made, cursor = made + done.sessions, done.cursor
        if done.finished:
            return made


def bring_in(engine: Engine, folder: Path, *, run_id: str = "run") -> ImportReport:
    number, report = read_in(engine, folder, run_id=run_id)
    aggregate(engine, number)
    return report


def contents(engine: Engine, table: Table, *where: Any, but: set[str] | None = None) -> list[tuple[Any, ...]]:
    """All rows without the numbers and times that differ by import."""
    left_out = {"import_no", "first_import", "last_import", "opened_ms"} if but is None else but
    kept = [column for column in table.columns if column.name not in left_out]
    with reading(engine) as connection:
        return sorted((tuple(row) for row in connection.execute(select(*kept).where(*where))), key=repr)


def timetable_of(engine: Engine) -> list[list[tuple[Any, ...]]]:
    return [contents(engine, table) for table in (offerings, sessions, rolls)]


def count(engine: Engine, table: Table, *where: Any) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()


def open_entries(engine: Engine, kind: str) -> Counter[str]:
    with reading(engine) as connection:
        rows = connection.execute(
            select(quarantine.c.reason).where(quarantine.c.kind == kind, quarantine.c.cleared_ms.is_(None))
        )
        return Counter(row.reason for row in rows)


def rewrite(folder: Path, part: str, change: Callable[[list[dict[str, str]]], Iterable[dict[str, str]]]) -> None:
    with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns, rows = list(reader.fieldnames or ()), list(reader)
    write(folder, part, change(rows), columns)


def with_tenant(database: Engine) -> Engine:
    """The database, with the tenant `main` in it."""
    with unit(database) as connection:
        connection.execute(
            tenants.insert().values(
                id="main",
                zone="Asia/Shanghai",
                settings="{}",
                wps_app_id="",
                wps_app_key="",
                last_import_no=0,
                created_ms=0,
            )
        )
    return database
