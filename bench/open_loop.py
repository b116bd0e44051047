"""Requests at their times, whether the server keeps up or not, each measured from when it should have gone out.

A generator that waits for an answer before it asks again measures a slow server at the server's own pace, and finds it quick.
Here a request that has to wait for a connection has that wait in its figure. HTTP/1.1 over connections that stay open, without
a client library: the generator shares its machine with what it measures.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

_END_OF_HEAD = b"\r\n\r\n"
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Shot:
    """A request, `at_s` seconds after the beginning. `about` is the caller's."""

    at_s: float
    request: bytes
    about: object = None


@dataclass(slots=True)
class Hit:
    """What came of a shot: status 0 where no answer came; seconds from its time to its last answer, half a minute without one;
    how late it was sent; how often it was sent again. `head` is that of the answer."""

    shot: Shot
    status: int
    took_s: float
    late_s: float
    body: bytes = b""
    head: bytes = field(default=b"", repr=False)
    again: int = 0


Patience = Callable[[Hit], float | None]
"""After how many seconds to send the same again; None: what came is what comes of it."""


def get(path: str, host: str, *headers: str) -> bytes:
    """The bytes of a GET."""
    return _request("GET", path, host, headers, b"")


def post(path: str, host: str, body: bytes, *headers: str) -> bytes:
    """The bytes of a POST of JSON."""
    return _request("POST", path, host, ("Content-Type: application/json", *headers), body)


def _request(method: str, path: str, host: str, headers: Iterable[str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def fire(
    host: str, port: int, shots: Sequence[Shot], *, connections: int = 128, patience: Patience = lambda _hit: None
) -> list[Hit]:
    """Send all, in the order of their times. Returns what came of each; those not answered in half a minute have status 0."""
    return asyncio.run(_Range(host, port, connections, patience).fire(shots))


class _Range:
    """Connections, and shots that wait for one. They take turns, so that each process of the server gets its share."""

    def __init__(self, host: str, port: int, most: int, patience: Patience) -> None:
        self._host, self._port, self._most, self._patience = host, port, most, patience
        self._over = False
        self._open = 0
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[Hit] = deque()
        self._left = 0
        self._opening: set[asyncio.Task[None]] = set()
        self.done = asyncio.Event()

    async def fire(self, shots: Sequence[Shot]) -> list[Hit]:
        hits = [Hit(shot, 0, _PATIENCE_S, 0.0) for shot in shots]
        self._left = len(hits)
        self._open = self._most
        await asyncio.gather(*(self._connect() for _ in range(self._most)))
        began = time.perf_counter()
        for hit in hits:
            # A sleep is a millisecond long at least: what is due by then goes out with what comes after it.
            wait = began + hit.shot.at_s - time.perf_counter()
            if wait > 0.001:
                await asyncio.sleep(wait)
            self._send(hit, began)
        if hits:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.done.wait(), _PATIENCE_S)
        self._over = True  # what comes now comes too late
        for one in self._idle:
            one.close()
        for hit in hits:
            if not hit.status:
                hit.took_s = _PATIENCE_S
        return hits

    def _send(self, hit: Hit, began: float) -> None:
        hit.took_s = began + hit.shot.at_s  # until the answer is there: when it should have been sent
        self._hand_out(hit)

    def _hand_out(self, hit: Hit) -> None:
        if self._over:
            return
        if self._idle:
            self._idle.popleft().send(hit)
            return
        self._waiting.append(hit)
        if self._open < self._most:
            self._open += 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        try:
            _, made = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), self._host, self._port
            )
        except OSError:
            self._open -= 1
            if self._waiting:
                self.finish(self._waiting.popleft(), 0)
            return
        self.free(made)

    def free(self, connection: "_Connection") -> None:
        """The connection can take another shot."""
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: "_Connection") -> None:
        """The connection is gone; whoever waits gets a new one."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting and self._open < self._most:
            self._open += 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def finish(self, hit: Hit, status: int, head: bytes = b"", body: bytes = b"") -> None:
        """The answer to a shot, or status 0."""
        if self._over:
            return
        hit.status, hit.head, hit.body = status, head, body
        wait_s = self._patience(hit)
        if wait_s is not None:
            hit.status, hit.again = 0, hit.again + 1
            asyncio.get_running_loop().call_later(wait_s, self._hand_out, hit)
            return
        hit.took_s = time.perf_counter() - hit.took_s
        self._left -= 1
        if not self._left:
            self.done.set()


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, range_: _Range) -> None:
        self._range = range_
        self._transport: asyncio.Transport | None = None
        self._read = bytearray()
        self._hit: Hit | None = None
        self._head, self._needed = -1, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, hit: Hit) -> None:
        assert self._transport is not None
        self._hit, self._head = hit, -1
        if not hit.again:
            hit.late_s = time.perf_counter() - hit.took_s
        self._transport.write(hit.shot.request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._head < 0:
            self._head = self._read.find(_END_OF_HEAD)
            if self._head < 0:
                return
            self._needed = self._head + len(_END_OF_HEAD) + _length(self._read[: self._head])
        if len(self._read) < self._needed or self._hit is None:
            return
        hit, self._hit = self._hit, None
        head, body = bytes(self._read[: self._head]), bytes(self._read[self._head + len(_END_OF_HEAD) : self._needed])
        status = int(self._read[9:12])
        self._read.clear()
        self._range.finish(hit, status, head, body)
        self._range.free(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self._hit is not None:
            hit, self._hit = self._hit, None
            self._range.finish(hit, 0)
        self._range.lost(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _length(head: bytearray) -> int:
    """The length that the head of an answer tells; answers without one have no body."""
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def header(head: bytes, name: bytes) -> bytes:
    """A header of an answer, by its name in small letters; blank: none."""
    at = head.lower().find(b"\r\n" + name + b":")
    return head[at + len(name) + 3 :].split(b"\r\n", 1)[0].strip() if at >= 0 else b""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """In milliseconds. What was not answered counts as half a minute."""

    p50: float
    p95: float
    p99: float
    most: float


def percentiles(hits: Iterable[Hit]) -> Percentiles:
    """Of how long the answers took; zeros where nothing was asked."""
    took = sorted(hit.took_s * 1000 for hit in hits) or [0.0]
    return Percentiles(
        *(round(took[min(len(took) - 1, int(share * len(took)))], 2) for share in (0.5, 0.95, 0.99, 1.0))
    )
