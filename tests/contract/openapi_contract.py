"""The service's OpenAPI document as a judge of single requests and answers.

What a request may be: a path and method of the document, its query and header parameters, its body. What an answer may
be: the schema of 200 for a success, the default one with a code the document knows for everything else. The token call
is in the document by its address only; its fields are those of RFC 6749 §4.4, its answer is flat.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.contract.openapi_schema import Schemas

DOCUMENT: Final = Path(__file__).resolve().parents[3] / "shared" / "wps" / "openapi.json"
"""Where the document lies when there is one."""
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_SIGNING: Final = frozenset({"x-kso-date", "x-kso-authorization"})
_TOKEN_FORMS: Final = {
    "client_credentials": frozenset({"grant_type", "client_id", "client_secret"}),
    "authorization_code": frozenset({"grant_type", "client_id", "client_secret", "code", "redirect_uri"}),
}
_TOKEN_ANSWER: Final = {
    "type": "object",
    "required": ["access_token", "expires_in", "token_type"],
    "properties": {
        "access_token": {"type": "string", "minLength": 1},
        "expires_in": {"type": "integer", "minimum": 1},
        "token_type": {"type": "string"},
        "refresh_token": {"type": "string", "minLength": 1},  # these two with the token of a person
        "refresh_expires_in": {"type": "integer", "minimum": 1},
    },
}


@dataclass(frozen=True)
class Seen:
    """A request as it went over the wire; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Operation:
    """One call of the document."""

    name: str
    segments: tuple[str, ...]
    spec: Mapping[str, Any]


