"""Everything a WPS call can end with, and what is done about it: one table.

How an answer is read: the number `code` of the JSON envelope first, the HTTP status second (the two need not agree: a
403 status has been seen with a 400-family code), and anything that is not JSON by its status alone.

What the exception's type says is whether the call *may have been applied*:

    WpsRefused   certainly not applied: nothing left this machine, or the answer is a definite no to a single write
    WpsUnknown   may have been applied: look before doing it again

A list write is never refused but by a throttle, because nothing promises that a failing list is applied as a whole or
not at all. For a read `WpsUnknown` only means "no answer, ask again".
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from domain.settlement import MAX_ATTEMPTS
from observability.redaction import scrubbed

if TYPE_CHECKING:
    from collections.abc import Mapping


class ErrorClass(StrEnum):
    """The classes that people see, filter and count."""

    AUTH = "auth"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    RATE_LIMIT = "rate_limit"
    SERVER = "server"
    NETWORK = "network"
    TIMEOUT = "timeout"
    BAD_REQUEST = "bad_request"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """One row of the policy table. Finer than the class where the same class needs two treatments."""

    OK = "ok"
    NO_CHANGE = "no_change"
    THROTTLED = "throttled"
    LOCKED = "locked"
    CONFLICT = "conflict"
    AUTH = "auth"
    FORBIDDEN = "forbidden"
    MISCONFIGURED = "misconfigured"
    GONE = "gone"
    MEMBER_GONE = "member_gone"
    NO_SUCH_USER = "no_such_user"
    REJECTED = "rejected"
    SERVER = "server"
    NETWORK = "network"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"


UNLIMITED: Final = sys.maxsize
"""A retry limit that is never reached: the error says nothing about the item."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is done after an error of one kind. Delays are milliseconds; `retries` 0 means never again by itself."""

    error_class: ErrorClass
    retries: int
    base_ms: int
    cap_ms: int
    to_person: bool


POLICIES: Final[Mapping[Kind, Policy]] = MappingProxyType(
    {
        #                          class                  retries  base   cap     to a person at once
        Kind.THROTTLED: Policy(ErrorClass.RATE_LIMIT, UNLIMITED, 1_000, 60_000, False),
        Kind.LOCKED: Policy(ErrorClass.CONFLICT, 5, 250, 5_000, False),
        Kind.CONFLICT: Policy(ErrorClass.CONFLICT, 3, 1_000, 30_000, False),
        Kind.AUTH: Policy(ErrorClass.AUTH, 3, 1_000, 30_000, False),
        Kind.FORBIDDEN: Policy(ErrorClass.AUTH, 0, 0, 0, True),
        Kind.MISCONFIGURED: Policy(ErrorClass.AUTH, 0, 0, 0, True),
        Kind.GONE: Policy(ErrorClass.NOT_FOUND, 1, 0, 0, False),
        Kind.MEMBER_GONE: Policy(ErrorClass.NOT_FOUND, 1, 0, 0, False),
        Kind.NO_SUCH_USER: Policy(ErrorClass.NOT_FOUND, 0, 0, 0, True),
        Kind.REJECTED: Policy(ErrorClass.BAD_REQUEST, 0, 0, 0, True),
        Kind.SERVER: Policy(ErrorClass.SERVER, 5, 1_000, 60_000, False),
        Kind.NETWORK: Policy(ErrorClass.NETWORK, 3, 1_000, 60_000, False),
        Kind.TIMEOUT: Policy(ErrorClass.TIMEOUT, 5, 1_000, 60_000, False),
        Kind.UNKNOWN: Policy(ErrorClass.UNKNOWN, 0, 0, 0, True),
    }
)

_LOOKED_UP: Final = (ErrorClass.CONFLICT, ErrorClass.SERVER, ErrorClass.NETWORK, ErrorClass.TIMEOUT, ErrorClass.UNKNOWN)
"""Classes of calls whose outcome has to be looked up; the others are judged when they are answered."""
_MOST_RETRIES: Final[Mapping[str, int]] = MappingProxyType(
    {one.value: max(row.retries for row in POLICIES.values() if row.error_class is one) for one in _LOOKED_UP}
)


def retries_after(error_class: str | None) -> int:
    """How often something is tried again whose last call ended with this class (None: its worker died)."""
    return _MOST_RETRIES.get(error_class or "", MAX_ATTEMPTS - 1)


