"""A run and its task: who has that moves the run, and a run without one rests.

Taking the task away is how a run is stopped: the worker that had it fails at its next transaction and writes nothing more.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from db import sync_runs, tasks
from usecases.deps import Deps

KIND: Final = "run.advance"
QUEUE: Final = "sync"


def begin(
    tx: Connection,
    deps: Deps,
    run_id: str,
    *,
    kind: str,
    scope: dict[str, Any],
    stages: Sequence[tuple[str, str]],
    mutex: str | None = None,
    trigger: str = "user",
    priority: str = sync_runs.NORMAL,
) -> str:
    """Write a new run with its stages, and its task. Returns the task's id. Raises `RunActive` while another has the mutex."""
    sync_runs.begin(
        tx,
        tenant=deps.tenant,
        run_id=run_id,
        kind=kind,
        scope=scope,
        mutex=mutex or run_id,
        stages=stages,
        trigger=trigger,
        priority=priority,
    )
    return put(tx, deps, run_id)


def put(tx: Connection, deps: Deps, run_id: str) -> str:
    """Give the run a task. Returns the task's id."""
    return tasks.put_task(
        tx,
        tenant=deps.tenant,
        queue=QUEUE,
        kind=KIND,
        target=run_id,
        payload="{}",
        run_id=run_id,
        new_id=deps.new_id,
    )


def put_anew(tx: Connection, deps: Deps, run_id: str) -> str:
    """Give the run a task that nobody has: whoever had it before writes nothing more. Returns its id."""
    job_id = put(tx, deps, run_id)
    tasks.take_away(tx, job_id, tenant=deps.tenant)
    return job_id
