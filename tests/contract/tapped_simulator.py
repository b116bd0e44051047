"""`python -m tests.contract.tapped_simulator REPORT DOCUMENT [OPTION …]`: the simulator with an ear on its wire.

Reads the bytes of every connection in both directions, and judges them by the OpenAPI document before an answer leaves:
every request of the product (known by its user agent), every request of others that was carried out, every answer. What
is found, and each call the first time it is seen, goes to REPORT as one line of JSON. Not judged: control calls, what a
fault sends in place of an answer, and the HTML page of a gateway that refuses a signature.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

import httptools

from simulator.__main__ import main
from simulator.call import Answer
from simulator.server import CONTROL_PREFIX
from simulator.wire import Connection, Request
from tests.contract.openapi_contract import Contract, Seen

PRODUCT = "obsync"


class Judge:
    """Writes the report."""

    def __init__(self, contract: Contract, report: TextIO) -> None:
        self._contract = contract
        self._report = report
        self._seen: set[tuple[str | None, bool, str]] = set()

    def asked(self, request: Seen) -> None:
        """A request that has arrived as a whole."""
        if _is_of_the_product(request):
            self._note(request, "request", lambda: self._contract.request(request))

    def answered(self, request: Seen, status: int, content_type: str, body: bytes) -> None:
        """The answer of the API to a request."""
        if (status, content_type) == (403, "text/html"):
            return
        self._note(
            request,
            "success" if status == 200 else "refusal",
            lambda: self._contract.answer(request, status, content_type, body),
        )
        if status == 200 and not _is_of_the_product(request):
            self._note(request, "carried out", lambda: self._contract.request(request))

    def _note(self, request: Seen, what: str, findings_of: Callable[[], list[str]]) -> None:
        """Never raises: a mistake in here is a finding."""
        name, findings = None, []
        try:
            name = self._contract.name_of(request.method, request.target)
            findings = findings_of()
        except Exception as error:
            findings = [f"{request.method} {request.target} cannot be judged: {error!r}"]
        kind = (name, _is_of_the_product(request), what)
        if findings or kind not in self._seen:
            self._seen.add(kind)
            line = {"call": name, "product": kind[1], "what": what, "findings": [f"{what}: {one}" for one in findings]}
            self._report.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._report.flush()


def _is_of_the_product(request: Seen) -> bool:
    return request.headers.get("user-agent") == PRODUCT


class _Message:
    """The parser's callbacks for one direction; `done` gets every whole message."""

    def __init__(self, done: Callable[[_Message], None]) -> None:
        self._done = done
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}
        self.body = b""

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self._done(self)


class Tap:
    """One connection, both directions: requests wait for their answers in order."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._waiting: deque[Seen] = deque()
        self._requests: Any = httptools.HttpRequestParser(_Message(self._asked))
        self._answers: Any = httptools.HttpResponseParser(_Message(self._answered))
        self._deaf = False
        self.is_made_up = False
        """Whether what is sent next comes from a fault."""

    def received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._feed(self._requests, data)

    def sent(self, data: bytes) -> None:
        """Bytes to the client."""
        self._feed(self._answers, data)

    def _feed(self, parser: Any, data: bytes) -> None:
        if self._deaf:
            return
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._deaf = True  # not HTTP: the simulator hangs up on this too

    def _asked(self, message: _Message) -> None:
        method = self._requests.get_method().decode()
        seen = Seen(method, message.target.decode("latin-1"), message.headers, message.body)
        self._waiting.append(seen)
        if not seen.target.startswith(CONTROL_PREFIX):
            self._judge.asked(seen)

    def _answered(self, message: _Message) -> None:
        status = self._answers.get_status_code()
        if status < 200 or not self._waiting:
            return
        request = self._waiting.popleft()
        if not self.is_made_up and not request.target.startswith(CONTROL_PREFIX):
            self._judge.answered(request, status, message.headers.get("content-type", ""), message.body)


class _TappedTransport(asyncio.Transport):
    """What a connection uses of its transport, with an ear on what is written."""

    def __init__(self, inner: asyncio.Transport, tap: Tap) -> None:
        super().__init__()
        self._inner = inner
        self._tap = tap

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._tap.sent(bytes(data))
        self._inner.write(data)

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def close(self) -> None:
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()


def tapped(judge: Judge) -> type[Connection]:
    """The simulator's connection, heard by `judge`."""

    class TappedConnection(Connection):
        def __init__(
            self,
            receive: Callable[[Request, Connection], None],
            clock_s: Callable[[], float],
            open_: set[Connection],
        ) -> None:
            super().__init__(receive, clock_s, open_)
            self._tap = Tap(judge)

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(_TappedTransport(cast(asyncio.Transport, transport), self._tap))

        def respond(self, answer: Answer) -> bool:
            self._tap.is_made_up = answer.made_up
            return super().respond(answer)

        def data_received(self, data: bytes) -> None:
            self._tap.received(data)
            super().data_received(data)

    return TappedConnection


def _run(report: str, document: str) -> int:
    contract = Contract(json.loads(Path(document).read_text(encoding="utf-8")))
    with Path(report).open("a", encoding="utf-8") as stream:
        return main(tapped(Judge(contract, stream)))


if __name__ == "__main__":
    program, report_path, document_path, *options = sys.argv
    sys.argv = [program, *options]
    sys.exit(_run(report_path, document_path))
