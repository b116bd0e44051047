"""The periodiq process: sends the tick each minute, and nothing else. Two of them are as good as one.

A tick that cannot be sent is not lost work: the next one, or a keeper, decides the same slots.
"""

import os
import signal
import sys
import time

import dramatiq
from dramatiq.errors import BrokerError
from periodiq import Scheduler
from redis.exceptions import RedisError

from bootstrap.broker import make_broker
from bootstrap.settings import Settings
from bootstrap.version import version
from bootstrap.wiring import new_id
from db.engine import make_engine
from observability.log import get_logger
from usecases.heartbeat import Heartbeat

log = get_logger("scheduler")

_AWAY_S = 5.0


def run_scheduler(settings: Settings) -> None:
    """Send ticks until told to stop (SIGTERM), also across a Redis that is away."""
    make_broker(settings)
    from actors.schedules import tick  # after the broker: actors register on import

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    heartbeat = Heartbeat(
        make_engine(settings.database_url, pool_size=1),
        kind="scheduler",
        version=version(),
        new_id=new_id,
        drain=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    heartbeat.start()
    log.info("scheduler.started")
    try:
        while True:
            _send_ticks(tick)
            time.sleep(_AWAY_S)
    finally:
        heartbeat.stop()


def _send_ticks(tick: dramatiq.Actor[[], None]) -> None:
    """Returns when Redis is away. Begun anew it sends a tick at once, so that a minute is late and not left out."""
    scheduler = Scheduler(actors=[tick])
    try:
        scheduler.schedule()
        scheduler.loop()
    except (BrokerError, RedisError) as error:
        log.warning("scheduler.redis_away", reason=str(error), again_s=_AWAY_S)
