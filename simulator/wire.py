"""HTTP/1.1 on a socket, as thin as it can be: one protocol object a connection, no tasks, no framework.

A connection answers its requests in order; one that arrives while another is being worked on waits its turn. What a
server usually hides is offered here: closing without an answer, resetting, sending half a body.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any, cast

import httptools

from simulator.call import Answer
from simulator.quotas import REQUEST_BODY_MAX_BYTES

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Request:
    """One whole request. `target` is the request line's, undecoded; header names are lower case."""

    __slots__ = ("body", "headers", "keep_alive", "method", "start_s", "target")

    def __init__(
        self, method: str, target: str, headers: dict[bytes, str], body: bytes, start_s: float, keep_alive: bool
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.start_s = start_s
        self.keep_alive = keep_alive


def _head(answer: Answer, keep_alive: bool, length: str) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}\r\n"
        f"Content-Type: {answer.content_type}\r\n{length}\r\n"
    ]
    lines += [f"{name}: {value}\r\n" for name, value in answer.headers]
    if not keep_alive:
        lines.append("Connection: close\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1")


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(
        self, receive: Callable[[Request, "Connection"], None], clock_s: Callable[[], float], open_: set["Connection"]
    ) -> None:
        self._receive = receive
        self._clock_s = clock_s
        self._open = open_
        self._waiting: deque[Request] = deque()
        self._current: Request | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.transport: asyncio.Transport | None = None

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._open.add(self)
        self._parser: Any = httptools.HttpRequestParser(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        self._open.discard(self)
        self._waiting.clear()
        self._writable.set()
        self._parser = None  # the parser holds us: a circle the collector would have to find

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._close_with(400)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # Called by the parser.

    def on_message_begin(self) -> None:
        self._start_s = self._clock_s()
        self._target = b""
        self._headers: dict[bytes, str] = {}
        self._body = b""

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if b"expect" in self._headers and self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        if len(self._body) + len(part) > REQUEST_BODY_MAX_BYTES:
            self._close_with(413)
            return
        self._body += part

    def on_message_complete(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        request = Request(
            self._parser.get_method().decode("latin-1"),
            self._target.decode("latin-1"),
            self._headers,
            self._body,
            self._start_s,
            self._parser.should_keep_alive(),
        )
        if self._current is not None:
            self._waiting.append(request)
            return
        self._current = request
        self._receive(request, self)

    # Called by whoever answers.

    def respond(self, answer: Answer) -> bool:
        """Sends the whole answer; False when the client has gone."""
        request = self._current
        if self.transport is None or self.transport.is_closing() or request is None:
            return False
        head = _head(answer, request.keep_alive, f"Content-Length: {len(answer.body)}")
        self.transport.write(head + answer.body)
        self._done(request)
        return True

    def respond_half(self, answer: Answer) -> None:
        """Announces the whole body, sends half of it and closes."""
        if self.transport is not None and not self.transport.is_closing():
            head = _head(answer, False, f"Content-Length: {len(answer.body)}")
            self.transport.write(head + answer.body[: len(answer.body) // 2])
            self.transport.close()

    def drop(self, *, reset: bool = False) -> None:
        """Closes without an answer."""
        if self.transport is not None:
            if reset:
                self.transport.abort()
            else:
                self.transport.close()

    async def respond_stream(self, chunks: AsyncIterator[bytes]) -> None:
        """Sends an answer of unknown length, waiting whenever the client reads slowly."""
        request = self._current
        if self.transport is None or request is None:
            return
        self.transport.write(_head(Answer(200, 0, b""), request.keep_alive, "Transfer-Encoding: chunked"))
        async for chunk in chunks:
            await self._writable.wait()
            if self.transport is None:
                return
            self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        if self.transport is not None:
            self.transport.write(b"0\r\n\r\n")
            self._done(request)

    def _done(self, request: Request) -> None:
        self._current = None
        if not request.keep_alive:
            if self.transport is not None:
                self.transport.close()
        elif self._waiting:
            self._current = self._waiting.popleft()
            # Not from here: a burst of pipelined requests would pile up on the stack.
            asyncio.get_running_loop().call_soon(self._receive, self._current, self)

    def _close_with(self, status: int) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(_head(Answer(status, None, b""), False, "Content-Length: 0"))
            self.transport.close()
