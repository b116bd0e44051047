"""Terms and the clocks of their periods: which date a week and weekday mean, which hours a period has."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

OPEN: Final = "open"
FROZEN: Final = "frozen"
ARCHIVED: Final = "archived"
STATUSES: Final = (OPEN, FROZEN, ARCHIVED)
"""In the order in which a term may go from one to the next by import; only a person may go back."""


@dataclass(frozen=True, slots=True)
class Term:
    """A term of a tenant. `made_up` gives for a teaching date the date on which its classes are really held."""

    code: str
    first_monday: date | None = None
    weeks: int | None = None
    status: str = OPEN
    made_up: Mapping[date, date] = field(default_factory=dict)

    @property
    def is_closed(self) -> bool:
        """Whether its rows wait: a frozen or archived term is not changed by imports."""
        return self.status != OPEN

    def date_of(self, week: int, weekday: int) -> date | None:
        """The date of a week and weekday (1-7), moved by the exchange days; None without a first Monday."""
        if self.first_monday is None:
            return None
        planned = self.first_monday + timedelta(days=7 * (week - 1) + weekday - 1)
        return self.made_up.get(planned, planned)


@dataclass(frozen=True, slots=True)
class PeriodRow:
    """One period of one clock. Blank `term` or `campus` means any; blank `since` means from the start.

    `since` is an ISO date, the first day of this clock; `start_s` and `end_s` are seconds since local midnight.
    """

    term: str
    campus: str
    since: str
    period: int
    start_s: int
    end_s: int


class PeriodTable:
    """Looks up the hours of a period by term, campus, date and number."""

    def __init__(self, rows: Iterable[PeriodRow]) -> None:
        self._clocks: dict[tuple[str, str, int], list[tuple[str, int, int]]] = {}
        for row in rows:
            entry = (row.since, row.start_s, row.end_s)
            self._clocks.setdefault((row.term, row.campus, row.period), []).append(entry)
        for clocks in self._clocks.values():
            clocks.sort()

    def hours(self, *, term: str, campus: str, day: date, period: int) -> tuple[int, int] | None:
        """Start and end in seconds since midnight by the clock in force on `day`; None where none says.

        What is said for the term goes before what is said for any term, then the campus before any campus.
        """
        text = day.isoformat()
        for key in ((term, campus, period), (term, "", period), ("", campus, period), ("", "", period)):
            clocks = self._clocks.get(key)
            if not clocks:
                continue
            place = bisect_right(clocks, text, key=lambda clock: clock[0])
            if place:
                return clocks[place - 1][1:]
        return None


def closed_reason(status: str) -> str | None:
    """Why nothing is synced for a term of this status; None where something is."""
    return {
        FROZEN: "imports do not change it any more",
        ARCHIVED: "it is over, and its calendars stay as they are",
    }.get(status)


def later_status(known: str, said: str) -> str:
    """The status after a source said `said` (blank = nothing) of a term known as `known`: a source never reopens."""
    return max(known, said or OPEN, key=STATUSES.index)


def exchange_pairs(text: str) -> tuple[tuple[str, str], ...]:
    """(made-up date, teaching date) as texts, from `made-up=teaching;…` or a JSON object. Raises ValueError."""
    if text.startswith("{"):
        return tuple((str(made_up), str(taught)) for made_up, taught in json.loads(text).items())
    pairs = []
    for pair in filter(None, (part.strip() for part in text.replace("；", ";").split(";"))):
        made_up, equals, taught = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} is not made-up=teaching")
        pairs.append((made_up.strip(), taught.strip()))
    return tuple(pairs)
