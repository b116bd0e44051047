"""What a storm rages over: the processes of the Procfile, a second worker for lanes, the broker, and a MariaDB server.

The second worker matters: only where another process can take a lane over does a frozen one come back as a zombie.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from sqlalchemy.exc import DBAPIError

from bench.mariadb import MariaDb, private_mariadb
from bootstrap import addresses
from tests.system.product import OBSYNC, Product

LANES_AGAIN_S = 0.3


@dataclass
class Arena:
    """One product under test and the handles to hurt it by."""

    product: Product
    mariadb: MariaDb
    frozen: dict[int, float] = field(default_factory=dict)  # process → when it goes on
    database_back_at: float | None = None
    _extra: subprocess.Popen[bytes] | None = None
    _extra_at: float = 0.0
    _environ: dict[str, str] | None = None

    def lanes_workers(self) -> list[int]:
        """Processes that drain lanes and are not frozen."""
        own = self.product.children().get("lanes")
        extra = self._extra.pid if self._extra is not None and self._extra.poll() is None else None
        return [pid for pid in (own, extra) if pid is not None and pid not in self.frozen]

    def tend(self, now: float) -> None:
        """What is due: frozen processes go on, the database starts again, the second worker is started again."""
        for pid in [pid for pid, until in self.frozen.items() if until <= now]:
            del self.frozen[pid]
            _send(pid, signal.SIGCONT)
        if self.database_back_at is not None and self.database_back_at <= now:
            self.database_back_at = None
            self.mariadb.start()
        if self._extra is None or self._extra.poll() is not None:
            self._start_extra(now)

    def calm(self) -> None:
        """Everything runs again."""
        for pid in self.frozen:
            _send(pid, signal.SIGCONT)
        self.frozen.clear()
        if self.database_back_at is not None:
            self.database_back_at = None
            self.mariadb.start()

    def stop(self) -> None:
        """Nothing of it runs afterwards."""
        self.calm()
        if self._extra is not None:
            self._extra.kill()
            self._extra.wait()
        self.product.stop()

    def flush_broker(self) -> bool:
        """FLUSHALL; whether the broker was there to do it."""
        client = redis.Redis(unix_socket_path=str(addresses.socket_path(self.product.data_dir, "broker")))
        with contextlib.closing(client):
            try:
                client.flushall()
            except redis.RedisError:
                return False
        return True

    def rows(self, sql: str) -> list[dict[str, Any]] | None:
        """Rows of the database; None while it is away."""
        try:
            return self.product.query(sql)
        except DBAPIError:
            return None

    def _start_extra(self, now: float) -> None:
        own = self.product.children().get("lanes")
        if self._environ is None and own is not None:
            # What `obsync up` gave its own worker, the simulator's address above all.
            with contextlib.suppress(OSError):
                raw = Path(f"/proc/{own}/environ").read_bytes().decode()
                self._environ = dict(line.split("=", 1) for line in raw.split("\0") if "=" in line)
        if self._environ is None or now < self._extra_at:
            return
        self._extra_at = now + LANES_AGAIN_S
        with (self.product.home / "second-lanes.log").open("ab") as said:
            self._extra = subprocess.Popen(
                [str(OBSYNC), "worker", "lanes"],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@contextlib.contextmanager
def open_arena(folder: Path, environ: dict[str, str], arguments: tuple[str, ...]) -> Iterator[Arena]:
    """A product on a MariaDB of its own, started; everything is stopped at the end."""
    with private_mariadb(folder) as mariadb:
        database = mariadb.make_database("chaos")
        product = Product(folder / "product", {**environ, "OBSYNC_DATABASE_URL": database}, arguments=arguments)
        arena = Arena(product, mariadb)
        try:
            product.start()
            yield arena
        finally:
            arena.stop()


def now_s() -> float:
    """Seconds since 1970: the clock of the simulator's log."""
    return time.time()