class Contract:
    """A document that has been read. Its methods return findings: sentences, none when all is well."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._schemas = Schemas(document)
        self._error = document["components"]["responses"]["error"]["content"][_JSON]["schema"]
        self._codes = frozenset(document["components"]["schemas"]["error_code"]["enum"])
        flows = document["components"]["securitySchemes"]["app"]["flows"]
        self._token = f"POST {urlsplit(flows['clientCredentials']['tokenUrl']).path}"
        people = (
            document["components"]["securitySchemes"].get("delegated", {}).get("flows", {}).get("authorizationCode")
        )
        self._page = f"GET {urlsplit(people['authorizationUrl']).path}" if people else None
        self._operations = [
            Operation(f"{method.upper()} {path}", tuple(path.split("/")), spec)
            for path, methods in document["paths"].items()
            for method, spec in methods.items()
        ]

    def _is_page(self, seen: Seen) -> bool:
        """The page where a person signs in is for browsers: the document has its address and nothing else of it."""
        return self._page is not None and f"{seen.method} {seen.target.partition('?')[0]}" == self._page

    def name_of(self, method: str, target: str) -> str | None:
        """`GET /v7/calendars/{calendar_id}`; None for a call the document does not have."""
        path = target.partition("?")[0]
        if f"{method} {path}" == self._token:
            return self._token
        found = self._operation(method, path)
        return found.name if found else None

    def request(self, seen: Seen) -> list[str]:
        """What is wrong with a request."""
        name = self.name_of(seen.method, seen.target)
        if self._is_page(seen):
            return []
        if name is None:
            return [f"{seen.method} {seen.target} is not a call of the document"]
        if name == self._token:
            return [f"{name}: {text}" for text in _token_request(seen)]
        path, _, query = seen.target.partition("?")
        operation = self._operation(seen.method, path)
        assert operation is not None
        found = [*self._parameters(operation, path, query, seen.headers), *self._body(operation, seen)]
        return [f"{name}: {text}" for text in found]

    def answer(self, seen: Seen, status: int, content_type: str, body: bytes) -> list[str]:
        """What is wrong with the answer to a request."""
        name = self.name_of(seen.method, seen.target)
        where = f"{name or seen.target} answered {status}"
        if self._is_page(seen):
            return []
        if _media_type(content_type) != _JSON:
            return [f"{where}: content type {content_type!r}"]
        try:
            value = json.loads(body)
        except ValueError:
            return [f"{where}: not JSON"]
        return [f"{where}: {text}" for text in self._answer(seen, name, status, value)]

    def _answer(self, seen: Seen, name: str | None, status: int, value: Any) -> Iterator[str]:
        code = value.get("code") if type(value) is dict else None
        if status == 200 and name == self._token:
            yield from self._schemas.check(_TOKEN_ANSWER, value, "body")
        elif status == 200 and code == 0:
            operation = self._operation(seen.method, seen.target.partition("?")[0])
            if operation is None:
                yield "a success of a call that the document does not have"
                return
            response = self._schemas.resolve(operation.spec["responses"]["200"])
            yield from self._schemas.check(response["content"][_JSON]["schema"], value, "body")
        else:
            yield from self._schemas.check(self._error, value, "body")
            if code == 0 or code not in self._codes:
                yield f"body.code {code!r} is not an error code of the document"

    def _operation(self, method: str, path: str) -> Operation | None:
        """The call a path means; where several fit, the one with a fixed word in the earliest place."""
        parts = path.split("/")
        fitting = [each for each in self._operations if each.name.startswith(f"{method} ") and _fits(each, parts)]
        return min(fitting, key=lambda each: [part.startswith("{") for part in each.segments], default=None)

    def _parameters(self, operation: Operation, path: str, query: str, headers: Mapping[str, str]) -> Iterator[str]:
        given: dict[tuple[str, str], list[str]] = {}
        for part, text in zip(operation.segments, path.split("/"), strict=True):
            if part.startswith("{"):
                given["path", part[1:-1]] = [unquote(text)]
        for name, text in parse_qsl(query, keep_blank_values=True, errors="strict"):
            given.setdefault(("query", name), []).append(text)
        for name, text in headers.items():
            if name.startswith("x-kso-") and name not in _SIGNING:
                given["header", name] = [text]
        if operation.spec.get("security") and not headers.get("authorization", "").startswith("Bearer "):
            yield "no bearer token"
        for parameter in map(self._schemas.resolve, operation.spec.get("parameters", ())):
            place, name = parameter["in"], parameter["name"]
            texts = given.pop((place, name.lower() if place == "header" else name), None)
            if texts is not None:
                yield from self._parameter(parameter["schema"], texts, f"{place} parameter {name}")
            elif parameter.get("required"):
                yield f"{place} parameter {name} is missing"
        for place, name in given:
            yield f"{place} parameter {name} is not in the document"

    def _parameter(self, schema: Mapping[str, Any], texts: list[str], where: str) -> Iterator[str]:
        flat = self._schemas.flat(schema)
        if flat.get("type") == "array":
            item = self._schemas.flat(flat["items"])
            yield from self._schemas.check(schema, [_value_of(text, item) for text in texts], where)
        elif len(texts) > 1:
            yield f"{where} is given {len(texts)} times"
        else:
            yield from self._schemas.check(schema, _value_of(texts[0], flat), where)

    def _body(self, operation: Operation, seen: Seen) -> Iterator[str]:
        described = operation.spec.get("requestBody")
        if described is None:
            if seen.body:
                yield "a body where the document has none"
            return
        content = self._schemas.resolve(described)["content"]
        schema = content[_JSON]["schema"]
        if not seen.body:
            if described.get("required") or self._schemas.flat(schema).get("required"):
                yield "the body is missing"
            return
        if _media_type(seen.headers.get("content-type", "")) not in content:
            yield f"content type {seen.headers.get('content-type')!r}"
            return
        try:
            value = json.loads(seen.body)
        except ValueError:
            yield "the body is not JSON"
            return
        yield from self._schemas.check(schema, value, "body")


@cache
def the_contract() -> Contract | None:
    """The service's own document; None where it is not beside this checkout."""
    if not DOCUMENT.is_file():
        return None
    return Contract(json.loads(DOCUMENT.read_text(encoding="utf-8")))


def _fits(operation: Operation, parts: list[str]) -> bool:
    return len(parts) == len(operation.segments) and all(
        part == wanted or (wanted.startswith("{") and part != "")
        for wanted, part in zip(operation.segments, parts, strict=True)
    )


def _value_of(text: str, flat: Mapping[str, Any]) -> Any:
    """A parameter's text as the type it is meant to be; the text itself where it cannot be that."""
    if flat.get("type") == "integer" and re.fullmatch(r"-?[0-9]{1,20}", text):
        return int(text)
    if flat.get("type") == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _token_request(seen: Seen) -> Iterator[str]:
    if _media_type(seen.headers.get("content-type", "")) != _FORM:
        yield "the body must be a form"
        return
    pairs = parse_qsl(seen.body.decode(), keep_blank_values=True)
    form = dict(pairs)
    wanted = _TOKEN_FORMS.get(form.get("grant_type", ""))
    if wanted is None:
        yield f"grant_type is none of {', '.join(_TOKEN_FORMS)}"
    elif len(form) != len(pairs) or form.keys() != wanted or not all(form.values()):
        yield f"the form has {[name for name, _ in pairs]}"
