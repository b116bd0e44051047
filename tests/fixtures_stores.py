"""Real stores for tests: a private Valkey and a private MariaDB per session, a fresh database per test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine, inspect, text

from bench.mariadb import NOTHING_SURVIVES, MariaDb, MariaDbUnavailable, private_mariadb
from bootstrap import addresses
from workers import embedded

TEST_DATABASES = "OBSYNC_TEST_DATABASES"
BOTH = ("sqlite", "mariadb")


def wanted_databases() -> tuple[str, ...]:
    """Both, unless the variable names one: on a machine without MariaDB that has to be said aloud."""
    chosen = tuple(name.strip() for name in os.environ.get(TEST_DATABASES, ",".join(BOTH)).split(",") if name.strip())
    unknown = set(chosen) - set(BOTH)
    if unknown or not chosen:
        raise pytest.UsageError(f"{TEST_DATABASES} knows sqlite and mariadb, not {sorted(unknown)}")
    return chosen


@dataclass(frozen=True)
class Valkey:
    """A running private server: `url` for settings, `client()` for a test's own look inside."""

    socket: Path

    @property
    def url(self) -> str:
        """Database 0 of the server."""
        return addresses.socket_url(self.socket)

    def url_of(self, db: int) -> str:
        """Another database of the same server."""
        return addresses.socket_url(self.socket, db=db)

    def client(self) -> redis.Redis:
        """A client of its own, without retries, answering bytes."""
        return redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0), socket_timeout=5)


@pytest.fixture(scope="session")
def short_tmp() -> Iterator[Path]:
    """A private folder whose path is short enough for unix sockets; pytest's own is not always."""
    folder = Path(tempfile.mkdtemp(prefix="obt-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_valkey(folder: Path) -> Iterator[Valkey]:
    """A server of its own in a folder with a short path."""
    server = embedded.broker(folder)
    server.prepare()
    process = subprocess.Popen(
        server.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        server.wait_ready()
        yield Valkey(server.socket)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def valkey_server(short_tmp: Path) -> Iterator[Valkey]:
    """One real server for the session; tests take `valkey`, which is empty when they get it."""
    with running_valkey(short_tmp) as server:
        yield server


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """The session's server, emptied, scripts included."""
    client = valkey_server.client()
    client.flushall()
    client.script_flush()
    client.close()
    return valkey_server


@pytest.fixture
def redis_client(valkey: Valkey) -> Iterator[redis.Redis]:
    """A client of the emptied server."""
    client = valkey.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def mariadb(short_tmp: Path) -> Iterator[MariaDb]:
    """One private server for the session, no port. Fails where MariaDB is missing: a skip would look like a pass."""
    try:
        with private_mariadb(short_tmp, *NOTHING_SURVIVES) as server:
            yield server
    except MariaDbUnavailable as error:
        pytest.fail(f"{error} ({TEST_DATABASES}=sqlite goes without)")


@pytest.fixture(scope="session")
def sqlite_template(short_tmp: Path) -> Path:
    """A migrated, empty SQLite file that tests copy."""
    path = short_tmp / "template.db"
    _migrated(addresses.sqlite_url(path))
    return path


@pytest.fixture(scope="session")
def mariadb_database(mariadb: MariaDb) -> str:
    """The URL of one migrated database; `database` empties its tables for each test."""
    url = mariadb.make_database(f"t_{uuid.uuid4().hex[:12]}")
    _migrated(url)
    return url


def _migrated(url: str) -> None:
    from db.engine import make_engine
    from db.migrate import upgrade

    engine = make_engine(url)
    upgrade(engine)
    engine.dispose()


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a fresh, migrated database; every test that takes it runs on SQLite and on MariaDB."""
    if request.param not in wanted_databases():
        pytest.skip(f"{TEST_DATABASES} leaves {request.param} out")
    if request.param == "mariadb":
        url: str = request.getfixturevalue("mariadb_database")
        empty_mariadb(url)
        return url
    path = request.getfixturevalue("tmp_path") / "test.db"
    shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
    return addresses.sqlite_url(path)


def empty_mariadb(url: str) -> None:
    """Deletes rows rather than truncating: TRUNCATE rebuilds each table's file and is ten times slower when empty."""
    from db.engine import make_engine

    engine = make_engine(url)
    with engine.begin() as connection:
        tables = [one for one in inspect(connection).get_table_names() if one != "alembic_version"]
        asked = " UNION ALL ".join(f"SELECT '{one}' FROM dual WHERE EXISTS (SELECT 1 FROM `{one}`)" for one in tables)
        filled = list(connection.execute(text(asked)).scalars())
        connection.execute(text("SET FOREIGN_KEY_CHECKS = 0"))
        for table in filled:
            connection.execute(text(f"DELETE FROM `{table}`"))
        connection.execute(text("SET FOREIGN_KEY_CHECKS = 1"))
    engine.dispose()


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """An engine, as the product makes it, on a fresh migrated database."""
    from db.engine import make_engine

    engine = make_engine(database_url)
    _share_statements(engine)
    yield engine
    engine.dispose()


_first_of: dict[str, Engine] = {}


def _share_statements(engine: Engine) -> None:
    """Compile a statement once per session, not once per test: engines of one dialect keep them together."""
    first = _first_of.get(engine.dialect.name)
    if first is None:
        with engine.connect():  # else the dialect would not know its server yet
            _first_of[engine.dialect.name] = engine
        return
    engine.dialect = first.dialect
    engine._compiled_cache = first._compiled_cache


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest, database_kind: str) -> Iterator[str]:
    """The address of a database without any table, for tests of the migrations themselves."""
    if database_kind == "sqlite":
        yield addresses.sqlite_url(request.getfixturevalue("tmp_path") / "empty.db")
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    name = "e_" + re.sub(r"\W", "", uuid.uuid4().hex)[:12]
    yield server.make_database(name)
    server.run(f"DROP DATABASE {name}")


@pytest.fixture(params=BOTH)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Which of the two databases this run of the test is on."""
    kind: str = request.param
    if kind not in wanted_databases():
        pytest.skip(f"{TEST_DATABASES} leaves {kind} out")
    return kind
