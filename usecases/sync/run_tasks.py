"""The task of a run: who has it moves the run, and a run without one rests.

Taking the task away is how a run is stopped: the worker that had it fails at its next transaction and writes nothing more.
"""

from typing import Final

from sqlalchemy import Connection

from db import tasks
from usecases.deps import Deps

KIND: Final = "run.advance"
QUEUE: Final = "sync"


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
    tasks.take_away(tx, job_id)
    return job_id
