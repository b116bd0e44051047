"""One HTTP request, one answer: the only module that knows the HTTP library.

No redirects, no retries, no cookies, no proxies from the environment. The answer is read to its end within the call's
deadline and up to a size, before and after decompression; how a failure is told says whether a byte may have left.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpcore
import httpx

from remote.wps.deadlines import BoundedBackend, Deadline, bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
"""An answer larger than this, compressed or not, is not read."""

# The service closes idle connections after 5 s; ours go first, so that a request is not sent into a closing one.
_KEEPALIVE_S: Final = 4.0

_NO_ANSWER: Final = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)

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
        self._client = httpx.Client(
            transport=_PooledTransport(max_connections),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 — the deadline of each call bounds every socket operation instead
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
        lose_answer: Callable[[bool], bool] = _keep_answer,
    ) -> RawAnswer:
        """Send one request and read its answer; `target` is path and query, sent exactly as given.

        `before_first_byte` runs on an open connection, right before the first byte; what it raises goes through
        unchanged and nothing is sent. `lose_answer` is asked when an answer begins (False) and when it is whole (True), and
        may say that it is lost on the way. Raises ExchangeError for everything else that is not a whole answer, and
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

        timeouts = {"pool": max(deadline.left_s(), 0.0)}
        request = httpx.Request(
            method,
            self._base + target,
            headers=headers,
            content=body or None,
            extensions={"trace": trace, "timeout": timeouts},
        )
        if request.url.raw_path != (self._prefix + target).encode("ascii", "replace"):
            raise ValueError(f"not a normal request target: {target!r}")
        try:
            with bounded(deadline):
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
        self._client.close()

    def _exchange(self, request: httpx.Request) -> RawAnswer:
        response = self._client.send(request, stream=True)
        try:
            body = _read(response)
        finally:
            response.close()
        headers = response.headers
        return RawAnswer(response.status_code, body, headers.get("retry-after"), headers.get("date"))


class _BadAnswerError(Exception):
    """The answer is too large or packed in a way we did not ask for."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class _PooledTransport(httpx.BaseTransport):
    """httpx over a pool whose sockets obey the call's deadline (httpx's own transport cannot be given one)."""

    def __init__(self, max_connections: int) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=_KEEPALIVE_S,
            retries=0,
            network_backend=BoundedBackend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Errors of the pool go through as they are: Exchange.send is the only caller."""
        url = request.url
        outgoing = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.read(),
            extensions=request.extensions,
        )
        incoming = self._pool.handle_request(outgoing)
        return httpx.Response(incoming.status, headers=incoming.headers, stream=_Stream(incoming))

    def close(self) -> None:
        self._pool.close()


class _Stream(httpx.SyncByteStream):
    def __init__(self, incoming: httpcore.Response) -> None:
        self._incoming = incoming

    def __iter__(self) -> Iterator[bytes]:
        return self._incoming.iter_stream()

    def close(self) -> None:
        self._incoming.close()


def _read(response: httpx.Response) -> bytes:
    status = response.status_code
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise _BadAnswerError(f"content encoding {encoding[:20]!r} was not asked for", status)
    received = _capped(response.iter_raw(), status)
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
