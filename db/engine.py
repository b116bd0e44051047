"""The engine and the two kinds of transaction: `reading` and `unit` (one that writes).

A unit is all or nothing: any error rolls the whole of it back, because MySQL rolls back only the statement on a lock-wait
time-out and a half-applied unit would be committed by whoever goes on. SQLite has one writer at a time: a unit takes the
machine's writer lock first (waiting there is cheap) and then BEGIN IMMEDIATE, so that it never has to upgrade a
read lock and fail in the middle.
"""

import fcntl
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, finalize

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError

T = TypeVar("T")

_BUSY_TIMEOUT_S = 5.0
CHECKPOINT_PAGES = 10_000  # 40 MB of log; a checkpoint holds up every writer, and one for 4 MB comes ten times as often
_RETRIES = 5
_GLANCES = 4
_IDLE_S = 1.0  # less than any restart of a server takes
_DEADLOCK, _LOCK_WAIT, _DUPLICATE = 1213, 1205, 1062


class DatabaseUnreachable(Exception):
    """The database does not answer. `place` is its address without the password."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"database {place} cannot be reached: {reason}")
        self.place = place
        self.reason = reason


def make_engine(
    url: str, *, pool_size: int = 24, patience_s: int = 30, isolation: IsolationLevel = "READ COMMITTED"
) -> Engine:
    """An engine for `url`; SQLite in WAL with one writer a process, MySQL/MariaDB in READ COMMITTED.

    `patience_s` is how long a server may be silent before its connection is given up: a statement that rebuilds a table
    says nothing until it is done.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url, pool_size)
    engine = create_engine(
        url,
        isolation_level=isolation,
        skip_autocommit_rollback=True,
        hide_parameters=True,  # an error of the driver ends in logs, and values of rows do not belong there
        pool_size=pool_size,
        max_overflow=16,
        pool_reset_on_return=None,  # `reading` and `unit` leave no transaction open
        pool_recycle=1800,
        connect_args={
            # Nobody listens on a socket file; preparing TLS takes 25 ms of each connection, whether it is spoken or not.
            "ssl_disabled": _on_a_file(parsed),
            "connect_timeout": 5,
            "read_timeout": patience_s,
            "write_timeout": patience_s,
            # UNIX_TIMESTAMP(SYSDATE()) goes through the session's zone, and repeats an hour where that has summer time.
            "init_command": "SET SESSION time_zone = '+00:00'",
        },
    )
    _ping_after_a_pause(engine)
    return engine


def for_glances(engine: Engine) -> Engine:
    """An engine of the same database whose statements stand each by itself, without a transaction to be ended: where there is
    a server, that is half of the way. For statements that read."""
    if engine.dialect.name == "sqlite":
        return engine
    return make_engine(engine.url.render_as_string(hide_password=False), pool_size=_GLANCES, isolation="AUTOCOMMIT")


def _on_a_file(url: URL) -> bool:
    """Whether it is about a socket file, and says nothing of TLS."""
    return "unix_socket" in url.query and not any(option.startswith("ssl") for option in url.query)


def _ping_after_a_pause(engine: Engine) -> None:
    """A connection that was idle is tried before it is used; one that has just been used is not, which saves a round trip
    in each transaction. A restarted server costs the connections in use their unit, and drops all the others."""

    @event.listens_for(engine, "checkin")
    def _left(_connection: Any, record: Any) -> None:
        record.info["left_s"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _try(connection: Any, record: Any, _proxy: Any) -> None:
        left_s = record.info.get("left_s")
        if left_s is not None and time.monotonic() - left_s > _IDLE_S:
            try:
                connection.ping(reconnect=False)
            except Exception as error:
                raise DisconnectionError from error


def _sqlite(url: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=32,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False},
    )
    parsed = make_url(url)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "cache_size=-16000",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    # Not a listener of the "begin" event: a single one makes the engine look for listeners at every statement.
    engine.dialect.do_begin = _begin  # type: ignore[method-assign, assignment]
    _writer_locks[engine] = _WriterLock(parsed.database)
    return engine


