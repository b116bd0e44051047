"""Every setting of the product, read once, checked once, handed down.

The only module that looks at the environment (a test says so). Variables are named ``OBSYNC_`` + the field in capitals;
``Settings.to_env()`` is the inverse of ``Settings.from_env()``, and is how `obsync up` tells its children.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bootstrap import addresses, secrets
from observability import failpoints

T = TypeVar("T")

PREFIX: Final = "OBSYNC_"
DURABILITIES: Final = ("memory", "fsync", "replica")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

_SECRET_FIELDS: Final = frozenset({"wps_app_key", "secret_key", "encryption_keys", "sentry_dsn", "metrics_token"})
_MISTYPED: Final = 0.85  # difflib ratio from which an unknown name is taken for a slip of the pen


class BadSetting(Exception):
    """A setting that cannot be used: which, what it was, what to do. The message is one sentence for a person."""

    def __init__(self, name: str, value: str, remedy: str) -> None:
        super().__init__(f"{name} is {value!r}: {remedy}." if value else f"{name} is not set: {remedy}.")
        self.name = name
        self.value = value
        self.remedy = remedy


@dataclass(frozen=True, repr=False)
class Settings:
    """What the processes of one installation agree on. Seconds end in ``_s``; rates are per second."""

    data_dir: Path
    database_url: str
    broker_url: str
    stream_url: str
    cache_url: str
    secret_key: str
    encryption_keys: str
    storage_url: str
    http_bind: str = "127.0.0.1:8000"
    wps_base_url: str = "https://openapi.wps.cn"
    wps_app_id: str = ""
    wps_app_key: str = ""
    wps_rate: float = 50.0
    wps_burst: int = 10
    wps_max_in_flight: int = 32
    wps_timeout_s: float = 5.0  # the whole budget of one call, from first byte to last
    wps_late_s: float = 60.0  # how long after the answer was due WPS may still apply a write
    wps_list_lag_s: float = 3.0  # how long an applied write may be missing from lists
    lane_lease_s: float = 8.0
    lane_threads: int = 16
    job_threads: int = 4
    web_threads: int = 16
    web_processes: int = 1
    cors_origins: str = ""
    trusted_proxies: int = 0
    user_limit_per_min: int = 600
    ip_limit_per_min: int = 300
    checkin_durability: str = "fsync"
    token_grace_s: float = 300.0  # how long after it stood a token checks in while the database is away
    sentry_dsn: str = ""
    metrics_token: str = ""  # blank: /metrics answers this machine alone
    log_level: str = "INFO"
    failpoints: str = ""
    base_domain: str = ""  # NORTH.obsync.example.edu is the school NORTH
    private_hosts: str = ""  # host:port of the campus that configured addresses may lead to
    tenant: str = "main"
    tenant_zone: str = "Asia/Shanghai"
    zone: ZoneInfo = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """What no single setting can tell alone. Raises BadSetting."""
        object.__setattr__(self, "zone", ZoneInfo(self.tenant_zone))
        self._refuse_short_lease()
        if self.is_sqlite and not addresses.is_local_redis(self.broker_url):
            remedy = (
                "SQLite is for one machine: set OBSYNC_DATABASE_URL to MySQL or MariaDB, or use a Redis on this host"
            )
            raise BadSetting(PREFIX + "BROKER_URL", addresses.without_password(self.broker_url), remedy)

    def _refuse_short_lease(self) -> None:
        """A lease must outlive one call, one missed renewal (a quarter) and the margin before it (an eighth)."""
        shortest_s = self.wps_timeout_s * 8 / 5
        if self.lane_lease_s < shortest_s - 1e-9:
            why = f"OBSYNC_WPS_TIMEOUT_S is {self.wps_timeout_s:g} and a lease must outlive a call"
            remedy = f"use at least {shortest_s:g}: {why}"
            raise BadSetting(PREFIX + "LANE_LEASE_S", f"{self.lane_lease_s:g}", remedy)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, make_secrets: bool = False) -> Settings:
        """The settings of this process, or of `environ`. Blank is the same as absent. Raises BadSetting.

        Secrets that are not given are read from ``DATA_DIR``; they are made there only for embedded stores, or when
        `make_secrets` says so (`obsync up`).
        """
        given = _ours(os.environ if environ is None else environ)
        reader = _Reader(given)
        data_dir = Path(given.get("DATA_DIR", "./var")).expanduser().resolve()
        broker_url = reader.read("BROKER_URL", addresses.redis_url, default_broker_url(data_dir))
        embedded = addresses.is_embedded(broker_url, data_dir)
        stream_url = default_stream_url(data_dir) if embedded else broker_url
        cache_url = default_cache_url(data_dir) if embedded else broker_url
        return cls(
            data_dir=data_dir,
            database_url=reader.read(
                "DATABASE_URL", addresses.database_url, addresses.sqlite_url(data_dir / "obsync.db")
            ),
            broker_url=broker_url,
            stream_url=reader.read("STREAM_URL", addresses.redis_url, stream_url),
            cache_url=reader.read("CACHE_URL", addresses.redis_url, cache_url),
            storage_url=reader.read("STORAGE_URL", _storage, (data_dir / "files").as_uri()),
            **reader.fields(_PARSERS),
            **_secrets(reader, data_dir, may_make=make_secrets or addresses.is_embedded(broker_url, data_dir)),
        )

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of this machine."""
        return self.database_url.startswith("sqlite")

    @property
    def embedded_valkey(self) -> bool:
        """Whether the broker is the private server that `obsync up` starts."""
        return addresses.is_embedded(self.broker_url, self.data_dir)

    @property
    def http_host(self) -> str:
        """The host half of ``HTTP_BIND``."""
        return self.http_bind.rpartition(":")[0]

    @property
    def http_port(self) -> int:
        """The port half of ``HTTP_BIND``; 0 asks the system for a free one."""
        return int(self.http_bind.rpartition(":")[2])

    @property
    def check_in_places(self) -> int:
        """How many check-ins a server of the API works on at a time, beside its `web_threads` other requests: most of a check-in
        is waiting with others for one answer."""
        return 6 * self.web_threads

    @property
    def check_ins_waiting(self) -> int:
        """How many more wait a moment for one of these places before they are told to come again, and how many others wait."""
        return 10 * self.web_threads

    @property
    def server_threads(self) -> int:
        """Threads for all of them, and some for those who are told to come again."""
        return self.web_threads + self.check_in_places + 2 * self.check_ins_waiting + 4

    def warnings(self) -> tuple[str, ...]:
        """Promises that this set of settings switches off, one sentence each, for boot to say aloud."""
        broker, stream, cache = (addresses.server_of(url) for url in (self.broker_url, self.stream_url, self.cache_url))
        found = []
        if self.failpoints:
            found.append("OBSYNC_FAILPOINTS is set: this process fails on purpose. That is for tests only.")
        if broker == stream:
            found.append(
                "OBSYNC_STREAM_URL is the broker's server: check-ins are only as durable as the broker's file."
            )
        if broker == cache and not self.embedded_valkey:
            found.append(
                "OBSYNC_CACHE_URL is the broker's server: it must not evict, so a full cache stops the queues."
            )
        return tuple(found)

    def to_env(self) -> dict[str, str]:
        """The variables from which `from_env` makes equal settings. Holds the secrets: for child processes only."""
        values = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self) if f.init)
        return {PREFIX + name.upper(): str(value) for name, value in values}

    def child_env(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a child process: the machine's own variables, these settings, and `extra`."""
        machine = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return {**machine, **self.to_env(), **(extra or {})}

    def __repr__(self) -> str:
        """Everything but what must stay secret: safe in logs, tracebacks and error reports."""
        shown = ", ".join(f"{f.name}={self._shown(f.name)}" for f in dataclasses.fields(self) if f.init)
        return f"Settings({shown})"

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        if name in _SECRET_FIELDS:
            return "***" if value else "''"
        return repr(addresses.without_password(value)) if name.endswith("_url") else repr(value)


def default_broker_url(data_dir: Path) -> str:
    """The embedded broker of the clone whose data is in `data_dir`."""
    return addresses.socket_url(addresses.socket_path(data_dir, "broker"))


def default_cache_url(data_dir: Path) -> str:
    """The embedded cache: database 1 of the broker's server."""
    return addresses.socket_url(addresses.socket_path(data_dir, "broker"), db=1)


def default_stream_url(data_dir: Path) -> str:
    """The embedded server of the check-in stream."""
    return addresses.socket_url(addresses.socket_path(data_dir, "stream"))


class _Reader:
    """Turns one variable into one value, and what a parser objects to into a BadSetting."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """The parsed value of `name`, or `default` where it is absent."""
        text = self._given.get(name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise BadSetting(PREFIX + name, _presentable(name, text), str(error)) from None

    def fields(self, parsers: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
        """Those of `parsers` that are given, as arguments of Settings; the others keep the defaults of the class."""
        return {
            name: self.read(name.upper(), parse, None) for name, parse in parsers.items() if name.upper() in self._given
        }


def _ours(environ: Mapping[str, str]) -> dict[str, str]:
    """Our variables without prefix and blanks. A name that is nearly one of ours is a slip, and is said."""
    given = {}
    for name, value in environ.items():
        key = name.removeprefix(PREFIX)
        if key == name or not value.strip():
            continue
        if key not in _KNOWN:
            _refuse_slip(name, key)
            continue
        given[key] = value.strip()
    return given


def _refuse_slip(name: str, key: str) -> None:
    meant = difflib.get_close_matches(key, _KNOWN, n=1, cutoff=_MISTYPED)
    if meant:
        raise BadSetting(name, "set", f"there is no such setting; {PREFIX}{meant[0]} is probably meant")


def _secrets(reader: _Reader, data_dir: Path, *, may_make: bool) -> dict[str, Any]:
    """From the environment, or the clone's own file; never a default that others know too."""
    found = reader.fields({"secret_key": _secret_key, "encryption_keys": _encryption_keys})
    if len(found) == 2:
        return found
    if not may_make and not secrets.exist(data_dir):
        name = "ENCRYPTION_KEYS" if "secret_key" in found else "SECRET_KEY"
        remedy = "set it to the same random value on every machine (only `obsync up` makes one of its own)"
        raise BadSetting(PREFIX + name, "", remedy)
    try:
        made = secrets.load_or_create(data_dir)
    except secrets.SecretsUnreadable as error:
        raise BadSetting(PREFIX + "DATA_DIR", str(data_dir), str(error).rstrip(".")) from None
    except OSError as error:
        raise BadSetting(
            PREFIX + "DATA_DIR", str(data_dir), f"name a folder that can be written ({error.strerror})"
        ) from None
    return {"secret_key": made.secret_key, "encryption_keys": made.encryption_keys, **found}


def _presentable(name: str, text: str) -> str:
    return "***" if name.lower() in _SECRET_FIELDS else addresses.without_password(text)


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"use a number from {low:g} to {high:g}")
        return value

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(f"use a whole number from {low} to {high}")
        return int(text)

    return parse


