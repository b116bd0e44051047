"""Instants and days as the calendar service reads them.

A `datetime` needs date, `T`, seconds and an offset; it is given back in +08:00 whatever offset it came with, so a
client must compare instants and not texts. A `date` is a whole day of that zone. The two exclude each other.
"""

import re
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, NamedTuple

from simulator import errors
from simulator.errors import Refused

ZONE = timezone(timedelta(hours=8))
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_FIELDS = frozenset(("date", "datetime"))


class Moment(NamedTuple):
    """A point in time: as text, as epoch seconds, and whether it is a whole day."""

    text: str
    at_s: float
    all_day: bool


@lru_cache(maxsize=65_536)
def instant(text: str) -> Moment:
    """Reads an RFC 3339 date-time with offset; raises Refused."""
    if not _RFC3339.fullmatch(text):
        raise Refused(errors.PARAM_FORMAT, f"{text!r} is not an RFC 3339 date-time with offset")
    try:
        parsed = datetime.fromisoformat(text)
        at_s = parsed.timestamp()
        if not text.endswith("+08:00"):
            text = parsed.astimezone(ZONE).isoformat()
    except (ValueError, OverflowError):
        raise Refused(errors.PARAM_FORMAT, f"{text!r} is not a date-time") from None
    return Moment(text, at_s, False)


@lru_cache(maxsize=4096)
def day(text: str) -> Moment:
    """Reads a calendar date; raises Refused."""
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        parsed = date.fromisoformat(text)
    except ValueError:
        raise Refused(errors.PARAM_FORMAT, f"{text!r} is not a date") from None
    return Moment(text, datetime(parsed.year, parsed.month, parsed.day, tzinfo=ZONE).timestamp(), True)


def calendar_time(value: Any, where: str) -> Moment:
    """Reads `{"datetime": …}` or `{"date": …}`; raises Refused when it is both or neither."""
    if type(value) is not dict:
        raise Refused(errors.PARAM_FORMAT, f"{where} must be an object")
    if not value.keys() <= _FIELDS:
        raise Refused(errors.PARAM_UNSUPPORTED, f"{where} has unknown fields")
    at = value.get("datetime")
    on = value.get("date")
    if (at is None) == (on is None):
        raise Refused(errors.PARAM_FORMAT, f"{where} needs either datetime or date")
    given = on if at is None else at
    if type(given) is not str:
        raise Refused(errors.PARAM_FORMAT, f"{where} must hold a string")
    return day(given) if at is None else instant(given)


def is_calendar_time(value: Any, where: str) -> None:
    """`calendar_time` as a shape."""
    calendar_time(value, where)


def as_json(moment: Moment) -> dict[str, str]:
    """The time object of an answer."""
    return {"date": moment.text} if moment.all_day else {"datetime": moment.text}
