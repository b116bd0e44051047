"""A school at the bell: on MariaDB and Valkey, with the real web and writer processes, and students who hold tokens."""

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis
from sqlalchemy import Engine, Table, func, insert, select

from bench.bell_phones import Phone
from bench.mariadb import SMALL, MariaDb, private_mariadb
from bench.valkey import connect, private_valkey
from bootstrap.settings import Settings
from bootstrap.wiring import new_id, wire
from db.check_in_stream import CheckInStream
from db.engine import make_engine, reading, unit
from db.migrate import upgrade
from db.tables import (
    attendance_roster,
    attendance_roster_detail,
    checkin_records,
    login_roles,
    logins,
    rolls,
    rooms,
    sessions,
    terms,
    token_families,
)  # fmt: skip
from domain.attendance import COUNTERS, count
from domain.tenancy import Role, permissions_of
from domain.tokens import FAMILY_MS, TokenKind, body_of
from usecases import check_in_keys, rosters, tokens
from usecases.deps import Deps
from usecases.tenants import seed
from workers import embedded
from workers.ports import claim_port

TENANT, TERM = "bench", "2024-2025-1"
LAT, LON = 39.9, 116.4
_HOUR_MS = 3_600_000
_CHUNK = 2_000
_PATIENCE_S = 90.0


