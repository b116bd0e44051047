"""Where the stores are: the default addresses of a clone, and what is accepted as an address.

Every function raises ValueError with a remedy in one clause; `settings` adds the name of the variable.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing zero included.
SOCKET_PATH_MAX_BYTES = 100

_LOCAL_HOSTS = frozenset({"", "localhost", "127.0.0.1", "::1"})
_MYSQL_SCHEMES = frozenset({"mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql"})


def socket_path(data_dir: Path, server: str) -> Path:
    """The unix socket of an embedded server ("broker", "stream"); the same in every process of the clone.

    A folder too deep for a socket address moves it to a private folder of the temporary directory. That is ``/tmp``
    wherever it exists, not ``$TMPDIR``: two shells with different ones must still meet.
    """
    beside = data_dir.resolve() / "valkey" / f"{server}.sock"
    if len(str(beside).encode()) <= SOCKET_PATH_MAX_BYTES:
        return beside
    clone = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]
    shared = Path("/tmp")  # noqa: S108  # only the parent; the folder below is 0700 and its owner is checked
    temporary = shared if shared.is_dir() else Path(tempfile.gettempdir())
    return temporary / f"obsync-{clone}" / f"{server}.sock"


def socket_url(path: Path, *, db: int = 0) -> str:
    """The address redis-py understands for a unix socket."""
    return f"unix://{quote(str(path))}?db={db}"


def sqlite_url(path: Path) -> str:
    """The address SQLAlchemy understands for a database file."""
    return f"sqlite:///{path}"


def database_url(text: str) -> str:
    """`text` as SQLAlchemy should get it: driver named, utf8mb4 asked for, SQLite file absolute."""
    scheme = text.partition("://")[0]
    if scheme in {"sqlite", "sqlite+pysqlite"}:
        return _sqlite(text)
    if scheme in _MYSQL_SCHEMES:
        return _mysql(text)
    raise ValueError("use mysql://user:password@host:port/name or sqlite:///path/to/file")


def _sqlite(text: str) -> str:
    path = text.partition("://")[2].removeprefix("/").partition("?")[0]
    if path in {"", ":memory:"}:
        raise ValueError("name a file, as in sqlite:///./var/obsync.db: several processes share the database")
    return sqlite_url(Path(path).resolve())


def _mysql(text: str) -> str:
    parts = urlsplit(text)
    _check_port(parts)
    if not parts.hostname:
        raise ValueError("name the host, as in mysql://user:password@host:3306/obsync")
    if not parts.path.strip("/"):
        raise ValueError("name the database after the host, as in mysql://user:password@host:3306/obsync")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.setdefault("charset", "utf8mb4") != "utf8mb4":
        raise ValueError("leave charset out or set it to utf8mb4: names are full Unicode")
    return urlunsplit(("mysql+pymysql", parts.netloc, parts.path, urlencode(query), ""))


def redis_url(text: str) -> str:
    """`text` when it is an address of a Redis or Valkey server."""
    parts = urlsplit(text)
    if parts.scheme == "unix" and parts.path:
        return text
    _check_port(parts)
    if parts.scheme in {"redis", "rediss"} and parts.hostname:
        return text
    raise ValueError("use redis://host:6379/0, rediss://host:6379/0 or unix:///path/to/socket?db=0")


def _check_port(parts: SplitResult) -> None:
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("use a whole number from 1 to 65535 as port") from None


def is_local_redis(url: str) -> bool:
    """Whether the server certainly is on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "unix" or (parts.hostname or "") in _LOCAL_HOSTS


def server_of(url: str) -> str:
    """What two Redis addresses have in common when they are one server: everything but the database number."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"


def is_embedded(broker_url: str, data_dir: Path) -> bool:
    """Whether that broker is the private server that `obsync up` starts for the clone."""
    return server_of(broker_url) == str(socket_path(data_dir, "broker"))


def without_password(url: str) -> str:
    """`url` as it may appear in a log."""
    parts = urlsplit(url)
    if not parts.netloc or parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
