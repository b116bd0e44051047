"""Checks a JSON value against a schema of an OpenAPI 3.0 document, more strictly than the standard asks.

A field that the schema does not name is wrong, since a misspelt name would otherwise pass as an extra one. A keyword
that is not checked here raises, so that nothing in a document is passed over in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

Schema = Mapping[str, Any]

_SAYS_NOTHING: Final = frozenset({"title", "description", "default", "example", "deprecated", "readOnly", "writeOnly"})
_CHECKED: Final = frozenset(
    {
        *("$ref", "allOf", "type", "nullable", "properties", "required", "items", "enum", "format"),
        *("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"),
    }
)
_TYPES: Final[Mapping[str, Callable[[object], bool]]] = {
    "object": lambda value: type(value) is dict,
    "array": lambda value: type(value) is list,
    "string": lambda value: type(value) is str,
    "boolean": lambda value: type(value) is bool,
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
}


class Unchecked(ValueError):
    """The document asks for something that is not checked here."""


def _is_datetime(value: Any) -> bool:
    """RFC 3339: a date, a time and an offset."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_date(value: Any) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value)) and bool(date.fromisoformat(value))
    except ValueError:
        return False


_FORMATS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "int": lambda value: -(2**63) <= value < 2**63,
    "int32": lambda value: -(2**31) <= value < 2**31,
    "int64": lambda value: -(2**63) <= value < 2**63,
    "uint64": lambda value: 0 <= value < 2**64,
    "double": lambda value: True,
    "date": _is_date,
    "datetime": _is_datetime,
    "email": lambda value: "@" in value,
    "phone": lambda value: value.strip("+- 0123456789") == "",
}
_LIMITS: Final[Mapping[str, tuple[Callable[[Any], Any], Callable[[Any, Any], bool]]]] = {
    "minLength": (len, lambda found, limit: found >= limit),
    "maxLength": (len, lambda found, limit: found <= limit),
    "minItems": (len, lambda found, limit: found >= limit),
    "maxItems": (len, lambda found, limit: found <= limit),
    "minimum": (lambda value: value, lambda found, limit: found >= limit),
    "maximum": (lambda value: value, lambda found, limit: found <= limit),
}


class Schemas:
    """The schemas of one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._flat: dict[int, Schema] = {}

    def resolve(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a `$ref` points to; anything else is itself."""
        while "$ref" in found:
            place: Any = self._document
            for part in found["$ref"].removeprefix("#/").split("/"):
                place = place[part]
            found = place
        return found

    def flat(self, schema: Schema) -> Schema:
        """One schema that says what `schema` and all it is made of say together. Raises Unchecked."""
        known = self._flat.get(id(schema))
        if known is None:
            known = self._flat[id(schema)] = self._merged(self.resolve(schema))
        return known

    def _merged(self, schema: Schema) -> Schema:
        unknown = {name for name in schema if not name.startswith("x-")} - _CHECKED - _SAYS_NOTHING
        if unknown:
            raise Unchecked(f"the document uses {sorted(unknown)}")
        merged: dict[str, Any] = {name: value for name, value in schema.items() if name in _CHECKED - {"allOf"}}
        parts = [self.flat(part) for part in schema.get("allOf", ())]
        if parts and "properties" not in schema:
            merged.pop("type", None)  # this document wraps even strings in an "object" with nothing of its own
        for part in parts:
            properties = {**part.get("properties", {}), **merged.get("properties", {})}
            required = [*part.get("required", ()), *merged.get("required", ())]
            merged = {**{name: value for name, value in part.items() if name != "nullable"}, **merged}
            if properties:
                merged["properties"] = properties
            if required:
                merged["required"] = required
        if "properties" in merged:
            merged.setdefault("type", "object")
        return merged

    def check(self, schema: Schema, value: Any, where: str) -> Iterator[str]:
        """Everything in which `value` is not what the schema says, each as one sentence."""
        flat = self.flat(schema)
        if value is None and flat.get("nullable"):
            return
        kind = flat.get("type")
        if kind is not None and not _TYPES[kind](value):
            yield f"{where} is not of type {kind}"
            return
        if "enum" in flat and value not in flat["enum"]:
            yield f"{where} is none of the values the document names: {value!r}"
        yield from _limits(flat, value, where)
        if type(value) is dict:
            yield from self._fields(flat, value, where)
        elif type(value) is list and "items" in flat:
            for number, item in enumerate(value):
                yield from self.check(flat["items"], item, f"{where}[{number}]")

    def _fields(self, flat: Schema, value: Mapping[str, Any], where: str) -> Iterator[str]:
        for name in flat.get("required", ()):
            if name not in value:
                yield f"{where}.{name} is missing"
        properties = flat.get("properties")
        if properties is None:  # an object of which nothing is said
            return
        for name, item in value.items():
            if name in properties:
                yield from self.check(properties[name], item, f"{where}.{name}")
            else:
                yield f"{where}.{name} is not a field of the document"


def _limits(flat: Schema, value: Any, where: str) -> Iterator[str]:
    for name, (measure, holds) in _LIMITS.items():
        if name in flat and not holds(measure(value), flat[name]):
            yield f"{where} breaks {name} {flat[name]}"
    form = flat.get("format")
    if form is None:
        return
    if form not in _FORMATS:
        raise Unchecked(f"the document uses format {form}")
    if not _FORMATS[form](value):
        yield f"{where} is not a {form}: {value!r}"
