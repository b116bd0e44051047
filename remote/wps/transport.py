"""The one outlet for calls to WPS, and the outlet pays.

    admit ─▶ the caller sleeps `wait_ms`, commits its intent ─▶ call ─▶ answer, or one of the exceptions of `errors`
               admit_next, while it is in flight ◀──────────────┘

`admit` and `admit_next` are the only places of the product that spend from the limiter, and one admission is good for one
call. A call has one deadline for everything (token included), is sent at most once, and belongs to a lane. Its guard runs on
an open connection right before the first byte: what fails up to there is WpsNotSent, what fails after it is WpsUnknown.

It is also the only place that asks the circuit breaker (with each admission) and tells it what came of calls.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from observability.failpoints import failpoint
from observability.log import current, get_logger
from observability.metrics import ADMISSION_WAIT, ADMISSIONS, WPS_CALLS, WPS_SECONDS
from ratelimit.limiter import Limiter, LimiterAway, Park, Start
from ratelimit.retry_after import parse_retry_after
from remote.wps.auth import TokenSource
from remote.wps.deadlines import Deadline
from remote.wps.envelope import Envelope, read_envelope
from remote.wps.errors import (
    GuardRefused,
    Kind,
    WpsError,
    WpsNotSent,
    WpsThrottled,
    WpsUnknown,
    classify,
    kind_of,
    redacted,
    speaks_for_an_outage,
)
from remote.wps.exchange import Exchange, ExchangeError, RawAnswer
from remote.wps.signing import authorization, kso_date

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from remote.wps.credentials import Credentials

log = get_logger("wps")

_JSON: Final = "application/json"
_AWAY_MS: Final = 1_000
"""How long to park while the limiter's store is away."""
_SLOT_MARGIN_MS: Final = 1_000
"""A slot outlives its call's budget by this much, for the caller's own work between admission and call."""
_FIRST_LATENCY_MS: Final = 150.0
"""Taken as the time of a call until one was measured: the service's usual answer time."""
_LATENCY_SHARE: Final = 0.1
"""Weight of the newest call in the moving average."""
_MAX_THROTTLE_MS: Final = 60_000
_BLOCK_ONLY: Final = -1
"""An epoch the limiter never has: everybody waits, and the rate is not cut."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Leave for one call, to be made after `wait_ms`. `guard` raises GuardRefused when the call must not go out; `sent` is
    told when it has gone out, and its answer is waited for.

    `trip` and `doubted` are the breaker's: which time between two outages this is, and whether it waits for good news.
    """

    lane: str
    slot: str
    epoch: int
    wait_ms: int
    guard: Callable[[], None] | None = None
    sent: Callable[[], None] | None = None
    trip: int = 0
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Parked:
    """No call for `wait_ms`: the limiter's wait is too long, it is blocked, full or away, or WPS is down."""

    wait_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the client describes it. `target` is path and query, percent-encoded, without the base address."""

    name: str
    method: str
    target: str
    body: bytes = b""
    list_write: bool = False
    done_when: frozenset[Kind] = frozenset()
    bearer: str = field(default="", repr=False)  # the token of a person, in place of the app's


class AdmissionSpent(ValueError):
    """The admission was used already, released, or never given: a call without paying is a mistake in the caller."""


class Transport:
    """Connections, token, limiter and signature of one app. Thread-safe; made after a fork."""

    def __init__(
        self,
        *,
        base_url: str,
        credentials: Credentials,
        limiter: Limiter,
        limiter_key: str,
        budget_s: float,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        max_connections: int = 64,
        label_lanes: bool = False,
    ) -> None:
        """`budget_s` bounds a whole call; `clock` tells aware UTC. `label_lanes` adds headers with the lane's name and the
        id of the request that the call comes of, for a simulator's log: WPS declares none. Raises ValueError for a bad
        address."""
        self._base_url = base_url.rstrip("/")
        self._credentials = credentials
        self._limiter = limiter
        self._key = limiter_key
        self._budget_s = budget_s
        self._clock = clock
        self._monotonic = monotonic
        self._label_lanes = label_lanes
        self._exchange = Exchange(base_url=base_url, max_connections=max_connections)
        self._tokens = TokenSource(exchange=self._exchange, credentials=credentials, clock=clock, monotonic=monotonic)
        self._lock = threading.Lock()
        self._unspent: dict[str, float] = {}
        self._latency_ms = _FIRST_LATENCY_MS
        self._throttled_epoch: int | None = None
        self._throttles = 0
        self._blocked_until_s = 0.0

    @property
    def is_blocked(self) -> bool:
        """Whether WPS has told this process to leave it alone for a while, and it is not over. Others may know of more."""
        return self._monotonic() < self._blocked_until_s

    @property
    def latency_ms(self) -> float:
        """Moving average of the time of a call, in milliseconds."""
        return self._latency_ms

    def admit(self, *, lane: str, max_wait_ms: int = 250, release: str | None = None) -> Admitted | Parked:
        """Pay for one call of `lane`; `release` gives back the slot of the call before in the same round trip.

        Never sleeps and never raises for the limiter: it is closed while its store is away.
        """
        _check_lane(lane)
        hold_ms = round(self._budget_s * 1_000) + max_wait_ms + _SLOT_MARGIN_MS
        try:
            found = self._limiter.acquire(self._key, hold_ms=hold_ms, max_wait_ms=max_wait_ms, release=release)
        except LimiterAway:
            ADMISSIONS.add("limiter_away")
            return Parked(_AWAY_MS, "limiter_away")
        if isinstance(found, Park):
            ADMISSIONS.add(f"parked_{found.reason}")
            return Parked(found.wait_ms, found.reason)
        return self._admitted(lane, found, hold_ms)

    def _admitted(self, lane: str, found: Start, hold_ms: int) -> Admitted:
        ADMISSIONS.add("after_a_wait" if found.wait_ms else "at_once")
        ADMISSION_WAIT.observe(found.wait_ms / 1000)
        self._remember(found.slot, hold_ms / 1_000)
        return Admitted(lane, found.slot, found.epoch, found.wait_ms, trip=found.trip, doubted=found.doubted)

    def admit_next(self, flying: Admitted) -> Admitted | None:
        """Pay for the call that follows `flying` in its lane, while that one is in flight; None: not now.

        Its slot is that of `flying`, passed on: a lane has one call in flight, and the next one starts when it is over.
        Only what may start at once is paid for: a granted start that lies ahead is not to be missed by a slow answer.
        """
        hold_ms = round(self._budget_s * 1_000) + _SLOT_MARGIN_MS
        with suppress(LimiterAway):
            found = self._limiter.acquire(self._key, hold_ms=hold_ms, max_wait_ms=0, pass_on=flying.slot)
            if isinstance(found, Start):
                return self._admitted(flying.lane, found, hold_ms)
        return None

    def release(self, admitted: Admitted) -> None:
        """Give a slot back without an admission to ride with. While the store is away its own deadline frees it."""
        with self._lock:
            self._unspent.pop(admitted.slot, None)
        try:
            self._limiter.release(self._key, admitted.slot)
        except LimiterAway:
            return

    def call(self, on: Admitted, call: Call) -> object:
        """Make `call` once and return the answer's `data` (None where there is none, or where an error means done).

        Raises the exceptions of `errors`; what `on.guard` raises goes through unchanged.
        """
        _check_lane(on.lane)
        self._spend(on)
        started_s = self._monotonic()
        try:
            found = self._call(on, call)
        except GuardRefused:
            self._say(on, call, started_s, "not_sent")
            raise  # no news of WPS
        except WpsError as error:
            self._say(on, call, started_s, str(error.kind.value), error)
            self._tell_breaker(on, error)
            raise
        self._say(on, call, started_s, "ok")
        self._tell_breaker(on, None)
        return found

    def _say(self, on: Admitted, call: Call, started_s: float, outcome: str, error: WpsError | None = None) -> None:
        """One line for a call, so that its request can be followed to the end. Of what went well only where one asks."""
        took_s = self._monotonic() - started_s
        took_ms = round(took_s * 1_000, 1)
        WPS_CALLS.add(call.name, outcome)
        WPS_SECONDS.observe(took_s, call.name)
        say = log.debug if error is None else log.info
        said = {} if error is None else {"error": type(error).__name__}
        say("wps.call", call=call.name, call_lane=on.lane, outcome=outcome, took_ms=took_ms, **said)

    def _call(self, on: Admitted, call: Call) -> object:
        deadline = Deadline(self._budget_s, monotonic=self._monotonic)
        token = call.bearer or self._token(on, deadline)
        headers = self._headers(call, token, on.lane)
        started_s = self._monotonic()
        try:
            answer = self._exchange.send(
                method=call.method,
                target=call.target,
                headers=headers,
                body=call.body,
                deadline=deadline,
                before_first_byte=lambda: _before_first_byte(on),
                after_last_byte=on.sent,
                lose_answer=_lose_answer,
            )
        except ExchangeError as error:
            if error.sent:
                self._measure(started_s)
            raise _without_answer(call.name, error, self._secrets(token)) from None
        self._measure(started_s)
        return self._read(on, call, answer, token)

    def check_credentials(self) -> None:
        """Get a token, which spends nothing and belongs to no lane. Raises WpsMisconfigured when WPS does not know the
        app or its key, WpsThrottled and WpsNotSent when it cannot be asked now."""
        self._tokens.get(Deadline(self._budget_s, monotonic=self._monotonic))

    def authorize_url(self, *, redirect_uri: str, scope: str, state: str) -> str:
        """The page of WPS that asks a person whether he comes in as himself. Nothing is called."""
        query = {
            "client_id": self._credentials.app_id,
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "scope": scope,
            "state": state,
        }
        return f"{self._base_url}/oauth2/auth?{urlencode(query)}"

    def user_token(self, *, code: str, redirect_uri: str) -> str:
        """The token of the person who came back with `code`; it is kept nowhere. Like the app's own it spends nothing.

        Raises WpsMisconfigured where the code is not good (any more), WpsThrottled, and WpsNotSent for all else.
        """
        return self._tokens.of_person(Deadline(self._budget_s, monotonic=self._monotonic), code, redirect_uri)

    def close(self) -> None:
        """Close all connections."""
        self._exchange.close()

    def _headers(self, call: Call, token: str, lane: str) -> dict[str, str]:
        date = kso_date(self._clock())
        headers = {
            "content-type": _JSON,
            "accept": _JSON,
            "accept-encoding": "gzip",
            "user-agent": "obsync",
            "authorization": f"Bearer {token}",
            "x-kso-date": date,
            "x-kso-authorization": authorization(
                self._credentials,
                method=call.method,
                target=call.target,
                content_type=_JSON,
                date=date,
                body=call.body,
            ),
        }
        if self._label_lanes:
            headers["x-obsync-lane"] = quote(lane, safe="")
            headers["x-obsync-request"] = quote(current("request_id") or "", safe=":")
        return headers

    def _token(self, on: Admitted, deadline: Deadline) -> str:
        try:
            return self._tokens.get(deadline)
        except WpsThrottled as error:
            raise self._throttled(on, error, error.retry_after_ms or None) from None

    def _read(self, on: Admitted, call: Call, answer: RawAnswer, token: str) -> object:
        envelope = read_envelope(answer.body)
        code = envelope.code if envelope else None
        kind = kind_of(http_status=answer.status, code=code)
        if kind is Kind.OK and envelope and 200 <= answer.status < 300:
            self._throttles = 0
            return envelope.data
        if kind in call.done_when and answer.status < 500:
            return None
        if kind is Kind.AUTH and not call.bearer:
            self._tokens.drop(token)
        error = self._error(call, answer, envelope, token)
        wait_ms = parse_retry_after(answer.retry_after, now=self._clock(), date_header=answer.date)
        if kind is Kind.THROTTLED:
            told = self._throttled(on, error, wait_ms)
            raise told
        if answer.status == 503 and wait_ms:
            self._tell_limiter(epoch=_BLOCK_ONLY, retry_after_ms=wait_ms)
        raise error

    def _error(self, call: Call, answer: RawAnswer, envelope: Envelope | None, token: str) -> WpsError:
        text = (
            envelope.message if envelope else "not an answer of WPS: " + answer.body[:4_000].decode("utf-8", "replace")
        )
        return classify(
            call.name,
            http_status=answer.status,
            code=envelope.code if envelope else None,
            message=redacted(text, *self._secrets(token)),
            list_write=call.list_write,
        )

    def _throttled(self, on: Admitted, error: WpsError, wait_ms: int | None) -> WpsError:
        """Tell the limiter, and put the wait into `error` where it is a definite throttle."""
        if wait_ms is None:
            wait_ms = self._own_wait_ms(on.epoch)
        self._tell_limiter(epoch=on.epoch, retry_after_ms=wait_ms)
        if isinstance(error, WpsThrottled):
            error.retry_after_ms = wait_ms
        return error

    def _own_wait_ms(self, epoch: int) -> int:
        """1, 2, 4 … 60 s by consecutive throttles. Calls that were in flight together count as one: their epoch is
        the same."""
        with self._lock:
            if self._throttles == 0 or epoch != self._throttled_epoch:
                self._throttles += 1
                self._throttled_epoch = epoch
            return int(min(_MAX_THROTTLE_MS, 1_000 << min(self._throttles - 1, 6)))

    def _tell_limiter(self, *, epoch: int, retry_after_ms: int) -> None:
        with self._lock:
            self._blocked_until_s = max(self._blocked_until_s, self._monotonic() + retry_after_ms / 1_000)
        try:
            self._limiter.throttled(self._key, epoch=epoch, retry_after_ms=retry_after_ms)
        except LimiterAway:
            # Nothing may start while the store is away, which is what the report was for.
            return

    def _tell_breaker(self, on: Admitted, error: WpsError | None) -> None:
        failed = error is not None and speaks_for_an_outage(error)
        if not failed and not on.doubted:
            return
        why = f"{error.kind}: {error.message}" if error is not None else ""
        try:
            change = self._limiter.report(self._key, slot=on.slot, trip=on.trip, failed=failed, why=why)
        except LimiterAway:
            # Nothing may start while the store is away; the next call that fails is told about again.
            return
        if change == "closed":
            log.info("wps.breaker_closed", call_lane=on.lane)
        elif change is not None:
            assert error is not None
            error.outage = True
            log.warning("wps.breaker_opened" if change == "opened" else "wps.probe_failed", reason=why)

    def _remember(self, slot: str, hold_s: float) -> None:
        now_s = self._monotonic()
        with self._lock:
            if len(self._unspent) > 256:  # left behind by callers that died between admission and call
                self._unspent = {old: until_s for old, until_s in self._unspent.items() if until_s > now_s}
            self._unspent[slot] = now_s + hold_s

    def _spend(self, on: Admitted) -> None:
        with self._lock:
            if self._unspent.pop(on.slot, None) is None:
                raise AdmissionSpent("one admission is good for one call: call admit() again")

    def _measure(self, started_s: float) -> None:
        took_ms = (self._monotonic() - started_s) * 1_000
        with self._lock:
            self._latency_ms += _LATENCY_SHARE * (took_ms - self._latency_ms)

    def _secrets(self, token: str) -> tuple[str, str]:
        return self._credentials.app_key, token


def _before_first_byte(on: Admitted) -> None:
    failpoint("wps.before_send")
    if on.guard is not None:
        on.guard()


def _lose_answer(whole: bool) -> bool:
    return failpoint("wps.after_reply" if whole else "wps.after_send")


def _check_lane(lane: str) -> None:
    if not lane:
        raise ValueError("every call to WPS belongs to a lane; tenant-wide ones to '_'")


def _without_answer(call: str, error: ExchangeError, secrets: tuple[str, str]) -> WpsError:
    text = redacted(error.detail, *secrets)
    if not error.sent:
        return WpsNotSent(call, message=text, kind=Kind.TIMEOUT if error.timed_out else Kind.NETWORK)
    if error.status:
        return WpsUnknown(call, http_status=error.status, message=text, kind=Kind.SERVER)
    return WpsUnknown(call, message=text, kind=Kind.TIMEOUT if error.timed_out else Kind.NETWORK)
