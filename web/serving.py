"""The framework's path of a request without what no request of ours uses: sessions, signals, coroutines, parts of answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

from flask import Response
from flask.ctx import RequestContext
from flask.globals import _cv_app, _cv_request
from flask.sessions import NullSession
from flask.wrappers import Request
from flask_openapi import OpenAPI
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, Rule
from werkzeug.wsgi import get_host

_PATHS: Final = 1_000
_LONGEST_PATH: Final = 200
_NOBODYS: Final = NullSession()


class Whole(Response):
    """An answer that is there already: the server takes it in one piece, and does not come back for the next."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "HEAD" or self.status_code < 200 or self.status_code in (204, 304):
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        return list(self.iter_encoded())


class Api(OpenAPI):
    """An application whose views are functions, and whose callers say who they are with each request."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.match = lru_cache(_PATHS)(self._match)

    def _match(self, path: str, method: str) -> tuple[Rule, dict[str, Any]] | None:
        """The rule of a path, and what the path says; None where there is more to be said than that."""
        try:
            rule, said = self.url_map.bind("localhost").match(path, method, return_rule=True)
        except HTTPException:
            return None
        return rule, dict(said)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function: none of ours is a coroutine."""
        return func

    def request_context(self, environ: Any) -> RequestContext:
        """The context of a request."""
        return _Context(self, environ)

    def full_dispatch_request(self) -> Any:
        """Hooks, view, hooks. What one of them raises becomes an answer."""
        self._got_first_request = True
        try:
            said = self.preprocess_request()
            if said is None:
                said = self.dispatch_request()
        except Exception as error:
            said = self.handle_user_exception(error)
        return self.process_response(self.make_response(said))


class _Context(RequestContext):
    """A request without a session, whose rule is looked up among those that were asked for lately."""

    app: Api

    def __init__(self, app: Api, environ: Any) -> None:
        self.app = app
        self.request: Request = app.request_class(environ)
        self.request.json_module = app.json
        self.flashes = None
        self._session = _NOBODYS
        self._after_request_functions = []
        self._cv_tokens = []
        self._adapter: MapAdapter | None = None
        try:
            self.request.host = get_host(environ, self.request.trusted_hosts)
        except HTTPException as error:
            self.request.routing_exception = error

    @property
    def url_adapter(self) -> MapAdapter | None:  # type: ignore[override]
        """Needed to say which methods there are, and where a path leads that is spelled another way."""
        if self._adapter is None and self.request.routing_exception is None:
            self._adapter = self.app.create_url_adapter(self.request)
        return self._adapter

    def push(self) -> None:
        """Make it the request of this thread."""
        outer = _cv_app.get(None)
        inner = None if outer is not None and outer.app is self.app else self.app.app_context()
        if inner is not None:
            inner.push()
        self._cv_tokens.append((_cv_request.set(self), inner))
        self.match_request()

    def match_request(self) -> None:
        """Find the rule."""
        path, method = self.request.path, self.request.method
        # The address of a feed is a secret: nothing keeps it longer than its request.
        if len(path) > _LONGEST_PATH or "/feeds/" in path or self.request.routing_exception is not None:
            found = None
        else:
            found = self.app.match(path, method)
        if found is None:
            super().match_request()
            return
        self.request.url_rule, said = found
        self.request.view_args = dict(said)
