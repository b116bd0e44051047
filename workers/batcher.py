"""The process `checkins`: the check-in stream into the database, up to 500 records or 200 ms at a time.

    XREADGROUP ─▶ one transaction: records, details, counters ─▶ XACK + XDEL ─▶ live events
                     │ the database is away: the batch stays pending, and is tried again
                     └ it refuses the data: halves, down to the record, which becomes a dead letter

Any number of these may run. What a dead one was given is taken over once it has been left alone for `IDLE_MS`; writing a
batch twice is writing it once.
"""

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import redis
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from bootstrap.broker import cache_client, stream_client
from bootstrap.interpreter import share_the_interpreter
from bootstrap.settings import Settings
from bootstrap.version import version
from bootstrap.wiring import new_id
from db import check_in_dead_letters
from db.check_in_stream import ALL, CheckInStream, Entry
from db.check_ins import OpenPlace, plain_place
from db.engine import check, in_unit, make_engine
from db.live_events import Publish, publisher
from domain.check_ins import CheckIn
from observability import tracing
from observability.failpoints import failpoint
from observability.log import get_logger
from observability.metrics import CHECK_IN_COMMIT, CHECK_INS_DEAD, CHECK_INS_WRITTEN
from observability.tracing import Origin
from usecases import check_in_batch
from usecases.check_in_batch import Written
from usecases.heartbeat import Heartbeat
from usecases.places import opener
from workers.bisecting import write_parts
from workers.roster_tender import RosterTender

log = get_logger("checkins")

BATCH = 500
WAIT_MS = 200
IDLE_MS = 8_000  # longer than a commit takes, short enough to be back to work within 15 s of a kill
TAKE_OVER_S = 2.0
WRITERS = 2  # one prepares its batch while the server writes that of the other
_FIRST_BACK_OFF_S, _LONGEST_BACK_OFF_S = 0.1, 2.0


@dataclass
class Counts:
    """What this process has done. `attempts` are transactions begun for batches."""

    written: int = 0
    batches: int = 0
    attempts: int = 0
    dead: int = 0
    taken_over: int = 0
    back_offs: int = 0
    commit_ms: deque[float] = field(default_factory=lambda: deque(maxlen=500))


