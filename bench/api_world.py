"""A school on a private MariaDB with its API running, and tokens of people who have classes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, Engine, select

from bench.lane_world import ROOT, settings_for
from bench.mariadb import MariaDb, private_mariadb
from bench.planning_world import Shape, fill
from bench.valkey import private_valkey
from bootstrap.settings import Settings
from bootstrap.wiring import wire
from db.engine import in_unit, make_engine
from db.logins import Grant
from db.people import STUDENT
from db.tables import users
from domain.tenancy import Role
from ratelimit.limiter import Limits
from usecases import feeds, identity, logins
from usecases.deps import Deps
from usecases.sync import runs
from workers.cli.migrate import prepare_database
from workers.ports import claim_port

_UP_WITHIN_S = 60.0
_LOGINS_A_UNIT = 200
_FEEDS = 30
_UNLIMITED = Limits(rate_per_s=1, burst=1, max_in_flight=1)  # WPS is not called here


class NotMeasured(Exception):
    """The bench could not come to its end; the message says where it stopped."""


@dataclass(frozen=True)
class School:
    """Where the API is, and who may ask it: a bearer token for each of some students, and one of an administrator; paths of
    some students' calendar feeds. `run_id` is a run that waits for a worker."""

    port: int
    students: Sequence[str]
    admin: str
    feeds: Sequence[str]
    run_id: str
    api_pids: Sequence[int]
    database_pid: int


@contextlib.contextmanager
def school(
    directory: Path, shape: Shape, *, people: int, processes: int, threads: int, pool_mib: int
) -> Iterator[School]:
    """Fill, sign people in, serve. Raises NotMeasured, MariaDbUnavailable."""
    # Filled without waiting for the disk; what is measured only reads.
    options = (f"--innodb-buffer-pool-size={pool_mib}M", "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0")
    with private_mariadb(directory, *options) as database, private_valkey(directory) as valkey:
        port, claim = claim_port(0)
        settings = _settings(directory, database, valkey, port=port, processes=processes, threads=threads)
        prepare_database(settings)
        engine = make_engine(settings.database_url, patience_s=600)
        fill(engine, shape, tenant=settings.tenant)
        students, admin, paths, run_id = _sign_in(settings, engine, people)
        engine.dispose()
        database.run("ANALYZE TABLE bench.sessions, bench.rolls, bench.offerings, bench.users")
        with contextlib.closing(claim), _serving(settings, directory) as process:
            yield School(port, students, admin, paths, run_id, _family(process.pid), database.pid)


def _settings(directory: Path, database: MariaDb, valkey: Path, *, port: int, processes: int, threads: int) -> Settings:
    told = settings_for(
        directory,
        database_url=database.make_database("bench"),
        valkey=valkey,
        wps_url="http://127.0.0.1:9",
        limits=_UNLIMITED,
        threads=1,
        more={"OBSYNC_LOG_LEVEL": "INFO"},  # as it is deployed: a line for each request
    )
    return replace(told, http_bind=f"127.0.0.1:{port}", web_processes=processes, web_threads=threads)


def _sign_in(settings: Settings, engine: Engine, people: int) -> tuple[list[str], str, list[str], str]:
    """Access tokens of that many students, spread over the school, and of an administrator; feeds of some of them; the id of a
    run."""
    deps = wire(settings, ring=lambda _: None, need_redis=False).deps
    mine = (users.c.tenant_id == settings.tenant, users.c.kind == STUDENT)
    with engine.connect() as tx:
        known = tx.execute(select(users).where(*mine).order_by(users.c.code)).all()
    chosen = known[:: max(1, len(known) // people)][:people]
    tokens: list[str] = []
    for at in range(0, len(chosen), _LOGINS_A_UNIT):
        part = chosen[at : at + _LOGINS_A_UNIT]

        def make(tx: Connection, part: Sequence[object] = part) -> list[str]:
            return [logins.of_person(deps, tx, tenant=settings.tenant, person=one, actor="bench") for one in part]  # type: ignore[arg-type]

        tokens += [_token(deps, login_id) for login_id in in_unit(engine, make)]
    admin = logins.add(deps, tenant=settings.tenant, name="bench-admin", actor="bench", roles=[Grant(Role.ADMIN)])
    token = _token(deps, admin.login_id)
    paths = [
        feeds.give(deps, kind=feeds.USER, subject=one.code, owner=one.code, actor="bench", known=True).path
        for one in chosen[:_FEEDS]
    ]
    run_id = runs.begin_look(deps, kind="verify")
    deps.engine.dispose()
    return tokens, token, paths, run_id


def _token(deps: Deps, login_id: str) -> str:
    return identity.begin(deps, tenant=deps.tenant, login_id=login_id, how="wps").access


@contextlib.contextmanager
def _serving(settings: Settings, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", "-c", "from workers.cli import main; main()", "worker", "web"]
    with (directory / "web.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=settings.child_env(), stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_until_up(settings, process, directory / "web.log")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_up(settings: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + _UP_WITHIN_S
    while process.poll() is None and time.monotonic() < give_up:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"http://{settings.http_bind}/healthz", timeout=5)
            return
        time.sleep(0.1)
    raise NotMeasured(f"the API did not start: {log.read_text(errors='replace')[-800:]}")


def _family(pid: int) -> list[int]:
    """The process and its children (Linux only)."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *map(int, children.read_text().split())] if children.exists() else [pid]
