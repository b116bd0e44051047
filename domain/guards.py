"""When a run has to ask a person before it goes on: too little came in, or too much would go.

Counts go in and questions come out; nothing here knows where they were counted. A *guard* (防护) is the rule, a *question*
(待确认) is what it has to say about one part of the source, one lane or the whole run.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

ROWS_LOST_PERCENT = 30  # of the rows of the last complete import
DELETES_ALWAYS = 20  # of a lane, whatever it holds
DELETES_PERCENT = 2  # of what a lane holds
DELETES_OF_RUN = 500


class Guard(StrEnum):
    """What was found to be too much."""

    ROWS = "rows"  # rows of one part of the source that are not there any more
    LANE = "lane"  # events of one lane that would be deleted
    COLLEGE = "college"  # a lane of which nothing would be left
    RUN = "run"  # events of all lanes that would be deleted
    REPAIR = "repair"  # objects of one lane that a repair would build again or delete
    REPAIRS = "repairs"  # the same of all lanes


_DELETES = {Guard.LANE: "lane", Guard.COLLEGE: "lane", Guard.RUN: "run"}


@dataclass(frozen=True, slots=True)
class Question:
    """`count` of `of` things would go, and up to `limit` would have gone without a question.

    `subject` is the part of the source or the lane; blank where the whole run is meant.
    """

    guard: Guard
    subject: str
    count: int
    of: int
    limit: int

    @property
    def about(self) -> tuple[str, str]:
        """Two questions about the same: the one with the greater count is the more serious."""
        return _DELETES.get(self.guard, self.guard.value), self.subject


@dataclass(frozen=True, slots=True)
class LaneLoss:
    """What a lane has at WPS and what of it would go. `stays`: whether anything of the lane would be left or be made."""

    lane: str
    live: int
    going: int
    stays: bool = True


def budget(live: int) -> int:
    """How many of a lane's `live` things may go without a question."""
    return max(DELETES_ALWAYS, live * DELETES_PERCENT // 100)


def ask_about_rows(before: Mapping[str, int], now: Mapping[str, int]) -> list[Question]:
    """Questions about parts of the source (meetings, enrolments) that have lost 30 % of their rows or more, or all."""
    found = []
    for part, was in sorted(before.items()):
        lost = was - now.get(part, 0)
        if was > 0 and lost * 100 >= was * ROWS_LOST_PERCENT:
            limit = (was * ROWS_LOST_PERCENT - 1) // 100
            found.append(Question(Guard.ROWS, part, lost, was, limit))
    return found


def ask_about_deletes(lanes: Iterable[LaneLoss]) -> list[Question]:
    """Questions about lanes that would lose more than their budget or everything, and about the run as a whole."""
    found, going, live = [], 0, 0
    for one in sorted(lanes, key=lambda each: each.lane):
        going, live = going + one.going, live + one.live
        if one.going and one.going >= one.live and not one.stays:
            found.append(Question(Guard.COLLEGE, one.lane, one.going, one.live, max(0, one.live - 1)))
        elif one.going > budget(one.live):
            found.append(Question(Guard.LANE, one.lane, one.going, one.live, budget(one.live)))
    if going > DELETES_OF_RUN:
        found.append(Question(Guard.RUN, "", going, live, DELETES_OF_RUN))
    return found


def ask_about_repairs(lanes: Iterable[LaneLoss]) -> list[Question]:
    """The same budgets for what a repair would build again or delete: many at once is more likely a broken look."""
    found, going, live = [], 0, 0
    for one in sorted(lanes, key=lambda each: each.lane):
        going, live = going + one.going, live + one.live
        if one.going > budget(one.live):
            found.append(Question(Guard.REPAIR, one.lane, one.going, one.live, budget(one.live)))
    if going > DELETES_OF_RUN:
        found.append(Question(Guard.REPAIRS, "", going, live, DELETES_OF_RUN))
    return found


def unanswered(
    questions: Sequence[Question], confirmed: Iterable[Question], *, deletes_allowed: bool = False
) -> list[Question]:
    """What still has to be asked: an answer counts for what it was shown and for less, never for more.

    `deletes_allowed`: a person allowed as many deletes as there are before the run knew of them. That never answers for rows:
    nobody knows beforehand that a source is broken.
    """
    known: dict[tuple[str, str], int] = {}
    for one in confirmed:
        known[one.about] = max(known.get(one.about, 0), one.count)
    left = [one for one in questions if one.count > known.get(one.about, -1)]
    return [one for one in left if one.guard not in _DELETES] if deletes_allowed else left
