"""Runs: start, look, and say what they shall do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from db import sync_runs
from db.clock import now_ms
from db.engine import reading
from db.tables import AnyRow
from domain.runs import Command
from domain.scopes import Scope as Part
from domain.scopes import of_dict
from domain.tenancy import Reach, Scope, Thing, may
from usecases.sync import run_commands, starting
from web import idempotency, policy, site, versions
from web.envelope import Answer
from web.errors import ApiError
from web.paging import cursor_of, page_meta, read_cursor
from web.policy import needs, needs_some
from web.routes import Feature
from web.schemas import runs as shapes
from web.schemas.base import instant, to_ms

feature = Feature("sync", "同步批次 runs: start them, follow them, answer them")
_LOOKED_THROUGH: Final = 2_000
"""Rows that a list for some colleges reads at most: which a run is about is not a column."""


# --- what a request is about --------------------------------------------------------------------------------------------


def run_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The run that the address names."""
    path = said["path"]
    row = sync_runs.get(tx, getattr(path, "run_id", None) or path.sync_id, tenant=scope.tenant)
    return None if row is None else thing_of(tx, row)


def thing_of(tx: Connection, row: AnyRow) -> Thing:
    """A run, with the colleges that it touches."""
    only = of_dict(sync_runs.shown_scope(row.scope).get("only", {}))
    return Thing(row.tenant_id, starting.colleges_of(tx, only, tenant=row.tenant_id))