class Batcher:
    """One writer, of the sessions in `shards`. `publish` is told the counters that a batch changed; what it raises is logged and
    changes nothing."""

    def __init__(
        self,
        engine: Engine,
        stream: CheckInStream,
        *,
        tenant: str,
        new_id: Callable[[], str],
        publish: Publish | None = None,
        idle_ms: int = IDLE_MS,
        consumer: str | None = None,
        open_place: OpenPlace = plain_place,
        shards: Collection[int] = ALL,
    ) -> None:
        self._engine, self._stream, self._tenant, self._new_id = engine, stream, tenant, new_id
        self._publish, self._open_place = publish, open_place
        self._idle_ms, self._shards = idle_ms, shards
        self.consumer = consumer or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.counts = Counts()
        self._taken_s = 0.0
        self._ready = False

    def run(self, stopping: threading.Event) -> None:
        """Write until told to stop, also across servers that are away."""
        back_off_s = _FIRST_BACK_OFF_S
        while not stopping.is_set():
            try:
                self.step()
                back_off_s = _FIRST_BACK_OFF_S
            except (redis.RedisError, SQLAlchemyError) as error:
                log.warning("checkins.away", reason=str(error)[:300], again_s=back_off_s)
                self.counts.back_offs += 1
                self._ready = False
                stopping.wait(back_off_s)
                back_off_s = min(back_off_s * 2, _LONGEST_BACK_OFF_S)

    def step(self) -> int:
        """One batch, or none within 200 ms. Returns how many records left the stream. What it raises leaves them there."""
        if not self._ready:
            self._begin()
        entries = self._left_behind() or self._gather()
        for at in range(0, len(entries), BATCH):
            self._write(entries[at : at + BATCH])
        return len(entries)

    def _begin(self) -> None:
        """Groups, and what this consumer was given before it lost a server."""
        self._stream.make_groups()
        while entries := self._stream.read_again(self.consumer, most=BATCH, shards=self._shards):
            for at in range(0, len(entries), BATCH):
                self._write(entries[at : at + BATCH])
        self._ready = True

    def _left_behind(self) -> list[Entry]:
        if time.monotonic() - self._taken_s < TAKE_OVER_S:
            return []
        self._taken_s = time.monotonic()
        entries = self._stream.take_over(self.consumer, idle_ms=self._idle_ms, most=BATCH, shards=self._shards)
        self.counts.taken_over += len(entries)
        return entries

    def _gather(self) -> list[Entry]:
        """Up to a batch, or whatever came within 200 ms of the first."""
        entries = self._stream.read(self.consumer, most=BATCH, wait_ms=WAIT_MS, shards=self._shards)
        give_up = time.monotonic() + WAIT_MS / 1000
        while 0 < len(entries) < BATCH:
            left_ms = round((give_up - time.monotonic()) * 1000)
            if left_ms <= 0:
                break
            left = BATCH - len(entries)
            entries += self._stream.read(self.consumer, most=left, wait_ms=left_ms, shards=self._shards)
        return entries

    # --- one batch ----------------------------------------------------------------------------------------------------

    def _write(self, entries: Sequence[Entry]) -> None:
        """Write a batch and take it off the stream; bad records of it become dead letters."""
        readable = [(one, one.check_in) for one in entries if one.check_in is not None]
        unreadable = [one for one in entries if one.check_in is None]
        self._bury([(one, one.problem) for one in unreadable])
        by_tenant: dict[str, list[tuple[Entry, CheckIn]]] = {}
        for entry, one in readable:
            by_tenant.setdefault(one.tenant, []).append((entry, one))
        for tenant, ours in by_tenant.items():
            self._write_parts(tenant, ours)
        self._stream.done(entries)
        self.counts.batches += 1

    def _write_parts(self, tenant: str, ours: Sequence[tuple[Entry, CheckIn]]) -> None:
        """The whole; where the database refuses the data, its halves, each in a transaction of its own."""

        def write(part: Sequence[tuple[Entry, CheckIn]]) -> None:
            written = self._commit(tenant, [one for _, one in part])
            self.counts.written += len(part)
            CHECK_INS_WRITTEN.add(by=len(part))
            _follow(part)
            self._tell(tenant, written)

        def bury(bad: tuple[Entry, CheckIn], error: Exception) -> None:
            self._bury([(bad[0], _reason(error))])

        write_parts(ours, write, bury, is_refusal=is_about_data)

    def _commit(self, tenant: str, batch: list[CheckIn]) -> Written:
        self.counts.attempts += 1
        began = time.monotonic()
        written = check_in_batch.write(self._engine, batch, tenant=tenant, open_place=self._open_place)
        took_s = time.monotonic() - began
        self.counts.commit_ms.append(took_s * 1000)
        CHECK_IN_COMMIT.observe(took_s)
        failpoint("checkins.before_ack")
        return written

    def _bury(self, bad: Sequence[tuple[Entry, str]]) -> None:
        for entry, reason in bad:
            tenant = entry.check_in.tenant if entry.check_in is not None else self._tenant
            come_from = origin_of(entry)
            in_unit(
                self._engine,
                lambda tx, e=entry, t=tenant, r=reason, o=come_from: check_in_dead_letters.add(  # type: ignore[misc]
                    tx, e, tenant=t, reason=r, new_id=self._new_id, come_from=o
                ),
            )
            with tracing.continued(come_from, otherwise=entry.id):
                log.error("checkins.dead_letter", entry=entry.id, reason=reason)
            self.counts.dead += 1
            CHECK_INS_DEAD.add()

    def _tell(self, tenant: str, written: Written) -> None:
        if self._publish is None or not written.counters:
            return
        try:
            self._publish(tenant, written.counters)
        except redis.RedisError as error:
            log.warning("checkins.not_told", reason=str(error))


def origin_of(entry: Entry) -> Origin:
    """The request that a record came by, as far as it is known."""
    return tracing.UNKNOWN if entry.check_in is None else tracing.read(entry.check_in.origin)


