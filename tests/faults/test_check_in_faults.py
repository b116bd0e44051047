"""Check-ins while something dies: the writer at any of its steps, the stream's server, the database, all in one peak."""

from __future__ import annotations

import base64
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine

from bench.mariadb import AS_IN_PRODUCTION, SMALL, private_mariadb
from db.check_in_stream import CheckInStream
from db.engine import make_engine
from db.migrate import upgrade
from domain.verdicts import NOT_ENROLLED
from tests.faults.processes import Worker, Zygote, until
from tests.fixtures_stores import Valkey
from tests.integration.bell_rig import TENANT, School, records_for, running, school
from tests.integration.test_check_in_batches import send
from usecases.check_in import Busy, Refused
from workers import embedded

pytestmark = pytest.mark.integration


@dataclass
class Writers:
    """Processes `checkins` on a school's stores."""

    zygote: Zygote
    environ: dict[str, str]
    log_dir: Path
    all: list[Worker] = field(default_factory=list)

    def start(self, failpoints: str = "") -> Worker:
        log = self.log_dir / f"checkins-{len(self.all)}.log"
        environ = {**self.environ, "OBSYNC_FAILPOINTS": failpoints}
        pid = self.zygote.ask(start={"name": "checkins", "environ": environ, "log": str(log), "prelude": ""})
        assert pid is not None
        self.all.append(Worker(self.zygote, pid, log))
        return self.all[-1]

    def close(self) -> None:
        for one in self.all:
            one.kill()


def writers_of(zygote: Zygote, engine: Engine, stream_url: str, data_dir: Path) -> Writers:
    environ = {
        **zygote.environ,
        "OBSYNC_DATA_DIR": str(data_dir),
        "OBSYNC_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "OBSYNC_BROKER_URL": stream_url, "OBSYNC_STREAM_URL": stream_url, "OBSYNC_CACHE_URL": stream_url,
        "OBSYNC_SECRET_KEY": "bell" * 8, "OBSYNC_TENANT": TENANT,
        "OBSYNC_ENCRYPTION_KEYS": "k:" + base64.b64encode(bytes(32)).decode(),
    }  # fmt: skip
    return Writers(zygote, environ, data_dir)


STEPS = ("checkins.between_statements", "checkins.before_commit", "checkins.before_ack")


@pytest.mark.parametrize("step", STEPS)
def test_a_writer_killed_at_any_step_leaves_its_batch_to_another(
    database: Engine, redis_client: redis.Redis, valkey: Valkey, zygote: Zygote, data_dir: Path, step: str
) -> None:
    """SIGKILL between two statements, before the commit, and after it before the stream is told."""
    here = school(database, redis_client, students=40)
    here.stream.make_groups()
    send(here, records_for(here, 40))
    with closing(writers_of(zygote, database, valkey.url, data_dir)) as writers:
        assert writers.start(f"{step}:kill@1").dies() == -signal.SIGKILL
    assert here.stream.length() == 40
    heir = here.batcher(idle_ms=0)
    here.drain(heir)
    assert heir.counts.taken_over == 40 and len(here.records()) == 40
    assert here.counters()["attended_count"] == 40
    here.assert_counters_are_a_recount()


@dataclass
class StreamServer:
    """The embedded stream's server, which writes each command to disk before it answers."""

    server: embedded.ValkeyServer
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.server.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.server.wait_ready()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.server.socket), retry=Retry(NoBackoff(), 0), socket_timeout=5)

    @property
    def url(self) -> str:
        return f"unix://{self.server.socket}?db=0"


@contextmanager
def stream_server(folder: Path) -> Iterator[StreamServer]:
    made = StreamServer(embedded.stream(folder))
    made.server.prepare()
    made.start()
    try:
        yield made
    finally:
        made.kill()


@pytest.fixture
def own_stream(data_dir: Path) -> Iterator[StreamServer]:
    with stream_server(data_dir) as made:
        yield made


def test_a_power_cut_under_the_stream_loses_no_answered_check_in(database: Engine, own_stream: StreamServer) -> None:
    """The last command is torn in the file: what was answered is there, what was not may be sent again."""
    here = school(database, own_stream.client(), students=20)
    desk = here.desk()
    receipts = {code: desk.accept(here.phone(code)).receipt for code in list(here.statuses())[:10]}
    own_stream.kill()
    (tail,) = own_stream.server.directory.glob("appendonlydir/*.incr.aof")
    with tail.open("ab") as file:
        file.write(b"*8\r\n$4\r\nXADD\r\n$8\r\n{ck")
    own_stream.start()
    assert here.stream.length() == 10
    fresh = here.desk()
    assert {code: fresh.accept(here.phone(code)).receipt for code in receipts} == receipts
    here.drain()
    assert len(here.records()) == 10


