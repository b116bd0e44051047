"""From a request to the shapes that its view is given: path, query and body, each by its model.

The framework's own way works out the model's fields for each request; a query that was read once, and was right, is the same
when it comes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from flask import Request
from pydantic import BaseModel, ValidationError

from web.errors import ApiError
from web.field_words import details_of

_QUERIES: Final = 256
_LONGEST: Final = 100
_READ_HERE: Final = frozenset({"path", "query", "body"})


class Shapes:
    """The shapes of one view, by the names of its parameters. They are shared between requests, and nobody changes them."""

    def __init__(self, shapes: Mapping[str, type[BaseModel]]) -> None:
        self._path, self._query, self._body = (shapes.get(one) for one in ("path", "query", "body"))
        self._listed = frozenset() if self._query is None else _listed(self._query)
        self._known = lru_cache(_QUERIES)(self._query_of)

    @staticmethod
    def can_read(shapes: Mapping[str, Any]) -> bool:
        """Whether all of the shapes are read here."""
        return set(shapes) - {"return"} <= _READ_HERE

    def read(self, ask: Request, said: Mapping[str, Any]) -> dict[str, Any]:
        """The view's arguments. Raises `ApiError` 422."""
        found: dict[str, Any] = {}
        try:
            if self._path is not None:
                found["path"] = self._path.model_validate(said)
            if self._query is not None:
                raw = ask.query_string
                found["query"] = self._known(raw) if len(raw) <= _LONGEST else self._query_of(raw)
            if self._body is not None:
                found["body"] = self._body.model_validate(ask.get_json(silent=True))
        except ValidationError as error:
            raise ApiError("INVALID", *details_of(error)) from None
        return found

    def _query_of(self, raw: bytes) -> BaseModel:
        """As the framework reads it: of a name that stands twice the first, unless it is a list."""
        assert self._query is not None
        said: dict[str, Any] = {}
        for name, value in parse_qsl(raw.decode(), keep_blank_values=True, errors="werkzeug.url_quote"):
            if name in self._listed:
                said.setdefault(name, []).append(value)
            else:
                said.setdefault(name, value)
        return self._query.model_validate(said)


def _listed(model: type[BaseModel]) -> frozenset[str]:
    """The parameters that may be named several times."""
    found = model.model_json_schema().get("properties", {})
    return frozenset(
        name
        for name, said in found.items()
        if said.get("type") == "array" or any(one.get("type") == "array" for one in said.get("anyOf", ()))
    )
