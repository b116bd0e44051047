"""A call without success, in the words of the decision, and how long its lane rests."""

from dataclasses import dataclass

from domain.outcomes import About, Failure
from remote.wps.errors import (
    GuardRefused,
    Kind,
    WpsConflict,
    WpsError,
    WpsLocked,
    WpsMisconfigured,
    WpsNoSuchUser,
    WpsNotSent,
    WpsRefused,
    WpsThrottled,
    WpsUnknown,
)

NO_CONNECTION_MS = 2_000
MISCONFIGURED_MS = 30_000


@dataclass(frozen=True, slots=True)
class Rest:
    """How long the lane should rest after this, and why; 0 = go on."""

    ms: int = 0
    note: str | None = None


GO_ON = Rest()


def failure_of(error: WpsError) -> Failure:
    """The error in the words of the decision."""
    if error.outage or isinstance(error, (WpsThrottled, WpsNotSent, WpsMisconfigured)):
        about = About.WORLD
    elif error.kind is Kind.GONE:
        about = About.OBJECT_GONE
    elif isinstance(error, WpsNoSuchUser):
        about = About.PERSON
    else:
        about = About.DATA
    # Something like it is there already: read and compare before anything is repeated. A lock is only busy.
    in_the_way = isinstance(error, WpsConflict) and not isinstance(error, WpsLocked)
    definite = isinstance(error, WpsRefused) and not in_the_way
    answered = in_the_way or (isinstance(error, WpsUnknown) and error.envelope)
    return Failure(definite, answered, about, error.policy.to_person, error.policy.retries)


def rest_after(error: WpsError) -> Rest:
    """How long the lane rests after an error that says nothing about what was sent."""
    if isinstance(error, WpsThrottled):
        return Rest(max(100, error.retry_after_ms), "throttled by WPS")
    if isinstance(error, WpsMisconfigured):
        return Rest(MISCONFIGURED_MS, f"WPS refuses us: {error.message}"[:200])
    if isinstance(error, GuardRefused):
        # A lease that is nearly over is not mended by trying again: the next claim gets a whole one.
        return Rest(1, error.message)
    if not isinstance(error, WpsNotSent):
        return Rest(NO_CONNECTION_MS, f"WPS does not answer: {error.message}"[:200])
    return Rest(NO_CONNECTION_MS, f"no connection to WPS: {error.message}"[:200])