# Names beside the numbers are the service's own.
CODES: Final[Mapping[int, Kind]] = MappingProxyType(
    {
        0: Kind.OK,
        400411340: Kind.NO_CHANGE,  # EventNoChange
        # Throttles: two of them come as 400-family codes.
        400000001: Kind.THROTTLED,  # CommonRateLimitExceeded
        429000001: Kind.THROTTLED,  # CommonTooManyRequests
        400411031: Kind.THROTTLED,  # CalendarGlobalThrottleErr
        400411036: Kind.THROTTLED,  # CalendarIPRateError
        # Somebody else is writing to the same calendar.
        400000005: Kind.LOCKED,  # CommonLocked
        400000006: Kind.LOCKED,  # CommonLockNotHeld
        400411035: Kind.LOCKED,  # CalendarLockErr
        400411039: Kind.LOCKED,  # CalendarLockDoingErr
        400411042: Kind.LOCKED,  # CalendarLockDoingBlockErr
        400000104: Kind.CONFLICT,  # CommonResourceAlreadyExist
        # A new token mends these.
        40100011: Kind.AUTH,  # OAuth2InvalidToken
        401030001: Kind.AUTH,  # TokenExpired
        401030003: Kind.AUTH,  # TokenInvalid
        401000001: Kind.AUTH,  # CommonAuthError
        # These only the tenant's administrator can mend.
        40000001: Kind.MISCONFIGURED,  # OAuth2InvalidRequest
        40000005: Kind.MISCONFIGURED,  # OAuth2InvalidScope
        40000999: Kind.MISCONFIGURED,  # OAuth2ClientError
        40100002: Kind.MISCONFIGURED,  # OAuth2UnauthorizedClient
        40100008: Kind.MISCONFIGURED,  # OAuth2InvalidClient
        40100009: Kind.MISCONFIGURED,  # OAuth2InvalidGrant
        40100010: Kind.MISCONFIGURED,  # OAuth2UnsupportedGrantType
        40300003: Kind.MISCONFIGURED,  # OAuth2AccessDenied
        40300010: Kind.MISCONFIGURED,  # OAuth2InsufficientScope
        403000001: Kind.FORBIDDEN,  # CommonNoPermission
        403411010: Kind.FORBIDDEN,  # CalendarNoRightErr
        400411852: Kind.FORBIDDEN,  # AccessForbidden
        400411860: Kind.FORBIDDEN,  # GroupNotEditPermission
        # Gone: done for a delete, create anew for an update.
        404411305: Kind.GONE,  # EventNotExist
        404411503: Kind.GONE,  # CalendarNotExist
        400411502: Kind.GONE,  # GroupNotExist (a calendar is called a group inside)
        404000001: Kind.GONE,  # CommonNotFound
        400000103: Kind.GONE,  # CommonResourceNotFound
        400411517: Kind.MEMBER_GONE,  # GroupMemberNotExistErr
        400411525: Kind.MEMBER_GONE,  # GroupNotMember
        400411862: Kind.MEMBER_GONE,  # NotSameCompany
        400411121: Kind.NO_SUCH_USER,  # CalendarUserNotExist
        400001006: Kind.NO_SUCH_USER,  # UserNotExists
        400002149: Kind.NO_SUCH_USER,  # UserExUserIdInvalid
        # The data is wrong and stays wrong.
        400000002: Kind.REJECTED,  # CommonParamFormatError
        400000003: Kind.REJECTED,  # CommonValueInvalidError
        400000004: Kind.REJECTED,  # CommonParamUnsupported
        400000007: Kind.REJECTED,  # CommonInvalidArgument
        400000105: Kind.REJECTED,  # CommonCountLimitExceeded
        400000106: Kind.REJECTED,  # CommonLengthLimitExceeded
        400411023: Kind.REJECTED,  # CalendarTextSecurityErr
        400411301: Kind.REJECTED,  # SummaryTooLong
        400411311: Kind.REJECTED,  # ReminderInputError
        400411323: Kind.REJECTED,  # LocationNameLengthLimit
        400411347: Kind.REJECTED,  # RecurrenceInvalid
        400411348: Kind.REJECTED,  # EventCrossDayTooLong
        400411350: Kind.REJECTED,  # TimeRangeError
        400411360: Kind.REJECTED,  # EventMemberOverLimit
        400411361: Kind.REJECTED,  # CreateEventOverLimit
        400411415: Kind.REJECTED,  # CalendarGroupOverLimit
        400411450: Kind.REJECTED,  # TeamMemberLimit
        400411550: Kind.REJECTED,  # DeleteMembersOverLimit
        400411551: Kind.REJECTED,  # AddMembersOverLimit
        # Their database, cache or inner call failed although the number says 400.
        400000201: Kind.SERVER,  # CommonRemoteFail
        400411032: Kind.SERVER,  # CalendarDBErr
        400411033: Kind.SERVER,  # CalendarRedisErr
        400411051: Kind.SERVER,  # RpcErr
        499000001: Kind.SERVER,  # CommonContextCanceled
    }
)

