"""The application: hooks in their order, the features, the table of errors.

front ─▶ begin ─▶ who asks ─▶ rate limit ─▶ tenant, may he at all ─▶ body ─▶ shapes ─▶ the thing ─▶ view ─▶ envelope ─▶ headers
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

import redis
import structlog
from flask import Flask, Request, Response, current_app, request
from flask_openapi import OpenAPI
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from bootstrap.broker import broker_client, cache_client, stream_client
from bootstrap.settings import Settings
from db.check_in_stream import CheckInStream
from db.engine import reading
from db.live_events import publisher
from domain.tenancy import Scope
from observability import tracing
from observability.log import get_logger, lines
from observability.metrics import HTTP_REQUESTS, HTTP_SECONDS
from usecases.deps import Deps
from usecases.desks import Desks
from usecases.lately import Lately
from usecases.switches import Switchboard
from web import auth, bodies, documents, front, gate, headers, limits, policy, standing
from web.auth import Authenticator, NotAuthenticated
from web.envelope import failure, said
from web.errors import OF_STATUS, RETRY_S, ApiError, Detail, of_exception
from web.routes import Feature, Route
from web.serving import Api
from web.site import NAME, Known, Site, at_hand, site_of

log = get_logger("web")

MAX_BODY_BYTES: Final = 1 << 20
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OPEN_ENDPOINTS: Final = ("openapi.", "swagger.", "static")


class NoPolicy(Exception):
    """A route that declares no policy: nobody has decided who may use it."""


def create_app(
    deps: Deps, settings: Settings, authenticator: Authenticator, *, features: Sequence[Feature] | None = None
) -> OpenAPI:
    """The application over these parts. Raises `NoPolicy` for a route that was not declared through a `Feature`.

    `authenticator` says who is asking; `features` are those of the product unless a test brings its own.
    """
    from web.rest import FEATURES  # the routes, after everything that they lean on

    app = Api(
        "obsync",
        info=documents.INFO,
        security_schemes=documents.SECURITY,
        static_folder=None,
    )
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # it answers with a page of its own that nobody has described
    stream = CheckInStream(stream_client(settings), durability=settings.checkin_durability)
    switches = Switchboard(deps.engine)
    desks = Desks(
        deps.engine, stream, secret=deps.secret, stopping=deps.stopping, switches=switches,
        encryption_keys=deps.encryption_keys,
    )  # fmt: skip
    lately = Lately(within_s=settings.token_grace_s)
    servers = _servers(settings)
    told = publisher(servers["cache"])
    app.extensions[NAME] = Site(deps, settings, authenticator, desks, switches, lately, told, stream, servers)
    chosen = FEATURES if features is None else features
    routes = {route.endpoint: route for feature in chosen for route in feature.routes}
    app.extensions["routes"] = routes
    _install_hooks(app, settings, routes)
    for feature in chosen:
        app.register_api(feature.blueprint)
    documents.install(app)
    app.spec_json = documents.finish(app)
    _refuse_undeclared(app, routes)
    app.wsgi_app = front.Front(  # type: ignore[method-assign]
        app,
        places=settings.check_in_places,
        waiting=settings.check_ins_waiting,
        others=settings.web_threads,
        shut=lambda: desks.shut,
    )
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    return app


def _servers(settings: Settings) -> dict[str, redis.Redis]:
    return {"broker": broker_client(settings), "cache": cache_client(settings)}


def _refuse_undeclared(app: Flask, routes: dict[str, Route]) -> None:
    unknown = [
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in routes and not rule.endpoint.startswith(_OPEN_ENDPOINTS)
    ]
    if unknown:
        raise NoPolicy(f"nobody has declared who may use {', '.join(unknown)}")


def _install_hooks(app: OpenAPI, settings: Settings, routes: dict[str, Route]) -> None:
    origins = frozenset(filter(None, settings.cors_origins.split(",")))
    limit = limits.of(settings)

    def before() -> None:
        ask, known = at_hand()
        here, route = site_of(app), routes.get(ask.endpoint or "")
        _begin(ask, known)
        _who_asks(ask, known, route, here)
        limit(ask, known, route)
        gate.pass_through(ask, route)
        _permit(ask, known, route, here)

    def finished(response: Response) -> Response:
        ask, known = at_hand()
        headers.secure(response, ask, {"X-Request-ID": known.get("request_id", ""), **limits.told(known)})
        headers.allow_origins(response, ask, origins)
        route = routes.get(ask.endpoint or "")
        _count(response, ask, known, log_it=route is None or not route.keyed or response.status_code >= 400)
        return response

    app.before_request(before)
    app.after_request(finished)
    app.teardown_request(lambda _error: structlog.contextvars.clear_contextvars())
    app.register_error_handler(Exception, _failed)


def _begin(ask: Request, known: Known) -> None:
    known.began_s = time.perf_counter()
    said = ask.headers.get("X-Request-ID", "")
    known.request_id = said if tracing.REQUEST_ID.fullmatch(said) else secrets.token_hex(16)
    structlog.contextvars.clear_contextvars()
    ids = tracing.new_ids(ask.headers.get("traceparent"))
    structlog.contextvars.bind_contextvars(request_id=known.request_id, **ids)


def _who_asks(ask: Request, known: Known, route: Route | None, here: Site) -> None:
    """Who it is, as far as that can be told: a failed attempt is counted before it is answered."""
    if route is None:
        return
    if route.policy.holder is not None:
        known.holder = route.policy.holder(here.deps, ask.view_args or {})
    if not route.policy.needs_caller:
        return
    try:
        known.scope = known.caller = standing.scope_of(
            here, route.policy, ask.headers.get("Authorization"), ask.headers.get("X-API-Key")
        )
    except NotAuthenticated as error:
        known.refused = error
        return
    structlog.contextvars.bind_contextvars(tenant=known.scope.tenant, user=known.scope.user)


def _permit(ask: Request, known: Known, route: Route | None, here: Site) -> None:
    """Tenant, permission and body: what can be refused before the shapes are read."""
    if "refused" in known:
        raise known.refused
    if route is None:
        return
    scope: Scope | None = known.get("scope")
    if scope is not None or route.policy.at_door:
        named = auth.named_tenant(ask.headers.get("X-Tenant-ID"), ask.host, here.settings.base_domain)
    if scope is None and route.policy.at_door:
        with reading(here.deps.engine) as tx:
            known.deps = auth.deps_at_door(tx, here.deps, named)
        structlog.contextvars.bind_contextvars(tenant=known.deps.tenant)
    if scope is not None:
        _permit_to(scope, named, known, route, here)
    if route.has_body:
        body = bodies.read_object(ask)
        ask._cached_json = (body, body)  # what the library validates is what was read strictly


def _permit_to(scope: Scope, named: str | None, known: Known, route: Route, here: Site) -> None:
    if scope.must_change and not route.policy.unready:
        raise ApiError("PASSWORD_OLD")
    if route.policy.oneself:
        auth.at_home(scope, named)
        known.deps = auth.deps_in(here.deps, scope, here.deps.zone)
    else:
        known.scope = inside = auth.in_tenant(scope, named)
        known.deps = auth.deps_in(here.deps, inside, here.zones.of(here.deps.engine, inside.tenant))
        if inside.tenant != scope.tenant:
            structlog.contextvars.bind_contextvars(tenant=inside.tenant)
    policy.check_action_of(route.policy, known.scope, known.deps)


def _failed(error: Exception) -> Response:
    """Any exception as an answer of the table; what nobody expected is logged with its traceback, and not told."""
    if isinstance(error, gate.Closed):
        return gate.closed(error)
    if isinstance(error, NotAuthenticated):
        log.info("request.not_authenticated", reason=error.reason)
        return failure(of_exception(error) or ApiError("NOT_AUTHENTICATED"))
    if isinstance(error, HTTPException):
        if request.url_rule is None and error.code == 404:
            return failure(ApiError("NO_SUCH_ADDRESS"))
        if error.response is not None:
            return error.response  # type: ignore[return-value]
        return _of_framework(error)
    known = of_exception(error)
    if known is not None and known.code == "UNAVAILABLE" and (switch := gate.maintenance()) is not None:
        return gate.closed(gate.Closed(switch))
    if known is not None and known.code != "INTERNAL":
        if known.problem.status >= 500:
            log.warning("request.unavailable", reason=type(error).__name__)
        return failure(_named(known))
    route = request.url_rule.rule if request.url_rule is not None else "-"
    log.exception("request.failed", method=request.method, route=route)
    return failure(ApiError("INTERNAL"))


def _named(error: ApiError) -> ApiError:
    """The same; of a thing that is not there with the part of the address that says which. What an address that is a secret
    names is not told."""
    route = current_app.extensions["routes"].get(request.endpoint or "")
    if error.code != "NOT_FOUND" or error.details or not request.view_args or route is None or route.policy.holder:
        return error
    words = said("没有这个编号的对象，或超出您的权限范围", "there is none of this name, or it is beyond your reach")
    return ApiError("NOT_FOUND", Detail(list(request.view_args)[-1], words), headers=error.headers)


def _of_framework(error: HTTPException) -> Response:
    code = OF_STATUS.get(error.code or 500, "INTERNAL" if (error.code or 500) >= 500 else "BAD_REQUEST")
    kept: dict[str, Any] = {}
    if code == "METHOD_NOT_ALLOWED":
        kept = {name: value for name, value in error.get_headers() if name == "Allow"}
    if code == "UNAVAILABLE":
        kept = {"Retry-After": str(RETRY_S)}
    return failure(ApiError(code, headers=kept))


def _count(response: Response, ask: Request, known: Known, *, log_it: bool) -> None:
    """Count an answer and say that it was given; not of each check-in, where the line would cost more than the work."""
    took_s = time.perf_counter() - known.began_s if "began_s" in known else 0.0
    took_ms = round(took_s * 1000, 1)
    route = ask.url_rule.rule if ask.url_rule is not None else "-"
    method = ask.method if ask.method in _METHODS else "other"  # a caller may make one up
    HTTP_REQUESTS.add(method, route, str(response.status_code))
    HTTP_SECONDS.observe(took_s, method, route)
    if not log_it:
        return
    told = {"method": method, "route": route, "status": response.status_code, "took_ms": took_ms}
    if ask.endpoint in limits.FREE:
        log.debug("request", **told)
    elif (written := lines()) is not None:
        written.write("web", "request", **told)
    else:
        log.info("request", **told)
