"""Accepted, accepted and looked at by a person, or refused: what one check-in comes to, from its evidence.

Time decides first, then the place or what stands in for it. A refusal has one cause. What is only suspicious is never
refused: it waits for a person (`ABNORMAL`), with its reasons. The classroom's code is worth as much as a position, and
leaves no mark.
"""

from dataclasses import dataclass, fields, replace
from typing import Final

from domain.attendance import ABNORMAL, LATE, NORMAL
from domain.geofence import Fence, Position

MINUTE_MS: Final = 60_000
SKEW_MS: Final = 5_000  # a phone's clock may be ahead by so much before it is not believed at all

ACCEPTED, REVIEW, REFUSED = "accepted", "review", "refused"

# Causes of a refusal.
TOO_EARLY, CLOSED, CANCELLED = "too_early", "closed", "cancelled"
FAR_AWAY, NO_LOCATION, BAD_CODE, NO_CODE = "far_away", "no_location", "bad_code", "no_code"
NOT_ENROLLED, ON_ANOTHER_ROSTER = "not_enrolled", "not_found"
# Reasons for a review.
OUTSIDE, INACCURATE, MOCKED, CONTRADICTS = "outside", "inaccurate", "mock_location", "code_but_elsewhere"
SHARED_DEVICE, TRAVELLED, SAME_POINT = "shared_device", "impossible_travel", "repeated_point"
REVIEW_REASONS: Final = (OUTSIDE, INACCURATE, MOCKED, CONTRADICTS, SHARED_DEVICE, TRAVELLED, SAME_POINT)
# Notes: worth telling, no reason for anything.
OFFLINE, NO_FENCE, BY_CODE, SIMPLIFIED = "offline", "no_fence", "by_code", "simplified"

_REFUSED_AT_ACCURACIES: Final = 5  # refused only when that many times the accuracy away: no honest fix is
_SECURE: Final = 1.0  # accepted within that many times the accuracy: two deviations of the error


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of a course, or of all. Minutes and metres; 0 means 0."""

    early_minutes: int = 15  # before the start: opens
    late_minutes: int = 15  # after the start: not late yet
    close_minutes: int = 30  # after the start: closes
    location_required: bool = True
    valid_distance: int = 200  # radius of the fence of a room that is only a point
    review_distance: int = 200  # beyond the fence and the accuracy: still looked at by a person
    code_required: bool = False
    offline_minutes: int = 10  # a phone without network may say so long afterwards when it was
    check_in_over_leave: bool = False
    checkout_required: bool = False
    checkout_minutes: int = 10  # before the end: who leaves then has stayed
    checkout_close_minutes: int = 15  # after the end: no check-out any more
    version: int = 0  # stands for all of these values: the same for the same
    place_asked: bool = True  # False while check-ins are simplified, whatever the course says

    def overlaid(self, said: dict[str, object]) -> "Rules":
        """These rules with what is said (not None) in place of what stood there. A 0 or False is said."""
        names = {field.name for field in fields(self)}
        return replace(self, **{name: value for name, value in said.items() if name in names and value is not None})  # type: ignore[arg-type]

    def without_place(self) -> "Rules":
        """The same, but nobody is asked where he is. They are other rules, and so of another version."""
        return replace(self, place_asked=False, location_required=False, version=self.version ^ 1)


@dataclass(frozen=True, slots=True)
class Window:
    """When a session takes check-ins, ms UTC. A teacher may have opened it earlier, extended it, or ended it."""

    opens_ms: int
    late_from_ms: int
    closes_ms: int

    def at(self, ms: int) -> str:
        """TOO_EARLY, NORMAL, LATE or CLOSED."""
        if ms < self.opens_ms:
            return TOO_EARLY
        if ms >= self.closes_ms:
            return CLOSED
        return LATE if ms >= self.late_from_ms else NORMAL


def window(
    rules: Rules,
    *,
    start_ms: int,
    opened_ms: int | None = None,
    extended_ms: int | None = None,
    ended_ms: int | None = None,
) -> Window:
    """The window of a session that starts at `start_ms`; what a teacher said wins.

    What is extended is the time to check in at all; who comes then is late as before. Who extends what was ended takes the
    end back.
    """
    opens = start_ms - rules.early_minutes * MINUTE_MS
    late_from = start_ms + rules.late_minutes * MINUTE_MS + 1
    closes = max(start_ms + rules.close_minutes * MINUTE_MS + 1, extended_ms or 0)
    if ended_ms is not None:
        closes = min(closes, ended_ms)
    return Window(min(opens, opened_ms) if opened_ms is not None else opens, late_from, closes)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a phone brings. `code` is None where none was given, else whether it was good. Metres."""

    now_ms: int
    at: Position | None = None
    accuracy_m: float | None = None
    client_ms: int | None = None
    offline: bool = False
    code: bool | None = None
    mocked: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`timing` is NORMAL or LATE whatever `status` is: what a confirmed review becomes."""

    decision: str
    cause: str = ""
    timing: str = ""
    at_ms: int = 0
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    late_min: int = 0
    outside_m: int | None = None  # metres beyond the edge of the fence; negative inside
    rule_version: int = 0

    @property
    def status(self) -> str:
        """Of the record: NORMAL, LATE, or ABNORMAL while a person has to look at it; blank for a refusal."""
        if self.decision == REFUSED:
            return ""
        return ABNORMAL if self.decision == REVIEW else self.timing

    def doubted(self, reason: str) -> "Verdict":
        """The same with one more reason for a review."""
        if self.decision == REFUSED or reason in self.reasons:
            return self
        return replace(self, decision=REVIEW, reasons=(*self.reasons, reason))


def judge(attempt: Attempt, rules: Rules, open_: Window, fence: Fence | None, *, start_ms: int) -> Verdict:
    """The verdict on what can be seen in the attempt itself; devices and travels are looked at elsewhere."""
    at_ms, notes = _time_of(attempt, rules)
    verdict = Verdict(REFUSED, at_ms=at_ms, notes=notes, rule_version=rules.version)
    timing = open_.at(at_ms)
    if timing in (TOO_EARLY, CLOSED):
        return replace(verdict, cause=timing)
    if attempt.code is False or (rules.code_required and attempt.code is None):
        return replace(verdict, cause=NO_CODE if attempt.code is None else BAD_CODE)
    late_min = max(0, at_ms - start_ms) // MINUTE_MS if timing == LATE else 0
    verdict = replace(verdict, decision=ACCEPTED, timing=timing, late_min=late_min)
    verdict = _placed(verdict, attempt, rules, fence)
    return verdict.doubted(MOCKED) if attempt.mocked and rules.place_asked else verdict


def _time_of(attempt: Attempt, rules: Rules) -> tuple[int, tuple[str, ...]]:
    """The server's time, but within the grace what a phone that was offline says, marked as such."""
    said = attempt.client_ms
    if not attempt.offline or said is None:
        return attempt.now_ms, ()
    late_ms = attempt.now_ms - said
    if not -SKEW_MS <= late_ms <= rules.offline_minutes * MINUTE_MS:
        return attempt.now_ms, ()
    return min(said, attempt.now_ms), (OFFLINE,)


