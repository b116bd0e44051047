"""Runs as stored trees of stages, advanced a step at a time by whoever has the task.

    full:         prepare ─▶ aggregate, guard ─▶ users ─▶ calendars ─▶ events ─▶ finish
    incremental:  detect, guard ─▶ delete ─▶ update ─▶ add ─▶ status
    users:        extract ─▶ view ─▶ permissions ─▶ finish
    change:       change ─▶ finish (see `stages.decide`)
    import:       prepare ─▶ aggregate ─▶ finish
    verify, repair: see `verify_runs`; undo: see `undoing`; archive: see `archiving`

A run that overlaps with an earlier one waits for its turn (see `turns`).

A step does a page or waits for the lanes; everything it has done is in the database when it returns, so a run goes on where
it was whoever died. Each transaction begins with the task's fence: a worker that was taken for dead writes nothing more. A run
that asks a person, or is paused, has no task.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db import audit, run_questions, sync_runs, tasks
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import AnyRow
from db.tasks import Task
from db.timetable import UnknownLayout, UnknownRule
from domain.run_moves import Move, move, stage_at
from domain.runs import ASKS, RESTS, Command
from domain.scopes import EVERYTHING, Scope
from observability.failpoints import failpoint
from observability.log import get_logger
from remote.sources.base import BadSource, Readable
from remote.sources.csv_folder import ChangesFile
from remote.sources.mapping import read_mapping
from usecases import tenants, terms
from usecases.deps import Deps
from usecases.sync import importing, obeying, run_commands, run_tasks, sources, turns, undoing, verify_runs
from usecases.sync.run_tasks import KIND, QUEUE
from usecases.sync.stages import detect, finish
from usecases.sync.stages.base import TURN_MS, Asks, Done, RunFailed, Running
from usecases.sync.stages.table import STAGES, STEPS

log = get_logger("runs")

__all__ = ["KIND", "QUEUE", "advance", "begin", "begin_look", "begin_undo", "wait"]

_READING = ("prepare", "detect", "extract")


def begin(
    deps: Deps,
    *,
    kind: str,
    source: str,
    mapping: Mapping[str, Any] | None = None,
    remember: bool = False,
    settings: Mapping[str, Any] | None = None,
    trigger: str = "user",
    actor: str = "",
    confirm_deletes: int | None = None,
    also: Callable[[Connection, str], None] | None = None,
    only: Scope = EVERYTHING,
    priority: str = sync_runs.NORMAL,
    changes: Path | None = None,
    may_wait: bool = True,
) -> tuple[str, str]:
    """Start a run on a source (its path or address). Returns the ids of the run and of its task.

    `remember` makes it the source synced last; `settings` are settings of the tenant that change with the run's start.
    `trigger` says who wanted it: user or schedule; a user's run replaces one that waits for an answer. `confirm_deletes` is how
    many events it may delete without asking `actor`. `also` writes, given the run's id, in the same transaction.
    `only` is the part of the timetable that it is about, `changes` a file that an incremental run reads instead of the
    source's own changes. While an overlapping run goes on it waits, unless `may_wait` is false.
    Raises `BadSource` when a file or a column is missing, `TermRefused` or `UnknownTerm` when it is about a term that is
    closed or unknown (nothing is written then), and `RunActive`.
    """
    chosen = sources.choose(deps, source, mapping)
    if changes is not None and chosen.members:
        remedy = "Put it as changes.csv into the folder of its source"
        raise BadSource(str(changes), "nobody knows which of the sources these changes are of", remedy)
    opened: Readable = chosen.open() if changes is None else ChangesFile(changes, read_mapping(chosen.mapping))
    try:
        opened.check()
    finally:
        opened.close()
    scope = _stored_scope(deps, chosen, only=only, changes=changes, confirm_deletes=confirm_deletes)
    changed = {**(sources.as_settings(deps, chosen) if remember else {}), **(settings or {})}
    run_id = deps.new_id()

    def work(tx: Connection) -> str:
        _refuse_closed_terms(deps, tx, only, chosen)
        sync_runs.hold_order(tx, tenant=deps.tenant)
        replaced = None
        asking = turns.asking(tx, tenant=deps.tenant, kind=kind, only=only) if trigger == "user" else None
        if asking is not None:
            replaced = run_commands.replace_asking(tx, deps, before=asking, by_run=run_id, actor=actor)
        if trigger != "user":
            turns.refuse_behind_a_question(tx, tenant=deps.tenant, only=only)
        turns.refuse_a_second(tx, tenant=deps.tenant, kind=kind, scope=scope, only=only, may_wait=may_wait)
        if confirm_deletes is not None:
            _confirm_beforehand(tx, deps, run_id, deletes=confirm_deletes, actor=actor)
        own = scope if replaced is None else {**scope, "replaces": replaced}
        task_id = run_tasks.begin(
            tx, deps, run_id, kind=kind, scope=own, stages=STAGES[kind], trigger=trigger, priority=priority
        )
        if changed:
            tenants.change_settings(tx, tenant=deps.tenant, **changed)
        if remember:
            sources.remember_row(tx, deps, chosen)
        if also is not None:
            also(tx, run_id)
        return task_id

    return run_id, in_unit(deps.engine, work)


def _stored_scope(
    deps: Deps, chosen: sources.Chosen, *, only: Scope, changes: Path | None, confirm_deletes: int | None
) -> dict[str, Any]:
    """What a run has to know that was asked for: its source, its part of the timetable, its file, its leave to delete."""
    scope = sources.to_scope(deps, chosen)
    if not only.is_everything:
        scope[turns.ONLY] = only.as_dict()
    if changes is not None:
        scope[detect.FILE] = str(changes.resolve())
    if confirm_deletes is not None:
        scope["confirm_deletes"] = confirm_deletes
    return scope


def _confirm_beforehand(tx: Connection, deps: Deps, run_id: str, *, deletes: int, actor: str) -> None:
    audit.write(
        tx,
        tenant=deps.tenant,
        new_id=deps.new_id,
        actor=actor,
        action="run.confirm_beforehand",
        thing=run_id,
        after={"deletes": deletes},
    )


def _refuse_closed_terms(deps: Deps, tx: Connection, only: Scope, chosen: sources.Chosen) -> None:
    """A run that names a term is refused where that is closed; the term that a source is all about may be new."""
    for term in only.terms:
        terms.refuse_closed(tx, tenant=deps.tenant, term=term)
    if chosen.term:
        terms.refuse_closed(tx, tenant=deps.tenant, term=chosen.term, may_be_new=True)


def begin_look(
    deps: Deps,
    *,
    kind: str,
    sample: int | None = None,
    only: str | None = None,
    fields: bool = False,
    repairs: bool = False,
    also: Callable[[Connection, str], None] | None = None,
    actor: str | None = None,
) -> str:
    """Start a run of kind `verify` or `repair`; see `verify_runs.begin`. Returns its id.

    Raises `RunActive` while another one looks.
    """
    said = {"sample": sample, "only": only, "fields": fields, "repairs": repairs}
    scope = {name: value for name, value in said.items() if value}
    return verify_runs.begin(deps, kind=kind, scope=scope, also=also, actor=actor)


def begin_undo(deps: Deps, run_id: str, *, actor: str) -> tuple[str, bool]:
    """Start taking a run back. Returns the id of the undo and whether it is new; see `undoing.begin` for what is raised."""
    return undoing.begin(deps, run_id, actor=actor)


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
        except (BadSource, RunFailed, UnknownLayout, UnknownRule) as error:
            self._fail(str(error))

    def _work(self) -> None:
        while not self._deps.stopping.is_set() and QUEUE not in self._deps.paused():
            on, stage = self._where()
            if on.run.asked is not None:
                obeying.obey(on)
                if on.run.asked != Command.RESUME:
                    return
                continue
            over = on.run.state in (*sync_runs.ENDED, *RESTS)
            what = move(ended=over, stage_state=stage.state if stage is not None else None)
            if what is Move.CLOSE:
                in_unit(self._deps.engine, lambda tx: tasks.finish_task(tx, self._task))
                return
            if stage is None:
                self._finish(on)
                return
            if what is Move.START and not self._starts(on, stage):
                return
            if self._rests_after(on, stage):
                return
        in_unit(self._deps.engine, lambda tx: tasks.defer_task(tx, self._task, wait_ms=0))

    def _where(self) -> tuple[Running, AnyRow | None]:
        """The run as it is now, and the stage that it is at; None when all are done."""
        with reading(self._deps.engine) as tx:
            run = sync_runs.get(tx, self._task.target, tenant=self._task.tenant)
            stages = sync_runs.stages_of(tx, self._task.target)
        assert run is not None
        at = stage_at([one.state for one in stages])
        return Running(self._deps, self._task, run), None if at is None else stages[at]

    def _starts(self, on: Running, stage: AnyRow) -> bool:
        """Begin the stage; False when another run goes first, and the task was given back."""
        if stage.position > 0 or on.run.kind not in turns.KINDS:
            on.unit(
                lambda tx: sync_runs.start_stage(tx, on.run_id, stage.position, stage.stage, tenant=self._deps.tenant)
            )
            return True
        if self._begin(on, stage):
            return True
        detect.keep_changes(on, stage)
        in_unit(self._deps.engine, lambda tx: tasks.defer_task(tx, self._task, wait_ms=TURN_MS))
        return False

    def _rests_after(self, on: Running, stage: AnyRow) -> bool:
        """Do one step; whether the run now waits for something and the task was given back."""
        step = STEPS[stage.step](on, stage)
        if isinstance(step, Asks):
            self._ask(on, stage, step)
            return True
        if isinstance(step, Done):
            on.unit(lambda tx: sync_runs.end_stage(tx, on.run_id, stage.position, state="done", note=step.note))
            failpoint("run.after_stage")
            return False
        if step.wait_ms:
            in_unit(self._deps.engine, lambda tx: tasks.defer_task(tx, self._task, wait_ms=step.wait_ms))
        return step.wait_ms > 0

    def _begin(self, on: Running, stage: AnyRow) -> bool:
        """Start the run if it is its turn; False, with the run that goes first, if it is not."""

        def work(tx: Connection) -> bool:
            sync_runs.hold_order(tx, tenant=self._deps.tenant)
            before = turns.first_before(tx, on.run)
            sync_runs.change_run(
                tx, on.run_id, tenant=self._deps.tenant, waits_for=None if before is None else before.id
            )
            if before is None:
                sync_runs.start_stage(tx, on.run_id, stage.position, stage.stage, tenant=self._deps.tenant)
            return before is None

        return on.unit(work)

    def _ask(self, on: Running, stage: AnyRow, step: Asks) -> None:
        """The run rests, with its stage, until a person answers."""

        def work(tx: Connection) -> None:
            run_questions.ask(
                tx, tenant=self._deps.tenant, run_id=on.run_id, questions=step.questions, shown=step.shown
            )
            sync_runs.change_stage(tx, on.run_id, stage.position, note="waits for an answer")
            sync_runs.change_run(tx, on.run_id, tenant=self._deps.tenant, state=ASKS)
            tasks.finish_task(tx, self._task)

        on.unit(work)
        log.warning("run.asks", run_id=on.run_id, guards=sorted({one.guard.value for one in step.questions}))

    def _finish(self, on: Running) -> None:
        following: list[str | None] = []

        def work(tx: Connection) -> str:
            on.fence(tx)
            state, report = finish.outcome(on, tx)
            sync_runs.end(tx, on.run_id, tenant=self._deps.tenant, state=state, report=report)
            following.append(verify_runs.follow_up(tx, self._deps, on.run, report))
            tasks.finish_task(tx, self._task)
            return state

        state = in_unit(self._deps.engine, work)
        if following[-1] is not None:
            self._deps.ring(following[-1])
        log.info("run.ended", run_id=on.run_id, state=state)

    def _fail(self, sentence: str) -> None:
        on, _ = self._where()

        def work(tx: Connection) -> None:
            on.fence(tx)
            for stage in sync_runs.stages_of(tx, on.run_id):
                if stage.state == "running":
                    sync_runs.end_stage(tx, on.run_id, stage.position, state="failed", note=sentence)
            sync_runs.end(tx, on.run_id, tenant=self._deps.tenant, state="failed", error=sentence)
            tasks.finish_task(tx, self._task)

        if on.run.import_no is not None and on.run.stage in _READING:
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
    """Follow a run, showing it each time, until it ends, asks a person, or only waits for off-peak hours.

    Stopping to look does not stop the run. A database that is away for less than `patience_s` is waited for: the
    run waits for it too.
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
            if run["state"] in (*sync_runs.ENDED, ASKS) or run["held_until_ms"] is not None:
                return run
        time.sleep(every_s)


def _look(deps: Deps, run_id: str) -> dict[str, Any]:
    with reading(deps.engine) as tx:
        row = sync_runs.get(tx, run_id, tenant=deps.tenant)
        assert row is not None
        return sync_runs.as_dict(tx, row, now=now_ms(tx))
