"""Calls to addresses that people have typed in: they reach the open internet, and nothing inside.

Whoever may set an address could otherwise make us ask our own network for him. So: https on port 443, no user in the address,
no redirects; the name is resolved once, *every* address of it has to be a public one, and the connection goes to exactly the
address that was looked at, so that a name which means something else a moment later gains nothing. Places of the campus that
are meant are named in OBSYNC_PRIVATE_HOSTS as host:port; those may be private, and plain http.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
import httpx

from remote.authorities import authorities

_CONNECT_S: Final = 3.0
_ANSWER_S: Final = 5.0
_LARGEST: Final = 1_000_000
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_PORTS: Final = {"https": 443, "http": 80}
# Of these, a part is an IPv4 address that the packet reaches in the end.
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# Not all of these are "not global" to every version of Python; clouds have services behind the first.
_NEVER: Final = tuple(
    ipaddress.ip_network(one)
    for one in (
        "192.0.0.0/24",
        "100.64.0.0/10",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "::/96",
        "2001::/23",
        "2001:db8::/32",
        "fec0::/10",
    )
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]


class AddressRefused(Exception):
    """The address is one that we do not call; `why` says why, and never what stands behind it."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"{place}: {why}")
        self.place = place
        self.why = why


class AnswerTooLarge(Exception):
    """More than a megabyte came back."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, by the system. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Guard:
    """Decides what may be called. `private` are host:port that may lie inside."""

    def __init__(self, private: Iterable[str] = (), *, resolve: Resolve = resolve) -> None:
        self._private = frozenset(one.strip().lower() for one in private if one.strip())
        self._resolve = resolve

    def check_url(self, url: str) -> str:
        """The address, if its form is one that may be called. Raises `AddressRefused`; looks nothing up."""
        if not url.isascii() or any(ord(one) <= 32 or ord(one) == 127 for one in url) or "\\" in url:
            raise AddressRefused("address", "it has characters that no address has")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise AddressRefused("address", "it cannot be read") from None
        if parts.scheme not in _PORTS or not host or not _HOST.fullmatch(host):
            raise AddressRefused("address", "it does not begin with https:// and a host")
        if parts.username is not None or parts.password is not None or "@" in parts.netloc:
            raise AddressRefused(host, "an address carries no user")
        port = _PORTS[parts.scheme] if port is None else port
        if not self.is_private(host, port) and (parts.scheme != "https" or port != 443):
            raise AddressRefused(host, "only https on port 443 is called; name others in OBSYNC_PRIVATE_HOSTS")
        return url

    def is_private(self, host: str, port: int) -> bool:
        """Whether the place is one of the campus that is meant."""
        return f"{host.lower().strip('[]')}:{port}" in self._private

    def pick(self, host: str, port: int) -> str:
        """The one address to connect to. Raises `AddressRefused`, also where only one of several is not public."""
        try:
            found = list(dict.fromkeys(self._resolve(host.strip("[]"), port)))
        except (OSError, UnicodeError):
            raise AddressRefused(host, "its name is not known") from None
        if not found:
            raise AddressRefused(host, "its name is not known")
        if not self.is_private(host, port) and not all(is_public(one) for one in found):
            raise AddressRefused(
                host, "it lies inside a private network; name it in OBSYNC_PRIVATE_HOSTS if it is meant"
            )
        return found[0]


def is_public(text: str) -> bool:
    """Whether an address is one of the open internet, whatever it is wrapped in."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(_is_public(one) for one in _meant(address))


def _is_public(address: Address) -> bool:
    listed = any(address.version == one.version and address in one for one in _NEVER)
    return address.is_global and not address.is_multicast and not address.is_reserved and not listed


def _meant(address: Address) -> Iterator[Address]:
    """The address, and the IPv4 address inside it where it is a way of writing one."""
    inner: Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and (address.ipv4_mapped is not None or address in _NAT64):
            yield inner  # the wrapping itself is never global
            return
    yield address
    if inner is not None:
        yield inner


class _Backend(httpcore.NetworkBackend):
    """Connects to the address that the guard picked, and to no other."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        picked = self._guard.pick(host, port)
        return self._sockets.connect_tcp(picked, port, timeout, local_address, socket_options)


class GuardedTransport(httpx.BaseTransport):
    """What an httpx client sends through: guarded connections, certificates by the name that was asked for, answers of at
    most a megabyte. Raises `AddressRefused`, `AnswerTooLarge`, and the errors of httpx."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._pool = httpcore.ConnectionPool(
            ssl_context=authorities(trust_env=False),
            max_connections=16,
            keepalive_expiry=4.0,
            retries=0,
            network_backend=_Backend(guard),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read its answer whole."""
        self._guard.check_url(str(request.url))
        url = request.url
        timeout = {"connect": _CONNECT_S, "read": _ANSWER_S, "write": _ANSWER_S, "pool": _ANSWER_S}
        outgoing = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.read(),
            extensions={"timeout": timeout},
        )
        try:
            incoming = self._pool.handle_request(outgoing)
            try:
                body = _whole(incoming)
            finally:
                incoming.close()
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise httpx.TransportError(type(error).__name__, request=request) from None
        return httpx.Response(incoming.status, headers=incoming.headers, content=body, request=request)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


def _whole(incoming: httpcore.Response) -> bytes:
    parts, size = [], 0
    for part in incoming.iter_stream():
        size += len(part)
        if size > _LARGEST:
            raise AnswerTooLarge
        parts.append(part)
    return b"".join(parts)


def guarded_client(guard: Guard) -> httpx.Client:
    """A client for configured addresses: no redirects, no proxies or certificates from the environment."""
    return httpx.Client(
        transport=GuardedTransport(guard),
        trust_env=False,
        follow_redirects=False,
        headers={"accept-encoding": "identity", "user-agent": "obsync"},
    )
