"""People sign in: the authorization page, the codes it gives, and the tokens of people.

`GET /oauth2/auth` shows a page that asks who one is. Its form comes back with `login=NUMBER`; and where somebody is signed in
already (`POST /_sim/sign-in`, as inside the WPS app) there is no page. Either way the browser is sent to `redirect_uri` with
`code` and `state`. A code is good once, for five minutes, for the same address.
"""

import html
import itertools
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from simulator import errors
from simulator.call import Answer
from simulator.errors import Refused
from simulator.people import Person
from simulator.state import State

AUTH_PATH = "/oauth2/auth"
CODE_LIFE_S = 300
_ASKED = ("client_id", "response_type", "redirect_uri", "scope", "state")


class _Code(NamedTuple):
    user_id: str
    redirect_uri: str
    until_s: float


class Authorization:
    """Codes that were handed out, and who is signed in at the browser."""

    def __init__(self, state: State, app_id: str) -> None:
        self._state = state
        self._app_id = app_id
        self._codes: dict[str, _Code] = {}
        self._numbers = itertools.count(1)
        self.signed_in: str | None = None

    def page(self, query: str) -> Answer:
        """The answer to a browser."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        place = urlsplit(asked.get("redirect_uri", ""))
        if asked.get("client_id") != self._app_id or place.scheme not in ("http", "https") or not place.netloc:
            raise Refused(errors.OAUTH_INVALID_REQUEST, "client_id or redirect_uri is not the app's")
        if asked.get("response_type") != "code" or not asked.get("scope"):
            return _back(asked, error="invalid_request")
        number = asked.get("login") or self.signed_in
        person = self._state.people.by_ex.get(number or "")
        if person is None or person.status not in ("active", "notactive"):
            return _form(asked, said=number)
        code = f"code-{next(self._numbers)}-{person.id}"
        self._codes[code] = _Code(person.id, asked["redirect_uri"], self._state.now_s() + CODE_LIFE_S)
        return _back(asked, code=code)

    def redeem(self, code: str, redirect_uri: str) -> Person:
        """Whose code it is; it is used up by this. Raises Refused."""
        found = self._codes.pop(code, None)
        if found is None or found.redirect_uri != redirect_uri or self._state.now_s() >= found.until_s:
            raise Refused(errors.OAUTH_INVALID_GRANT)
        return self._state.people.by_id[found.user_id]


def _back(asked: dict[str, str], **more: str) -> Answer:
    place = asked["redirect_uri"]
    given = {**more, **({"state": asked["state"]} if "state" in asked else {})}
    target = f"{place}{'&' if '?' in place else '?'}{urlencode(given)}"
    return Answer(302, None, b"", content_type="text/html", headers=(("Location", target),))


def _form(asked: dict[str, str], said: str | None) -> Answer:
    fields = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(asked[name])}">' for name in _ASKED if name in asked
    )
    wrong = f"<p>没有这个账号 no such account: {html.escape(said)}</p>" if said else ""
    page = (
        '<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>WPS 模拟登录</title>'
        f'<form action="{AUTH_PATH}">{fields}{wrong}<label>学号或工号 number '
        '<input name="login" autofocus></label><button>登录 sign in</button></form></html>'
    )
    return Answer(200, None, page.encode(), content_type="text/html; charset=utf-8")