def _placed(verdict: Verdict, attempt: Attempt, rules: Rules, fence: Fence | None) -> Verdict:
    by_code = (BY_CODE,) if attempt.code else ()
    if not rules.place_asked:
        return replace(verdict, notes=(*verdict.notes, *by_code, SIMPLIFIED))
    if fence is None:
        return replace(verdict, notes=(*verdict.notes, *by_code, NO_FENCE))
    if attempt.at is None:
        if attempt.code or not rules.location_required:
            return replace(verdict, notes=(*verdict.notes, *by_code))
        return replace(verdict, decision=REFUSED, timing="", late_min=0, cause=NO_LOCATION)
    outside = fence.outside_m(attempt.at)
    seen = replace(verdict, outside_m=round(outside), notes=(*verdict.notes, *by_code))
    how = _where(outside, attempt.accuracy_m, fence, rules)
    if how == "" or (how == INACCURATE and attempt.code) or not rules.location_required:
        return seen
    if attempt.code:
        return seen.doubted(CONTRADICTS)
    return (
        replace(seen, decision=REFUSED, timing="", late_min=0, cause=FAR_AWAY) if how == FAR_AWAY else seen.doubted(how)
    )


def _where(outside_m: float, accuracy_m: float | None, fence: Fence, rules: Rules) -> str:
    """Blank for inside as far as the fix can tell, else the reason for a review, or FAR_AWAY.

    A fix less accurate than the fence is large says little: it can only lower to a review, never refuse.
    """
    if accuracy_m is None or not 0 <= accuracy_m <= fence.size_m:
        return INACCURATE
    if outside_m <= accuracy_m * _SECURE:
        return ""
    far = outside_m > accuracy_m + rules.review_distance and outside_m > _REFUSED_AT_ACCURACIES * accuracy_m
    return FAR_AWAY if far else OUTSIDE
