"""A feed as the text of RFC 5545."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from icalendar import Calendar, Component, Event, Timezone, vDuration

from domain.feeds import Shown, Told, is_shown

_REFRESH: Final = timedelta(hours=1)


def text_of(
    name: str, shown: Sequence[Shown], told: Mapping[str, Told], *, tenant: str, zone: ZoneInfo, now_ms: int
) -> bytes:
    """The calendar `name` with the classes that are there, and those that were told and are gone."""
    calendar = Calendar()
    calendar.add("prodid", "-//Obsync//Timetable//ZH")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    for key in ("name", "x-wr-calname"):
        calendar.add(key, name)
    calendar.add("x-wr-timezone", zone.key)
    calendar.add("x-published-ttl", "PT1H")
    calendar["refresh-interval"] = vDuration(_REFRESH, params={"VALUE": "DURATION"})
    timezone = _timezone(zone.key)
    if timezone is not None:
        calendar.add_component(timezone)
    there = {one.id: one for one in shown}
    for id_, one in sorted(told.items(), key=lambda pair: (pair[1].start_ms, pair[0])):
        if is_shown(one, now_ms=now_ms):
            calendar.add_component(_event(id_, one, there.get(id_), tenant=tenant, zone=zone))
    return bytes(calendar.to_ical())


@lru_cache(maxsize=64)
def _timezone(key: str) -> Component | None:
    """The rules of a zone; UTC needs none."""
    return None if key in ("UTC", "Etc/UTC") else Timezone.from_tzid(key)


def _event(id_: str, told: Told, shown: Shown | None, *, tenant: str, zone: ZoneInfo) -> Event:
    event = Event()
    event.add("uid", f"{id_}@{tenant}.obsync")
    event.add("sequence", told.sequence)
    for key in ("dtstamp", "last-modified"):
        event.add(key, _utc(told.changed_ms))
    event.add("dtstart", _local(told.start_ms, zone))
    event.add("dtend", _local(told.end_ms, zone))
    event.add("summary", told.summary)
    if shown is not None and shown.location:
        event.add("location", shown.location)
    if shown is not None and shown.description:
        event.add("description", shown.description)
    held = shown is not None and not shown.cancelled
    event.add("status", "CONFIRMED" if held else "CANCELLED")
    event.add("transp", "OPAQUE" if held else "TRANSPARENT")
    return event


def _local(ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC if zone.key in ("UTC", "Etc/UTC") else zone)


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC)
