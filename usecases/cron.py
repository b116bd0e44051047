"""Cron text → due times. Several expressions may be joined by `;`: a slot of any of them is a slot.

Daylight saving, as Debian's cron does it: an expression that names its hour (`30 2 * * *`) is due once on the day the
clock goes back and at the end of the gap on the day it goes forward; one that says "every so often" (`0 * * * *`)
follows elapsed time, so that nothing happens twice at one instant and no hour is left out.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice

from cronsim import CronSim, CronSimError

from domain.schedules import Window, due_in, outside

LONGEST = 200
_FIELDS = 5
_HOUR_MS = 3_600_000
_TWO_DAYS_MS = 48 * _HOUR_MS
_LOOKED_AT = 3_000  # due times of two days, each minute one
_SPANS_MS = (_HOUR_MS, 24 * _HOUR_MS, 40 * 24 * _HOUR_MS)


class BadCron(Exception):
    """A text that is no schedule. `expression` is the part that cannot be read."""

    def __init__(self, expression: str, problem: str) -> None:
        super().__init__(f"cron {expression!r} cannot be used: {problem}")
        self.expression = expression
        self.problem = problem


def checked(text: str, *, zone: tzinfo, now_ms: int) -> str:
    """The text with single blanks. Raises `BadCron` when a part of it cannot be read or is never due."""
    parts = [" ".join(part.split()) for part in text.split(";")]
    joined = "; ".join(parts)
    if len(joined) > LONGEST:
        raise BadCron(joined[:40] + "…", f"it is longer than {LONGEST} characters")
    for part in parts:
        if next(_after(part, zone, now_ms), None) is None:
            raise BadCron(part, "it is never due")
    return joined


def next_due(text: str, *, zone: tzinfo, after_ms: int, windows: Sequence[Window] = ()) -> int:
    """The first due time after `after_ms`. Raises `BadCron`."""
    firsts = [
        next(outside(islice(_after(part, zone, after_ms), _LOOKED_AT), windows, zone), None) for part in _parts(text)
    ]
    firsts.append(next(due_in(windows, zone, after_ms=after_ms, until_ms=after_ms + _TWO_DAYS_MS), None))
    due = [first for first in firsts if first is not None]
    if not due:
        raise BadCron(text, "it is never due")
    return min(due)


def _parts(text: str) -> list[str]:
    """The expressions; none where the text is blank: such a schedule starts when something happens, or in its windows."""
    return text.split(";") if text.strip() else []


def newest_due(
    text: str, *, zone: tzinfo, after_ms: int, until_ms: int, most: int, windows: Sequence[Window] = ()
) -> list[int]:
    """The newest `most` due times in (after, until], ascending. Raises `BadCron`.

    Looks back an hour first, then further: after a month without a scheduler nobody wants to count its minutes.
    """
    found: list[int] = []
    for span_ms in (*_SPANS_MS, until_ms - after_ms):
        start_ms = max(after_ms, until_ms - span_ms)
        slots = {slot for part in _parts(text) for slot in _between(part, zone, start_ms, until_ms)}
        slots = set(outside(slots, windows, zone))
        if span_ms <= _SPANS_MS[-1]:  # further back there are more of them than anybody wants
            slots |= set(due_in(windows, zone, after_ms=start_ms, until_ms=until_ms))
        found = sorted(slots)
        if start_ms == after_ms or len(found) >= most:
            break
    return found[-most:]


def _between(expression: str, zone: tzinfo, after_ms: int, until_ms: int) -> Iterator[int]:
    for slot in _after(expression, zone, after_ms):
        if slot > until_ms:
            return
        yield slot


def _after(expression: str, zone: tzinfo, after_ms: int) -> Iterator[int]:
    """Due times after an instant, strictly ascending."""
    fields = expression.split()
    if len(fields) != _FIELDS:
        raise BadCron(expression.strip(), "it takes five fields: minute, hour, day of month, month, day of week")
    start = (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=after_ms)).astimezone(zone)
    last_ms = after_ms
    try:
        for moment in CronSim(" ".join(fields), start):
            slot_ms = round(moment.timestamp() * 1000)
            # In the repeated hour an expression of local times may answer with its first pass, which is over.
            if slot_ms > last_ms:
                last_ms = slot_ms
                yield slot_ms
    except (CronSimError, ValueError) as error:
        problem = str(error)
        raise BadCron(expression.strip(), problem[:1].lower() + problem[1:]) from error
