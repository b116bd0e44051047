"""Tasks of queues: a message brings an id, the row says what to do and for whom."""

import re
import secrets
import time
from collections.abc import Callable
from typing import Final

import dramatiq
from sqlalchemy.exc import DBAPIError

from actors import queues
from actors.context import context
from observability import activity
from observability.failpoints import failpoint
from observability.log import get_logger
from observability.metrics import ACTOR_RUNS, ACTOR_SECONDS
from observability.tracing import continued
from usecases import tasks
from usecases.deps import Deps
from usecases.tasks import ClaimLost, Task

log = get_logger("jobs")

Handler = Callable[[Deps, Task], None]
HANDLERS: dict[str, Handler] = {}
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")


def job(kind: str) -> Callable[[Handler], Handler]:
    """Register the use case that does tasks of `kind`. It finishes, defers or fails its task in its own transactions.

    A task of a kind that nobody has registered here is one of newer code, and is left for that.
    """

    def register(handler: Handler) -> Handler:
        HANDLERS[kind] = handler
        return handler

    return register


def run_task(job_id: str) -> None:
    """Claim the task, do it, and leave it for another try when it breaks. A second message for it finds nothing."""
    if not isinstance(job_id, str) or not _ID.fullmatch(job_id):
        # A message is JSON that anybody who reaches the queue can write, and to MySQL the number 1 equals the text '01ab'.
        log.warning("jobs.bad_message")
        return
    deps = context().deps
    if queues.SYNC in deps.paused():
        return  # a keeper rings again once it goes on
    task = tasks.claim(deps, job_id, claim=secrets.token_hex(16), kinds=HANDLERS)
    if task is None:
        return
    about = {"tenant": task.tenant, "actor": task.kind, "job_id": job_id, "run_id": task.run_id}
    with continued(task.origin, otherwise=job_id, **about), activity.doing(task.kind, task.target):
        began_s = time.monotonic()
        outcome = _carry_out(deps, task)
        took_s = time.monotonic() - began_s
        ACTOR_RUNS.add(task.kind, outcome)
        ACTOR_SECONDS.observe(took_s, task.kind)
        log.debug("jobs.worked", outcome=outcome, took_ms=round(took_s * 1000, 1))


def _carry_out(deps: Deps, task: Task) -> str:
    """Do a claimed task. Returns what came of it: ok, claim_lost, database or broke."""
    try:
        HANDLERS[task.kind](tasks.in_school(deps, task), task)
    except ClaimLost as lost:
        log.warning("jobs.claim_lost", reason=str(lost))
        return "claim_lost"
    except DBAPIError as error:
        # The database cannot be told now; the claim runs out by itself and the task is done again.
        log.error("jobs.database", reason=str(error.orig))
        return "database"
    except Exception as error:
        log.exception("jobs.broke", kind=task.kind)
        tasks.retry(deps, task, error)
        return "broke"
    return "ok"


@dramatiq.actor(queue_name=queues.SYNC)
def sync_task(job_id: str) -> None:
    """A doorbell of queue `sync`."""
    run_task(job_id)
    failpoint("broker.before_ack")


BELLS = {queues.SYNC: sync_task}