def _one_of(*names: str) -> Callable[[str], str]:
    """Any capitals will do; the value is spelled as in `names`."""

    def parse(text: str) -> str:
        for name in names:
            if text.lower() == name.lower():
                return name
        raise ValueError(f"use one of {', '.join(names)}")

    return parse


def _bind(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("use host:port, as in 127.0.0.1:8000")
    return text


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("use an address that begins with https:// (or http:// for the simulator)")
    return text.rstrip("/")


def _origins(text: str) -> str:
    """``https://a,https://b:8443``, kept in that form; no path, no wildcard."""
    found = [one.strip().rstrip("/") for one in text.split(",") if one.strip()]
    for one in found:
        parts = urlsplit(one)
        if parts.scheme not in {"http", "https"} or not parts.hostname or one != f"{parts.scheme}://{parts.netloc}":
            raise ValueError("use addresses such as https://portal.example.edu, joined by commas")
    return ",".join(found)


def _sentry(text: str) -> str:
    if urlsplit(text).scheme not in {"http", "https"}:
        raise ValueError("use the DSN as Sentry shows it, or leave it out")
    return text


def _metrics_token(text: str) -> str:
    if len(text) < 16 or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("use at least 16 characters from a random source, without blanks")
    return text


def _storage(text: str) -> str:
    if urlsplit(text).scheme not in {"file", "s3"}:
        raise ValueError("use file:///path/to/folder or s3://bucket")
    return text


def _zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("use a zone name such as Asia/Shanghai") from None


def _tenant(text: str) -> str:
    if len(text) > 60 or not text.replace("-", "").replace("_", "").isalnum():
        raise ValueError("use up to 60 letters, digits, - and _")
    return text


def _hosts(text: str) -> str:
    for one in text.split(","):
        host, colon, port = one.strip().rpartition(":")
        if not host or not colon or not port.isdigit() or not 0 < int(port) <= 65535:
            raise ValueError("use host:port, joined by commas, as in sso.campus.example:443")
    return text


def _domain(text: str) -> str:
    plain = text.strip(".").lower()
    if not plain.isascii() or not plain.replace("-", "").replace(".", "").isalnum():
        raise ValueError("use the part of the host name that all schools share, as in obsync.example.edu")
    return plain


def _failpoints(text: str) -> str:
    failpoints.parse(text)
    return text


def _secret_key(text: str) -> str:
    if len(text.encode()) < 32:
        raise ValueError("use at least 32 characters from a random source")
    return text


def _encryption_keys(text: str) -> str:
    """``id:base64,id:base64``: the first encrypts, all decrypt."""
    for entry in text.split(","):
        identifier, colon, key = entry.partition(":")
        try:
            size = len(base64.b64decode(key, validate=True))
        except binascii.Error:
            size = 0
        if not identifier or not colon or size != 32:
            raise ValueError("use id:key pairs joined by commas, each key 32 random bytes in base64")
    return text


_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    "http_bind": _bind,
    "wps_base_url": _http_url,
    "wps_app_id": str,
    "wps_app_key": str,
    "wps_rate": _number(0.1, 10_000),
    "wps_burst": _whole(1, 100_000),
    "wps_max_in_flight": _whole(1, 10_000),
    "wps_timeout_s": _number(0.1, 600),
    "wps_late_s": _number(0, 3600),
    "wps_list_lag_s": _number(0, 3600),
    "lane_lease_s": _number(0.1, 3600),
    "lane_threads": _whole(1, 1024),
    "job_threads": _whole(1, 1024),
    "web_threads": _whole(1, 1024),
    "web_processes": _whole(1, 64),
    "cors_origins": _origins,
    "trusted_proxies": _whole(0, 8),
    "user_limit_per_min": _whole(1, 1_000_000),
    "ip_limit_per_min": _whole(1, 1_000_000),
    "checkin_durability": _one_of(*DURABILITIES),
    "token_grace_s": _number(0, 900),
    "sentry_dsn": _sentry,
    "metrics_token": _metrics_token,
    "log_level": _one_of(*LOG_LEVELS),
    "failpoints": _failpoints,
    "base_domain": _domain,
    "private_hosts": _hosts,
    "tenant": _tenant,
    "tenant_zone": _zone,
}

_KNOWN: Final = frozenset(f.name.upper() for f in dataclasses.fields(Settings) if f.init)
