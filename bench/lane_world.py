"""A small product for the benches of lanes: private stores, a simulator, lanes of live calendars, events to be made."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Engine, func, select

from bench.mariadb import private_mariadb
from bootstrap.addresses import socket_url, sqlite_url
from bootstrap.settings import Settings
from bootstrap.wiring import new_id
from db import jobs as job_rows
from db import lanes as lane_rows
from db.engine import in_unit, make_engine, reading
from db.jobs import Put
from db.tables import jobs, mirror
from domain.calendars import calendar_name
from domain.ids import calendar_tag, key_of, marker_of
from domain.plans import PRIORITY, SessionView, calendar_target, desired_event
from ratelimit.limiter import Limits
from ratelimit.memory_limiter import MemoryLimiter
from remote.wps.client import WpsClient
from remote.wps.credentials import Credentials
from remote.wps.transport import Admitted, Transport

ROOT = Path(__file__).resolve().parent.parent
TERM = "2024-2025-1"
APP_ID, APP_KEY = "sim-app", "sim-key"  # what the simulator knows unless told otherwise
_FIRST_MS = 1_725_235_200_000  # 2024-09-02 08:00 in Shanghai
_DAY_MS = 86_400_000
_CLASS_MS = 5_700_000
_PUTS_PER_UNIT = 500
_CREATING_THREADS = 8
_CREATING = Limits(rate_per_s=20_000, burst=1_000, max_in_flight=1_000)  # no limit while setting up


@dataclass(frozen=True)
class Shape:
    """How much there is to do: `calls` calendars in each lane, `events` to be made in each calendar."""

    lanes: int
    calls: int
    events: int

    @property
    def fewest_calls(self) -> int:
        """One list of at most 100 events makes all that is due in a calendar."""
        return self.lanes * self.calls * -(-self.events // 100)

    @property
    def work(self) -> dict[str, int]:
        """Lane → its calendars."""
        return {f"lane-{number:02d}": self.calls for number in range(1, self.lanes + 1)}


@contextlib.contextmanager
def database(wanted: str, directory: Path) -> Iterator[tuple[str, int | None]]:
    """(address, process id of its server) for "sqlite", "mariadb" (both private) or an address, which must be empty."""
    if wanted == "sqlite":
        yield sqlite_url(directory / "bench.db"), None
    elif wanted == "mariadb":
        with private_mariadb(directory) as server:
            yield server.make_database("bench"), server.pid
    else:
        yield wanted, None


class Simulator:
    """A running simulator, asked through its control calls."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: Any = None) -> Any:
        """The answer of a control call; a POST when there is a body."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/_sim/{path}", data, timeout=60) as answer:
            return json.load(answer)


@contextlib.contextmanager
def simulator() -> Iterator[Simulator]:
    """A process of its own; without latency until the clock of the bench starts, and without a limit always."""
    command = [sys.executable, "-m", "simulator", "--port", "0", "--latency-ms", "0", "--rate", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield Simulator(process, json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.wait()


def settings_for(
    directory: Path,
    *,
    database_url: str,
    valkey: Path,
    wps_url: str,
    limits: Limits,
    threads: int,
    more: Mapping[str, str] | None = None,
) -> Settings:
    """What the workers of the bench are told."""
    return Settings.from_env(
        {
            "OBSYNC_DATA_DIR": str(directory / "var"),
            "OBSYNC_DATABASE_URL": database_url,
            "OBSYNC_BROKER_URL": socket_url(valkey),
            "OBSYNC_WPS_BASE_URL": wps_url,
            "OBSYNC_WPS_APP_ID": APP_ID,
            "OBSYNC_WPS_APP_KEY": APP_KEY,
            "OBSYNC_WPS_RATE": f"{limits.rate_per_s:g}",
            "OBSYNC_WPS_BURST": f"{limits.burst:g}",
            "OBSYNC_WPS_MAX_IN_FLIGHT": str(limits.max_in_flight),
            "OBSYNC_LANE_THREADS": str(threads),
            "OBSYNC_LOG_LEVEL": "WARNING",
            **(more or {}),
        },
        make_secrets=True,
    )


# --- what there is to do ------------------------------------------------------------------------------------------------


def fill(settings: Settings, work: Mapping[str, int], *, events: int) -> None:
    """Make calendars (lane → how many) at the simulator and say so in the mirror, then put `events` jobs for each.

    The lanes are paused: nobody begins before `go`.
    """
    engine = make_engine(settings.database_url)
    in_unit(engine, lambda tx: lane_rows.make(tx, tenant=settings.tenant, names=work))
    in_unit(engine, lambda tx: lane_rows.set_paused(tx, tenant=settings.tenant, names=None, paused=True))
    offerings = [(lane, f"{lane}-{number:04d}") for lane, calls in work.items() for number in range(1, calls + 1)]
    _make_calendars(engine, settings, offerings)
    puts = [_event(settings, lane, offering, number) for lane, offering in offerings for number in range(events)]
    for at in range(0, len(puts), _PUTS_PER_UNIT):
        _put(engine, settings, puts[at : at + _PUTS_PER_UNIT])
    engine.dispose()


def _make_calendars(engine: Engine, settings: Settings, offerings: Sequence[tuple[str, str]]) -> None:
    transport = Transport(
        base_url=settings.wps_base_url,
        credentials=Credentials(APP_ID, APP_KEY),
        limiter=MemoryLimiter(limits=_CREATING, clock_us=lambda: time.time_ns() // 1000),
        limiter_key="bench",
        budget_s=settings.wps_timeout_s,
        clock=lambda: datetime.now(UTC),
    )
    client = WpsClient(transport, zone=settings.zone)

    def create(one: tuple[str, str]) -> dict[str, Any]:
        lane, offering = one
        tag = calendar_tag(settings.secret_key.encode(), tenant=settings.tenant, offering_id=offering, attempt=0)
        name = calendar_name(f"课程 {offering}", tag)
        admitted = transport.admit(lane="_", max_wait_ms=1_000)
        while not isinstance(admitted, Admitted):
            time.sleep(admitted.wait_ms / 1000)
            admitted = transport.admit(lane="_", max_wait_ms=1_000)
        time.sleep(admitted.wait_ms / 1000)
        remote = client.create_calendar(admitted, name=name)
        transport.release(admitted)
        return _live(settings, lane, offering, name, remote.id)

    with ThreadPoolExecutor(_CREATING_THREADS) as pool:
        rows = list(pool.map(create, offerings))
    transport.close()
    for at in range(0, len(rows), _PUTS_PER_UNIT):
        page = rows[at : at + _PUTS_PER_UNIT]
        in_unit(engine, lambda tx, page=page: tx.execute(mirror.insert(), page))  # type: ignore[misc]


def _live(settings: Settings, lane: str, offering: str, name: str, remote_id: str) -> dict[str, Any]:
    """The mirror row of a calendar that is there and says what is wanted."""
    target = calendar_target(offering)
    return {
        "tenant_id": settings.tenant,
        "term": TERM,
        "target": target,
        "kind": "calendar",
        "group_id": target,
        "lane": lane,
        "state": "live",
        "remote_id": remote_id,
        "name": name,
        "generation": 0,
        "sent_hash": key_of(name),
        "import_no": 1,
        "list_max": 100,
        "parked_until": 0,
    }


def _event(settings: Settings, lane: str, offering: str, number: int) -> Put:
    start_ms = _FIRST_MS + number * _DAY_MS
    room = ("闵行", "东上院", f"{100 + number}")
    session = SessionView(f"{offering}-{number:03d}", "", start_ms, start_ms + _CLASS_MS, (room,), ("鲍老师", "高老师"))
    want = desired_event(session, summary=f"课程 {offering}")
    marker = marker_of(settings.secret_key.encode(), tenant=settings.tenant, target=want.target, generation=0)
    group, priority = calendar_target(offering), PRIORITY["event"]
    return Put("event", want.target, group, TERM, lane, want.payload, want.hash, 0, priority, marker=marker)


def _put(engine: Engine, settings: Settings, puts: Sequence[Put]) -> None:
    in_unit(
        engine,
        lambda tx: job_rows.put(tx, puts, tenant=settings.tenant, import_no=1, run_id="bench", new_id=new_id),
    )


def go(engine: Engine, settings: Settings, lanes: Sequence[str] | None = None) -> None:
    """Let the lanes (None: all) begin."""
    in_unit(engine, lambda tx: lane_rows.set_paused(tx, tenant=settings.tenant, names=lanes, paused=False))


def jobs_by_state(engine: Engine) -> dict[str, int]:
    """State → how many jobs are in it."""
    with reading(engine) as tx:
        return {row[0]: row[1] for row in tx.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))}


def anything_queued(engine: Engine, tenant: str, lanes: Sequence[str] | None = None) -> bool:
    """Whether a job (of these lanes) waits. Asked often while the bench runs, so it costs next to nothing."""
    with reading(engine) as tx:
        if lanes is not None:
            of_lanes = (jobs.c.tenant_id == tenant, jobs.c.lane.in_(lanes), jobs.c.state == "queued")
            return tx.execute(select(jobs.c.id).where(*of_lanes).limit(1)).first() is not None
        where = (jobs.c.tenant_id == tenant, jobs.c.state == "queued", jobs.c.kind == "event")  # what the index has
        return tx.execute(select(jobs.c.id).where(*where).limit(1)).first() is not None


# --- processes ----------------------------------------------------------------------------------------------------------


def start_worker(settings: Settings, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """A process of `obsync worker lanes`."""
    command = [sys.executable, "-m", "workers.cli", "worker", "lanes"]
    return subprocess.Popen(command, cwd=ROOT, env=settings.child_env(), stdout=log, stderr=log)


@contextlib.contextmanager
def workers(settings: Settings, processes: int, directory: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes as the Procfile starts them; told to stop at the end."""
    with contextlib.ExitStack() as files:
        logs: list[IO[bytes]] = [
            files.enter_context((directory / f"worker-{number}.log").open("wb")) for number in range(processes)
        ]
        running = [start_worker(settings, log) for log in logs]
        try:
            yield running
        finally:
            for process in running:
                process.terminate()
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=15)
                process.kill()
                process.wait()


def cpu_s(pid: int | None) -> float | None:
    """Processor time of a process so far, its own and the system's for it; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