_beginning = threading.local()


def _begin(connection: Any) -> None:
    connection.execute("BEGIN IMMEDIATE" if getattr(_beginning, "unit", False) else "BEGIN")


class _WriterLock:
    """One writer at a time, among the threads of this process and the processes of this machine.

    SQLite would see to that too, but who finds its lock taken looks again after up to a tenth of a second; this one wakes
    the next at once. It dies with its process.
    """

    def __init__(self, path: str | None) -> None:
        self._threads = threading.RLock()
        self._depth = 0
        self._path = f"{path}-writer" if path and path != ":memory:" else None
        self._file: int | None = None

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            if self._depth == 0:
                self._open()
                if self._file is not None:
                    fcntl.flock(self._file, fcntl.LOCK_EX)
            self._depth += 1
        except BaseException:
            self._threads.release()
            raise

    def _open(self) -> None:
        """At the first unit, when the database is known to be there. Where no file can be made, SQLite's own lock is left."""
        if self._file is None and self._path is not None:
            with suppress(OSError):
                self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                finalize(self, os.close, self._file)
            self._path = None

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._file is not None and self._depth == 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()


_writer_locks: WeakKeyDictionary[Engine, _WriterLock] = WeakKeyDictionary()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that only reads, in one snapshot where the database gives one."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def glance(engine: Engine) -> Iterator[Connection]:
    """A connection for statements that read, each by itself: of an engine made by `for_glances`."""
    with engine.connect() as connection:
        yield connection


@contextmanager
def unit(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes: commits at the end, rolls everything back on any error."""
    lock = _writer_locks.get(engine)
    if lock is None:
        with engine.begin() as connection:
            yield connection
        return
    with engine.connect() as connection, lock:
        _beginning.unit = True
        try:
            transaction = connection.begin()
        finally:
            _beginning.unit = False
        with transaction:
            yield connection


def in_unit(engine: Engine, work: Callable[[Connection], T]) -> T:
    """`work` in a unit, repeated up to five times where that may help: deadlock, lock wait, busy, or a row that another
    unit inserted after this one had looked for it.

    `work` must not have effects outside its transaction.
    """
    for attempt in range(_RETRIES):
        try:
            with unit(engine) as connection:
                return work(connection)
        except DBAPIError as error:
            if attempt == _RETRIES - 1 or not asks_for_retry(error):
                raise
            time.sleep(random.uniform(0.005, 0.02) * (attempt + 1))  # noqa: S311 (jitter, not a secret)
    raise AssertionError("unreachable")


def asks_for_retry(error: DBAPIError) -> bool:
    """Whether the same unit may succeed when it is simply done again."""
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return code in (_DEADLOCK, _LOCK_WAIT, _DUPLICATE) or "database is locked" in str(error.orig)


def checkpoint(engine: Engine) -> None:
    """SQLite: carry the log over into the file, beside the writers. Elsewhere nothing. Raises `DBAPIError`."""
    if engine.dialect.name != "sqlite":
        return
    borrowed = engine.raw_connection()
    try:
        driver: Any = borrowed.driver_connection
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        raise OperationalError("PRAGMA wal_checkpoint", None, error) from error
    finally:
        borrowed.close()


def check(engine: Engine) -> None:
    """Raise `DatabaseUnreachable` when the database does not answer, or logs changes by statement."""
    place = engine.url.render_as_string(hide_password=True)
    try:
        with reading(engine) as connection:
            connection.exec_driver_sql("SELECT 1")
            if engine.dialect.name in ("mysql", "mariadb"):
                row = connection.exec_driver_sql("SELECT @@log_bin, @@binlog_format").one()
                if row[0] and str(row[1]).upper() == "STATEMENT":
                    raise DatabaseUnreachable(place, "binlog_format is STATEMENT; set it to ROW")
    except DBAPIError as error:
        raise DatabaseUnreachable(place, str(error.orig)) from error