_BY_FAMILY: Final[Mapping[int, Kind]] = MappingProxyType(
    {
        400: Kind.REJECTED,
        401: Kind.AUTH,
        403: Kind.FORBIDDEN,
        404: Kind.GONE,
        409: Kind.CONFLICT,
        413: Kind.REJECTED,
        415: Kind.REJECTED,
        429: Kind.THROTTLED,
        499: Kind.SERVER,
    }
)

# Without an envelope a proxy or gateway speaks, not the service: "not found" means that the address is wrong and must
# never count as "the object is gone"; a bad signature is answered with an HTML 403.
_BY_STATUS: Final[Mapping[int, Kind]] = MappingProxyType(
    {
        400: Kind.REJECTED,
        401: Kind.AUTH,
        403: Kind.MISCONFIGURED,
        404: Kind.MISCONFIGURED,
        405: Kind.MISCONFIGURED,
        410: Kind.MISCONFIGURED,
        411: Kind.REJECTED,
        413: Kind.REJECTED,
        414: Kind.REJECTED,
        415: Kind.REJECTED,
        422: Kind.REJECTED,
        423: Kind.LOCKED,
        429: Kind.THROTTLED,
        431: Kind.REJECTED,
    }
)


def kind_of(*, http_status: int, code: int | None) -> Kind:
    """The row of the table for an answer; `code` is None when it was not an envelope.

    A success status without an envelope is the server's fault: nobody knows what it did.
    """
    if code is None:
        return _BY_STATUS.get(http_status, Kind.SERVER)
    if known := CODES.get(code):
        return known
    digits = str(code)
    family = int(digits[:3]) if len(digits) in (8, 9) and code > 0 else 0
    if 500 <= family <= 599:
        return Kind.SERVER
    return _BY_FAMILY.get(family, Kind.UNKNOWN)


def is_server_side(*, http_status: int, code: int | None) -> bool:
    """True when the status or the code says that the service itself failed, so that the call may still be running."""
    return http_status >= 500 or (code is not None and kind_of(http_status=http_status, code=code) is Kind.SERVER)


_DOWN: Final = frozenset({Kind.SERVER, Kind.NETWORK, Kind.TIMEOUT})


def speaks_for_an_outage(error: WpsError) -> bool:
    """Whether the breaker counts this as a failure of the service: no answer, or its own word that it is broken.

    A throttle, refused data and even refused credentials are answers of a service that lives.
    """
    return error.kind in _DOWN


def backoff_ms(policy: Policy, attempts: int, jitter: float) -> int:
    """Milliseconds to wait before attempt `attempts` + 1: doubling, capped, the upper half random.

    `attempts` counts those made (from 1); `jitter` is a random number in [0, 1) that the caller draws.
    """
    doublings = min(max(attempts, 1) - 1, 30)
    full = min(policy.cap_ms, policy.base_ms << doublings)
    return round(full * (0.5 + 0.5 * min(max(jitter, 0.0), 1.0)))


class WpsError(Exception):
    """A call that did not succeed. `message` is redacted and at most 300 characters.

    `outage` is set by the transport when the whole service is down: then it says nothing about the item.
    """

    default_kind: Kind = Kind.UNKNOWN
    outage: bool = False

    def __init__(
        self, call: str, *, http_status: int = 0, code: int | None = None, message: str = "", kind: Kind | None = None
    ) -> None:
        self.call = call
        self.http_status = http_status
        self.code = code
        self.message = message[:MESSAGE_CHARS]
        self.kind = kind or self.default_kind
        super().__init__(f"{call}: {self.kind} (status {http_status}, code {code}): {self.message}")

    @property
    def policy(self) -> Policy:
        """The row of the table for this error."""
        return POLICIES[self.kind]

    @property
    def error_class(self) -> str:
        """The class that people see."""
        return self.policy.error_class.value


class WpsRefused(WpsError):
    """Certainly not applied."""


class WpsThrottled(WpsRefused):
    """Too many calls; comes back after `retry_after_ms`. The limiter has been told already."""

    default_kind = Kind.THROTTLED

    def __init__(
        self, call: str, *, http_status: int = 0, code: int | None = None, message: str = "", retry_after_ms: int = 0
    ) -> None:
        super().__init__(call, http_status=http_status, code=code, message=message)
        self.retry_after_ms = retry_after_ms


