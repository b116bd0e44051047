"""Reading JSON strictly: what two parsers could read in two ways is refused before anything looks at it.

A body may come plain or as ``{"data": ..., "meta": ...}``.
"""

from __future__ import annotations

import json
from typing import Any, Final

from flask import Request

from web.errors import ApiError, Detail

_WRAPPED: Final = ({"data"}, {"data", "meta"})


def read_object(request: Request) -> dict[str, Any]:
    """The body's JSON object. Raises `ApiError`: 415 for another type, 400 for what is not proper JSON, 422 for another value."""
    if request.mimetype != "application/json":
        raise ApiError("UNSUPPORTED_MEDIA")
    value = parse(request.get_data(cache=True))
    if not isinstance(value, dict):
        raise ApiError("INVALID", Detail("", "the body has to be a JSON object"))
    if set(value) in _WRAPPED and isinstance(value["data"], dict):
        return value["data"]
    return value


def parse(raw: bytes) -> Any:
    """A JSON value: UTF-8, no duplicate names, no NaN, no lone surrogate, not too deep. Raises `ApiError`."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeError, ValueError, RecursionError) as error:
        raise ApiError("BAD_JSON", Detail(message=_reason(error))) from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is named twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, line {error.lineno} column {error.colno}"
    if isinstance(error, UnicodeError):
        return "not UTF-8"
    return "nested too deep" if isinstance(error, RecursionError) else str(error)
