"""Rings doorbells. Losing, doubling or delaying one changes nothing: the rows are asked again every second."""

from dramatiq.errors import BrokerError
from redis.exceptions import RedisError

from actors import queues
from actors.job import BELLS, HANDLERS
from actors.lanes import drain_lane
from usecases.deps import Deps
from usecases.tasks import due_lanes, due_tasks, urgent_lanes


def ring(what: str) -> None:
    """Wake a worker: "lanes", or the id of a task. A broker that is away costs a second, not the work."""
    try:
        if what == queues.LANES:
            drain_lane.send()
        else:
            BELLS[queues.SYNC].send(what)
    except (BrokerError, RedisError):
        return


def dispatch(deps: Deps, *, idle_threads: int) -> int:
    """Ring for every task that is due, mark every lane that is due, and wake as many threads as can be used; nothing of what
    is paused.

    Returns how many lanes were due.
    """
    paused = deps.paused()
    for job_id, queue in due_tasks(deps, kinds=HANDLERS):
        if queue in BELLS and queue not in paused:
            ring(job_id)
    lanes = [] if queues.LANES in paused else due_lanes(deps)
    if lanes:
        deps.hints.mark(lanes)
        deps.hints.hurry(urgent_lanes(deps))
        for _ in range(min(len(lanes), max(1, idle_threads))):
            ring(queues.LANES)
    return len(lanes)
