"""Settings → Deps. The only module that names every concrete class."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from bootstrap.addresses import without_password
from bootstrap.broker import broker_client
from bootstrap.settings import Settings
from db.engine import check, make_engine, reading
from db.lane_hints import LaneHints
from domain.ids import uuid7
from domain.lanes import Times
from ratelimit.limiter import Limits
from ratelimit.redis_limiter import RedisLimiter
from remote.guarded import Guard
from remote.oidc import OidcClient
from remote.wps.client import WpsClient
from remote.wps.credentials import Credentials
from remote.wps.transport import Transport
from usecases import tenants
from usecases.deps import Deps, Remote


class RedisUnreachable(Exception):
    """The broker's Redis does not answer. `place` is its address without the password."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"Redis {place} cannot be reached: {reason}")
        self.place = place
        self.reason = reason


@dataclass(frozen=True)
class Wired:
    """Deps, and the Redis client they share."""

    deps: Deps
    redis: redis.Redis


def times_of(settings: Settings) -> Times:
    return Times(
        budget_ms=round(settings.wps_timeout_s * 1000),
        lease_ms=round(settings.lane_lease_s * 1000),
        late_ms=round(settings.wps_late_s * 1000),
        lag_ms=round(settings.wps_list_lag_s * 1000),
    )


def new_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(74))


def wire(settings: Settings, *, ring: Callable[[str], None], need_redis: bool = True) -> Wired:
    """Everything a use case needs. Raises `DatabaseUnreachable`, `RedisUnreachable`, `UnknownTenant`, `CannotDecrypt`."""
    engine = make_engine(settings.database_url)
    check(engine)
    with reading(engine) as tx:
        app_id, app_key = tenants.credentials(tx, tenant=settings.tenant, encryption_keys=settings.encryption_keys)
    client = broker_client(settings)
    if need_redis:
        ping(client, settings)
    key = f"wps:{app_id}"
    limiter = RedisLimiter(
        client,
        limits=Limits(rate_per_s=settings.wps_rate, burst=settings.wps_burst, max_in_flight=settings.wps_max_in_flight),
    )
    transport = Transport(
        base_url=settings.wps_base_url,
        credentials=Credentials(app_id or "unset", app_key or "unset"),
        limiter=limiter,
        limiter_key=key,
        budget_s=settings.wps_timeout_s,
        clock=lambda: datetime.now(UTC),
        max_connections=settings.lane_threads + 8,
        label_lanes=settings.wps_base_url.startswith("http://"),
    )
    remote = Remote(WpsClient(transport, zone=settings.zone), transport, limiter, key)
    deps = Deps(
        engine=engine,
        remote=remote,
        hints=LaneHints(client),
        times=times_of(settings),
        secret=settings.secret_key.encode(),
        zone=settings.zone,
        tenant=settings.tenant,
        new_id=new_id,
        ring=ring,
        data_dir=settings.data_dir,
        encryption_keys=settings.encryption_keys,
        oidc=OidcClient(Guard(settings.private_hosts.split(","))),
    )
    return Wired(deps, client)


def ping(client: redis.Redis, settings: Settings) -> None:
    """Raise `RedisUnreachable` when the broker does not answer."""
    try:
        client.ping()
    except redis.exceptions.RedisError as error:
        raise RedisUnreachable(without_password(settings.broker_url), str(error)) from error
