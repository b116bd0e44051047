"""Claiming and retrying tasks of queues, and what is due now."""

import random
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import Connection

from db import lanes, sync_runs
from db import tasks as task_rows
from db.engine import in_unit, reading
from db.tasks import ClaimLost, Task
from observability.failpoints import failpoint
from observability.redaction import scrubbed
from usecases import tenants
from usecases.deps import Deps

__all__ = [
    "ClaimLost",
    "Task",
    "claim",
    "due_lanes",
    "due_tasks",
    "in_school",
    "kept",
    "retry",
    "urgent_lanes",
    "when_dead",
]

VISIBILITY_MS = 15_000
MAX_ATTEMPTS = 5
_FIRST_RETRY_MS = 1_000
_BEAT_S = VISIBILITY_MS / 1000 / 4


def claim(deps: Deps, job_id: str, *, claim: str, kinds: Collection[str] | None = None) -> Task | None:
    """Take the task, counting the attempt first; None when it is not due, somebody else's, or not of `kinds` (None: any)."""

    def work(tx: Connection) -> Task | None:
        tenant = task_rows.school_of(tx, job_id)
        if tenant is None:
            return None
        times = {"visibility_ms": VISIBILITY_MS, "max_attempts": MAX_ATTEMPTS}
        task = task_rows.claim_task(tx, tenant=tenant, job_id=job_id, claim=claim, kinds=kinds, **times)
        if task is None:
            _end_run_of_dead(tx, job_id, tenant=tenant)
            _tell_of_dead(tx, deps, job_id, tenant=tenant)
        return task

    task = in_unit(deps.engine, work)
    if task is not None:
        failpoint("jobs.after_claim")
    return task


def in_school(deps: Deps, task: Task) -> Deps:
    """What the use case of the task is given: everything of the process, in the school whose row the task is."""
    if task.tenant == deps.tenant:
        return deps
    with reading(deps.engine) as tx:
        return replace(deps, tenant=task.tenant, zone=tenants.zone_of(tx, tenant=task.tenant))


def _end_run_of_dead(tx: Connection, job_id: str, *, tenant: str) -> None:
    """A run whose task gave up must not look as if it were still going on."""
    dead = task_rows.dead_task(tx, job_id, tenant=tenant)
    if dead is not None and dead.run_id is not None:
        run = sync_runs.get(tx, dead.run_id, tenant=tenant)
        if run is not None and run.state not in sync_runs.ENDED:
            sentence = f"gave up after {MAX_ATTEMPTS} tries: {dead.last_error}"
            for stage in sync_runs.stages_of(tx, dead.run_id):
                if stage.state == "running":
                    sync_runs.end_stage(tx, dead.run_id, stage.position, state="failed", note=sentence)
            sync_runs.end(tx, dead.run_id, tenant=tenant, state="failed", error=sentence)


Told = Callable[[Connection, str, str, Callable[[], str]], None]
_WHEN_DEAD: dict[str, Told] = {}


def when_dead(kind: str, tell: Told) -> None:
    """Have `tell` called, in the transaction that finds it so, with school and target of a task of `kind` that gave up, and what
    makes ids. It may be called more than once."""
    _WHEN_DEAD[kind] = tell


def _tell_of_dead(tx: Connection, deps: Deps, job_id: str, *, tenant: str) -> None:
    dead = task_rows.dead_task(tx, job_id, tenant=tenant)
    if dead is not None and dead.kind in _WHEN_DEAD:
        _WHEN_DEAD[dead.kind](tx, tenant, dead.target, deps.new_id)


@contextmanager
def kept(deps: Deps, task: Task) -> Iterator[None]:
    """The task stays this worker's while one step of it takes longer than a claim lasts."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(_BEAT_S):
            try:
                in_unit(deps.engine, lambda tx: task_rows.keep_task(tx, task, visibility_ms=VISIBILITY_MS))
            except ClaimLost:
                return  # the next write of this worker says so too

    thread = threading.Thread(target=beat, name="task-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def retry(deps: Deps, task: Task, error: Exception) -> None:
    """Leave the task for another try, later each time."""
    wait_ms = round(_FIRST_RETRY_MS * 2 ** (task.attempts - 1) * random.uniform(0.5, 1))  # noqa: S311 (jitter)
    reason = scrubbed(f"{type(error).__name__}: {error}")[:300]
    in_unit(deps.engine, lambda tx: task_rows.defer_task(tx, task, wait_ms=wait_ms, reason=reason))


def due_tasks(deps: Deps, *, kinds: Collection[str]) -> list[tuple[str, str]]:
    """(id, queue) of tasks of these kinds that are to be claimed."""
    with reading(deps.engine) as tx:
        return task_rows.due_tasks(tx, kinds=kinds)


def urgent_lanes(deps: Deps) -> list[tuple[str, str]]:
    """(tenant, lane) of lanes that should go before others."""
    with reading(deps.engine) as tx:
        return lanes.urgent(tx)


def due_lanes(deps: Deps) -> list[tuple[str, str]]:
    """(tenant, lane) of lanes to be claimed."""
    with reading(deps.engine) as tx:
        return lanes.due(tx)
