"""A private MariaDB for one measurement or one session of tests: on a socket, no port, gone at the end."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

_START_LIMIT_S = 60.0

AS_IN_PRODUCTION = (
    "--log-bin=binlog",
    "--server-id=1",
    "--binlog-format=ROW",
    "--binlog-row-image=MINIMAL",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_bin",
    "--default-time-zone=+00:00",
)
NOTHING_SURVIVES = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--sync-binlog=0",
)
"""For tests, which never cut the power: commits do not wait for the disk."""
SMALL = (
    "--innodb-buffer-pool-size=128M",
    "--innodb-log-file-size=64M",
    "--performance-schema=OFF",
)


class MariaDbUnavailable(Exception):
    """It is not installed, or did not start; the message says which and shows the end of its log."""


@dataclass
class MariaDb:
    """A running private server on a socket."""

    socket: Path
    _command: Sequence[str] = field(repr=False)
    _environ: Mapping[str, str] = field(repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """The server's process."""
        return int(self.socket.with_name("pid").read_text())

    def start(self) -> None:
        """Starts it and waits until it answers; what a killed one had committed is there again. Raises MariaDbUnavailable."""
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=self._environ,
        )
        _wait_until_it_answers(self, self._process, self.socket.with_name("error.log"))

    def kill(self) -> None:
        """kill -9, as when its machine's memory runs out."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def url(self, database: str) -> str:
        """The address of one of its databases."""
        return f"mysql+pymysql://root@localhost/{database}?unix_socket={self.socket}&charset=utf8mb4"

    def run(self, *statements: str) -> None:
        """Runs statements outside of any database of ours."""
        engine = create_engine(self.url("mysql"), poolclass=NullPool, connect_args={"ssl_disabled": True})
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def make_database(self, name: str) -> str:
        """Makes an empty database as the product wants it and returns its address."""
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        return self.url(name)


def binaries() -> tuple[str, str] | None:
    """Server and installer, or None where the packages are missing."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    server = shutil.which("mariadbd", path=path) or shutil.which("mysqld", path=path)
    installer = shutil.which("mariadb-install-db", path=path) or shutil.which("mysql_install_db", path=path)
    return (server, installer) if server and installer else None


@contextlib.contextmanager
def private_mariadb(directory: Path, *options: str) -> Iterator[MariaDb]:
    """Runs a server with its data in `directory`, whose path must leave room for a socket's. Raises MariaDbUnavailable."""
    found = binaries()
    if found is None:
        raise MariaDbUnavailable("MariaDB is not installed: `apt-get install mariadb-server`")
    server, installer = found
    home = directory / "mariadb"
    home.mkdir()
    # A server that starts deletes the temporary tables it finds, those of another one in the same folder too.
    temporary = home / "tmp"
    temporary.mkdir()
    environ = {**os.environ, "TMPDIR": str(temporary)}
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    made = subprocess.run(
        [installer, "--no-defaults", f"--datadir={home / 'data'}", *as_root, "--auth-root-authentication-method=normal",
         "--skip-test-db", "--skip-name-resolve"],
        capture_output=True, text=True, check=False, env=environ,
    )  # fmt: skip
    if made.returncode:
        raise MariaDbUnavailable(f"{installer} failed: {made.stderr[-800:]}")
    socket = home / "m.sock"
    command = [
        server, "--no-defaults", f"--datadir={home / 'data'}", f"--socket={socket}", "--skip-networking",
        f"--pid-file={home / 'pid'}", "--skip-name-resolve", f"--log-error={home / 'error.log'}", *as_root,
        *AS_IN_PRODUCTION, *SMALL, *options,
    ]  # fmt: skip
    running = MariaDb(socket, command, environ)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def _wait_until_it_answers(server: MariaDb, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + _START_LIMIT_S
    while True:
        with contextlib.suppress(OperationalError):
            server.run("SELECT 1")
            return
        if process.poll() is not None or time.monotonic() > give_up:
            said = log.read_text(errors="replace")[-800:] if log.exists() else "no log"
            raise MariaDbUnavailable(f"mariadbd did not start: {said}")
        time.sleep(0.05)
