"""One deadline for a whole call.

HTTP client timeouts are per socket operation: a peer that sends one byte a second keeps such a call alive for ever, and
a lane's lease is computed from the promise that it does not. So every socket operation of a call (look-up, connect,
TLS, each write, each read) gets what is left of the call's own budget, and fails when nothing is left.

The deadline of the call in progress is kept per thread: a call runs in one thread from beginning to end, and the
connection it uses may have been opened by another call.
"""

from __future__ import annotations

import ipaddress
import queue
import select
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

    SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
    Address = tuple[socket.AddressFamily, Any]


class Deadline:
    """A moment on the monotonic clock by which a call must be over."""

    __slots__ = ("_at_s", "_monotonic")

    def __init__(self, budget_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._at_s = monotonic() + budget_s

    def left_s(self) -> float:
        """Seconds left; zero or less when it is over."""
        return self._at_s - self._monotonic()


_current = threading.local()


@contextmanager
def bounded(deadline: Deadline, *, sent: Callable[[], None] | None = None) -> Iterator[None]:
    """Every socket operation of this thread inside the block ends by `deadline`.

    `sent` is told once, when a request has been handed to the system and its answer is waited for.
    """
    before = getattr(_current, "deadline", None), getattr(_current, "sent", None)
    _current.deadline, _current.sent = deadline, sent
    try:
        yield
    finally:
        _current.deadline, _current.sent = before


def _tell_sent() -> None:
    sent: Callable[[], None] | None = getattr(_current, "sent", None)
    if sent is not None:
        _current.sent = None
        sent()


def _left_s(over: type[Exception]) -> float:
    deadline: Deadline | None = getattr(_current, "deadline", None)
    if deadline is None:
        raise RuntimeError("a socket operation outside a bounded call")
    left_s = deadline.left_s()
    if left_s <= 0:
        raise over("the call's budget is over")
    return left_s


class BoundedStream(httpcore.NetworkStream):
    """A connected socket whose operations end by the current call's deadline; httpcore's own timeouts are ignored."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unsent: list[bytes] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        if self._unsent:
            # A server may refuse a request before it has read all of it: its answer is worth more than our error.
            with suppress(httpcore.WriteError):
                self._flush()
            _tell_sent()
        self._sock.settimeout(_left_s(httpcore.ReadTimeout))
        try:
            return self._sock.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        # Head and body come in pieces; they leave together with the first read, in one system call and one packet.
        self._unsent.append(buffer)

    def _flush(self) -> None:
        rest = memoryview(b"".join(self._unsent))
        self._unsent.clear()
        try:
            while rest:
                self._sock.settimeout(_left_s(httpcore.WriteTimeout))
                rest = rest[self._sock.send(rest) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> BoundedStream:
        try:
            self._sock.settimeout(_left_s(httpcore.ConnectTimeout))
            return BoundedStream(ssl_context.wrap_socket(self._sock, server_hostname=server_hostname))
        except TimeoutError as error:
            self.close()
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> object:
        # An idle connection that is readable has been closed by the other side: the pool asks before reusing it.
        return _is_readable(self._sock) if info == "is_readable" else None


class BoundedBackend(httpcore.NetworkBackend):
    """Opens TCP connections within the current call's deadline, name look-up included."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[SocketOption] | None = None,  # noqa: ARG002
    ) -> BoundedStream:
        addresses = _resolve(host, port)
        failure: OSError | None = None
        for position, address in enumerate(addresses):
            # What is left is shared out, so that a first address that swallows packets leaves time for the next.
            share_s = _left_s(httpcore.ConnectTimeout) / (len(addresses) - position)
            try:
                return BoundedStream(_connect(address, share_s))
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise httpcore.ConnectTimeout(str(failure))
        raise httpcore.ConnectError(str(failure or "no address"))


def _connect(address: Address, timeout_s: float) -> socket.socket:
    family, sockaddr = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(sockaddr)
        # A large request leaves in several packets: the last one must not wait for an acknowledgement of the others.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _resolve(host: str, port: int) -> list[Address]:
    with suppress(ValueError):
        literal = ipaddress.ip_address(host)
        family = socket.AF_INET6 if literal.version == 6 else socket.AF_INET
        return [(family, (host, port))]
    # getaddrinfo has no timeout of its own and may take 30 s: it runs aside and is left behind when it is too slow.
    answers: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()
    threading.Thread(target=_look_up, args=(host, port, answers), name="wps-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=_left_s(httpcore.ConnectTimeout))
    except queue.Empty:
        raise httpcore.ConnectTimeout("name look-up took the whole budget") from None
    if isinstance(answer, OSError):
        raise httpcore.ConnectError(f"name look-up failed: {answer}")
    return answer


def _look_up(host: str, port: int, answers: queue.SimpleQueue[list[Address] | OSError]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        answers.put(error)
    except UnicodeError as error:
        answers.put(OSError(str(error)))
    else:
        answers.put([(family, sockaddr) for family, _, _, _, sockaddr in found])


def _is_readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
