"""From a request to its handler: signature, then token, then the path.

Only paths of the contract that this simulator plays are here; anything else is a JSON 404.
"""

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from simulator import calendars, errors, events, permissions, signing, users
from simulator.call import Answer, Call, encode_json, failure, html_page
from simulator.errors import Refused
from simulator.oauth import AUTH_PATH, Authorization
from simulator.state import State
from simulator.tokens import LIFETIME_S, REFRESH_LIFETIME_S, Tokens
from simulator.wire import Request

Handler = Callable[[State, Call], Answer]
TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path
_ANY = "{}"
_ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "calendars"): calendars.list_all,
    ("POST", "calendars/create"): calendars.create,
    ("GET", "calendars/{}"): calendars.get,
    ("POST", "calendars/{}/update"): calendars.update,
    ("POST", "calendars/{}/delete"): calendars.delete,
    ("GET", "calendars/{}/permissions"): permissions.list_all,
    ("POST", "calendars/{}/permissions/create"): permissions.create,
    ("POST", "calendars/{}/permissions/batch_create"): permissions.batch_create,
    ("POST", "calendars/{}/permissions/{}/delete"): permissions.delete,
    ("GET", "calendars/{}/events"): events.list_window,
    ("POST", "calendars/{}/events/create"): events.create,
    ("POST", "calendars/{}/events/batch_create"): events.batch_create,
    ("POST", "calendars/{}/events/search"): events.search,
    ("GET", "calendars/{}/events/{}"): events.get,
    ("POST", "calendars/{}/events/{}/update"): events.update,
    ("POST", "calendars/{}/events/{}/delete"): events.delete,
    ("GET", "users"): users.list_all,
    ("POST", "users/by_ex_user_ids"): users.by_ex_user_ids,
    ("POST", "users/batch_read"): users.batch_read,
    ("GET", "users/current"): users.current,
    ("GET", "users/current_id"): users.current_id,
    ("GET", "users/{}"): users.get,
}


_FOR_PEOPLE = (users.current, users.current_id)


def _tree() -> dict[str, Any]:
    root: dict[str, Any] = {}
    for (method, pattern), handler in _ROUTES.items():
        node = root.setdefault(method, {})
        for part in pattern.split("/"):
            node = node.setdefault(part, {})
        node[""] = handler
    return root


_TREE = _tree()


def find(method: str, path: str) -> tuple[Handler, list[str]] | None:
    """The handler of a path and the ids in it."""
    node = _TREE.get(method)
    if node is None or not path.startswith("/v7/"):
        return None
    ids: list[str] = []
    for part in path[4:].split("/"):
        if not part:
            return None
        below = node.get(part) if part != _ANY else None
        if below is None:
            below = node.get(_ANY)
            if below is None:
                return None
            ids.append(unquote(part))
        node = below
    handler = node.get("")
    return None if handler is None else (handler, ids)


class Api:
    """The service itself, without network, latency and faults: a request in, an answer out."""

    def __init__(self, state: State, *, app_id: str, app_key: str, seed: int, signature_required: bool) -> None:
        self._state = state
        self._app_id = app_id
        self._app_key = app_key
        self._signature_required = signature_required
        self._tokens = Tokens(app_id, app_key)
        self.authorization = Authorization(state, app_id)
        self._order = random.Random(seed)  # noqa: S311 - reproducible, not secret

    def handle(
        self, request: Request, *, list_lag_s: float = 0.0, choose_some: Callable[[int], list[int]] | None = None
    ) -> Answer:
        """Carries a request out, or refuses it. Never raises."""
        path, _, query = request.target.partition("?")
        try:
            if path == TOKEN_PATH and request.method == "POST":
                return self._give_token(request)
            if path == AUTH_PATH and request.method == "GET":
                return self.authorization.page(query)
            if not self._is_signed(request):
                return html_page(403)
            person = self._tokens.check(request.headers.get(b"authorization"), self._state.now_s())
            found = find(request.method, path)
            if found is None:
                raise Refused(errors.NOT_FOUND, f"{request.method} {path} is not a call of this service")
            handler, ids = found
            call = Call(ids, query, request.headers, request.body, self._order.shuffle)
            if person is not None and handler not in _FOR_PEOPLE:
                raise Refused(errors.OAUTH_INSUFFICIENT_SCOPE, "the token of a person has no such scope")
            call.person = person
            call.list_lag_s = list_lag_s
            call.choose_some = choose_some
            return handler(self._state, call)
        except Refused as refused:
            return failure(refused.code, refused.msg)

    def _is_signed(self, request: Request) -> bool:
        given = request.headers.get(b"x-kso-authorization")
        if given is None:
            return not self._signature_required
        return signing.is_valid(
            given,
            app_id=self._app_id,
            app_key=self._app_key,
            method=request.method,
            target=request.target,
            content_type=request.headers.get(b"content-type", ""),
            date=request.headers.get(b"x-kso-date", ""),
            body=request.body,
        )

    def _give_token(self, request: Request) -> Answer:
        if not request.headers.get(b"content-type", "").lower().startswith("application/x-www-form-urlencoded"):
            raise Refused(errors.OAUTH_INVALID_REQUEST, "the body must be a form")
        form = parse_qs(request.body.decode("latin-1"))
        grant = form.get("grant_type")
        if not grant:
            raise Refused(errors.OAUTH_INVALID_REQUEST, "grant_type is required")
        if grant not in (["client_credentials"], ["authorization_code"]):
            raise Refused(errors.OAUTH_UNSUPPORTED_GRANT)
        if form.get("client_id") != [self._app_id] or form.get("client_secret") != [self._app_key]:
            raise Refused(errors.OAUTH_INVALID_CLIENT)
        now_s = self._state.now_s()
        if grant == ["client_credentials"]:
            token = self._tokens.issue(now_s)
            flat = {"access_token": token, "expires_in": LIFETIME_S, "token_type": "bearer"}
            return Answer(200, 0, encode_json(flat).encode())
        code, address = (form.get(name, [""])[0] for name in ("code", "redirect_uri"))
        person = self.authorization.redeem(code, address)
        more = {
            "access_token": self._tokens.issue(now_s, person.id),
            "expires_in": LIFETIME_S,
            "token_type": "bearer",
            "refresh_token": f"refresh-{person.id}-{code}",
            "refresh_expires_in": REFRESH_LIFETIME_S,
        }
        return Answer(200, 0, encode_json(more).encode())
