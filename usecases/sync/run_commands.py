"""What people say to runs: pause, resume, cancel, confirm, drop. Each is one audited transaction.

The command is written on the run and the run gets a task that nobody has: the worker that was at it writes nothing more, and
whoever claims the task carries the command out.
"""

import json
from typing import Any

from sqlalchemy import Connection

from db import audit, imports, run_questions, sync_runs, tasks
from db.engine import in_unit
from db.tables import AnyRow
from domain.runs import ASKS, RUNNING, Already, Command, Refuse, decide
from usecases.deps import Deps
from usecases.sync import run_tasks


class UnknownRun(Exception):
    """There is no run of that id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id}")
        self.run_id = run_id


class Refused(Exception):
    """The run does not take the command; `remedy` says what can be done."""

    def __init__(self, run_id: str, command: str, why: str, remedy: str) -> None:
        super().__init__(f"run {run_id} cannot be told to {command}: {why}")
        self.remedy = remedy


class Changed(Exception):
    """The run is not as it was when the person decided."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} has changed since it was looked at")
        self.run_id = run_id


def tell(deps: Deps, run_id: str, command: Command, *, actor: str, seen: str | None = None) -> str | None:
    """Tell a run what to do. Returns the id of the task by which it is done; None when it is so already.

    `seen` is the version of the run that the person decided about (see `version_of`).
    Raises `UnknownRun`, `Refused`, and `Changed` where the run has another version by now.
    """
    task_id = in_unit(deps.engine, lambda tx: write(tx, deps, run_id, command, actor=actor, seen=seen))
    if task_id is not None:
        deps.ring(task_id)
    return task_id


def version_of(tx: Connection, run: AnyRow) -> str:
    """Changes whenever something changes that a person decides by: state, wish, or what it asks. Progress does not count."""
    asked = run_questions.of_run(tx, tenant=run.tenant_id, run_id=run.id)
    return f"{run.state}-{run.asked or 'none'}-{asked[0].number if asked else 0}"


def write(
    tx: Connection, deps: Deps, run_id: str, command: Command, *, actor: str, seen: str | None = None
) -> str | None:
    """The same within a transaction of the caller's."""
    tasks.lock_task(tx, tenant=deps.tenant, kind=run_tasks.KIND, target=run_id)
    run = sync_runs.get(tx, run_id, tenant=deps.tenant, lock=True)
    if run is None:
        raise UnknownRun(run_id)
    if seen is not None and seen != version_of(tx, run):
        raise Changed(run_id)
    verdict = decide(command, state=run.state, asked=run.asked)
    if isinstance(verdict, Refuse):
        raise Refused(run_id, command.value, verdict.why, verdict.remedy)
    if isinstance(verdict, Already):
        return None
    if run.state == ASKS:
        _answer(tx, deps, run, command, actor)
    else:
        sync_runs.change_run(tx, run_id, tenant=deps.tenant, asked=command.value)
    audit.write(
        tx,
        tenant=deps.tenant,
        new_id=deps.new_id,
        actor=actor,
        action=f"run.{command.value}",
        thing=run_id,
        before={"state": run.state, "asked": run.asked},
        after=_asked_of(tx, run) if run.state == ASKS else None,
    )
    return run_tasks.put_anew(tx, deps, run_id)


def _asked_of(tx: Connection, run: AnyRow) -> list[dict[str, Any]]:
    """The numbers that the answer is about."""
    questions: list[dict[str, Any]] = json.loads(
        run_questions.of_run(tx, tenant=run.tenant_id, run_id=run.id)[0].questions
    )
    return questions


def _answer(tx: Connection, deps: Deps, run: AnyRow, command: Command, actor: str) -> None:
    confirmed = command is Command.CONFIRM
    state = run_questions.CONFIRMED if confirmed else run_questions.DROPPED
    run_questions.answer(tx, tenant=deps.tenant, run_id=run.id, state=state, by=actor)
    if confirmed:
        if run.import_no is not None:
            imports.release(tx, tenant=deps.tenant, import_no=run.import_no)
        sync_runs.change_run(tx, run.id, tenant=deps.tenant, state=RUNNING)
        return
    # What the run had asked about stays as it was at WPS; the next run counts anew and asks again.
    sync_runs.change_run(
        tx, run.id, tenant=deps.tenant, asked=Command.CANCEL.value, error="a person dropped what it asked"
    )


def replace_asking(tx: Connection, deps: Deps, *, before: AnyRow, by_run: str, actor: str) -> str | None:
    """End a run that waits for an answer, if it still does, so that a new one can begin. Returns its id.

    It has sent nothing since it asked: ending it here leaves no job of it behind.
    """
    tasks.lock_task(tx, tenant=deps.tenant, kind=run_tasks.KIND, target=before.id)
    run = sync_runs.get(tx, before.id, tenant=deps.tenant, lock=True)
    if run is None or run.state != ASKS:
        return None
    run_questions.answer(tx, tenant=deps.tenant, run_id=run.id, state=run_questions.DROPPED, by=actor)
    error = f"replaced by run {by_run}"
    if run.import_no is not None:
        imports.fail(tx, tenant=deps.tenant, import_no=run.import_no, error=error)
    for stage in sync_runs.stages_of(tx, run.id):
        if stage.state == "running":
            sync_runs.end_stage(tx, run.id, stage.position, state="cancelled", note=error)
    sync_runs.end(tx, run.id, tenant=deps.tenant, state="cancelled", error=error)
    audit.write(
        tx,
        tenant=deps.tenant,
        new_id=deps.new_id,
        actor=actor,
        action="run.replace",
        thing=run.id,
        before={"state": ASKS},
        after={"run": by_run},
    )
    return str(run.id)
