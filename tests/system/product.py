"""The whole product as a user starts it: `obsync up` in a private data folder, seen and hurt only from outside.

What the tests know of it comes from its commands, its database, its simulator and the operating system.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

T = TypeVar("T")

OBSYNC = Path(sys.executable).parent / "obsync"
ENDED = {"succeeded", "partially_succeeded", "failed", "cancelled", "needs_confirmation"}
START_S = 90.0
STOP_S = 60.0

# Quick clocks: the proportions of the defaults, a fifth of their length. The simulator's faults keep within them.
QUICK = {
    "OBSYNC_WPS_RATE": "1000",
    "OBSYNC_WPS_BURST": "50",
    "OBSYNC_WPS_TIMEOUT_S": "1",
    "OBSYNC_LANE_LEASE_S": "1.6",
    "OBSYNC_WPS_LATE_S": "0.6",
    "OBSYNC_WPS_LIST_LAG_S": "0.2",
}
SMALL_CAMPUS = ("--colleges", "6", "--offerings", "60", "--students", "300")

_READY = re.compile(r'"ready": true, "port": (\d+)')
_PROCESSES = {
    "lanes": re.compile(r"worker lanes$"),
    "jobs": re.compile(r"worker jobs$"),
    "scheduler": re.compile(r"worker scheduler$"),
    "checkins": re.compile(r"worker checkins$"),
    "web": re.compile(r"worker web$"),
    "simulator": re.compile(r"-m simulator "),
    "broker": re.compile(r"valkey-server .*broker\.sock|redis-server .*broker\.sock"),
    "stream": re.compile(r"valkey-server .*stream\.sock|redis-server .*stream\.sock"),
}
_WATCHED = {  # what a failed command must leave as it was
    "sessions": "SELECT * FROM sessions",
    "mirror": "SELECT * FROM mirror",
    "members": "SELECT * FROM members",
    "lane jobs": "SELECT * FROM jobs WHERE lane IS NOT NULL",
}


class TooLate(AssertionError):
    """Something that had to happen did not happen in time; the message holds what the product said."""


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        return json.loads(self.out)


class Product:
    """One installation: a data folder, settings, and at most one running `obsync up` on it."""

    def __init__(self, home: Path, environ: Mapping[str, str], *, arguments: Sequence[str] = SMALL_CAMPUS) -> None:
        self.home = home
        self.data_dir = home / "var"
        self.environ = {**environ, "OBSYNC_DATA_DIR": str(self.data_dir)}
        self.arguments = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_from = 0
        self._seen: set[int] = set()
        self._engine: Engine | None = None
        home.mkdir(parents=True, exist_ok=True)

    # --- starting and stopping ----------------------------------------------------------------------------------------

    def start(self, *extra: str) -> None:
        """`obsync up`; returns at once."""
        assert self._process is None, "it is running already"
        simulator = self.data_dir / "log" / "simulator.log"
        self._log_from = simulator.stat().st_size if simulator.exists() else 0
        with (self.home / "up.log").open("ab") as said:
            self._process = subprocess.Popen(
                [str(OBSYNC), "up", *self.arguments, *extra],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> int:
        """Send it to `obsync up` alone and wait for its end. Returns the exit code (negative: the signal's number)."""
        process = self._running()
        self.children()
        process.send_signal(number)
        return self.wait_exit(STOP_S)

    def wait_exit(self, timeout_s: float) -> int:
        """Wait until `obsync up` ends by itself, and every process of it with it."""
        process = self._running()
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TooLate(f"obsync up did not end within {timeout_s:g} s\n{self.story()}") from None
        self._process = None
        self.until(lambda: not self.left_over(), 10, "all processes to be gone")
        return code

    def stop(self) -> None:
        """Whatever state it is in: nothing of it runs afterwards."""
        if self._engine is not None:
            self._engine.dispose()
        process, self._process = self._process, None
        if process is not None:
            self._seen |= set(_children_of(process.pid))
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in self.left_over():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def left_over(self) -> list[int]:
        """Processes that this product started and that still live."""
        commands = _commands()  # once: what is asked for twice may have ended in between
        return [pid for pid in self._seen if pid in commands and _is_ours(commands[pid])]

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it is not running"
        return self._process

    # --- its processes ------------------------------------------------------------------------------------------------

    def children(self) -> dict[str, int]:
        """Process ids by name: lanes, jobs, simulator, broker, stream. A process that is being restarted is absent."""
        found = {}
        for pid, command in _children_of(self._running().pid).items():
            for name, pattern in _PROCESSES.items():
                if pattern.search(command):
                    found[name] = pid
                    self._seen.add(pid)
        return found

    def kill(self, name: str, *, timeout_s: float = START_S) -> int:
        """kill -9 of one process as soon as there is one. Returns its id."""
        pid = self.until(lambda: self.children().get(name), timeout_s, f"a process {name}")
        os.kill(pid, signal.SIGKILL)
        return pid

    # --- what it says -------------------------------------------------------------------------------------------------

    def obsync(self, *arguments: str, settings: Mapping[str, str] | None = None, timeout_s: float = 180) -> Answer:
        """Run a command on this installation; `settings` override its own."""
        done = subprocess.run(
            [str(OBSYNC), *arguments],
            env={**self.environ, **(settings or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def plan(self, campus: Path | None = None) -> dict[str, Any]:
        """`obsync plan --json`, every operation listed."""
        answer = self.obsync("plan", *([] if campus is None else [str(campus)]), "--json", "--limit", "100000")
        assert answer.code == 0, answer.err + answer.out
        found: dict[str, Any] = answer.json
        return found

    def said(self) -> str:
        """Everything `obsync up` has printed, over all its starts."""
        log = self.home / "up.log"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def story(self) -> str:
        """The end of all logs, for the message of a failed test."""
        parts = [f"--- up\n{self.said()[-3000:]}"]
        for log in sorted((self.data_dir / "log").glob("*.log")):
            if "valkey" not in log.name:
                parts.append(f"--- {log.name}\n{log.read_text(encoding='utf-8', errors='replace')[-1500:]}")
        return "\n".join(parts)

    @property
    def campus(self) -> Path:
        """The folder it was told to sync, or the one it generated."""
        if "--campus" in self.arguments:
            return Path(self.arguments[self.arguments.index("--campus") + 1])
        (made,) = self.data_dir.glob("campus-*")
        return made

    # --- its database -------------------------------------------------------------------------------------------------

    def query(self, sql: str, **values: object) -> list[dict[str, Any]]:
        """Rows of its database, read and never written; none while there is no database or table yet."""
        if self._engine is None:
            url = self.environ.get("OBSYNC_DATABASE_URL")
            if url is None:
                file = self.data_dir / "obsync.db"
                if not file.exists():
                    return []
                url = f"sqlite:///file:{file}?mode=ro&uri=true"
            self._engine = create_engine(url, poolclass=NullPool)
        try:
            with self._engine.connect() as connection:
                return [dict(row) for row in connection.execute(text(sql), values).mappings()]
        except (OperationalError, ProgrammingError) as error:
            if "no such table" in str(error.orig) or "doesn't exist" in str(error.orig):
                return []
            raise

    def newest_run(self) -> dict[str, Any] | None:
        """The run begun last, or None before the first."""
        rows = self.query("SELECT id, kind, state, stage, error FROM runs ORDER BY created_ms DESC, id DESC LIMIT 1")
        return rows[0] if rows else None

    def lanes_with_work(self) -> list[str]:
        """Lanes that still have something queued."""
        rows = self.query("SELECT DISTINCT lane FROM jobs WHERE lane IS NOT NULL AND state = 'queued'")
        return [row["lane"] for row in rows]

    def effects(self) -> int:
        """How many transactions its drains have written so far."""
        return sum(int(row["effects"]) for row in self.query("SELECT effects FROM lanes"))

    def fingerprint(self) -> dict[str, str]:
        """Hashes of sessions, mirror, members, lane jobs, and of everything the simulator holds."""
        found = {}
        for name, sql in _WATCHED.items():
            rows = sorted(repr(sorted(row.items())) for row in self.query(sql))
            found[name] = f"{len(rows)} rows, {hashlib.sha256(''.join(rows).encode()).hexdigest()}"
        calendars = json.dumps(self.dump()["calendars"], sort_keys=True)
        return {**found, "simulator": hashlib.sha256(calendars.encode()).hexdigest()}

    # --- its simulator ------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port of its simulator, once that listens."""
        return self.until(self._announced_port, START_S, "the simulator to listen")

    def _announced_port(self) -> int | None:
        log = self.data_dir / "log" / "simulator.log"
        if not log.exists():
            return None
        with log.open("rb") as file:
            file.seek(self._log_from)
            ports = _READY.findall(file.read().decode(errors="replace"))
        return int(ports[-1]) if ports else None

    def simulator(self, path: str, body: object | None = None) -> Any:
        """Ask the simulator's desk: `state`, `log`, `faults`, `settings`. With a body it is a POST."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/_sim/{path}", data=data)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def dump(self) -> dict[str, Any]:
        """Everything the simulator holds."""
        found: dict[str, Any] = self.simulator("state")
        return found

    def calls(self) -> list[dict[str, Any]]:
        """The simulator's log of the calls it got since its start."""
        found: list[dict[str, Any]] = self.simulator("log")
        return found

    # --- waiting ------------------------------------------------------------------------------------------------------

    def until(self, look: Callable[[], T | None], timeout_s: float, what: str, *, every_s: float = 0.05) -> T:
        """The first true answer of `look`. Raises TooLate, or AssertionError when `obsync up` has ended meanwhile."""
        give_up = time.monotonic() + timeout_s
        while not (found := look()):
            if self._process is not None and self._process.poll() is not None:
                raise AssertionError(f"obsync up ended with {self._process.returncode}\n{self.story()}")
            if time.monotonic() > give_up:
                raise TooLate(f"waited {timeout_s:g} s for {what}\n{self.story()}")
            time.sleep(every_s)
        return found

    def is_syncing(self) -> bool:
        """Whether the newest run is still going on."""
        run = self.newest_run()
        return run is not None and run["state"] not in ENDED

    def until_stage(self, stage: str, timeout_s: float = START_S) -> None:
        """Wait until the run works on `stage` (or is past it)."""
        order = ("prepare", "aggregate", "users", "calendars", "events", "finish")

        def reached() -> bool:
            run = self.newest_run()
            return run is not None and order.index(run["stage"]) >= order.index(stage)

        self.until(reached, timeout_s, f"stage {stage}", every_s=0.02)

    def until_ended(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the end of the newest run."""

        def ended() -> dict[str, Any] | None:
            run = self.newest_run()
            return run if run is not None and run["state"] in ENDED else None

        return self.until(ended, timeout_s, "the run to end", every_s=0.1)

    def until_succeeded(self, timeout_s: float) -> str:
        """Wait for the end of the newest run, which must be `succeeded`. Returns its id."""
        run = self.until_ended(timeout_s)
        assert run["state"] == "succeeded", f"{run}\n{self.story()}"
        return str(run["id"])


def _commands() -> dict[int, str]:
    """Every process of this machine that has not ended, with its command line."""
    proc = Path("/proc")
    if not (proc / "self" / "cmdline").exists():
        listed = subprocess.run(["ps", "-axo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        return {int(pid): command for pid, _, command in (line.strip().partition(" ") for line in listed.splitlines())}
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if command:  # a zombie has none
                    found[int(entry.name)] = command
    return found


def _children_of(parent: int) -> dict[int, str]:
    return {pid: command for pid, command in _commands().items() if _parent(pid) == parent}


def _parent(pid: int) -> int:
    try:
        # The name in brackets may hold blanks and brackets, so count from behind it.
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except FileNotFoundError:
        shown = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return int(shown.stdout.strip() or 0)
    except (ProcessLookupError, IndexError):
        return 0


def _is_ours(command: str) -> bool:
    return any(pattern.search(command) for pattern in _PROCESSES.values())
