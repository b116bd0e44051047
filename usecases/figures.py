"""Everything that is told at a scrape, read where it is true.

A part that cannot be read is left out, and `obsync_up` says so: what is missing is seen, what is old would not be.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from redis.exceptions import RedisError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from db import figures as counts
from db import lag, lanes, paused_queues, processes, switches
from db.check_in_stream import CheckInStream
from db.clock import now_ms
from db.engine import reading
from domain import cluster
from domain.peaks import Capacity, Load, suggested
from domain.switches import WORDS
from observability import metrics
from observability.exposition import Figures
from observability.log import get_logger
from ratelimit.limiter import LimiterAway
from usecases import health, peaks, tenants
from usecases.deps import Deps
from usecases.health import Server

log = get_logger("figures")

LANES_NAMED: Final = 20
_REST: Final = "other"
_DAY_MS: Final = 86_400_000
_CIRCUITS: Final = ("closed", "open", "half_open")


class Scrapes:
    """Scrapes of one process. Within `every_s` they get the same answer: a scraper that is out of its mind costs nothing."""

    def __init__(
        self,
        deps: Deps,
        *,
        queues: Sequence[str],
        servers: Mapping[str, Server],
        stream: CheckInStream,
        every_s: float = 5.0,
    ) -> None:
        self._deps, self._queues, self._servers, self._stream = deps, queues, servers, stream
        self._every_s = every_s
        self._lock = threading.Lock()
        self._last: tuple[float, Figures] | None = None

    def figures(self) -> Figures:
        """All figures. Never raises for a part that is away."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > self._every_s:
                began = time.monotonic()
                found = self._read()
                found.set(metrics.SCRAPE_SECONDS, time.monotonic() - began)
                self._last = (time.monotonic(), found)
            return self._last[1]

    def _read(self) -> Figures:
        found = Figures()
        parts = health.look(self._deps, servers=self._servers)
        for name, part in parts.items():
            found.set(metrics.UP, 0 if part.state == "down" else 1, name)
            found.set(metrics.PART_SECONDS, part.took_ms / 1000, name)
        found.counts = {"web": metrics.taken()}
        self._guarded(found, "figures", lambda: self._of_database(found))
        self._guarded(found, "limiter", lambda: _limiter(self._deps, found))
        self._guarded(found, "redis_stream", lambda: _stream(self._stream, found))
        return found

    def _guarded(self, found: Figures, part: str, read: Callable[[], object]) -> None:
        try:
            read()
        except Exception as error:  # whatever it is, the other figures are told
            expected = isinstance(error, (SQLAlchemyError, RedisError, LimiterAway))
            log.warning("figures.cannot_read", part=part, reason=str(error)[:200], exc_info=not expected)
            found.set(metrics.UP, 0, part)
        else:
            found.set(metrics.UP, 1, part)

    def _of_database(self, found: Figures) -> None:
        with reading(self._deps.engine) as tx:
            now, schools = now_ms(tx), tenants.all_ids(tx)
            counted = processes.counts_by_kind(tx, metrics.add_up)
            speeds = _processes(tx, found, now)
            _queues(tx, found, self._queues)
            _lanes(tx, found, schools, speeds)
            _sync(tx, found, schools, now)
            for standing, count in counts.standings(tx, schools, since_ms=now - _DAY_MS, until_ms=now).items():
                found.set(metrics.ATTENDANCE, count, standing)
            _ahead(tx, found, self._deps, schools, now)
            on = switches.schools_where_on(tx, schools)
            for name in WORDS:
                found.set(metrics.SWITCHES_ON, on.get(name, 0), name)
            found.set(metrics.STATS_OWED, switches.count_owed(tx, schools))
            found.counts = counted  # in place of those of this process alone


def _processes(tx: Connection, found: Figures, now: int) -> Counter[str]:
    """Returns how many jobs of each lane (``tenant/lane``) they have sent within the last minute."""
    speeds = Counter[str]()
    for row in processes.listing(tx):
        state = cluster.shown_state(row.state, age_ms=now - row.beat_ms)
        found.add(metrics.PROCESSES, 1, row.kind, state)
        if state == cluster.SILENT:
            continue
        doing = json.loads(row.doing)
        in_use, size = doing.get("pool", (0, 0))
        found.add(metrics.POOL_IN_USE, in_use, row.kind)
        found.add(metrics.POOL_SIZE, size, row.kind)
        speeds.update(doing.get("lanes", {}))
    return speeds