def test_the_stream_may_go_and_come_back_under_the_bell(database: Engine, own_stream: StreamServer) -> None:
    """While it is away the database takes check-ins; then both know of everybody, and the writer goes on by itself."""
    here = school(database, own_stream.client(), students=30)
    codes = list(here.statuses())
    writer = here.batcher()
    thread, stopping = running(writer)
    desk = here.desk()
    receipts = {code: desk.accept(here.phone(code)).receipt for code in codes[:10]}
    own_stream.kill()
    receipts |= {code: desk.accept(here.phone(code)).receipt for code in codes[10:20]}
    own_stream.start()
    until(lambda: desk.breaker.close(), "the stream is not asked again")
    receipts |= {code: desk.accept(here.phone(code)).receipt for code in codes[20:]}
    assert {code: desk.accept(here.phone(code)).receipt for code in codes} == receipts
    until(lambda: len(here.records()) == 30, "not all were written")
    stopping.set()
    thread.join(20)
    assert {code: row.receipt for (_, code), row in here.records().items()} == receipts
    assert here.roster().marks == 0
    here.assert_counters_are_a_recount()


def test_a_memory_that_is_lost_refuses_nobody(database: Engine, redis_client: redis.Redis) -> None:
    """All keys and the whole stream are gone in the middle: what was written stands, what students hold is worth it."""
    here = school(database, redis_client, students=8)
    codes = list(here.statuses())
    desk = here.desk()
    receipts = {code: desk.accept(here.phone(code)).receipt for code in codes[:4]}
    here.drain()
    receipts |= {code: desk.accept(here.phone(code)).receipt for code in codes[4:6]}
    redis_client.flushall()
    again = here.desk()
    for code in codes[:4]:
        assert again.accept(here.phone(code)).receipt == receipts[code]
    for code in codes[4:6]:  # not written yet: the receipt itself is a check-in
        assert again.accept(here.phone(code, receipt=receipts[code])).receipt == receipts[code]
    assert again.accept(here.phone(codes[6])).first
    with pytest.raises(Refused) as refused:
        again.accept(here.phone("nobody"))
    assert refused.value.cause == NOT_ENROLLED
    here.drain()
    assert len(here.records()) == 7


class Crowd:
    """Students who check in one after the other until each has a receipt, as phones do: with the same id, after a pause."""

    def __init__(self, here: School, stream: CheckInStream, codes: list[str]) -> None:
        self.receipts: dict[str, str] = {}
        self.refused: list[str] = []
        self.busy = 0
        self._here, self._desk = here, here.desk(stream=stream)
        self._left = list(codes)
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._go, daemon=True) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def _go(self) -> None:
        while True:
            with self._lock:
                if not self._left:
                    return
                code = self._left.pop()
                phone = self._here.phone(code)
            try:
                receipt = self._desk.accept(phone).receipt
            except Busy:
                with self._lock:
                    self.busy += 1
                    self._left.insert(0, code)
                time.sleep(0.05)
                continue
            except Refused as error:
                self.refused.append(f"{code}: {error.cause}")
                continue
            with self._lock:
                self.receipts[code] = receipt
            time.sleep(0.002)

    def is_beyond(self, share: float, of: int) -> bool:
        return len(self.receipts) >= share * of


def test_a_peak_in_which_everything_is_killed_once(zygote: Zygote, data_dir: Path, short_tmp: Path) -> None:
    """Writer, stream and database, each by SIGKILL in the middle: nobody who was answered is lost, nobody is there twice.

    On MariaDB only, with its log on disk at each commit as in production: SQLite has no server that could die.
    """
    folder = short_tmp / "peak"
    folder.mkdir()
    many = 600
    with private_mariadb(folder, *AS_IN_PRODUCTION, *SMALL) as mariadb, stream_server(data_dir) as stream:
        engine = make_engine(mariadb.make_database("peak"))
        upgrade(engine)
        here = school(engine, stream.client(), courses=1, students=many)
        with closing(writers_of(zygote, engine, stream.url, data_dir)) as writers:
            writers.start()
            crowd = Crowd(here, here.stream, list(here.statuses()))
            for share, hurt in ((0.2, "writer"), (0.45, "stream"), (0.7, "database")):
                until(lambda s=share: crowd.is_beyond(s, many), f"no progress before {hurt} dies", within_s=60)  # type: ignore[misc]
                _hurt(hurt, writers, stream, mariadb)
            for thread in crowd.threads:
                thread.join(60)
            engine.dispose()  # connections to the server that died
            until(lambda: len(here.records()) == many, lambda: not_written(here, writers), within_s=60)
        assert not crowd.refused and len(crowd.receipts) == many
        assert {code: row.receipt for (_, code), row in here.records().items()} == crowd.receipts
        assert here.counters()["attended_count"] == many
        here.assert_counters_are_a_recount()
        engine.dispose()


def not_written(here: School, writers: Writers) -> str:
    return f"{len(here.records())} written; the last writer said:\n{writers.all[-1].said()[-2000:]}"


def _hurt(what: str, writers: Writers, stream: StreamServer, mariadb: object) -> None:
    if what == "writer":
        os.kill(writers.all[-1].pid, signal.SIGKILL)
        writers.start()
    elif what == "stream":
        stream.kill()
        time.sleep(random.Random(7).uniform(0.1, 0.3))  # how long a supervisor takes
        stream.start()
    else:
        mariadb.kill()  # type: ignore[attr-defined]
        mariadb.start()  # type: ignore[attr-defined]