def part_of_body(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing:
    """The part of the timetable that the body names."""
    return Thing(scope.tenant, starting.colleges_of(tx, said["body"].scope.as_scope(), tenant=scope.tenant))


# --- starting -----------------------------------------------------------------------------------------------------------


@feature.post(
    "/sync/runs", needs("run.start", part_of_body), data=shapes.RunStarted, status=202, errors=(409,), limit="30/minute"
)
def start_run(body: shapes.StartRun) -> Answer:
    """Start a run on the school's source.

    It is put to work and answered at once; follow it at /sync/{id}/status.
    """
    only = body.scope.as_scope()
    if body.confirm_deletes is not None:
        with reading(site.deps().engine) as tx:
            thing = Thing(site.scope().tenant, starting.colleges_of(tx, only, tenant=site.scope().tenant))
        policy.demand("run.confirm", thing, site.scope(), site.deps())
    return _start(body.kind, only, body.priority, body.confirm_deletes)


@feature.post(
    "/sync/courses",
    needs("run.start", part_of_body),
    data=shapes.RunStarted,
    status=202,
    errors=(409,),
    limit="30/minute",
)
def sync_courses(body: shapes.SyncCourses) -> Answer:
    """Sync some courses now, and say by when they may be in the calendars."""
    return _start("incremental", body.scope.as_scope(), body.priority, None)


def _start(kind: str, only: Part, priority: str, confirm_deletes: int | None) -> Answer:
    started = starting.start(
        site.deps(),
        kind=kind,
        only=only,
        priority=priority,
        actor=site.actor(),
        rate_per_s=site.site().settings.wps_rate,
        now_ms=site.now_ms(),
        confirm_deletes=confirm_deletes,
        also=lambda tx, run: idempotency.stored_with(tx, _started(run)),
    )
    return _started(started)


def _started(run: starting.Started) -> Answer:
    by = shapes.EstimatedCompletion(earliest=instant(run.earliest_ms) or "", latest=instant(run.latest_ms) or "")
    data = shapes.RunStarted(id=run.run_id, status="queued", estimated_completion=by).as_json()
    return Answer(data, 202, headers={"Location": f"/api/v1/sync/runs/{run.run_id}"})


# --- looking ------------------------------------------------------------------------------------------------------------


@feature.get("/sync/runs", needs_some("run.read"), items=shapes.Run)
def list_runs(query: shapes.RunsQuery) -> Answer:
    """Runs, newest first unless sorted otherwise."""
    with reading(site.deps().engine) as tx:
        now = now_ms(tx)
        rows = _rows(tx, query)
        shown = rows[: query.size]
        items = [_shape(sync_runs.as_dict(tx, row, now=now)).as_json() for row in shown]
    last = cursor_of(query.sort, shown[-1].created_ms, shown[-1].id) if shown else None
    page = page_meta(query, shown=shown, more=len(rows) > query.size, cursor=last)
    return Answer({"items": items}, page=page)


def _rows(tx: Connection, query: shapes.RunsQuery) -> list[AnyRow]:
    """The rows of the page that the caller may see, and one more where there is one."""
    narrowed: dict[str, Any] = {
        "newest_first": query.sort == "-created",
        "after": None if query.cursor is None else _after(query),
        "states": query.state or (),
        "kinds": query.kind or (),
        "changed_after_ms": None if query.updated_after is None else to_ms(query.updated_after),
    }
    scope, offset, wanted = site.scope(), query.offset, query.size + 1
    if site.reach("run.read") & {Reach.TENANT, Reach.PLATFORM}:
        return sync_runs.page(tx, tenant=scope.tenant, limit=wanted, offset=offset, **narrowed)
    rows = sync_runs.page(tx, tenant=scope.tenant, limit=_LOOKED_THROUGH, **narrowed)
    seen = [row for row in rows if may(scope, "run.read", thing_of(tx, row))]
    return seen[offset : offset + wanted]


def _after(query: shapes.RunsQuery) -> tuple[int, str]:
    sort, created_ms, run_id = read_cursor(query.cursor or "")
    if sort != query.sort:
        raise ApiError("INVALID")
    return int(created_ms), str(run_id)


@feature.get("/sync/runs/<run_id>", needs("run.read", run_of), data=shapes.Run)
def show_run(path: shapes.RunPath) -> Answer:
    """One run: its stages with their progress, its counts, and what it asks.

    The ETag changes with whatever a person decides by; send it as If-Match with a command.
    """
    found, version = _look(path.run_id)
    return Answer(_shape(found).as_json(), etag=version)


@feature.get("/sync/runs/<run_id>/report", needs("run.read", run_of), data=shapes.Report)
def show_report(path: shapes.RunPath) -> Answer:
    """What a run has to say at its end."""
    found, _ = _look(path.run_id)
    return Answer(shapes.Report(id=found["id"], state=found["state"], report=found["report"]).as_json())


@feature.get("/sync/<sync_id>/status", needs("run.read", run_of), data=shapes.SyncStatus)
def show_status(path: shapes.SyncPath) -> Answer:
    """A run in brief: how far it is."""
    found, _ = _look(path.sync_id)
    sums = {
        name: sum(one[name] for one in found["counts"].values()) for name in ("planned", "done", "failed", "superseded")
    }
    over = sums["done"] + sums["failed"] + sums["superseded"]
    percent = round(100 * over / sums["planned"], 1) if sums["planned"] else 0.0
    shape = shapes.SyncStatus(
        id=found["id"],
        status=found["state"],
        stage=found["stage"],
        progress=shapes.Progress(**sums, percent=percent),
        error=found["error"],
        started_at=instant(found["started_ms"]),
        finished_at=instant(found["finished_ms"]),
    )
    return Answer(shape.as_json())


def _look(run_id: str) -> tuple[dict[str, Any], str]:
    """A run as it is, and its version. Raises `ApiError` 404."""
    with reading(site.deps().engine) as tx:
        row = sync_runs.get(tx, run_id, tenant=site.scope().tenant)
        if row is None:
            raise ApiError("NOT_FOUND")
        return sync_runs.as_dict(tx, row, now=now_ms(tx)), run_commands.version_of(tx, row)


def _shape(run: Mapping[str, Any]) -> shapes.Run:
    waits = run["waits_for"]
    return shapes.Run(
        **{name: run[name] for name in _SAME},
        waits_for=None if waits is None else shapes.WaitsFor(id=waits["id"], kind=waits["kind"], state=waits["state"]),
        scope=dict(run["scope"].get("only", {})),
        created_at=instant(run["created_ms"]) or "",
        started_at=instant(run["started_ms"]),
        finished_at=instant(run["finished_ms"]),
        stages=[shapes.Stage(**stage) for stage in run["stages"]],
        counts={kind: shapes.Counts(**counts) for kind, counts in run["counts"].items()},
        questions=[
            shapes.Asked(
                number=one["number"],
                state=one["state"],
                asked_at=instant(one["asked_ms"]) or "",
                answered_at=instant(one["answered_ms"]),
                answered_by=one["answered_by"],
                questions=one["questions"],
            )
            for one in run["questions"]
        ],
    )


_SAME: Final = (
    "id", "kind", "trigger", "priority", "state", "asked", "stage", "import_no", "error", "took_ms",
)  # fmt: skip


# --- telling ------------------------------------------------------------------------------------------------------------


@feature.post("/sync/runs/<run_id>/pause", needs("run.control", run_of), data=shapes.Told, status=202, versioned=True)
def pause_run(path: shapes.RunPath) -> Answer:
    """Send nothing more of a run; calls under way end."""
    return _tell(path.run_id, Command.PAUSE)


@feature.post("/sync/runs/<run_id>/resume", needs("run.control", run_of), data=shapes.Told, status=202, versioned=True)
def resume_run(path: shapes.RunPath) -> Answer:
    """Go on with a run that is paused."""
    return _tell(path.run_id, Command.RESUME)


@feature.post("/sync/runs/<run_id>/cancel", needs("run.control", run_of), data=shapes.Told, status=202, versioned=True)
def cancel_run(path: shapes.RunPath) -> Answer:
    """End a run: what was created stays, the next run asks for the rest."""
    return _tell(path.run_id, Command.CANCEL)


@feature.post("/sync/runs/<run_id>/confirm", needs("run.confirm", run_of), data=shapes.Told, status=202, versioned=True)
def confirm_run(path: shapes.RunPath) -> Answer:
    """Answer a run that asks before it deletes much: it is meant."""
    return _tell(path.run_id, Command.CONFIRM)


@feature.post("/sync/runs/<run_id>/drop", needs("run.confirm", run_of), data=shapes.Told, status=202, versioned=True)
def drop_run(path: shapes.RunPath) -> Answer:
    """Answer a run that asks: it is not meant; WPS stays as it is."""
    return _tell(path.run_id, Command.DROP)


def _tell(run_id: str, command: Command) -> Answer:
    task_id = run_commands.tell(site.deps(), run_id, command, actor=site.actor(), seen=versions.seen())
    return Answer(shapes.Told(id=run_id, command=command.value, already=task_id is None).as_json(), 202)
