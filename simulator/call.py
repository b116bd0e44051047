"""One request of the API as its handler sees it: strict readers for body and query, and the answer it becomes."""

import base64
import binascii
import json
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from simulator import errors
from simulator.errors import Refused
from simulator.shapes import Shape, record

encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ID_TYPES = ("internal", "external")


class Answer:
    """What goes back: status line, envelope code (None where the body is no envelope), body, and what it did.

    `made_up` is one that a fault put in the place of the API's own.
    """

    __slots__ = ("applied", "body", "code", "content_type", "headers", "items", "made_up", "status")

    def __init__(
        self,
        status: int,
        code: int | None,
        body: bytes,
        *,
        applied: bool = False,
        items: int = 0,
        content_type: str = "application/json; charset=utf-8",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.status = status
        self.code = code
        self.body = body
        self.applied = applied
        self.items = items
        self.content_type = content_type
        self.headers = headers
        self.made_up = False


def success(data: Any = None, *, applied: bool = False, items: int = 0) -> Answer:
    """Envelope with code 0; without `data` when there is nothing to say."""
    text = '{"code":0,"msg":"ok"}' if data is None else f'{{"code":0,"msg":"ok","data":{encode_json(data)}}}'
    return Answer(200, 0, text.encode(), applied=applied, items=items)


def failure(code: int, msg: str, *, status: int | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Envelope of an error."""
    body = encode_json({"code": code, "msg": msg}).encode()
    return Answer(errors.http_status(code) if status is None else status, code, body, headers=headers)


def html_page(status: int, text: str | None = None) -> Answer:
    """The HTML page of a gateway; with 403 the one that a wrong signature gets. `text` is another page."""
    page = (
        text.encode()
        if text is not None
        else b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body><h1>403 Forbidden</h1></body>\r\n</html>\r\n"
    )
    return Answer(status, None, page, content_type="text/html")


def _no_constants(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _parse_json(body: bytes) -> Any:
    try:
        value = json.loads(body.decode(), parse_constant=_no_constants)
        if b"\\u" in body:
            encode_json(value).encode()  # half a surrogate pair is not text
    except (ValueError, RecursionError):
        raise Refused(errors.PARAM_FORMAT, "the body is not JSON") from None
    return value


class Call:
    """A call that has passed the signature and the token."""

    def __init__(
        self,
        ids: list[str],
        query: str,
        headers: dict[bytes, str],
        body: bytes,
        shuffle: Callable[[list[Any]], None],
    ) -> None:
        self.ids = ids
        self.shuffle = shuffle
        self._query = query
        self._headers = headers
        self._body = body
        self._parameters: dict[str, list[str]] | None = None
        self.person: str | None = None
        self.list_lag_s = 0.0
        self.choose_some: Callable[[int], list[int]] | None = None

    def person_id(self) -> str:
        """Whose token came with the call; for those that an app cannot make."""
        if self.person is None:
            raise Refused(errors.OAUTH_INSUFFICIENT_SCOPE, "this call needs the token of a person")
        return self.person

    def external_ids(self) -> bool:
        """Whether user ids are the directory's; for the endpoints that declare X-Kso-Id-Type."""
        kind = self._headers.get(b"x-kso-id-type", "internal")
        if kind not in _ID_TYPES:
            raise Refused(errors.VALUE_INVALID, "X-Kso-Id-Type must be internal or external")
        return kind == "external"

    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        if self._body and not self._headers.get(b"content-type", "").lower().startswith("application/json"):
            raise Refused(errors.CONTENT_TYPE, "Content-Type must be application/json")
        value = _parse_json(self._body)
        if type(value) is not dict:
            raise Refused(errors.PARAM_FORMAT, "the body must be a JSON object")
        return value

    def fields(self, shapes: dict[str, Shape], *, required: Iterable[str] = (), nullable: Iterable[str] = ()) -> Any:
        """The body, checked against its fields."""
        value = self.json()
        record(shapes, required=tuple(required), nullable=tuple(nullable))(value, "body")
        return value

    def no_fields(self) -> None:
        """For calls without a body; an empty object is tolerated."""
        if self._body and self.json():
            raise Refused(errors.PARAM_UNSUPPORTED, "this call takes no body")

    def optional_fields(self, shapes: dict[str, Shape], *, nullable: Iterable[str] = ()) -> dict[str, Any]:
        """Like `fields` where the body may be left out."""
        value: dict[str, Any] = self.fields(shapes, nullable=nullable) if self._body else {}
        return value

    def parameter(self, name: str) -> str | None:
        """A query parameter that may be given once."""
        values = self.parameters(name)
        if len(values) > 1:
            raise Refused(errors.VALUE_INVALID, f"{name} may be given once")
        return values[0] if values else None

    def parameters(self, name: str) -> list[str]:
        """A query parameter that may be repeated."""
        if self._parameters is None:
            self._parameters = {}
            for key, value in parse_qsl(self._query, keep_blank_values=True):
                self._parameters.setdefault(key, []).append(value)
        return self._parameters.get(name, [])

    def page_size(self, *, default: int, most: int) -> int:
        """1 to `most`, else Refused."""
        given = self.parameter("page_size")
        if given is None:
            return default
        if not (given.isascii() and given.removeprefix("-").isdigit() and len(given) < 10):
            raise Refused(errors.PARAM_FORMAT, "page_size must be an integer")
        if not 1 <= int(given) <= most:
            raise Refused(errors.VALUE_INVALID, f"page_size must be 1 to {most}")
        return int(given)

    def boolean(self, name: str) -> bool:
        """true or false; absent is false."""
        given = self.parameter(name)
        if given not in (None, "true", "false"):
            raise Refused(errors.PARAM_FORMAT, f"{name} must be true or false")
        return given == "true"

    def is_visible(self, born_s: float) -> bool:
        """Whether a list shows an object of that age, under the list lag of this call."""
        return not self.list_lag_s or time.monotonic() - born_s >= self.list_lag_s


def make_token(scope: str, *numbers: int) -> str:
    """An opaque page or sync token, good only for the same list with the same filters."""
    text = ".".join(map(str, (zlib.crc32(scope.encode()), *numbers)))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def read_token(token: str, scope: str, count: int) -> list[int]:
    """The `count` numbers of a token of this list; anything else is Refused."""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        check, *numbers = [int(part) for part in text.split(".")]
    except (ValueError, binascii.Error):
        raise Refused(errors.VALUE_INVALID, "this token was not given out here") from None
    if check != zlib.crc32(scope.encode()) or len(numbers) != count:
        raise Refused(errors.VALUE_INVALID, "this token belongs to another list")
    return numbers