def _queues(tx: Connection, found: Figures, names: Sequence[str]) -> None:
    counted, paused = lag.of_all(tx, over_ms=0), paused_queues.names(tx)
    for queue in names:
        waiting, oldest_ms, _ = counted.get(queue, (0, 0, 0))
        found.set(metrics.QUEUE_WAITING, len(lanes.due(tx)) if queue == "lanes" else waiting, queue)
        found.set(metrics.QUEUE_OLDEST, oldest_ms / 1000, queue)
        found.set(metrics.QUEUE_PAUSED, queue in paused, queue)


def _lanes(tx: Connection, found: Figures, schools: Sequence[str], speeds: Mapping[str, int]) -> None:
    """The lanes with the most by name, all others as one: a name for each would be a series for each college there ever was."""
    pending: list[tuple[int, str, str]] = []
    found.set(metrics.LANES_UNSETTLED, 0)
    for school in schools:
        for row in lanes.listing(tx, tenant=school):
            found.add(metrics.LANES, 1, row["state"])
            found.add(metrics.LANES_UNSETTLED, row["unsettled"])
            if row["queued"]:
                pending.append((row["queued"], school, row["lane"]))
    for place, (count, school, lane) in enumerate(sorted(pending, reverse=True)):
        named = (school, lane) if place < LANES_NAMED else (_REST, _REST)
        found.add(metrics.LANE_PENDING, count, *named)
        found.add(metrics.LANE_SPEED, speeds.get(f"{school}/{lane}", 0), *named)


def _sync(tx: Connection, found: Figures, schools: Sequence[str], now: int) -> None:
    """Runs, what they left behind, and how true the calendars are."""
    by_label = (
        (metrics.DEAD_LETTERS, counts.dead_letters(tx, schools)),
        (metrics.RUNS, counts.runs_by_state(tx, schools)),
        (metrics.DISCREPANCIES, counts.differences(tx, schools)),
        (metrics.QUARANTINED, counts.quarantined(tx, schools)),
    )
    for about, values in by_label:
        for label, count in values.items():
            found.set(about, count, label)
    waiting, oldest_ms = counts.open_questions(tx, schools)
    found.set(metrics.QUESTIONS, waiting)
    found.set(metrics.QUESTIONS_OLDEST, 0 if oldest_ms is None else (now - oldest_ms) / 1000)
    succeeded_ms = counts.last_success_ms(tx, schools)
    if succeeded_ms is not None:
        found.set(metrics.SYNCED_AGO, (now - succeeded_ms) / 1000)
    total, good = counts.verified(tx, schools)
    if total:
        found.set(metrics.CONSISTENT, good / total)


def _ahead(tx: Connection, found: Figures, deps: Deps, schools: Sequence[str], now: int) -> None:
    """The busiest minute to come of each school, added up as if they were the same one."""
    highest, capacity = 0.0, Capacity()
    for school in schools:
        many, capacity = peaks.highest(tx, tenant=school, now=now)
        highest += many
    found.set(metrics.CHECK_INS_EXPECTED, highest)
    load = Load(highest, lanes_due=len(lanes.due(tx)), wps_rate_per_s=peaks.wps_rate(deps))
    for kind, many in suggested(load, capacity).items():
        found.set(metrics.WORKERS_SUGGESTED, many, kind)


def _limiter(deps: Deps, found: Figures) -> None:
    state, breaker = (
        deps.remote.limiter.state(deps.remote.limiter_key),
        deps.remote.limiter.breaker(deps.remote.limiter_key),
    )
    found.set(metrics.LIMITER_RATE, state.rate_per_s)
    found.set(metrics.LIMITER_MAX_RATE, state.max_rate_per_s)
    found.set(metrics.LIMITER_TOKENS, state.tokens)
    found.set(metrics.LIMITER_IN_FLIGHT, state.in_flight)
    found.set(metrics.LIMITER_BLOCKED, state.blocked_ms / 1000)
    for name in _CIRCUITS:
        found.set(metrics.BREAKER, breaker.state == name, name)


def _stream(stream: CheckInStream, found: Figures) -> None:
    oldest_ms = stream.oldest_of_all_ms()
    found.set(metrics.STREAM_LENGTH, stream.length())
    found.set(metrics.STREAM_OLDEST, 0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000))
