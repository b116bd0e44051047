"""Figures for Prometheus: of the whole installation, from whichever process is asked."""

from __future__ import annotations

import hmac
import ipaddress

from flask import Response, current_app, request

from actors import queues
from observability import exposition
from usecases.figures import Scrapes
from web import site
from web.errors import ApiError, Detail
from web.policy import anybody
from web.routes import Feature

feature = Feature("metrics", "指标 figures for Prometheus", prefix="")


@feature.get(
    "/metrics",
    anybody("a collector shows its own token, or asks from this machine; figures name no person"),
    raw="text/plain",
    errors=(401, 403),
)
def show_metrics() -> Response:
    """All figures in the text format of Prometheus."""
    _check_collector()
    return Response(exposition.text(_scrapes().figures()), content_type=exposition.CONTENT_TYPE)


def _check_collector() -> None:
    """Raises `ApiError`: 401 without the token of the setting, 403 from elsewhere where there is none."""
    token = site.site().settings.metrics_token
    if token:
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown.encode(), token.encode()):
            raise ApiError("NOT_AUTHENTICATED")
    elif not _is_local():
        raise ApiError("FORBIDDEN", Detail(message="OBSYNC_METRICS_TOKEN is not set: only this machine may ask"))


def _is_local() -> bool:
    """Whether the request comes from this machine itself, and is not handed on by a proxy that stands on it."""
    proxies_are_known = site.site().settings.trusted_proxies > 0
    if not proxies_are_known and any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "Via")):
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _scrapes() -> Scrapes:
    made: Scrapes | None = current_app.extensions.get("scrapes")
    if made is None:
        here = site.site()
        made = Scrapes(here.deps, queues=queues.ALL, servers=here.servers, stream=here.stream)
        current_app.extensions["scrapes"] = made
    return made
