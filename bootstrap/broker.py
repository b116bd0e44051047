"""Clients of Redis, one factory per purpose, and the Dramatiq broker with its middleware, in order.

Messages are doorbells: none is delayed, retried, grouped or kept as a result, so the broker has no middleware that would do
so, and its maintenance (which blocks Redis with KEYS and may requeue live work) is off; the keeper tidies instead. The one
middleware there is lets the tick say when it is due.
"""

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from periodiq import PeriodiqMiddleware
from redis.backoff import NoBackoff
from redis.retry import Retry

from bootstrap.settings import Settings

NAMESPACE = "obsync-bells"
_TICK_KEPT_S = 86_400  # periodiq drops a tick that waited for longer; its own 30 s are shorter than a backlog


def _client(url: str, *, patience_s: float = 5) -> redis.Redis:
    # A retry inside the client would repeat scripts whose reply was lost; a lost doorbell is cheaper than a double grant.
    client: redis.Redis = redis.Redis.from_url(
        url,
        socket_timeout=patience_s,
        socket_connect_timeout=min(2, patience_s),
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
    )
    return client


def broker_client(settings: Settings) -> redis.Redis:
    """Doorbells, hints and the limiter."""
    return _client(settings.broker_url)


def stream_client(settings: Settings) -> redis.Redis:
    """Check-ins."""
    return _client(settings.stream_url)


def cache_client(settings: Settings) -> redis.Redis:
    """What may be forgotten."""
    return _client(settings.cache_url)


def counting_client(settings: Settings) -> redis.Redis:
    """The cache for what stands before every request of the API: given up sooner, because there is another way."""
    return _client(settings.cache_url, patience_s=1)


def middleware() -> list[dramatiq.Middleware]:
    """What every broker of ours has, those of tests included; actors are refused without it."""
    return [PeriodiqMiddleware(skip_delay=_TICK_KEPT_S)]


def make_broker(settings: Settings) -> RedisBroker:
    """The broker of this process, set as Dramatiq's own. Make it after a fork and before actor modules are imported."""
    broker: RedisBroker = RedisBroker(  # type: ignore[no-untyped-call]
        client=broker_client(settings),
        middleware=middleware(),
        namespace=NAMESPACE,
        maintenance_chance=0,
        heartbeat_timeout=30_000,
    )
    dramatiq.set_broker(broker)
    return broker
