"""Runs as stored trees of stages, advanced a step at a time by whoever has the task.

    full:    prepare ─▶ aggregate ─▶ users ─▶ calendars ─▶ events ─▶ finish
    import:  prepare ─▶ aggregate ─▶ finish
    verify, repair: see `verify_runs`

A step does a page or waits for the lanes; everything it has done is in the database when it returns, so a run goes on where
it was whoever died. Each transaction begins with the task's fence: a worker that was taken for dead writes nothing more.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db import jobs, sync_runs
from db.clock import now_ms
from db.engine import in_unit, reading
from db.jobs import Task
from db.tables import AnyRow
from db.timetable import UnknownRule
from domain.runs import Move, move, stage_at
from observability.log import get_logger
from remote.sources.base import BadSource
from usecases import tenants
from usecases.deps import Deps
from usecases.sync import importing, sources, verify_runs
from usecases.sync.stages import finish
from usecases.sync.stages.base import Done, RunFailed, Running
from usecases.sync.stages.table import STAGES, STEPS

log = get_logger("runs")

KIND = "run.advance"
QUEUE = "sync"
SCOPE_MUTEX = "timetable"


def begin(
    deps: Deps,
    *,
    kind: str,
    source: str,
    mapping: Mapping[str, Any] | None = None,
    remember: bool = False,
    settings: Mapping[str, Any] | None = None,
    trigger: str = "user",
    also: Callable[[Connection, str], None] | None = None,
) -> tuple[str, str]:
    """Start a run on a source (its path or address). Returns the ids of the run and of its task.

    `remember` makes it the source synced last; `settings` are settings of the tenant that change with the run's start.
    `trigger` says who wanted it: user or schedule. `also` writes, given the run's id, in the same transaction.
    Raises `BadSource` when a file or a column is missing (nothing is written then) and `RunActive`.
    """
    chosen = sources.choose(deps, source, mapping)
    opened = chosen.open()
    try:
        opened.check()
    finally:
        opened.close()
    scope = sources.to_scope(deps, chosen)
    changed = {**(sources.as_settings(deps, chosen) if remember else {}), **(settings or {})}
    run_id = deps.new_id()
    stages = STAGES[kind]

    def work(tx: Connection) -> str:
        sync_runs.begin(
            tx,
            tenant=deps.tenant,
            run_id=run_id,
            kind=kind,
            trigger=trigger,
            scope=scope,
            mutex=SCOPE_MUTEX,
            stages=stages,
        )
        if changed:
            tenants.change_settings(tx, tenant=deps.tenant, **changed)
        if also is not None:
            also(tx, run_id)
        return jobs.put_task(
            tx,
            tenant=deps.tenant,
            queue=QUEUE,
            kind=KIND,
            target=run_id,
            payload="{}",
            run_id=run_id,
            new_id=deps.new_id,
        )

    return run_id, in_unit(deps.engine, work)


def begin_look(deps: Deps, *, kind: str, sample: int | None = None) -> str:
    """Start a run of kind `verify` or `repair`. Returns its id. Raises `RunActive` while another one looks."""
    return verify_runs.begin(deps, kind=kind, sample=sample, queue=QUEUE, task_kind=KIND)


def advance(deps: Deps, task: Task) -> None:
    """Work on a run until it ends, has to wait for lanes, or the process stops. Raises `ClaimLost`."""
    _Runner(deps, task).work()


class _Runner:
    """Steps of one run, one after the other, for as long as this worker has its task."""

    def __init__(self, deps: Deps, task: Task) -> None:
        self._deps = deps
        self._task = task

    def work(self) -> None:
        """Raises `ClaimLost`."""
        try:
            self._work()
        except (BadSource, RunFailed, UnknownRule) as error:
            self._fail(str(error))

    def _work(self) -> None:
        while not self._deps.stopping.is_set():
            on, stage = self._where()
            what = move(ended=on.run.state in sync_runs.ENDED, stage_state=stage.state if stage is not None else None)
            if what is Move.CLOSE:
                in_unit(self._deps.engine, lambda tx: jobs.finish_task(tx, self._task))
                return
            if stage is None:
                self._finish(on)
                return
            if what is Move.START:
                self._start(on, stage)
            if self._rests_after(on, stage):
                return
        in_unit(self._deps.engine, lambda tx: jobs.defer_task(tx, self._task, wait_ms=0))

    def _where(self) -> tuple[Running, AnyRow | None]:
        """The run as it is now, and the stage that it is at; None when all are done."""
        with reading(self._deps.engine) as tx:
            run = sync_runs.get(tx, self._task.target)
            stages = sync_runs.stages_of(tx, self._task.target)
        assert run is not None
        at = stage_at([one.state for one in stages])
        return Running(self._deps, self._task, run), None if at is None else stages[at]

    def _start(self, on: Running, stage: AnyRow) -> None:
        on.unit(lambda tx: sync_runs.start_stage(tx, on.run_id, stage.position, stage.stage))

    def _rests_after(self, on: Running, stage: AnyRow) -> bool:
        """Do one step; whether the run now waits for something and the task was given back."""
        step = STEPS[stage.step](on, stage)
        if isinstance(step, Done):
            on.unit(lambda tx: sync_runs.end_stage(tx, on.run_id, stage.position, state="done", note=step.note))
            return False
        if step.wait_ms:
            in_unit(self._deps.engine, lambda tx: jobs.defer_task(tx, self._task, wait_ms=step.wait_ms))
        return step.wait_ms > 0

    def _finish(self, on: Running) -> None:
        def work(tx: Connection) -> str:
            on.fence(tx)
            state, report = finish.outcome(on, tx)
            sync_runs.end(tx, on.run_id, state=state, report=report)
            jobs.finish_task(tx, self._task)
            return state

        state = in_unit(self._deps.engine, work)
        log.info("run.ended", run_id=on.run_id, state=state)

    def _fail(self, sentence: str) -> None:
        on, _ = self._where()

        def work(tx: Connection) -> None:
            on.fence(tx)
            for stage in sync_runs.stages_of(tx, on.run_id):
                if stage.state == "running":
                    sync_runs.end_stage(tx, on.run_id, stage.position, state="failed", note=sentence)
            sync_runs.end(tx, on.run_id, state="failed", error=sentence)
            jobs.finish_task(tx, self._task)

        if on.run.import_no is not None and on.run.stage == "prepare":
            importing.fail(self._deps.engine, tenant=self._deps.tenant, import_no=on.import_no, error=sentence)
        in_unit(self._deps.engine, work)
        log.error("run.failed", run_id=on.run_id, reason=sentence)


def wait(
    deps: Deps,
    run_id: str,
    *,
    every_s: float = 0.3,
    patience_s: float = 60.0,
    show: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Follow a run until it ends, showing it each time. Stopping to look does not stop the run.

    A database that is away for less than `patience_s` is waited for: the run waits for it too.
    """
    seen = time.monotonic()
    while True:
        try:
            run = _look(deps, run_id)
        except DBAPIError:
            if time.monotonic() - seen > patience_s:
                raise
        else:
            seen = time.monotonic()
            show(run)
            if run["state"] in sync_runs.ENDED:
                return run
        time.sleep(every_s)


def _look(deps: Deps, run_id: str) -> dict[str, Any]:
    with reading(deps.engine) as tx:
        row = sync_runs.get(tx, run_id)
        assert row is not None
        return sync_runs.as_dict(tx, row, now=now_ms(tx))
