"""Carrying out what a person asked of a run: its lane jobs move in units of 500, and then its state changes.

    pause:  queued, held ─▶ paused     resume: paused ─▶ queued, far ones held in peak hours     cancel: all ─▶ cancelled

Whoever has the run's task does it, so that it goes on after any death. Calls in flight end as they end, and what is in doubt
is settled as ever: the mirror says what became of them.
"""

import time

from sqlalchemy import Connection

from db import holding, imports, jobs, sync_runs, tasks
from db.tables import AnyRow
from domain.runs import PAUSED, RUNNING, Command
from usecases import off_peak
from usecases.sync.stages import finish
from usecases.sync.stages.base import Running

_UNIT = 500
_PAUSE_S = 0.005


def obey(on: Running) -> None:
    """Do what is asked of the run. Raises `ClaimLost`, above all when a person asked for something else meanwhile."""
    _ASKED[Command(on.run.asked)](on)


def _pause(on: Running) -> None:
    _move(on, ("queued", "held"), "paused")

    def rest(tx: Connection) -> None:
        sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, state=PAUSED, asked=None)
        tasks.finish_task(tx, on.task)

    on.unit(rest)


def _resume(on: Running) -> None:
    tier = off_peak.held_from(on.deps) if on.run.kind in holding.RUN_KINDS else None
    if tier is not None:
        _hold(on, tier)
    _move(on, ("paused",), "queued")
    on.unit(lambda tx: sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, state=RUNNING, asked=None))


def _cancel(on: Running) -> None:
    _move(on, jobs.OPEN, "cancelled")

    def end(tx: Connection) -> None:
        if on.run.import_no is not None:
            imports.fail(tx, tenant=on.deps.tenant, import_no=on.import_no, error=f"run {on.run_id} was cancelled")
        for stage in sync_runs.stages_of(tx, on.run_id):
            if stage.state == "running":
                sync_runs.end_stage(tx, on.run_id, stage.position, state="cancelled", note=_far(stage))
        _, report = finish.outcome(on, tx)
        sync_runs.end(
            tx,
            on.run_id,
            tenant=on.deps.tenant,
            state="cancelled",
            error=on.run.error or "a person cancelled it",
            report=report,
        )
        tasks.finish_task(tx, on.task)

    on.unit(end)


def _far(stage: AnyRow) -> str:
    return f"cancelled at {stage.done:,} of {stage.total:,}" if stage.total else "cancelled"


def _move(on: Running, before: tuple[str, ...], after: str) -> None:
    def work(tx: Connection) -> int:
        return jobs.move_some(tx, tenant=on.deps.tenant, run_id=on.run_id, before=before, after=after, limit=_UNIT)

    while on.unit(work) == _UNIT:
        time.sleep(_PAUSE_S)


def _hold(on: Running, tier: int) -> None:
    def work(tx: Connection) -> int:
        return holding.hold(tx, tenant=on.deps.tenant, run_id=on.run_id, from_tier=tier, state="paused", limit=_UNIT)

    while on.unit(work) == _UNIT:
        time.sleep(_PAUSE_S)


_ASKED = {Command.PAUSE: _pause, Command.RESUME: _resume, Command.CANCEL: _cancel}