@dataclass
class Bell:
    """A running product. `processes` are its own, by name; `pids` those whose time is measured."""

    deps: Deps
    engine: Engine
    stream: CheckInStream
    address: tuple[str, int]
    folder: Path
    environ: Mapping[str, str]
    server: embedded.ValkeyServer
    mariadb: MariaDb | None
    pids: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    waves: int = 0

    def start(self, name: str) -> None:
        """Start a process of the product; its log is a file of the folder."""
        command = [sys.executable, "-P", "-c", "from workers.cli import main; main()", "worker", name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=dict(self.environ), stdout=log, stderr=log, start_new_session=True
            )
        self.pids[name] = self.processes[name].pid

    def start_stream(self) -> None:
        """Start the stream's server, which writes each command to disk before it answers."""
        self.processes["valkey"] = subprocess.Popen(
            self.server.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.server.wait_ready()
        self.pids["valkey"] = self.processes["valkey"].pid

    def kill(self, what: str) -> None:
        """SIGKILL one of writer, stream and database, and start it again at once, as a supervisor does."""
        if what == "database":
            assert self.mariadb is not None
            self.mariadb.kill()
            self.mariadb.start()
            self.pids["mariadb"] = self.mariadb.pid
            return
        name = {"writer": "checkins", "stream": "valkey"}[what]
        self.processes[name].kill()
        self.processes[name].wait()
        self.start_stream() if what == "stream" else self.start(name)

    def stop(self) -> None:
        """End what was started."""
        for one in self.processes.values():
            one.terminate()
        for one in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(timeout=15)
            one.kill()
            one.wait()


@contextlib.contextmanager
def product(folder: Path, *, web_processes: int, web_threads: int) -> Iterator[Bell]:
    """MariaDB and two Valkey servers that write to disk, `web` and `checkins`."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(private_mariadb(folder, *SMALL))
        (folder / "broker").mkdir()
        stream = embedded.stream(folder / "stream")
        stream.prepare()
        broker = stack.enter_context(private_valkey(folder / "broker"))
        port, claim = claim_port(0)
        stack.callback(claim.close)
        database = server.make_database("bell")
        environ = _environ(folder, database, stream.socket, broker, port, web_processes, web_threads)
        made = _bell(folder, environ, port, stream, server)
        stack.callback(made.engine.dispose)
        stack.callback(made.stop)
        for name in ("web", "checkins"):
            made.start(name)
        until(lambda: _answers(port), "the web process answers")
        yield made


def _environ(
    folder: Path, database_url: str, stream: Path, broker: Path, port: int, web_processes: int, web_threads: int
) -> dict[str, str]:
    ours = {
        "DATA_DIR": str(folder / "data"), "DATABASE_URL": database_url, "STREAM_URL": f"unix://{stream}",
        "BROKER_URL": f"unix://{broker}", "CACHE_URL": f"unix://{broker}?db=1", "SECRET_KEY": "bell" * 8, "TENANT": TENANT,
        "ENCRYPTION_KEYS": "k:" + base64.b64encode(bytes(32)).decode(), "HTTP_BIND": f"127.0.0.1:{port}",
        "WEB_PROCESSES": str(web_processes), "WEB_THREADS": str(web_threads), "CHECKIN_DURABILITY": "fsync",
    }  # fmt: skip
    others = {name: value for name, value in os.environ.items() if not name.startswith("OBSYNC_")}
    return {**others, **{f"OBSYNC_{name}": value for name, value in ours.items()}}


def seeded(settings: Settings) -> tuple[Deps, Engine]:
    """The school with its term and its room in a database that is migrated, and what is needed to speak for it."""
    engine = make_engine(settings.database_url)
    with unit(engine) as tx:
        keys = settings.encryption_keys
        seed(tx, tenant=TENANT, zone="Asia/Shanghai", app_id="", app_key="", encryption_keys=keys)
        tx.execute(insert(terms).values(tenant_id=TENANT, xnxq=TERM, status="open", exchange="{}"))
        tx.execute(insert(rooms).values(tenant_id=TENANT, xq="", lq="一教", room="101", lat=str(LAT), lon=str(LON)))
    return wire(settings, ring=lambda _what: None, need_redis=False).deps, engine


def _bell(
    folder: Path, environ: Mapping[str, str], port: int, server: embedded.ValkeyServer, mariadb: MariaDb | None
) -> Bell:
    settings = Settings.from_env(environ)
    upgrading = make_engine(settings.database_url)
    upgrade(upgrading)
    upgrading.dispose()
    deps, engine = seeded(settings)
    stream = CheckInStream(connect(server.socket))
    made = Bell(deps, engine, stream, ("127.0.0.1", port), folder, environ, server, mariadb)
    made.start_stream()
    if mariadb is not None:
        made.pids["mariadb"] = mariadb.pid
    return made


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def until(true: object, what: str, *, within_s: float = _PATIENCE_S) -> None:
    """Wait for something that others do. Raises TimeoutError."""
    give_up = time.monotonic() + within_s
    while not true():  # type: ignore[operator]
        if time.monotonic() > give_up:
            raise TimeoutError(what)
        time.sleep(0.05)


# --- students --------------------------------------------------------------------------------------------------------------


def wave(bell: Bell, *, number_of_sessions: int, students: int) -> list[Phone]:
    """Sessions that begin in five minutes, with so many students in all, each in one session and with a token of their own."""
    bell.waves += 1
    start_ms = time.time_ns() // 1_000_000 + 300_000
    ids = [f"w{bell.waves:02d}s{number:05d}" for number in range(number_of_sessions)]
    codes = [f"w{bell.waves:02d}u{number:06d}" for number in range(students)]
    for at in range(0, students, _CHUNK):
        numbers = range(at, min(at + _CHUNK, students))
        with unit(bell.engine) as tx:
            tx.execute(insert(rolls), [
                {"tenant_id": TENANT, "term": TERM, "offering_id": f"c-{ids[n % len(ids)]}", "kind": "student",
                 "code": codes[n], "import_no": 1}
                for n in numbers
            ])  # fmt: skip
            for table, rows in _people(start_ms, [codes[n] for n in numbers]).items():
                tx.execute(insert(table), rows)
    # Last: whoever makes rosters ahead meanwhile makes them of whole rolls.
    with unit(bell.engine) as tx:
        tx.execute(insert(sessions), [_session(one, start_ms) for one in ids])
    rosters.make_ahead(bell.engine, tenant=TENANT, from_ms=start_ms - 1, until_ms=start_ms + 1)
    check_in_keys.load_ahead(bell.engine, bell.stream, tenant=TENANT, from_ms=start_ms - 1, until_ms=start_ms + 1)
    return [Phone(codes[n], ids[n % len(ids)], _token(bell.deps, codes[n]), LAT, LON) for n in range(students)]


def _session(session_id: str, start_ms: int) -> dict[str, object]:
    return {
        "tenant_id": TENANT, "term": TERM, "id": session_id, "offering_id": f"c-{session_id}", "jc_s": "1/2",
        "date": "2024-09-02", "start_ms": start_ms, "end_ms": start_ms + _HOUR_MS,
        "rooms": json.dumps([["", "一教", "101"]]), "teachers": "[]", "source_rows": 2, "import_no": 1,
    }  # fmt: skip


def _people(now: int, codes: Sequence[str]) -> dict[Table, list[dict[str, object]]]:
    same = {"tenant_id": TENANT}
    return {
        logins: [
            {**same, "id": f"l-{code}", "name": code, "title": code, "kind": "student", "code": code, "must_change": False,
             "state": "active", "token_epoch": 1, "created_ms": now}
            for code in codes
        ],
        login_roles: [
            {**same, "login_id": f"l-{code}", "role": "student", "colleges": "[]", "granted_ms": now, "granted_by": "bench"}
            for code in codes
        ],
        token_families: [
            {**same, "id": f"f-{code}", "login_id": f"l-{code}", "current": f"r-{code}", "uses": 0, "how": "password",
             "device": "phone", "created_ms": now, "used_ms": now, "ends_ms": now + FAMILY_MS}
            for code in codes
        ],
    }  # fmt: skip


_STUDENT = tuple(sorted(map(str, permissions_of([Role.STUDENT]))))


def _token(deps: Deps, code: str) -> str:
    """An access token as a sign-in gives it."""
    now = time.time_ns() // 1_000_000
    body = body_of(
        TokenKind.ACCESS, tenant=TENANT, subject=f"l-{code}", jti=new_id(), family=f"f-{code}", epoch=1, now_ms=now,
        roles=("student",), permissions=_STUDENT,
    )  # fmt: skip
    return tokens.encode(deps, body)


# --- what is in the tables ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """How many acknowledged check-ins are not in the tables as they were acknowledged, and how many are there twice or more
    than were acknowledged; how many rosters have counters that a recount does not confirm."""

    lost: int
    doubled: int
    wrong_counters: int


def look(bell: Bell, receipts: Mapping[tuple[str, str], set[str]]) -> Found:
    """Compare the tables with the receipts that students hold: (session, student) → all that were given."""
    with reading(bell.engine) as tx:
        c, d = checkin_records.c, attendance_roster_detail.c
        records = {(row[0], row[1]): row[2] for row in tx.execute(select(c.session_id, c.code, c.receipt))}
        came = select(d.session_id, d.code).where(d.status.in_(("ATTENDED", "LATE", "REVIEW")))
        present = {(row[0], row[1]) for row in tx.execute(came)}
        details = tx.execute(select(d.session_id, d.status, func.count()).group_by(d.session_id, d.status)).all()
        kept = tx.execute(select(attendance_roster)).all()
    lost = sum(records.get(key) not in given or key not in present for key, given in receipts.items())
    doubled = sum(len(given) > 1 for given in receipts.values())
    wrong = 0
    for row in kept:
        statuses = [status for session, status, many in details if session == row.session_id for _ in range(many)]
        wrong += {name: getattr(row, name) for name in COUNTERS} != count(statuses)
    return Found(lost, doubled, wrong)


def written_at(bell: Bell) -> dict[tuple[str, str], float]:
    """(session, student) → when the check-in was written, in seconds since 1970 by the database's clock."""
    c = checkin_records.c
    with reading(bell.engine) as tx:
        rows = tx.execute(select(c.session_id, c.code, c.created_ms).where(c.tenant_id == TENANT))
        return {(row.session_id, row.code): row.created_ms / 1000 for row in rows}


def seconds_of(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds that these processes and their children have used."""
    return {name: round(sum(map(_cpu_s, _family(pid))), 2) for name, pid in pids.items()}


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += _family(int(child))
    return found


def _cpu_s(pid: int) -> float:
    try:
        said = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")


__all__ = ["Bell", "Found", "look", "product", "redis", "seconds_of", "until", "wave", "written_at"]
