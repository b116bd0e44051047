"""What a storm rages over: the processes of the Procfile, a second worker for lanes and one for check-ins, Valkey, MariaDB.

The second worker for lanes matters: only where another process can take a lane over does a frozen one come back as a zombie.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis
from sqlalchemy.exc import DBAPIError

from bench.bell_world import TENANT
from bench.mariadb import MariaDb, private_mariadb
from bootstrap import addresses
from tests.system.product import OBSYNC, Product

AGAIN_S = 0.3
SECOND: Final[Mapping[str, Mapping[str, str]]] = {"lanes": {}, "checkins": {"OBSYNC_TENANT": TENANT}}
"""Processes of which there are two, and in which settings the second one differs: that of the check-ins looks after the
rosters of the school of the crowd."""


@dataclass
class Arena:
    """One product under test and the handles to hurt it by."""

    product: Product
    mariadb: MariaDb
    frozen: dict[int, float] = field(default_factory=dict)  # process → when it goes on
    database_back_at: float | None = None
    _second: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _second_at: dict[str, float] = field(default_factory=dict)
    _environ: dict[str, str] | None = None

    def lanes_workers(self) -> list[int]:
        """Processes that drain lanes and are not frozen."""
        return [pid for pid in self._both("lanes") if pid not in self.frozen]

    def writers(self) -> list[int]:
        """Processes that write check-ins."""
        return self._both("checkins")

    def _both(self, name: str) -> list[int]:
        own, second = self.product.children().get(name), self._second.get(name)
        other = second.pid if second is not None and second.poll() is None else None
        return [pid for pid in (own, other) if pid is not None]

    def tend(self, now: float) -> None:
        """What is due: frozen processes go on, the database starts again, the second worker is started again."""
        for pid in [pid for pid, until in self.frozen.items() if until <= now]:
            del self.frozen[pid]
            _send(pid, signal.SIGCONT)
        if self.database_back_at is not None and self.database_back_at <= now:
            self.database_back_at = None
            self.mariadb.start()
        for name, different in SECOND.items():
            if (second := self._second.get(name)) is None or second.poll() is not None:
                self._start_second(name, different, now)

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
        for second in self._second.values():
            second.kill()
            second.wait()
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

    def environ(self) -> dict[str, str] | None:
        """What `obsync up` gave its own worker, the simulator's address and the keys above all; None before it runs."""
        own = self.product.children().get("lanes") if self._environ is None else None
        if own is not None:
            with contextlib.suppress(OSError):
                raw = Path(f"/proc/{own}/environ").read_bytes().decode()
                self._environ = dict(line.split("=", 1) for line in raw.split("\0") if "=" in line)
        return self._environ

    def _start_second(self, name: str, different: Mapping[str, str], now: float) -> None:
        environ = self.environ()
        if environ is None or now < self._second_at.get(name, 0.0):
            return
        self._second_at[name] = now + AGAIN_S
        with (self.product.home / f"second-{name}.log").open("ab") as said:
            self._second[name] = subprocess.Popen(
                [str(OBSYNC), "worker", name],
                env={**environ, **different},
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
