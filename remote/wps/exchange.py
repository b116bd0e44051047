"""One HTTP request, one answer: the only module that knows the HTTP library.

No redirects, no retries, no cookies, no proxies from the environment. The answer is read to its end within the call's
deadline and up to a size, before and after decompression; how a failure is told says whether a byte may have left.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpcore
import httpx

from remote.authorities import authorities
from remote.wps.deadlines import BoundedBackend, Deadline, bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
"""An answer larger than this, compressed or not, is not read."""

# The service closes idle connections after 5 s; ours go first, so that a request is not sent into a closing one.
_KEEPALIVE_S: Final = 4.0

_NO_ANSWER: Final = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)

_PLAIN: Final = re.compile(r"/[A-Za-z0-9/._~-]*(\?[A-Za-z0-9._~&=-]*)?")
"""A target that nothing on the way writes differently, unless it goes up with dots."""

_BEFORE_FIRST_BYTE: Final = "http11.send_request_headers.started"
_ANSWER_BEGUN: Final = "http11.receive_response_headers.complete"


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """Status, the headers that matter, and the whole decompressed body."""

    status: int
    body: bytes
    retry_after: str | None
    date: str | None


def _keep_answer(_whole: bool) -> bool:
    return False


class ExchangeError(Exception):
    """No usable answer. `sent`: a byte of the request may have left; `timed_out`: the budget was the reason."""

    def __init__(self, detail: str, *, sent: bool, timed_out: bool, status: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sent = sent
        self.timed_out = timed_out
        self.status = status


class Exchange:
    """Connections to one service, shared by all threads of a process; made after a fork."""

    def __init__(self, *, base_url: str, max_connections: int = 64) -> None:
        """Raises ValueError when `base_url` is not an http(s) address."""
        url = httpx.URL(base_url.rstrip("/"))
        if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
            raise ValueError(f"not a service address: {base_url!r}")
        self._base = str(url).rstrip("/")
        self._prefix = url.raw_path.decode("ascii").rstrip("/")
        self._origin = (url.raw_scheme, url.raw_host, url.port)
        self._host = (b"host", url.netloc)
        # The pool by itself: it gets sockets that obey the call's deadline, and what httpx does for each request (cookies,
        # redirects, authentication, proxies) is all that must not happen here. It takes longer than the request, too.
        self._pool = httpcore.ConnectionPool(
            ssl_context=authorities(trust_env=True),
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=_KEEPALIVE_S,
            retries=0,
            network_backend=BoundedBackend(),
        )

    def send(
        self,
        *,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        deadline: Deadline,
        before_first_byte: Callable[[], None] | None = None,
        after_last_byte: Callable[[], None] | None = None,
        lose_answer: Callable[[bool], bool] = _keep_answer,
    ) -> RawAnswer:
        """Send one request and read its answer; `target` is path and query, sent exactly as given.

        `before_first_byte` runs on an open connection, right before the first byte; what it raises goes through
        unchanged and nothing is sent. `after_last_byte` runs when all of the request has left, while its answer is waited
        for; it must be quick and raise nothing. `lose_answer` is asked when an answer begins (False) and when it is whole
        (True), and may say that it is lost on the way. Raises ExchangeError for everything else that is not a whole answer, and
        ValueError for a target that would not arrive as it was signed.
        """
        sent = False

        def trace(event: str, _info: Mapping[str, object]) -> None:
            nonlocal sent
            if event == _BEFORE_FIRST_BYTE and not sent:
                if deadline.left_s() <= 0:
                    raise httpcore.ConnectTimeout("the call's budget is over")
                if before_first_byte is not None:
                    before_first_byte()
                sent = True
            elif event == _ANSWER_BEGUN and lose_answer(False):
                raise httpcore.ReadError("the answer was lost")

        request = self._request(method, target, headers, body)
        request.extensions = {"trace": trace, "timeout": {"pool": max(deadline.left_s(), 0.0)}}
        try:
            with bounded(deadline, sent=after_last_byte):
                answer = self._exchange(request)
            if lose_answer(True):
                raise httpcore.ReadError("the answer was lost")
            return answer
        except _BadAnswerError as error:
            raise ExchangeError(str(error), sent=True, timed_out=False, status=error.status) from None
        except httpcore.TimeoutException as error:
            raise ExchangeError(_said(error), sent=sent, timed_out=True) from None
        except _NO_ANSWER as error:
            raise ExchangeError(_said(error), sent=sent, timed_out=False) from None
        except Exception as error:
            # Whatever broke after the first byte, the request may be there: it must not look like "never sent".
            if not sent:
                raise
            raise ExchangeError(_said(error), sent=True, timed_out=False) from None

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> httpcore.Request:
        if not self._is_normal(target):
            raise ValueError(f"not a normal request target: {target!r}")
        raw = [self._host, *((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items())]
        if body or method == "POST":
            raw.append((b"content-length", b"%d" % len(body)))
        scheme, host, port = self._origin
        url = httpcore.URL(scheme=scheme, host=host, port=port, target=(self._prefix + target).encode("ascii"))
        return httpcore.Request(method, url, headers=raw, content=body)

    def _is_normal(self, target: str) -> bool:
        """Whether the target goes over the wire exactly as it was signed, wherever it comes by."""
        if _PLAIN.fullmatch(target) and "/." not in target:
            return True
        return httpx.URL(self._base + target).raw_path == (self._prefix + target).encode("ascii", "replace")

    def _exchange(self, request: httpcore.Request) -> RawAnswer:
        response = self._pool.handle_request(request)
        try:
            headers = {name.lower(): value for name, value in response.headers}
            body = _read(response, headers.get(b"content-encoding", b"identity").decode("latin-1"))
        finally:
            response.close()
        return RawAnswer(response.status, body, _text(headers.get(b"retry-after")), _text(headers.get(b"date")))


class _BadAnswerError(Exception):
    """The answer is too large or packed in a way we did not ask for."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _read(response: httpcore.Response, encoding: str) -> bytes:
    status, encoding = response.status, encoding.strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise _BadAnswerError(f"content encoding {encoding[:20]!r} was not asked for", status)
    received = _capped(response.iter_stream(), status)
    return _unpacked(received, status) if encoding == "gzip" else received


def _capped(chunks: Iterator[bytes], status: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _BadAnswerError("the answer is larger than 2 MiB", status)
        parts.append(chunk)
    return b"".join(parts)


def _unpacked(packed: bytes, status: int) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        body = inflater.decompress(packed, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise _BadAnswerError(f"broken gzip: {error}", status) from None
    if len(body) > MAX_BODY_BYTES:
        raise _BadAnswerError("the unpacked answer is larger than 2 MiB", status)
    if not inflater.eof:
        raise _BadAnswerError("the packed answer is cut short", status)
    return body


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
