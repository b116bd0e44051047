"""Everything of the product on one machine: stores, simulator, workers, and the first sync.

    lock the data folder ─▶ stores ─▶ migrations ─▶ campus ─▶ simulator ─▶ workers ─▶ sync, shown live ─▶ keep serving

What dies is started again, with back-off, and said. Stopping sends each leader one SIGTERM; starting again goes on.
"""

import contextlib
import fcntl
import secrets
import shlex
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bootstrap.settings import Settings
from bootstrap.wiring import wire
from db.engine import check, make_engine, reading
from db.migrate import current
from db.sync_runs import RunActive
from domain.runs import ASKS, RESTS, Command
from simulator.campus import generate, read_summary
from usecases import demo, tenants
from usecases.deps import Deps
from usecases.sync import run_commands, runs
from workers import embedded, procfile
from workers.cli import questions
from workers.cli.migrate import prepare_database
from workers.cli.progress import RunScreen, outcome
from workers.ports import claim_port
from workers.supervisor import Event, Supervisor

ROOT = Path(__file__).resolve().parent.parent
SIMULATOR_PORT = 8765
SIMULATED_APP = "sim-app"
SIMULATOR_LATENCY_MS = 20
SIMULATOR_RATE = 50.0
LATE_S, LAG_S = 3.0, 1.0  # how late our simulator applies a request, and how long its lists lag
_POLL_S = 0.2


class AlreadyUp(Exception):
    """Another `obsync up` works on this data folder."""


class RealApp(Exception):
    """The database has the credentials of a real WPS app, and the environment names none."""


class NeverReady(Exception):
    """A process that others need did not come up."""


