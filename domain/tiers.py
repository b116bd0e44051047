"""What goes first: the tier of a class by its date, and within a tier the priority of the people it is for.

    hurried   put by a run that somebody asked to hurry
    today     a class that was, or is now, today or tomorrow
    near      this week and the next two
    middle    weeks three to ten from this one
    far       everything else, the past included

Lower goes first. Tiers are as of the day of the plan: whatever is still queued is ranked anew by the next one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

HURRIED: Final = -2
TODAY: Final = -1
NEAR: Final = 0
MIDDLE: Final = 1
FAR: Final = 2

NORMAL, URGENT = "normal", "urgent"
"""How a run is put; urgent goes before everything else in its lanes."""

TEACHES_THIS_WEEK: Final = 0
CLASS_WITHIN_TWO_WEEKS: Final = 1
TEACHES: Final = 2
ATTENDS: Final = 3
NOBODY_WAITS: Final = 4

_NEAR_WEEKS, _MIDDLE_WEEKS = 3, 11


@dataclass(frozen=True, slots=True)
class Horizon:
    """The days that matter as seen from one, in milliseconds UTC: each of these is where a span begins or ends."""

    day_ms: int
    week_ms: int
    next_week_ms: int
    today_until_ms: int
    fortnight_ms: int
    near_until_ms: int
    middle_until_ms: int

    @classmethod
    def of(cls, today: date, zone: ZoneInfo) -> "Horizon":
        """Seen from `today` in a zone; weeks begin on Monday."""
        monday = today - timedelta(days=today.weekday())

        def at(day: date) -> int:
            return int(datetime.combine(day, time(), zone).timestamp()) * 1000

        return cls(
            day_ms=at(today),
            week_ms=at(monday),
            next_week_ms=at(monday + timedelta(weeks=1)),
            today_until_ms=at(today + timedelta(days=2)),
            fortnight_ms=at(today + timedelta(days=14)),
            near_until_ms=at(monday + timedelta(weeks=_NEAR_WEEKS)),
            middle_until_ms=at(monday + timedelta(weeks=_MIDDLE_WEEKS)),
        )

    def tier(self, start_ms: int) -> int:
        """The tier of a class that starts then."""
        if self.day_ms <= start_ms < self.today_until_ms:
            return TODAY
        if self.week_ms <= start_ms < self.near_until_ms:
            return NEAR
        return MIDDLE if self.near_until_ms <= start_ms < self.middle_until_ms else FAR

    def least(self, starts: Iterable[int]) -> int:
        """The tier of a calendar: the least of its classes; far without any."""
        return min(map(self.tier, starts), default=FAR)

    def priority(self, starts: Iterable[int], *, teaches: bool) -> int:
        """Of a person with classes at these times, or of a course for its teachers; lower goes first."""
        ahead = [ms for ms in starts if ms >= self.week_ms]
        if teaches and any(ms < self.next_week_ms for ms in ahead):
            return TEACHES_THIS_WEEK
        if any(self.day_ms <= ms < self.fortnight_ms for ms in ahead):
            return CLASS_WITHIN_TWO_WEEKS
        if teaches:
            return TEACHES
        return ATTENDS if any(ms >= self.day_ms for ms in ahead) else NOBODY_WAITS
