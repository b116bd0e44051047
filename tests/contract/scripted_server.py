"""A server that misbehaves exactly as told: one scripted answer per request, on raw sockets.

The simulator is a good service with faults; this is what lies between: proxies, half-open connections, broken bytes.
Token requests are answered by themselves with `token-1`, `token-2`, … unless a test scripts them.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import queue
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

Answer = Callable[[socket.socket, threading.Event], bool]
"""Writes to the connection; True keeps it open for another request. The event is set when the server closes."""


@dataclass(frozen=True)
class Received:
    """A request as it arrived. `connection` counts from 1."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass
class ScriptedServer:
    """Listens on a free port of 127.0.0.1; use as a context manager."""

    answers: queue.SimpleQueue[Answer] = field(default_factory=queue.SimpleQueue)
    token_answers: queue.SimpleQueue[Answer] = field(default_factory=queue.SimpleQueue)
    received: list[Received] = field(default_factory=list)
    token_requests: list[Received] = field(default_factory=list)
    tokens_given: int = 0
    connections: int = 0

    def script(self, *answers: Answer) -> None:
        """Answers to the next API requests, in order."""
        for answer in answers:
            self.answers.put(answer)

    def script_token(self, *answers: Answer) -> None:
        """Answers to the next token requests, before the automatic ones."""
        for answer in answers:
            self.token_answers.put(answer)

    @property
    def url(self) -> str:
        """The base address."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> ScriptedServer:
        self._closing = threading.Event()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.append(connection)
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True)
                self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        stream = connection.makefile("rb")
        with contextlib.suppress(OSError), connection, stream:
            while (request := _read_request(stream.readline, stream.read, number)) is not None:
                if not self._answer_to(request)(connection, self._closing):
                    return

    def _answer_to(self, request: Received) -> Answer:
        with self._lock:
            if request.target != "/oauth2/token":
                self.received.append(request)
                return self.answers.get(timeout=5)
            self.token_requests.append(request)
            self.tokens_given += 1
            if not self.token_answers.empty():
                return self.token_answers.get()
            return token(f"token-{self.tokens_given}")


def _read_request(readline: Callable[[], bytes], read: Callable[[int], bytes], number: int) -> Received | None:
    first = readline().split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while (line := readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = read(int(headers.get("content-length", "0")))
    return Received(first[0].decode(), first[1].decode(), headers, body, number)


def raw(data: bytes, *, keep: bool = False) -> Answer:
    """Exactly these bytes, then the end of the connection unless `keep`."""

    def answer(connection: socket.socket, _closing: threading.Event) -> bool:
        connection.sendall(data)
        return keep

    return answer


def _head(status: int, headers: Mapping[str, str], length: int) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        f"Content-Length: {length}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def reply(status: int, body: bytes, **headers: str) -> Answer:
    """A whole answer on a connection that stays open. Header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return raw(_head(status, named, len(body)) + body, keep=True)


def envelope(code: int, data: object = None, *, status: int = 200, msg: str = "", **headers: str) -> Answer:
    """An answer in the service's own words."""
    body = json.dumps({"code": code, "msg": msg, "data": data}).encode()
    return reply(status, body, Content_Type="application/json", **headers)


def token(value: str, *, expires_in: int = 7200) -> Answer:
    """A token answer, flat as the service gives it."""
    body = json.dumps({"access_token": value, "expires_in": expires_in, "token_type": "bearer"}).encode()
    return reply(200, body, Content_Type="application/json")


def html(status: int) -> Answer:
    """What a gateway says."""
    return reply(status, b"<html><title>Forbidden</title></html>", Content_Type="text/html")


def half_body() -> Answer:
    """A success announced, and the connection closed in the middle of it."""
    body = b'{"code": 0, "msg": "", "data": {"id": "c1", "summary": "x"}}'
    return raw(_head(200, {}, len(body)) + body[:20])


def reset() -> Answer:
    """The request is read, and the connection reset instead of an answer."""

    def answer(connection: socket.socket, _closing: threading.Event) -> bool:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return answer


def silence() -> Answer:
    """Nothing, until the server closes."""

    def answer(_connection: socket.socket, closing: threading.Event) -> bool:
        closing.wait(30)
        return False

    return answer


def trickle(data: bytes, *, every_s: float) -> Answer:
    """These bytes, one at a time: every single read succeeds and the whole never ends."""

    def answer(connection: socket.socket, closing: threading.Event) -> bool:
        for position in range(len(data)):
            if closing.wait(every_s):
                return False
            connection.sendall(data[position : position + 1])
        return False

    return answer


def trickled_headers(*, every_s: float) -> Answer:
    """A head that grows for ever."""
    return trickle(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n" * 100, every_s=every_s)


def trickled_body(*, every_s: float) -> Answer:
    """A quick head, then a body byte by byte."""
    body = b'{"code": 0, "msg": "' + b"." * 1_000 + b'"}'

    def answer(connection: socket.socket, closing: threading.Event) -> bool:
        connection.sendall(_head(200, {}, len(body)))
        return trickle(body, every_s=every_s)(connection, closing)

    return answer


def packed(data: bytes) -> Answer:
    """A gzip answer; zeros make a bomb."""
    body = gzip.compress(data)
    return raw(_head(200, {"Content-Encoding": "gzip", "Content-Type": "application/json"}, len(body)) + body)


def endless(size: int) -> Answer:
    """An announced body of `size` bytes, sent as far as the other side reads."""

    def answer(connection: socket.socket, closing: threading.Event) -> bool:
        connection.sendall(_head(200, {}, size))
        block = b" " * 65_536
        for _ in range(size // len(block)):
            if closing.is_set():
                break
            connection.sendall(block)
        return False

    return answer
