"""What became of a student in a session: a pure function of the set of facts about the two.

A fact has an id and a time of its own, and is never changed or removed; what takes it back is another fact. So facts may
arrive in any order, in any batches, and more than once: the status is the same. Counters are sums over statuses.

    correction of a person  >  leave  >  check-in  >  absent at the end  >  pending
    two exceptions: who came late and was given leave afterwards stays late, with the leave noted; who came in spite of an
    earlier leave is what the setting says.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# --- statuses ------------------------------------------------------------------------------------------------------

PENDING, ATTENDED, LATE, EARLY = "PENDING", "ATTENDED", "LATE", "EARLY"
ABSENT, LEAVE, REVIEW, DROPPED = "ABSENT", "LEAVE", "REVIEW", "DROPPED"
STATUSES: Final = (PENDING, ATTENDED, LATE, EARLY, ABSENT, LEAVE, REVIEW, DROPPED)

NORMAL, ABNORMAL = "NORMAL", "ABNORMAL"
"""With LATE and EARLY what a check-in may be; ABNORMAL waits for a person."""

_OF_CHECK_IN: Final[Mapping[str, str]] = {NORMAL: ATTENDED, LATE: LATE, EARLY: EARLY, ABNORMAL: REVIEW}
_RANK: Final[Mapping[str, int]] = {NORMAL: 0, LATE: 1, EARLY: 1, ABNORMAL: 2}

# --- facts -----------------------------------------------------------------------------------------------------------

CHECK_IN, CHECK_OUT, ON_LEAVE, CORRECTION, SWEEP = "check_in", "check_out", "leave", "correction", "sweep"
KINDS: Final = (CHECK_IN, CHECK_OUT, ON_LEAVE, CORRECTION, SWEEP)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened. `says`, by kind:

    check_in: NORMAL, LATE, EARLY, ABNORMAL · check_out: EARLY or NORMAL · leave: LEAVE, or blank when it was taken back ·
    correction: a status, or blank to take corrections back · sweep: ABSENT.
    `about` groups facts of which only the newest counts: the id of a leave.
    """

    id: str
    kind: str
    at_ms: int
    says: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide between facts."""

    check_in_over_leave: bool = False
    checkout_required: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A status, whether a leave is noted beside it, and the kind of fact it comes from; blank for none."""

    status: str
    leave_noted: bool = False
    by: str = ""


def standing(facts: Iterable[Fact], policy: Policy, *, dropped: bool = False) -> Standing:
    """What the facts about one student in one session come to. `dropped`: left the course before the session."""
    known = sorted({fact.id: fact for fact in facts}.values(), key=lambda fact: (fact.at_ms, fact.id))
    leave = _leave(known)
    said = _newest(known, CORRECTION)
    if said is not None and said.says:
        return Standing(said.says, leave is not None and said.says != LEAVE, CORRECTION)
    came = _came(known, policy)
    if leave is not None:
        return _with_leave(leave, came, policy)
    if came is not None:
        return Standing(_OF_CHECK_IN[came.says], by=CHECK_IN)
    if dropped:
        return Standing(DROPPED)
    return Standing(ABSENT, by=SWEEP) if _newest(known, SWEEP) else Standing(PENDING)


def of_check_in(says: str) -> Standing:
    """The standing of a student of whom nothing else is known but a check-in, whatever the policy."""
    return Standing(_OF_CHECK_IN[says], by=CHECK_IN)


def _newest(known: Sequence[Fact], kind: str) -> Fact | None:
    return next((fact for fact in reversed(known) if fact.kind == kind), None)


def _leave(known: Collection[Fact]) -> Fact | None:
    """The first leave that stands: of each leave only its newest fact counts."""
    newest = {fact.about: fact for fact in known if fact.kind == ON_LEAVE}
    standing_ones = [fact for fact in newest.values() if fact.says]
    return min(standing_ones, key=lambda fact: (fact.at_ms, fact.id), default=None)


def _came(known: Sequence[Fact], policy: Policy) -> Fact | None:
    """The best check-in there is, the first of equals, lowered where the student left before the end."""
    ins = [fact for fact in known if fact.kind == CHECK_IN]
    best = min(ins, key=lambda fact: (_RANK[fact.says], fact.at_ms, fact.id), default=None)
    if best is None or best.says != NORMAL:
        return best
    out = _newest(known, CHECK_OUT)
    never = out is None and policy.checkout_required and _newest(known, SWEEP) is not None
    left = never or (out is not None and out.says == EARLY)
    return Fact(best.id, CHECK_IN, best.at_ms, EARLY) if left else best


def _with_leave(leave: Fact, came: Fact | None, policy: Policy) -> Standing:
    if came is None:
        return Standing(LEAVE, by=ON_LEAVE)
    after = (came.at_ms, came.id) > (leave.at_ms, leave.id)
    if policy.check_in_over_leave if after else came.says == LATE:
        return Standing(_OF_CHECK_IN[came.says], leave_noted=True, by=CHECK_IN)
    return Standing(LEAVE, by=ON_LEAVE)


# --- exceptions -------------------------------------------------------------------------------------------------------

WAITS, REFUSED, SUSPICIOUS = "review", "refused", "suspicious"
EXCEPTIONS: Final = (WAITS, REFUSED, SUSPICIOUS)


def exception_of(status: str, by: str) -> str:
    """What became of a check-in that somebody had to look at: it waits for a person, a person did not believe it, or it
    stands all the same. `by` is the kind of fact that the status comes from."""
    if status == REVIEW:
        return WAITS
    return REFUSED if status == ABSENT and by == CORRECTION else SUSPICIOUS


# --- counters --------------------------------------------------------------------------------------------------------

COUNTERS: Final = (
    "total_students", "attended_count", "absent_count", "leave_count", "pending_count", "review_count", "late_count",
    "early_count",
)  # fmt: skip
"""total = attended + absent + leave + pending + review; late and early are among attended."""

_COUNTED: Final[Mapping[str, tuple[str, ...]]] = {
    ATTENDED: ("total_students", "attended_count"),
    LATE: ("total_students", "attended_count", "late_count"),
    EARLY: ("total_students", "attended_count", "early_count"),
    ABSENT: ("total_students", "absent_count"),
    LEAVE: ("total_students", "leave_count"),
    PENDING: ("total_students", "pending_count"),
    REVIEW: ("total_students", "review_count"),
    DROPPED: (),
    "": (),
}


def count(statuses: Iterable[str]) -> dict[str, int]:
    """The counters of a session whose students have these statuses."""
    found = Counter(name for status in statuses for name in _COUNTED[status])
    return {name: found[name] for name in COUNTERS}


def change(counted: Counter[str], before: str, after: str) -> None:
    """Add to `counted` what a student brings who was `before` (blank: not there) and is `after`."""
    for name in _COUNTED[before]:
        counted[name] -= 1
    for name in _COUNTED[after]:
        counted[name] += 1
