"""The app's access token: one per process, fetched by one thread at a time, renewed before it ends."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from ratelimit.retry_after import parse_retry_after
from remote.wps.envelope import read_object
from remote.wps.errors import Kind, WpsError, WpsMisconfigured, WpsNotSent, WpsThrottled, kind_of, redacted
from remote.wps.exchange import Exchange, ExchangeError, RawAnswer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from remote.wps.credentials import Credentials
    from remote.wps.deadlines import Deadline

_CALL: Final = "token"
_TARGET: Final = "/oauth2/token"
_EARLY_S: Final = 900.0
"""A token of two hours is renewed a quarter of an hour before its end; a short one at half its life."""
_MARGIN_S: Final = 10.0
"""Not used in its last seconds: a call that starts with it must still be accepted when it arrives."""
_AGAIN_S: Final = 30.0
"""After a failed renewal the old token serves on, and nobody tries again for this long."""
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")
_HEADERS: Final = {
    "content-type": "application/x-www-form-urlencoded",
    "accept": "application/json",
    "accept-encoding": "gzip",
    "user-agent": "obsync",
}


class _Token(NamedTuple):
    value: str
    renew_at_s: float
    ends_at_s: float


class TokenSource:
    """Hands out the current token. Thread-safe; times are on the monotonic clock."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        credentials: Credentials,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._exchange = exchange
        self._credentials = credentials
        self._clock = clock
        self._monotonic = monotonic
        self._fetching = threading.Lock()
        self._swapping = threading.Lock()  # held for an assignment only, so that drop() never waits for a fetch
        self._token: _Token | None = None

    def get(self, deadline: Deadline) -> str:
        """A token good for a call now; fetches one when there is none, within `deadline`.

        Raises WpsMisconfigured when the credentials are refused, WpsThrottled, and WpsNotSent for all else: no failure
        to get a token leaves a doubt about the call it was for.
        """
        held = self._token
        now_s = self._monotonic()
        if held and now_s < held.renew_at_s:
            return held.value
        if held and now_s < held.ends_at_s - _MARGIN_S:
            return self._renewed(held, deadline)
        if not self._fetching.acquire(timeout=max(deadline.left_s(), 0.0)):
            raise WpsNotSent(_CALL, message="another thread is still fetching the token", kind=Kind.TIMEOUT)
        try:
            held = self._token
            if held and self._monotonic() < held.renew_at_s:
                return held.value
            token = self._fetch(deadline)
            self._keep(token)
            return token.value
        finally:
            self._fetching.release()

    def drop(self, token: str) -> None:
        """Forget `token` because it was not accepted. A newer one stays: many calls may fail with the same old one."""
        with self._swapping:
            if self._token and self._token.value == token:
                self._token = None

    def _renewed(self, held: _Token, deadline: Deadline) -> str:
        """Renew early; whoever comes meanwhile, and whoever finds the renewal failing, goes on with the old token."""
        if not self._fetching.acquire(blocking=False):
            return held.value
        try:
            if self._token is not held:
                return (self._token or held).value
            try:
                token = self._fetch(deadline)
            except WpsError:
                token = held._replace(renew_at_s=self._monotonic() + _AGAIN_S)
            self._keep(token)
            return token.value
        finally:
            self._fetching.release()

    def _keep(self, token: _Token) -> None:
        with self._swapping:
            self._token = token

    def of_person(self, deadline: Deadline, code: str, redirect_uri: str) -> str:
        """The token of a person who has come back from the authorization page. Raises like `get`."""
        given = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return self._ask(given, deadline, secret=code).value

    def _fetch(self, deadline: Deadline) -> _Token:
        return self._ask({"grant_type": "client_credentials"}, deadline)

    def _ask(self, given: dict[str, str], deadline: Deadline, *, secret: str = "") -> _Token:
        form = {**given, "client_id": self._credentials.app_id, "client_secret": self._credentials.app_key}
        # The life of a token counts from before the request, so that a slow answer does not stretch it.
        asked_at_s = self._monotonic()
        try:
            answer = self._exchange.send(
                method="POST", target=_TARGET, headers=_HEADERS, body=urlencode(form).encode(), deadline=deadline
            )
        except ExchangeError as error:
            kind = Kind.TIMEOUT if error.timed_out else Kind.NETWORK
            raise WpsNotSent(_CALL, http_status=error.status, message=error.detail, kind=kind) from None
        return self._read(answer, asked_at_s, secret)

    def _read(self, answer: RawAnswer, asked_at_s: float, secret: str) -> _Token:
        body = read_object(answer.body)
        value, life_s = body.get("access_token"), body.get("expires_in")
        if (
            200 <= answer.status < 300
            and isinstance(value, str)
            and _HEADER_SAFE.fullmatch(value)
            and isinstance(life_s, int)
            and life_s > 0
        ):
            renew_after_s = max(life_s - _EARLY_S, life_s / 2)
            return _Token(value, asked_at_s + renew_after_s, asked_at_s + life_s)
        raise self._refusal(answer, body, secret)

    def _refusal(self, answer: RawAnswer, body: dict[str, object], secret: str) -> WpsError:
        code = body.get("code")
        code = code if isinstance(code, int) else None
        text = redacted(str(body.get("msg", "no token in the answer")), self._credentials.app_key, secret)
        kind = kind_of(http_status=answer.status, code=code)
        if kind is Kind.THROTTLED:
            wait_ms = parse_retry_after(answer.retry_after, now=self._clock(), date_header=answer.date)
            return WpsThrottled(_CALL, http_status=answer.status, code=code, message=text, retry_after_ms=wait_ms or 0)
        if kind in (Kind.SERVER, Kind.OK, Kind.LOCKED) or answer.status >= 500:
            return WpsNotSent(_CALL, http_status=answer.status, code=code, message=text, kind=Kind.SERVER)
        return WpsMisconfigured(_CALL, http_status=answer.status, code=code, message=text)