@dataclass(frozen=True)
class Options:
    """What `obsync up` was asked for. `campus` None: one is generated."""

    campus: Path | None
    colleges: int
    offerings: int
    students: int
    seed: int
    latency_ms: int
    rate: float
    faults: Path | None
    once: bool


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """One `obsync up` for a data folder. Raises `AlreadyUp`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyUp(f"`obsync up` is already running on {data_dir}") from error
        yield


class Up:
    """One running product. `run` returns the state in which the first sync ended."""

    def __init__(self, settings: Settings, options: Options, console: Console) -> None:
        self._simulated = not settings.wps_app_id
        self._options = options
        self._console = console
        self._stores = Supervisor()
        self._workers = Supervisor()
        self._logs = settings.data_dir / "log"
        self._deaths: dict[str, int] = {}
        self._port = 0
        if self._simulated:
            self._port, self._port_claim = claim_port(SIMULATOR_PORT)
        self._http_port, self._http_claim = claim_port(settings.http_port, host=settings.http_host)
        bound = replace(settings, http_bind=f"{settings.http_host}:{self._http_port}")
        self.settings = self._for_children(bound)
        self._wanted_port = settings.http_port

    def _for_children(self, settings: Settings) -> Settings:
        if not self._simulated:
            return settings
        return replace(
            settings,
            wps_base_url=f"http://127.0.0.1:{self._port}",
            wps_app_id=SIMULATED_APP,
            wps_app_key="sim-key",
            wps_rate=min(settings.wps_rate, self._options.rate),
            wps_late_s=min(settings.wps_late_s, LATE_S),
            wps_list_lag_s=min(settings.wps_list_lag_s, LAG_S),
        )

    def run(self) -> str | None:
        """Start everything, sync, and serve until interrupted (or until the sync ended, with `once`)."""
        for warning in self.settings.warnings():
            self._say(f"[yellow]![/] {warning}")
        try:
            self._start_stores()
            self._keep_real_app()
            prepare_database(self.settings)
            campus = self._campus()
            self._start_processes(campus)
            state = self._sync(campus)
            if self._options.once:
                return state
            self._demo_logins()
            self._addresses()
            while True:
                self._poll()
                time.sleep(_POLL_S)
        finally:
            self._stop()

    def _start_stores(self) -> None:
        if not self.settings.embedded_valkey:
            return
        servers = embedded.servers(self.settings.data_dir)
        for server in servers:
            server.prepare()
            self._stores.add(
                server.name,
                server.argv,
                self.settings.child_env(),
                log_path=self._logs / f"{server.name}.log",
            )
        self._tell(self._stores.start())
        for server in servers:
            server.wait_ready()

    def _keep_real_app(self) -> None:
        """A database that speaks to the real WPS is not turned over to the simulator by a forgotten variable."""
        if not self._simulated:
            return
        engine = make_engine(self.settings.database_url)
        try:
            check(engine)
            if current(engine) is None:
                return
            with reading(engine) as tx:
                app_id = tenants.app_of(tx, tenant=self.settings.tenant)
        finally:
            engine.dispose()
        if app_id not in (None, "", SIMULATED_APP):
            raise RealApp(f"the database belongs to the WPS app {app_id}, and OBSYNC_WPS_APP_ID is not set")

    def _campus(self) -> Path:
        if self._options.campus is not None:
            return self._options.campus.resolve()
        want = self._options
        directory = self.settings.data_dir / f"campus-{want.seed}-{want.colleges}-{want.offerings}-{want.students}"
        if read_summary(directory) is None:
            self._say(
                f"generating a campus: {want.colleges} colleges, {want.offerings} courses, {want.students} students"
            )
            shutil.rmtree(directory, ignore_errors=True)
            generate(
                directory, seed=want.seed, colleges=want.colleges, offerings=want.offerings, students=want.students
            )
        return directory

    def _start_processes(self, campus: Path) -> None:
        env = self.settings.child_env({"SIM_ARGS": self._simulator_arguments(campus)})
        file = ROOT / ("Procfile.dev" if self._simulated else "Procfile")
        for line in procfile.read(file, env):
            self._workers.add(line.name, line.argv, env, log_path=self._logs / f"{line.name}.log")
        self._tell(self._workers.start())
        if self._simulated:
            self._await_port(self._port)

    def _simulator_arguments(self, campus: Path) -> str:
        options = self._options
        arguments = [
            "--port",
            str(self._port),
            "--latency-ms",
            str(options.latency_ms),
            "--rate",
            f"{options.rate:g}",
            "--state",
            str(self.settings.data_dir / "simulator.journal"),
            "--directory",
            str(campus),
            "--seed",
            str(options.seed),
        ]
        if options.faults is not None:
            arguments += ["--faults", str(options.faults.resolve())]
        return shlex.join(arguments)

    def _await_port(self, port: int) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            self._poll()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
                return
            time.sleep(0.05)
        raise NeverReady(f"the simulator did not start; see {self._logs / 'simulator.log'}")

    def _sync(self, campus: Path) -> str:
        """The run that was going on, if any; then one over `campus`, unless that was the one."""
        deps = wire(self.settings, ring=lambda _what: None).deps
        source = str(campus)
        try:
            while True:
                try:
                    run_id, _ = runs.begin(deps, kind="full", source=source, remember=True)
                    self._say(f"[bold]syncing[/] {source}")
                    return self._follow(deps, run_id)
                except RunActive as active:
                    self._say(f"going on with run {active.run_id} over {active.scope.get('source')}")
                    state = self._follow(deps, active.run_id)
                    if state in RESTS:
                        return state
                    if active.kind == "full" and active.scope.get("source") == source:
                        return state
        finally:
            deps.engine.dispose()

    def _follow(self, deps: Deps, run_id: str) -> str:
        with RunScreen(self._console) as screen:

            def show(run: dict[str, Any]) -> None:
                self._poll()
                screen(run)

            run = runs.wait(deps, run_id, show=show)
            while run["state"] == ASKS and self._simulated:
                run = self._confirm(deps, run, show)
        self._report(run)
        return str(run["state"])

    def _confirm(self, deps: Deps, run: dict[str, Any], show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Another campus in the simulator is meant to replace what was there. A real WPS is never answered for."""
        for sentence in questions.sentences(run):
            self._say(f"[yellow]?[/] {sentence}")
        self._say("confirmed by `obsync up`, because this WPS is a simulator")
        run_commands.tell(deps, run["id"], Command.CONFIRM, actor="up")
        return runs.wait(deps, run["id"], show=show)

    def _report(self, run: dict[str, Any]) -> None:
        if run["state"] == ASKS:
            questions.show(run, self._console)
            return
        self._say(outcome(run))
        report = run["report"] or {}
        live = report.get("live", {})
        if live:
            people = report.get("unmapped_people", 0)
            self._say(
                f"WPS holds {live.get('calendar', 0):,} calendars and {live.get('event', 0):,} events; "
                f"{people:,} people have no WPS account (`obsync quarantine people`)"
            )

    def _demo_logins(self) -> None:
        """Something to sign in with; where WPS is real, those of an earlier trial are switched off."""
        deps = wire(self.settings, ring=lambda _what: None).deps
        try:
            if not self._simulated:
                demo.remove(deps)
                return
            password = f"demo-{secrets.token_urlsafe(9)}"
            self._say(f"demo logins, all with the password [bold]{password}[/] (anew at each start)")
            for one in demo.logins_per_role(deps, password=password):
                self._say(f"  {one.name:<16} {one.role:<18} {one.who}")
        finally:
            deps.engine.dispose()

    def _addresses(self) -> None:
        replaced = "" if self._http_port == self._wanted_port else f"  (port {self._wanted_port} is taken)"
        self._say(f"API        http://{self.settings.http_bind}/openapi/swagger{replaced}")
        if self._simulated:
            self._say(f"simulator  http://127.0.0.1:{self._port}/_sim/state?counts=1")
        self._say(f"database   {self.settings.database_url}" if self.settings.is_sqlite else "database   as configured")
        self._say(f"logs       {self._logs}")
        self._say("look around with .venv/bin/obsync: runs · plan · lanes · quarantine · limit · schedules · dead")
        self._say("Ctrl-C stops; `make up` again continues.")

    def _poll(self) -> None:
        self._tell(self._stores.poll())
        self._tell(self._workers.poll())

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            if event.kind not in ("started", "stopped"):
                self._say(f"[yellow]![/] {event.sentence}")
                self._explain(event)

    def _explain(self, event: Event) -> None:
        """Point at the log of a process that keeps dying; a single death is ordinary."""
        if event.kind == "died":
            self._deaths[event.name] = self._deaths.get(event.name, 0) + 1
            if self._deaths[event.name] in (3, 30):
                self._say(f"  why: {self._logs / (event.name + '.log')}")

    def _stop(self) -> None:
        self._tell(self._workers.stop())
        self._tell(self._stores.stop())

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)
