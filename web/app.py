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
from flask import Flask, Response, current_app, g, request
from flask_openapi import OpenAPI
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from bootstrap.broker import broker_client, cache_client, stream_client
from bootstrap.settings import Settings
from db.check_in_stream import CheckInStream
from db.engine import reading
from db.live_events import publisher
from observability import tracing
from observability.log import get_logger
from observability.metrics import HTTP_REQUESTS, HTTP_SECONDS
from usecases.deps import Deps
from usecases.desks import Desks
from usecases.lately import Lately
from usecases.switches import Switchboard
from web import auth, bodies, documents, front, gate, headers, limits, policy, standing
from web.auth import Authenticator, NotAuthenticated
from web.envelope import failure, said
from web.errors import OF_STATUS, RETRY_S, ApiError, Detail, of_exception
from web.field_words import details_of
from web.routes import Feature, Route
from web.site import NAME, Site, maybe_scope, site

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

    app = OpenAPI(
        "obsync",
        info=documents.INFO,
        security_schemes=documents.SECURITY,
        validation_error_callback=_invalid,
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
        app, places=settings.check_in_places, others=settings.web_threads, shut=lambda: desks.shut
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

    def finished(response: Response) -> Response:
        headers.secure(response, {"X-Request-ID": g.get("request_id", ""), **limits.told()})
        headers.allow_origins(response, origins)
        known = routes.get(request.endpoint or "")
        _count(response, log_it=known is None or not known.keyed or response.status_code >= 400)
        return response

    app.before_request(_begin)
    app.before_request(lambda: _who_asks(routes))
    app.after_request(finished)  # the last to run: hooks after the answer go backwards
    limits.install(app, settings, routes)
    app.before_request(lambda: gate.pass_through(routes.get(request.endpoint or "")))
    app.before_request(lambda: _permit(routes))
    app.teardown_request(lambda _error: structlog.contextvars.clear_contextvars())
    app.register_error_handler(Exception, _failed)


def _begin() -> Response | None:
    g.began_s = time.perf_counter()
    said = request.headers.get("X-Request-ID", "")
    g.request_id = said if tracing.REQUEST_ID.fullmatch(said) else secrets.token_hex(16)
    structlog.contextvars.clear_contextvars()
    ids = tracing.new_ids(request.headers.get("traceparent"))
    structlog.contextvars.bind_contextvars(request_id=g.request_id, **ids)
    return None


def _who_asks(routes: dict[str, Route]) -> None:
    """Who it is, as far as that can be told: a failed attempt is counted before it is answered."""
    route = routes.get(request.endpoint or "")
    if route is None:
        return
    here = site()
    if route.policy.holder is not None:
        g.holder = route.policy.holder(here.deps, request.view_args or {})
    if not route.policy.needs_caller:
        return
    try:
        g.scope = g.caller = standing.scope_of(
            here, route.policy, request.headers.get("Authorization"), request.headers.get("X-API-Key")
        )
    except NotAuthenticated as error:
        g.refused = error
        return
    structlog.contextvars.bind_contextvars(tenant=g.scope.tenant, user=g.scope.user)


def _permit(routes: dict[str, Route]) -> None:
    """Tenant, permission and body: what can be refused before the shapes are read."""
    if "refused" in g:
        raise g.refused
    route = routes.get(request.endpoint or "")
    if route is None:
        return
    scope, here = maybe_scope(), site()
    if scope is not None or route.policy.at_door:
        named = auth.named_tenant(request.headers.get("X-Tenant-ID"), request.host, here.settings.base_domain)
    if scope is None and route.policy.at_door:
        with reading(here.deps.engine) as tx:
            g.deps = auth.deps_at_door(tx, here.deps, named)
        structlog.contextvars.bind_contextvars(tenant=g.deps.tenant)
    if scope is not None:
        if scope.must_change and not route.policy.unready:
            raise ApiError("PASSWORD_OLD")
        if route.policy.oneself:
            auth.at_home(scope, named)
            g.deps = auth.deps_in(here.deps, scope, here.deps.zone)
        else:
            g.scope = auth.in_tenant(scope, named)
            g.deps = auth.deps_in(here.deps, g.scope, here.zones.of(here.deps.engine, g.scope.tenant))
        structlog.contextvars.bind_contextvars(tenant=g.scope.tenant)
        policy.check_action_of(route.policy, g.scope, g.deps)
    if route.has_body:
        body = bodies.read_object(request)
        request._cached_json = (body, body)  # what the library validates is what was read strictly


def _invalid(error: ValidationError) -> Response:
    """What the shapes refuse."""
    return failure(ApiError("INVALID", *details_of(error)))


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


def _count(response: Response, *, log_it: bool) -> None:
    """Count an answer and say that it was given; not of each check-in, where the line would cost more than the work."""
    took_s = time.perf_counter() - g.began_s if "began_s" in g else 0.0
    took_ms = round(took_s * 1000, 1)
    route = request.url_rule.rule if request.url_rule is not None else "-"
    method = request.method if request.method in _METHODS else "other"  # a caller may make one up
    HTTP_REQUESTS.add(method, route, str(response.status_code))
    HTTP_SECONDS.observe(took_s, method, route)
    if not log_it:
        return
    say = log.debug if request.endpoint in limits.FREE else log.info
    say("request", method=request.method, route=route, status=response.status_code, took_ms=took_ms)
