"""What the benches of lanes stand on: private stores, a simulator, a warm limiter, and work in paused lanes."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis
from sqlalchemy import Engine

from bench.lane_world import APP_ID, Simulator, database, fill, settings_for, simulator
from bench.valkey import connect, private_valkey
from bootstrap.broker import NAMESPACE
from bootstrap.settings import Settings
from db.engine import make_engine
from ratelimit.limiter import Limits
from ratelimit.redis_limiter import RedisLimiter
from workers.cli.migrate import prepare_database

_FULL_WITHIN_S = 15.0
_UP_WITHIN_S = 60.0
_POLL_S = 0.25
_LIMITER_KEY = f"wps:{APP_ID}"
_HEARTBEATS = f"{NAMESPACE}:__heartbeats__"


class NotMeasured(Exception):
    """The bench could not come to its end; the message says where it stopped."""


@dataclass(frozen=True)
class Site:
    """Everything is up but the workers; `directory` has their logs."""

    settings: Settings
    engine: Engine
    client: redis.Redis
    limiter: RedisLimiter
    wps: Simulator
    directory: Path
    database_pid: int | None

    def wait_until_full(self) -> None:
        """Until the limiter is at its full rate and has saved all it may."""
        give_up = time.monotonic() + _FULL_WITHIN_S
        while (state := self.limiter.state(_LIMITER_KEY)).rate_per_s < state.max_rate_per_s or (
            state.tokens < state.burst
        ):
            if time.monotonic() > give_up:
                raise NotMeasured(f"the limiter did not reach its full rate: {state}")
            time.sleep(0.05)

    def listeners(self) -> set[bytes]:
        """Who fetches doorbells, or did a minute ago."""
        return set(self.client.zrange(_HEARTBEATS, 0, -1))  # type: ignore[arg-type]

    def wait_until_up(self, running: Sequence[subprocess.Popen[bytes]], *, before: set[bytes] = frozenset()) -> None:  # type: ignore[assignment]
        """Until as many workers listen that did not listen `before`."""
        self.wait_until(lambda: len(self.listeners() - before) >= len(running), running, within_s=_UP_WITHIN_S)

    def wait_until(
        self,
        true: Callable[[], bool],
        running: Sequence[subprocess.Popen[bytes]],
        *,
        within_s: float,
        poll_s: float = _POLL_S,
    ) -> None:
        """Raises NotMeasured when it takes longer, or when a worker ends."""
        give_up = time.monotonic() + within_s
        while not true():
            for process in running:
                if process.poll() is not None:
                    logs = sorted(self.directory.glob("worker-*.log"))
                    said = "\n".join(log.read_text(errors="replace")[-400:] for log in logs)
                    raise NotMeasured(f"a worker ended with {process.returncode}: {said}")
            if time.monotonic() > give_up:
                raise NotMeasured(f"after {within_s:.0f} s it was not done")
            time.sleep(poll_s)


@contextlib.contextmanager
def site(
    directory: Path,
    *,
    database_wanted: str,
    work: Mapping[str, int],
    events: int,
    latency_ms: float,
    limits: Limits,
    threads: int,
    more: Mapping[str, str] | None = None,
) -> Iterator[Site]:
    """A site with `work` (lane → calendars of so many events each) in paused lanes, and calls that take `latency_ms`."""
    with (
        private_valkey(directory) as valkey,
        database(database_wanted, directory) as (url, database_pid),
        simulator() as wps,
    ):
        settings = settings_for(
            directory,
            database_url=url,
            valkey=valkey,
            wps_url=wps.url,
            limits=limits,
            threads=threads,
            more=more,
        )
        prepare_database(settings)
        client = connect(valkey)
        limiter = RedisLimiter(client, limits=limits)
        limiter.configure(_LIMITER_KEY, limits)
        fill(settings, work, events=events)
        wps.ask("settings", {"latency_ms": latency_ms})
        engine = make_engine(settings.database_url)
        try:
            yield Site(settings, engine, client, limiter, wps, directory, database_pid)
        finally:
            engine.dispose()