class WpsRejected(WpsRefused):
    """The data is not acceptable: to a person."""

    default_kind = Kind.REJECTED


class WpsNoSuchUser(WpsRejected):
    """A person named in the call does not exist there: leave that person out."""

    default_kind = Kind.NO_SUCH_USER


class WpsGone(WpsRefused):
    """The object does not exist (any more)."""

    default_kind = Kind.GONE


class WpsConflict(WpsRefused):
    """Something is in the way: read, compare, settle."""

    default_kind = Kind.CONFLICT


class WpsLocked(WpsConflict):
    """Somebody else is writing to the same calendar: again shortly."""

    default_kind = Kind.LOCKED


class WpsAuth(WpsRefused):
    """The token was not accepted. It has been dropped: the next call fetches another."""

    default_kind = Kind.AUTH


class WpsForbidden(WpsRefused):
    """Not allowed for this object: no retry."""

    default_kind = Kind.FORBIDDEN


class WpsMisconfigured(WpsRefused):
    """Credentials, scopes or address are wrong: nothing will work until somebody mends them."""

    default_kind = Kind.MISCONFIGURED


class WpsNotSent(WpsRefused):
    """No byte of the request left this machine: no connection, no time, no token, or the guard said no."""

    default_kind = Kind.NETWORK


class GuardRefused(WpsNotSent):
    """Raised by a send guard: the call must not go out any more (too late, or not the owner now)."""

    default_kind = Kind.CONFLICT

    def __init__(self, reason: str, *, call: str = "guard") -> None:
        super().__init__(call, message=reason)


class WpsUnknown(WpsError):
    """May have been applied.

    `envelope` is True when the service answered in its own words and neither status nor code put the fault on its
    side: then the call is over and only list lag has to be waited for. `cause` is the classified answer, if any.
    """

    default_kind = Kind.SERVER

    def __init__(
        self,
        call: str,
        *,
        http_status: int = 0,
        code: int | None = None,
        message: str = "",
        kind: Kind | None = None,
        envelope: bool = False,
        cause: WpsError | None = None,
    ) -> None:
        super().__init__(call, http_status=http_status, code=code, message=message, kind=kind)
        self.envelope = envelope
        self.cause = cause


_EXCEPTIONS: Final[Mapping[Kind, type[WpsError]]] = MappingProxyType(
    {
        Kind.LOCKED: WpsLocked,
        Kind.CONFLICT: WpsConflict,
        Kind.AUTH: WpsAuth,
        Kind.FORBIDDEN: WpsForbidden,
        Kind.MISCONFIGURED: WpsMisconfigured,
        Kind.GONE: WpsGone,
        Kind.MEMBER_GONE: WpsGone,
        Kind.NO_SUCH_USER: WpsNoSuchUser,
        Kind.REJECTED: WpsRejected,
    }
)


def classify(call: str, *, http_status: int, code: int | None, message: str, list_write: bool = False) -> WpsError:
    """The exception for an answer that is not a success.

    A 5xx status makes even a definite code uncertain. The wait of a throttle is filled in by who reads the headers.
    """
    kind = kind_of(http_status=http_status, code=code)
    if kind in (Kind.OK, Kind.NO_CHANGE):  # said by an answer whose status, or whose call, does not fit
        kind = Kind.SERVER
    server_side = is_server_side(http_status=http_status, code=code)
    envelope = code is not None and not server_side
    definite = _definite(call, kind=kind, http_status=http_status, code=code, message=message)
    if definite is None or server_side or (list_write and not isinstance(definite, WpsThrottled)):
        cause = definite or WpsError(call, http_status=http_status, code=code, message=message, kind=kind)
        shown = Kind.SERVER if server_side else cause.kind
        return WpsUnknown(
            call, http_status=http_status, code=code, message=message, kind=shown, envelope=envelope, cause=cause
        )
    return definite


def _definite(call: str, *, kind: Kind, http_status: int, code: int | None, message: str) -> WpsError | None:
    if kind is Kind.THROTTLED:
        return WpsThrottled(call, http_status=http_status, code=code, message=message)
    if found := _EXCEPTIONS.get(kind):
        return found(call, http_status=http_status, code=code, message=message, kind=kind)
    return None


MESSAGE_CHARS: Final = 300

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


def redacted(text: str, *secrets: str) -> str:
    """`text` fit for logs and rows: no known secret, nothing that looks like a token, one line, 300 characters."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    return _UNPRINTABLE.sub(" ", scrubbed(text[:4_000])).strip()[:MESSAGE_CHARS]
