"""Before everything else: how many requests are in the application, and which are not let in.

At the bell more may come than two processors can serve. Who is let in then makes everybody slower, and in the end nobody is
served in time; who is told at once to come again costs a hundredth of a check-in. So check-ins have places of their own, and
whoever finds none within a moment, or comes while nobody could be accepted, is answered before anything about the request is
looked at: the answer says nothing about who asks. Other requests have threads of their own, and so many may wait for one: behind
a slow database they would take every thread there is, and nobody would be left to hear of a check-in, or to say how it stands.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from flask import Flask, g

from observability import tracing
from observability.log import get_logger
from observability.metrics import CHECK_INS, HTTP_REQUESTS
from usecases.check_in_breaker import Slots
from web.envelope import failure
from web.errors import ApiError
from web.line import Line
from web.site import now_ms

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = get_logger("web.front")

CHECK_IN: Final = "/api/v1/checkin"
_ALWAYS: Final = frozenset({"/healthz", "/readyz", "/metrics"})  # asked by machines, a few times a minute
_SAID_S: Final = 1.0
_PATIENCE_S: Final = 0.3  # what a student who presses a button does not notice
_FORMS: Final = 64  # of the answer, by language and type
_OWN: Final = ("content-length", "x-request-id", "retry-after")
_ID: Final = b"0" * 32
_TIME: Final = b"\0"
_TIMESTAMP: Final = re.compile(rb'(?<="timestamp":)\d+')

_Form = tuple[str, list[tuple[str, str]], bytes]
"""Status, headers that are alike in all, and the body."""


class Front:
    """`shut` says whether nobody could be accepted now; `places` check-ins and `others` other requests are let in at a time.

    `waiting` more check-ins wait for a place, for a moment each: a disk that stands still turns nobody away. As many others wait
    until one of them is through.
    """

    def __init__(
        self,
        app: Flask,
        *,
        places: int,
        waiting: int,
        others: int,
        shut: Callable[[], bool],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._flask, self._app = app, app.wsgi_app
        self._places, self._waiting, self._others = (
            threading.Semaphore(places),
            Slots(waiting),
            threading.Semaphore(others),
        )
        self._others_waiting, self._shut = Slots(waiting), shut
        self._clock_s, self._line = clock_s, Line(clock_s)
        self._turned_away, self._said_s = 0, float("-inf")
        self._form = lru_cache(maxsize=_FORMS)(self._make_form)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The application, or *come again*."""
        if environ["PATH_INFO"] != CHECK_IN or environ["REQUEST_METHOD"] != "POST":
            return self._other(environ, start_response)
        if self._shut():
            return self._come_again(environ, start_response, "shut")
        if not self._places.acquire(blocking=False) and not self._waited_for_a_place():
            return self._come_again(environ, start_response, "full")
        try:
            return self._app(environ, start_response)
        finally:
            self._places.release()
            self._line.served()

    def _other(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] in _ALWAYS:
            return self._app(environ, start_response)
        if not self._others.acquire(blocking=False):
            if not self._others_waiting.take():
                return self._come_again(environ, start_response, "full", of="other requests")
            try:
                self._others.acquire()
            finally:
                self._others_waiting.give()
        try:
            return self._app(environ, start_response)
        finally:
            self._others.release()

    def _waited_for_a_place(self) -> bool:
        if not self._waiting.take():
            return False
        try:
            return self._places.acquire(timeout=_PATIENCE_S)
        finally:
            self._waiting.give()

    def _come_again(
        self, environ: WSGIEnvironment, start_response: StartResponse, why: str, of: str = CHECK_IN
    ) -> Iterable[bytes]:
        form = self._form(*map(environ.get, ("HTTP_ACCEPT", "HTTP_ACCEPT_LANGUAGE", "HTTP_ORIGIN")))
        status, alike, text = form
        said = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = said if tracing.REQUEST_ID.fullmatch(said) else secrets.token_hex(16)
        body = text.replace(_ID, request_id.encode()).replace(_TIME, b"%d" % now_ms())
        own = [
            ("X-Request-ID", request_id),
            ("Retry-After", str(self._line.place())),
            ("Content-Length", str(len(body))),
        ]
        if of is CHECK_IN:
            CHECK_INS.add("turned_away")
        HTTP_REQUESTS.add(environ["REQUEST_METHOD"], of, status[:3])
        self._say(why, of)
        start_response(status, alike + own)
        return (body,)

    def _make_form(self, accept: str | None, languages: str | None, origin: str | None) -> _Form:
        """The answer that the application itself would give, but for what is different each time."""
        said = {"Accept": accept, "Accept-Language": languages, "Origin": origin}
        asked = {name: value for name, value in said.items() if value is not None}
        with self._flask.test_request_context(CHECK_IN, method="POST", headers=asked):
            g.request_id = _ID.decode()
            answer = self._flask.process_response(failure(ApiError("UNAVAILABLE")))
            alike = [one for one in answer.headers.to_wsgi_list() if one[0].lower() not in _OWN]
            return answer.status, alike, _TIMESTAMP.sub(_TIME, answer.get_data())

    def _say(self, why: str, of: str) -> None:
        """One line a second, and not one for each: they come by the hundred."""
        self._turned_away += 1
        now = self._clock_s()
        if now - self._said_s >= _SAID_S:
            self._said_s = now
            log.warning("front.turned_away", why=why, of=of, so_far=self._turned_away)
