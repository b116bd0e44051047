"""The tick, and what its slots start. Times live in rows: this is the only cron text that periodiq sees."""

import dramatiq
from periodiq import cron
from sqlalchemy.exc import DBAPIError

from actors import queues
from actors.context import context
from actors.job import job
from observability.log import bound, get_logger
from observability.metrics import ACTOR_SECONDS
from usecases import schedules
from usecases.deps import Deps
from usecases.tasks import Task

log = get_logger("schedules")


@dramatiq.actor(queue_name=queues.TICK, periodic=cron("* * * * *"))
def tick() -> None:
    """Look at the schedules. Late, doubled or lost, it changes nothing: the slots since the last one are in the rows."""
    deps = context().deps
    if queues.TICK in deps.paused():
        return
    try:
        with bound(actor="tick"), ACTOR_SECONDS.timed("tick"):
            schedules.tick(deps, ran_by=schedules.SCHEDULER)
    except DBAPIError as error:
        log.error("schedules.database", reason=str(error.orig))


@job(schedules.KIND)
def act_on_slot(deps: Deps, task: Task) -> None:
    """Start what a slot stands for."""
    schedules.act(deps, task)
