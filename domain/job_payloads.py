"""What the payload of a job may be changed to by hand: a schema for each kind, and the hash that goes with the result."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.calendars import CALENDAR_NAME_CHARS, TAG_CHARS, EventBody
from domain.ids import key_of
from domain.plans import DESCRIPTION_CHARS, PLACE_CHARS

PAYLOAD_BYTES: Final = 64 * 1024
SUMMARY_CHARS: Final = 200
_CODES = 100  # accounts asked for by one call
_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Editable:
    """A payload that can be sent, and the hash of the desired state that it stands for."""

    payload: str
    desired_hash: str


Payload = Mapping[str, Any]
Check = Callable[[Any], str | None]  # None, or what is wanted instead


def editable(kind: str, before: Payload, wanted: object) -> Editable | str:
    """The payload as it may be stored, or a sentence that says why it may not."""
    schema = _SCHEMAS.get(kind)
    if schema is None:
        return f"a job of kind {kind} has nothing to edit: what it sends is read when it is sent"
    if not isinstance(wanted, dict):
        return "a payload is one JSON object"
    if problem := _misfit(kind, schema, before, wanted):
        return problem
    text = json.dumps(wanted, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > PAYLOAD_BYTES:
        return f"a payload has at most {PAYLOAD_BYTES:,} bytes"
    return Editable(text, schema.hash_of(wanted))


def fields_of(kind: str) -> tuple[str, ...]:
    """The keys that the payload of a kind may have; none where there is nothing to edit."""
    schema = _SCHEMAS.get(kind)
    return () if schema is None else tuple(sorted({*schema.needed, *schema.optional}))


def _misfit(kind: str, schema: "_Schema", before: Payload, wanted: Payload) -> str | None:
    known = ", ".join(sorted({*schema.needed, *schema.optional}))
    for key in wanted:
        if key not in schema.needed and key not in schema.optional:
            return f"{kind} knows no {key}; it has {known}"
    for key in schema.needed:
        if key not in wanted:
            return f"{kind} needs {key}"
    for key, value in wanted.items():
        check = schema.needed.get(key) or schema.optional[key]
        if expected := check(value):
            return f"{key} must be {expected}, not {json.dumps(value, ensure_ascii=False)}"
    return schema.whole(before, wanted)


# --- values -----------------------------------------------------------------------------------------------------------


def _text(most: int, *, blank: bool = False) -> Check:
    """A text of at most so many characters."""

    def check(value: Any) -> str | None:
        good = isinstance(value, str) and len(value) <= most and (blank or value.strip() != "")
        return None if good else f"a text of {0 if blank else 1} to {most} characters"

    return check


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else f"{expected}, or null" if (expected := check(value)) else None


def _instant(value: Any) -> str | None:
    return None if type(value) is int and value > 0 else "milliseconds since 1970, UTC"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _codes(value: Any) -> str | None:
    good = isinstance(value, list) and 1 <= len(value) <= _CODES and all(isinstance(one, str) and one for one in value)
    return None if good else f"a list of 1 to {_CODES} numbers of people, as texts"


# --- kinds ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Schema:
    """The keys of a payload, what holds among them, and the hash of the whole."""

    needed: Mapping[str, Check]
    optional: Mapping[str, Check]
    whole: Callable[[Payload, Payload], str | None]
    hash_of: Callable[[Payload], str]


def _event_times(_before: Payload, wanted: Payload) -> str | None:
    if wanted["end_ms"] <= wanted["start_ms"]:
        return "end_ms must be after start_ms"
    return "an event lasts at most a day" if wanted["end_ms"] - wanted["start_ms"] > _DAY_MS else None


def _event_hash(wanted: Payload) -> str:
    names = ("summary", "description", "start_ms", "end_ms", "location")
    return EventBody(*(wanted[name] for name in names)).content_hash()


def _same_tag(before: Payload, wanted: Payload) -> str | None:
    tag = before["name"][-TAG_CHARS:]
    return None if wanted["name"].endswith(f" ·{tag}") else f"name must end in ` ·{tag}`: the calendar is known by it"


def _anything(_before: Payload, _wanted: Payload) -> str | None:
    return None


_SCHEMAS: Final[Mapping[str, _Schema]] = {
    "event": _Schema(
        needed={
            "summary": _text(SUMMARY_CHARS),
            "description": _text(DESCRIPTION_CHARS, blank=True),
            "start_ms": _instant,
            "end_ms": _instant,
            "location": _optional(_text(PLACE_CHARS)),
        },
        optional={"restored": _flag},
        whole=_event_times,
        hash_of=_event_hash,
    ),
    "calendar": _Schema(
        needed={"name": _text(CALENDAR_NAME_CHARS)},
        optional={},
        whole=_same_tag,
        hash_of=lambda wanted: key_of(wanted["name"]),
    ),
    "users": _Schema(
        needed={"codes": _codes}, optional={}, whole=_anything, hash_of=lambda wanted: key_of(*wanted["codes"])
    ),
}
