"""Which college's lane an offering belongs to, decided from its rows alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SHARED_LANE: Final = "_"
"""The lane of everything that no college can be found for."""


@dataclass(frozen=True, slots=True)
class Belonging:
    """What one row says of where it belongs; blank = nothing. `unit` is that of the row's first teacher."""

    college: str
    unit: str
    campus: str


def college_of(rows: Iterable[Belonging]) -> str:
    """The college that most rows name, else the unit of most first teachers, else the campus of most, else blank.

    Ties go to the name that sorts first, so that the order of the rows does not matter. Rows without a college do not
    outvote those that name one.
    """
    colleges: Counter[str] = Counter()
    units: Counter[str] = Counter()
    campuses: Counter[str] = Counter()
    for row in rows:
        colleges[row.college] += 1
        units[row.unit] += 1
        campuses[row.campus] += 1
    for votes in (colleges, units, campuses):
        if winner := most_named(votes):
            return winner
    return ""


def lane_of(rows: Iterable[Belonging]) -> str:
    """The lane of an offering with these rows: its college, or the shared lane."""
    return college_of(rows) or SHARED_LANE


def most_named(votes: Counter[str]) -> str:
    """The name with most votes, ties by name; blank when nobody named any."""
    named = [(-count, name) for name, count in votes.items() if name]
    return min(named)[1] if named else ""
