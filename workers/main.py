"""A worker process: serves the queues of one line of the Procfile until it is told to stop.

One process, no children: what is killed is exactly what was working, and `obsync up` or a supervisor starts it again.
"""

import os
import signal
import threading
import time
from dataclasses import replace

import dramatiq
import dramatiq.worker

from bootstrap.broker import make_broker
from bootstrap.interpreter import share_the_interpreter
from bootstrap.settings import Settings
from bootstrap.version import version
from bootstrap.wiring import wire
from observability.log import get_logger
from ratelimit.limiter import Limits
from usecases.heartbeat import Heartbeat
from usecases.lanes import Holdings
from usecases.queues import PausedQueues
from usecases.schedules import recovered
from usecases.sync.draining import choosing_threads

log = get_logger("worker")

_POLL_MS = 100  # longest a doorbell waits to be heard
_STUCK_S = 60.0
_CONSUMER_DIED = 70


def run_worker(name: str, settings: Settings) -> None:
    """Serve the queues of process `name` ("lanes" or "jobs"); returns after a clean stop."""
    broker = make_broker(settings)
    from actors import attendance, context, dispatch, exports, identity, lanes, plans, schedules, sync  # noqa: F401 (after the broker)
    from actors.queues import BY_PROCESS
    from workers.keeper import ActiveCap, Keeper

    wired = wire(settings, ring=dispatch.ring, need_redis=False)
    stopping = threading.Event()
    paused = PausedQueues(wired.deps.engine)
    paused.refresh()
    deps = replace(wired.deps, stopping=stopping, paused=paused)
    threads = settings.lane_threads if name == "lanes" else settings.job_threads
    holdings = Holdings(
        deps.engine,
        deps.times,
        deps.new_id,
        recovered=lambda lane: recovered(deps, f"lane {lane} was taken over from a worker that died"),
    )
    cap = ActiveCap(deps, Limits(settings.wps_rate, settings.wps_burst, settings.wps_max_in_flight))
    executor = choosing_threads(threads)
    context.bind(context.Context(deps, holdings, executor, cap))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    # A bell that waits in a busy process is one that an idle process does not hear.
    dramatiq.worker.QUEUE_PREFETCH = threads
    worker = dramatiq.Worker(broker, queues=set(BY_PROCESS[name]), worker_timeout=_POLL_MS, worker_threads=threads)
    keeper = Keeper(
        deps,
        holdings,
        cap,
        wired.redis,
        lane_threads=threads if name == "lanes" else 0,
        look_for_pauses=paused.refresh,
    )
    heartbeat = Heartbeat(
        deps.engine,
        kind=name,
        version=version(),
        new_id=deps.new_id,
        queues=BY_PROCESS[name],
        drain=stopping.set,
        doing=lambda: {
            "holds": [f"{tenant}/{lane}" for tenant, lane in holdings.names()],
            "keeper_ms": round((time.monotonic() - keeper.last_beat) * 1000),
        },
    )
    share_the_interpreter()
    worker.start()
    keeper.start()
    heartbeat.start()
    for warning in settings.warnings():
        log.warning("worker.promise_off", what=warning)
    log.info("worker.started", process=name, threads=threads, pid=os.getpid())
    _watch(worker, keeper, stopping)
    heartbeat.draining()
    worker.stop(timeout=round(settings.wps_timeout_s * 1000) + 4000)
    keeper.join(timeout=2)
    executor.shutdown(wait=False, cancel_futures=True)
    deps.remote.transport.close()
    heartbeat.stop()
    log.info("worker.stopped", process=name)


def _watch(worker: dramatiq.Worker, keeper: threading.Thread, stopping: threading.Event) -> None:
    """End the process when a consumer or the keeper is gone: Dramatiq would go on without them, looking alive."""
    while not stopping.wait(1.0):
        gone = [thread.name for thread in (*worker.consumers.values(), keeper) if not thread.is_alive()]
        stuck = time.monotonic() - getattr(keeper, "last_beat", time.monotonic()) > _STUCK_S
        if gone or stuck:
            log.error("worker.thread_died", threads=gone, keeper_stuck=stuck)
            os._exit(_CONSUMER_DIED)
