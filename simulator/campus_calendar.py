"""The year of a generated university: its term, exchange days, and the clocks of its campuses."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

FIRST_MONDAY = date(2026, 8, 31)
TERM_CODE = "2026-2027-1"
MINUTES = tuple[int, int]

# Minutes since midnight. Periods 11 and 12 overlap by five minutes, as they do at real universities.
_MORNING: tuple[MINUTES, ...] = ((480, 525), (535, 580), (600, 645), (655, 700))
_AFTERNOON: tuple[MINUTES, ...] = ((840, 885), (895, 940), (960, 1005), (1015, 1060))
_EVENING: tuple[MINUTES, ...] = ((1110, 1155), (1160, 1205), (1210, 1255), (1250, 1295))
PERIODS = len(_MORNING) + len(_AFTERNOON) + len(_EVENING)

# On the second campus the evening starts 35 minutes after period 8, the longest gap that still joins two periods.
_EVENING_SHIFT_MIN = (0, -15, 10)
_WINTER_SHIFT_MIN = -30


def _clock_text(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _day_of_periods(campus: int, *, winter: bool) -> tuple[tuple[str, str], ...]:
    late = _WINTER_SHIFT_MIN if winter else 0
    evening = late + _EVENING_SHIFT_MIN[campus % len(_EVENING_SHIFT_MIN)]
    shifted = [*((span, 0) for span in _MORNING), *((span, late) for span in _AFTERNOON)]
    shifted += [(span, evening) for span in _EVENING]
    return tuple((_clock_text(st + by), _clock_text(ed + by)) for (st, ed), by in shifted)


@dataclass(frozen=True, slots=True)
class Term:
    """One term with its exchange days and the date when the winter clock begins.

    `moved` gives for a date of the timetable the date on which its classes are really taught; `off` are the dates
    whose classes fall out; `crowded` are the made-up dates, on which nothing else is taught.
    """

    code: str
    first_monday: date
    weeks: int
    moved: dict[date, date]
    off: frozenset[date]
    crowded: frozenset[date]
    winter_from: date

    @classmethod
    def of(cls, weeks: int) -> Self:
        """The term of `weeks` weeks; from three weeks on it has a holiday whose classes are taught on other days."""
        if weeks >= 3:
            holiday = 6 if weeks >= 7 else 2
            moved = {
                _day(holiday, 2): _day(holiday - 1, 6),  # to an earlier day, from an even week to an odd one
                _day(holiday, 3): _day(holiday + 1, 6),  # to a later day, from an even week to an odd one
                _day(holiday, 4): _day(holiday, 6),  # to the Saturday of the same week
            }
            off = frozenset({_day(holiday, 1)})
        else:
            moved, off = {}, frozenset[date]()
        return cls(TERM_CODE, FIRST_MONDAY, weeks, moved, off, frozenset(moved.values()), _day(min(5, weeks), 4))

    def taught_on(self, week: int, weekday: int) -> date | None:
        """The date on which the class of this week and weekday (1-7) is taught; None when it falls out."""
        planned = _day(week, weekday)
        if planned in self.off or planned in self.crowded:
            return None
        return self.moved.get(planned, planned)

    @property
    def exchange(self) -> str:
        """Exchange days as text: `made-up date=teaching date`, joined by semicolons."""
        return ";".join(f"{made_up}={taught}" for taught, made_up in sorted(self.moved.items()))


def _day(week: int, weekday: int) -> date:
    return FIRST_MONDAY + timedelta(days=7 * (week - 1) + weekday - 1)


class Clocks:
    """Start and end of every period, by campus and date: the clock changes once inside the term."""

    def __init__(self, term: Term, campuses: int) -> None:
        self._winter_from = term.winter_from
        self._summer = tuple(_day_of_periods(campus, winter=False) for campus in range(campuses))
        self._winter = tuple(_day_of_periods(campus, winter=True) for campus in range(campuses))
        self._term = term

    def on(self, campus: int, day: date) -> tuple[tuple[str, str], ...]:
        """(start, end) as HH:MM of periods 1, 2, … of this campus on this date."""
        return (self._winter if day >= self._winter_from else self._summer)[campus]

    def rows(self, campus_names: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The rows of the file `periods`: term, campus, first date of the clock, period, start, end."""
        sets = ((self._term.first_monday, self._summer), (self._winter_from, self._winter))
        return [
            (self._term.code, name, str(since), str(period), st, ed)
            for since, clock in sets
            for name, periods in zip(campus_names, clock, strict=True)
            for period, (st, ed) in enumerate(periods, start=1)
        ]