def _follow(part: Sequence[tuple[Entry, CheckIn]]) -> None:
    """Say of each record that it is written, for whoever looks at everything: at the bell a line costs more than the record."""
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        return
    for entry, one in part:
        with tracing.continued(origin_of(entry), otherwise=entry.id):
            log.debug("checkin.written", entry=entry.id, tenant=one.tenant, session=one.session_id)


def writers(
    engine: Engine,
    stream: CheckInStream,
    *,
    tenant: str,
    new_id: Callable[[], str],
    publish: Publish | None = None,
    open_place: OpenPlace = plain_place,
) -> list[Batcher]:
    """The writers of one process. Each has shards of its own, so that what happens in a session stays in its order and none of
    them waits for the other's locks."""
    return [
        Batcher(
            engine,
            stream,
            tenant=tenant,
            new_id=new_id,
            publish=publish,
            open_place=open_place,
            shards=ALL[number::WRITERS],
        )
        for number in range(WRITERS)
    ]


def run_all(these: Sequence[Batcher], stopping: threading.Event) -> None:
    """Write until told to stop. What ends one of them, which servers that are away do not, ends all, and is raised."""
    broken: list[BaseException] = []

    def run(writer: Batcher) -> None:
        try:
            writer.run(stopping)
        except BaseException as error:
            broken.append(error)
            stopping.set()

    threads = [threading.Thread(target=run, args=(one,), name=one.consumer, daemon=True) for one in these]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]


def run_batcher(settings: Settings) -> None:
    """The process: its writers, and the thread that looks after rosters. Returns after a clean stop (SIGTERM).

    Raises `DatabaseUnreachable` where there is no database to begin with.
    """
    engine = make_engine(settings.database_url, pool_size=WRITERS + 3)
    check(engine)
    stream = CheckInStream(stream_client(settings), durability=settings.checkin_durability)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    opens = opener(settings.encryption_keys)
    publish = publisher(cache_client(settings))
    these = writers(engine, stream, tenant=settings.tenant, new_id=new_id, publish=publish, open_place=opens)
    tender = RosterTender(
        engine, stream, tenant=settings.tenant, zone=settings.zone, stopping=stopping, open_place=opens
    )
    _say_what_is_not_kept(settings, stream)
    heartbeat = Heartbeat(engine, kind="checkins", version=version(), new_id=new_id, drain=stopping.set)
    share_the_interpreter()
    tender.start()
    heartbeat.start()
    log.info("worker.started", process="checkins", consumers=[one.consumer for one in these], pid=os.getpid())
    run_all(these, stopping)
    heartbeat.draining()
    tender.join(timeout=5)
    heartbeat.stop()
    written, dead = (sum(getattr(one.counts, name) for one in these) for name in ("written", "dead"))
    log.info("worker.stopped", process="checkins", written=written, dead=dead)


def _say_what_is_not_kept(settings: Settings, stream: CheckInStream) -> None:
    try:
        kept = stream.keeps_every_write()
    except redis.RedisError:
        return
    if kept is False and settings.checkin_durability != "memory":
        log.warning(
            "worker.promise_off",
            what="the check-in stream's server does not write to disk before it answers: set appendonly yes, appendfsync always",
        )


def is_about_data(error: Exception) -> bool:
    """Whether a batch was refused for what is in it, rather than because a server is away, busy or read-only."""
    if isinstance(error, (OperationalError, InterfaceError)) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        return _code(error) in _DATA_AS_OPERATIONAL
    # A driver raises errors of its own for what it cannot even spell: surrogates, numbers too long for the column.
    return isinstance(error, (DBAPIError, UnicodeError, OverflowError))


_DATA_AS_OPERATIONAL = frozenset({1366, 1264, 1406, 1292, 3988})
"""Codes about values that PyMySQL takes for an operational error."""


def _code(error: Exception) -> int | None:
    origin = getattr(error, "orig", None)
    code = origin.args[0] if origin is not None and origin.args else None
    return code if isinstance(code, int) else None


def _reason(error: Exception) -> str:
    origin = getattr(error, "orig", None)
    return f"{type(origin or error).__name__}: {origin or error}"[:300]
