"""Our values as WPS bodies, and WPS bodies as our values. Reading is strict: what lacks an id is not an answer."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from domain.calendars import DirectoryUser, EventBody, RemoteCalendar, RemoteEvent, RemoteMember

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo


class BadPayload(ValueError):
    """An answer that says success without saying what it must."""


def dump(body: Mapping[str, object]) -> bytes:
    """Compact UTF-8 JSON: serialised once, so that the bytes signed are the bytes sent.

    Raises UnicodeEncodeError (a ValueError) for text that is no Unicode (lone surrogates).
    """
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def event_out(body: EventBody, zone: ZoneInfo, *, clear: bool = False) -> dict[str, object]:
    """An event as create and update want it. `clear` (for updates) also says that there is no location any more."""
    out: dict[str, object] = {
        "summary": body.summary,
        "description": body.description,
        "start_time": {"datetime": rfc3339(body.start_ms, zone)},
        "end_time": {"datetime": rfc3339(body.end_ms, zone)},
    }
    if body.location:
        out["locations"] = [{"name": body.location}]
    elif clear:
        out["locations"] = []
    return out


def rfc3339(instant_ms: int, zone: ZoneInfo) -> str:
    """The instant (ms UTC) as local time with offset; with a fraction only where there is one."""
    moment = datetime.fromtimestamp(instant_ms // 1_000, zone)
    rest_ms = instant_ms % 1_000
    if rest_ms:
        return (moment + timedelta(milliseconds=rest_ms)).isoformat(timespec="milliseconds")
    return moment.isoformat()


def event_in(raw: object, zone: ZoneInfo) -> RemoteEvent:
    """An event of ours or of anybody who may write to the calendar (all-day ones start at midnight in `zone`)."""
    found = _object(raw, "event")
    body = EventBody(
        summary=_text(found, "summary"),
        description=_text(found, "description"),
        start_ms=_instant_ms(found.get("start_time"), zone),
        end_ms=_instant_ms(found.get("end_time"), zone),
        location=_location(found.get("locations")),
    )
    return RemoteEvent(id=_id(found, "id"), body=body, cancelled=found.get("status") == "cancelled")


def calendar_in(raw: object) -> RemoteCalendar:
    """A calendar's detail."""
    found = _object(raw, "calendar")
    return RemoteCalendar(id=_id(found, "id"), name=_text(found, "summary"), deleted=found.get("is_deleted") is True)


def member_in(raw: object) -> RemoteMember:
    """A permission on a calendar."""
    found = _object(raw, "permission")
    return RemoteMember(permission_id=_id(found, "id"), user_id=_id(found, "user_id"), role=_id(found, "role"))


def user_in(raw: object) -> DirectoryUser:
    """A person of the directory; `ex_id` is empty for one that carries no number of the school."""
    found = _object(raw, "user")
    return DirectoryUser(
        id=_id(found, "id"),
        ex_id=_text(found, "ex_user_id"),
        name=_text(found, "user_name"),
        status=_text(found, "status"),
    )


def current_user_in(raw: object) -> DirectoryUser:
    """Whoever a person's own token belongs to."""
    found = _object(raw, "user")
    return DirectoryUser(
        id=_id(found, "id"), ex_id=_text(found, "ex_user_id"), name=_text(found, "user_name"), status=""
    )


def items_in(raw: object) -> list[object]:
    """The `items` of an answer's data; null stands for none, a missing list is no answer."""
    found = _object(raw, "data")
    if "items" not in found:
        raise BadPayload("data without items")
    items = found["items"]
    if items is None:
        return []
    if not isinstance(items, list):
        raise BadPayload("items is not a list")
    return items


def next_token_in(raw: object) -> str | None:
    """The token of the next page; None at the end."""
    token = _object(raw, "data").get("next_page_token")
    if token is None or token == "":
        return None
    if not isinstance(token, str):
        raise BadPayload("next_page_token is not a string")
    return token


def _object(raw: object, what: str) -> dict[str, object]:
    if not isinstance(raw, dict):
        raise BadPayload(f"{what} is not an object")
    return raw


def _id(found: dict[str, object], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise BadPayload(f"{name} is missing")
    return value


def _text(found: dict[str, object], name: str) -> str:
    value = found.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadPayload(f"{name} is not a string")
    return value


def _location(raw: object) -> str | None:
    if raw is None or raw == []:
        return None
    if not isinstance(raw, list):
        raise BadPayload("locations is not a list")
    return _text(_object(raw[0], "location"), "name") or None


def _instant_ms(raw: object, zone: ZoneInfo) -> int:
    found = _object(raw, "time")
    moment, day = found.get("datetime"), found.get("date")
    try:
        if isinstance(moment, str) and moment:
            return _ms(datetime.fromisoformat(moment))
        if isinstance(day, str) and day:
            return _ms(datetime.combine(date.fromisoformat(day), time(), zone))
    except (ValueError, OverflowError):
        pass
    raise BadPayload("a time that is neither a datetime with offset nor a date")


def _ms(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("no offset")
    # Float seconds are exact to the millisecond for any year a datetime can name.
    return round(moment.timestamp() * 1_000)
