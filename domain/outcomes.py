"""What a call that did not succeed means for the jobs it served.

certainly not applied ─▶ the intent goes, and the failure is somebody's: the world's, the object's, a person's, a job's
anything else         ─▶ the intent stays; settlement finds out
"""

from dataclasses import dataclass
from enum import Enum, auto


class About(Enum):
    """What an answer that is a definite no is about."""

    WORLD = auto()  # throttled, no connection, refused by the guard, wrong credentials: nothing about the jobs
    OBJECT_GONE = auto()  # what was to be changed does not exist any more
    PERSON = auto()  # somebody named in the call does not exist there
    DATA = auto()  # what was sent, or its state over there


@dataclass(frozen=True, slots=True)
class Failure:
    """A call without success. `definite`: certainly not applied; `answered`: the service spoke, so nothing lands later."""

    definite: bool
    answered: bool
    about: About
    to_person: bool = False  # a further try cannot help
    retries: int = 0


class Reaction(Enum):
    """What happens to jobs and mirror."""

    SETTLE_LATE = auto()  # intents stay, for the whole settlement wait
    SETTLE_SOON = auto()  # intents stay, for as long as lists may lag
    REST = auto()  # the lane rests; the attempt is given back
    MAKE_ANEW = auto()  # object, or calendar with everything in it, is gone
    LEAVE_OUT = auto()  # the person is taken off the list; the attempt is given back
    HALVE = auto()  # nobody knows which of them is to blame: half as many go next time, and no attempt counts
    RETRY = auto()  # the attempt counts, and the next one waits
    BURY = auto()  # a dead letter


def reaction(failure: Failure, *, writes: bool, alone: bool, names_people: bool, attempts: int) -> Reaction:
    """What to do about `failure` of a call.

    `alone`: the call served one job only, so that the failure is its own; `attempts`: those of that job before this call.
    """
    if writes and not failure.definite:
        return Reaction.SETTLE_SOON if failure.answered else Reaction.SETTLE_LATE
    if failure.about is About.WORLD:
        return Reaction.REST
    if failure.about is About.OBJECT_GONE and writes:
        return Reaction.MAKE_ANEW
    if failure.about is About.PERSON and names_people:
        return Reaction.LEAVE_OUT
    if not alone:
        return Reaction.HALVE
    if failure.to_person or attempts + 1 > failure.retries:
        return Reaction.BURY
    return Reaction.RETRY


def counts_before(*, alone: bool) -> bool:
    """Whether the attempt is counted with the intent, before the call: so that a job which kills its worker is buried too.

    In a list it is not: nobody would know whose it is.
    """
    return alone


def is_worn_out(attempts: int, *, max_attempts: int) -> bool:
    """Whether a job has used up its attempts, its last one included."""
    return attempts >= max_attempts


def is_definite(*, list_write: bool, alone: bool, answered: bool, throttled: bool) -> bool:
    """Whether a data error says that nothing was applied.

    Of a list, WPS may have applied a part; a list of one is as good as a single write. A throttle comes before the work.
    """
    return throttled or not list_write or (alone and answered)
