"""The doorbell of the lanes: claim whatever lane is due, drain a slice of it, and so on until none is."""

import dramatiq

from actors import queues
from actors.context import context
from observability.failpoints import failpoint
from observability.log import bound
from usecases.sync.draining import drain_lanes


@dramatiq.actor(queue_name=queues.LANES)
def drain_lane() -> None:
    """Has no argument on purpose: which lane is worked is decided when a thread is free, not when the bell rings."""
    now = context()
    with bound(actor="drain_lane"):
        drain_lanes(now.deps, now.holdings, now.executor, cap=now.cap)
    failpoint("broker.before_ack")
