"""Worker processes beside the small world of the drain, started to fail at a point or behind a proxy that does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from db.engine import in_unit
from tests.contract.simulator_process import APP_ID, APP_KEY
from tests.integration.drain_rig import TENANT, World
from usecases import tenants

PROJECT = Path(__file__).resolve().parents[2]
ENCRYPTION_KEYS = "k:" + "A" * 43 + "="
CONSUMER_DIED = 70
"""How a worker ends that has lost a thread: whoever started it starts it again."""
QUICK = {
    "OBSYNC_LANE_LEASE_S": "1",
    "OBSYNC_WPS_TIMEOUT_S": "0.5",
    "OBSYNC_WPS_LATE_S": "0.15",
    "OBSYNC_WPS_LIST_LAG_S": "0.1",
    "OBSYNC_WPS_RATE": "2000",
    "OBSYNC_WPS_BURST": "200",
    "OBSYNC_LANE_THREADS": "4",
    "OBSYNC_JOB_THREADS": "2",
}


def until(
    true: Callable[[], object], what: str | Callable[[], str], *, within_s: float = 60.0, every_s: float = 0.05
) -> None:
    """Wait for something that another process does."""
    give_up = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up, what if isinstance(what, str) else what()
        time.sleep(every_s)


class Zygote:
    """The process that forks workers; see `zygote`."""

    def __init__(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OBSYNC_")}
        self.environ = environ
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            cwd=PROJECT,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **asked: Any) -> int | None:
        """Send one request and read its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        answer: int | None = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """Forks nothing any more."""
        self._process.kill()
        self._process.communicate()


class Worker:
    """A process of ours. `log` is the file that holds what it said."""

    def __init__(self, zygote: Zygote, pid: int, log: Path) -> None:
        self._zygote = zygote
        self._code: int | None = None
        self.pid = pid
        self.log = log

    def dies(self, *, within_s: float = 60.0) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        until(lambda: not self.is_alive(), lambda: f"it lives on:\n{self.said()[-3000:]}", within_s=within_s)
        assert self._code is not None
        return self._code

    def stops(self, *, within_s: float = 60.0) -> None:
        """Wait until it has stopped itself."""
        until(lambda: self._state() == "T", lambda: f"it did not stop:\n{self.said()[-3000:]}", within_s=within_s)

    def goes_on(self) -> None:
        """Continue a stopped process."""
        os.kill(self.pid, signal.SIGCONT)

    def started(self) -> None:
        """Wait until it serves its queues."""
        until(lambda: "worker.started" in self.said() or not self.is_alive(), lambda: f"no start:\n{self.said()}")
        assert self.is_alive(), self.said()[-3000:]

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        if self._code is None:
            self._code = self._zygote.ask(poll=self.pid)
        return self._code is None

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            self.dies()

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def _state(self) -> str:
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0]


class Processes:
    """Starts worker processes that share database, Redis and simulator with a world."""

    def __init__(self, zygote: Zygote, here: World, *, broker_url: str, data_dir: Path) -> None:
        self._zygote = zygote
        self._data_dir = data_dir
        self.all: list[Worker] = []
        self._settings = {
            **zygote.environ,
            **QUICK,
            "OBSYNC_DATA_DIR": str(data_dir),
            "OBSYNC_DATABASE_URL": here.engine.url.render_as_string(hide_password=False),
            "OBSYNC_BROKER_URL": broker_url,
            "OBSYNC_SECRET_KEY": "s" * 32,
            "OBSYNC_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
            "OBSYNC_TENANT": TENANT,
            "OBSYNC_WPS_BASE_URL": f"http://127.0.0.1:{here.simulator.port}",
        }
        make_tenant(here.engine)

    def start(self, name: str, *, failpoints: str = "", prelude: str = "", **settings: str) -> Worker:
        """A worker `lanes` or `jobs`; `prelude` is Python that runs in it first, `settings` override the quick ones."""
        log = self._data_dir / f"{name}-{len(self.all)}.log"
        environ = {**self._settings, "OBSYNC_FAILPOINTS": failpoints, **settings}
        asked = {"name": name, "environ": environ, "log": str(log), "prelude": prelude}
        pid = self._zygote.ask(start=asked)
        assert pid is not None
        worker = Worker(self._zygote, pid, log)
        self.all.append(worker)
        return worker

    def close(self) -> None:
        """Nothing of it runs afterwards."""
        for worker in self.all:
            worker.kill()


def make_tenant(engine: Engine) -> None:
    """The tenant of the world, with the simulator's app."""
    in_unit(
        engine,
        lambda tx: tenants.seed(
            tx, tenant=TENANT, zone="Asia/Shanghai", app_id=APP_ID, app_key=APP_KEY, encryption_keys=ENCRYPTION_KEYS
        ),
    )
