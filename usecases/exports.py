"""Files that take too long for a request: asked for, made by a worker, fetched by whoever asked, and forgotten.

begin ─▶ working ─ a worker writes rows into a file of its own ─▶ its pieces into the database ─▶ done ─ a day ─▶ forgotten
            │            └─ died: another one begins anew; pieces have their numbers
            └─ cancelled, failed
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import IO, Any, Final

from sqlalchemy import Connection, Engine

from db import audit, exports, jobs, notices, tasks
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain import csv_cells
from domain.notices import EXPORT_DONE, EXPORT_FAILED
from observability.log import get_logger
from usecases import configs, sheets
from usecases.deps import Deps
from usecases.export_tables import KINDS, Cells, Table
from usecases.tasks import VISIBILITY_MS, Task, kept, when_dead

log = get_logger("exports")

KIND: Final = "export.make"
CSV, XLSX = "csv", "xlsx"
FORMATS: Final = (CSV, XLSX)
MOST_AT_ONCE: Final = 3
"""Files that are made for one person at a time."""

_QUEUE: Final = "sync"
_IN_APP: Final = "in_app"
_ROWS: Final = 500
_TELL_S: Final = 1.0
_HOUR_MS: Final = 3_600_000
_TOLD_MS: Final = 30 * 24 * _HOUR_MS  # how long people may read that a file was ready


class TooMany(Exception):
    """As many files as one person may ask for are being made."""


class _NotWanted(Exception):
    """It was cancelled, or is gone."""


class _Stopping(Exception):
    """The process comes to rest."""


def begin(
    deps: Deps,
    kind: str,
    wanted: Mapping[str, Any],
    *,
    form: str,
    asked_by: str,
    actor: str,
    also: Callable[[Connection, str], None] = lambda _tx, _id: None,
) -> str:
    """Ask for a file of one of `KINDS`. Whether the caller may is for the caller to know. Returns its id; `also` writes in its
    transaction. Raises TooMany."""
    export_id = deps.new_id()

    def work(tx: Connection) -> str:
        going = exports.working_of(tx, tenant=deps.tenant, asked_by=asked_by)
        if sum(jobs.is_open(tx, tenant=deps.tenant, kind=KIND, target=one) for one in going) >= MOST_AT_ONCE:
            raise TooMany
        exports.add(tx, export_id, tenant=deps.tenant, kind=kind, wanted=wanted, form=form, asked_by=asked_by)
        said = {"kind": kind, "format": form, **wanted}
        audit.write(
            tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action="export.begin", thing=export_id, after=said
        )  # fmt: skip
        also(tx, export_id)
        return tasks.put_task(
            tx, tenant=deps.tenant, queue=_QUEUE, kind=KIND, target=export_id, payload="{}", run_id=None,
            new_id=deps.new_id,
        )  # fmt: skip

    task_id = in_unit(deps.engine, work)
    deps.ring(task_id)
    return export_id


def cancel(deps: Deps, export_id: str) -> bool:
    """Nobody wants the file any more. False where it is made already, or never will be."""
    return in_unit(
        deps.engine,
        lambda tx: exports.end(tx, export_id, tenant=deps.tenant, state=exports.CANCELLED, keep_ms=_HOUR_MS),
    )


# --- at work ---------------------------------------------------------------------------------------------------------


def make(deps: Deps, task: Task) -> None:
    """Make a file, in bounded memory whatever its length. Raises `ClaimLost`."""
    with reading(deps.engine) as tx:
        row = exports.get(tx, task.target, tenant=deps.tenant)
    if row is None or row.state != exports.WORKING or row.kind not in KINDS:
        in_unit(deps.engine, lambda tx: tasks.finish_task(tx, task))
        return
    try:
        with tempfile.TemporaryFile() as file, kept(deps, task):
            written = _write(deps, task, row, file)
            parts = _store(deps, task, file)
    except _NotWanted:
        in_unit(deps.engine, lambda tx: tasks.finish_task(tx, task))
    except _Stopping:
        in_unit(deps.engine, lambda tx: tasks.defer_task(tx, task, wait_ms=0))
        return
    else:
        in_unit(deps.engine, lambda tx: _done(deps, tx, task, written=written, size=parts))
        log.info("exports.done", export=task.target, kind=row.kind, rows=written, bytes=parts)
    forget(deps.engine, tenant=deps.tenant)


def _write(deps: Deps, task: Task, row: AnyRow, file: IO[bytes]) -> int:
    """Write the rows. Returns how many."""
    table = KINDS[row.kind](deps, json.loads(row.wanted))
    counted = _Counted(deps, task, table.rows)
    if row.format == XLSX:
        sheets.write(file, table.head, counted, called=table.called)
    else:
        for text in lines(Table(table.called, table.head, iter(counted))):
            file.write(text.encode())
    return counted.written


def lines(table: Table) -> Iterator[str]:
    """A table as CSV, some hundred rows at a time."""
    yield csv_cells.BOM + csv_cells.lines([table.head])
    while some := list(islice(table.rows, _ROWS)):
        yield csv_cells.lines(some)


class _Counted:
    """Rows that are counted while they are read; each second the count is told, and whether they are still wanted is asked."""

    def __init__(self, deps: Deps, task: Task, rows: Iterator[Cells]) -> None:
        self._deps, self._task, self._rows = deps, task, rows
        self.written = 0

    def __iter__(self) -> Iterator[Cells]:
        told_s = float("-inf")
        for row in self._rows:
            if self.written % _ROWS == 0 and time.monotonic() - told_s > _TELL_S:
                self._tell()
                told_s = time.monotonic()
            self.written += 1
            yield row

    def _tell(self) -> None:
        if self._deps.stopping.is_set():
            raise _Stopping
        in_unit(self._deps.engine, lambda tx: _told(self._deps, tx, self._task, written=self.written))


def _told(deps: Deps, tx: Connection, task: Task, **values: Any) -> None:
    """How far it is, under the fence of the task."""
    tasks.keep_task(tx, task, visibility_ms=VISIBILITY_MS)
    if not exports.write(tx, task.target, tenant=deps.tenant, **values):
        raise _NotWanted


def _store(deps: Deps, task: Task, file: IO[bytes]) -> int:
    """Bring the file into the database, a piece a transaction. Returns its length in bytes."""
    size = file.seek(0, 2)
    file.seek(0)
    number = -1
    while body := file.read(exports.PART_BYTES):
        number += 1
        in_unit(deps.engine, lambda tx, n=number, b=body: _part(deps, tx, task, n, b))  # type: ignore[misc]
    # Those of a try that died may go on behind the end of this one.
    while in_unit(deps.engine, lambda tx: exports.drop_parts(tx, task.target, tenant=deps.tenant, behind=number)):
        continue
    return size


def _part(deps: Deps, tx: Connection, task: Task, number: int, body: bytes) -> None:
    _told(deps, tx, task, size=0)
    exports.put_part(tx, task.target, number, body, tenant=deps.tenant)


def _done(deps: Deps, tx: Connection, task: Task, **values: Any) -> None:
    tasks.keep_task(tx, task, visibility_ms=VISIBILITY_MS)
    keep_ms = configs.value_of(tx, "export.keep_hours", tenant=deps.tenant) * _HOUR_MS
    if exports.end(tx, task.target, tenant=deps.tenant, state=exports.DONE, keep_ms=keep_ms, **values):
        _tell(tx, deps.tenant, task.target, EXPORT_DONE, deps.new_id)
    tasks.finish_task(tx, task)


def _tell(tx: Connection, tenant: str, export_id: str, what: str, new_id: Callable[[], str]) -> None:
    """Tell who waits for a file what became of it, once, unless he wants no notices."""
    row = exports.get(tx, export_id, tenant=tenant)
    if row is None or (what == EXPORT_FAILED and row.state != exports.WORKING):
        return
    if _IN_APP not in configs.value_of(tx, "user.notify_channels", tenant=tenant, user=row.asked_by):
        return
    body = {"kind": row.kind, "rows": row.written, "link": f"/api/v1/export-tasks/{export_id}"}
    notices.put(tx, row.asked_by, what, export_id, body, tenant=tenant, new_id=new_id)


def _gave_up(tx: Connection, tenant: str, export_id: str, new_id: Callable[[], str]) -> None:
    _tell(tx, tenant, export_id, EXPORT_FAILED, new_id)


when_dead(KIND, _gave_up)


def forget(engine: Engine, *, tenant: str) -> int:
    """Take away the files whose time is over, and what people were told long ago. Returns how many files."""
    with reading(engine) as tx:
        over = exports.expired(tx, tenant=tenant)
    for export_id in over:
        while in_unit(engine, lambda tx, one=export_id: exports.drop_parts(tx, one, tenant=tenant)):  # type: ignore[misc]
            continue
        in_unit(engine, lambda tx, one=export_id: exports.remove(tx, one, tenant=tenant))  # type: ignore[misc]
    while in_unit(engine, lambda tx: notices.forget(tx, now_ms(tx) - _TOLD_MS, tenant=tenant, limit=_ROWS)):
        continue
    return len(over)


# --- looking ---------------------------------------------------------------------------------------------------------


def state_of(tx: Connection, row: AnyRow) -> str:
    """How it stands; one whose task has given up has failed."""
    if row.state == exports.WORKING and not jobs.is_open(tx, tenant=row.tenant_id, kind=KIND, target=row.id):
        return exports.FAILED
    return str(row.state)


def pieces(engine: Engine, export_id: str, *, tenant: str) -> Iterator[bytes]:
    """The file, a piece at a time."""
    number = 0
    while True:
        with reading(engine) as tx:
            body = exports.part(tx, export_id, number, tenant=tenant)
        if body is None:
            return
        yield body
        number += 1
