"""Whom switches keep out: asked of every request, before permissions and bodies.

A browser gets a page, a program an error of the table; both are told when to come again. A request that names no school is
taken for one about the installation's own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from flask import Request, Response, g, request
from markupsafe import Markup

from domain.switches import MAINTENANCE, WORDS, Ask, Switch, in_the_way
from domain.tenancy import Reach, reaches
from web.envelope import failure, language
from web.errors import ApiError, Detail
from web.routes import Route
from web.schemas.base import instant
from web.site import maybe_scope, now_ms, site

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_SIGNING: Final = "/api/v1/auth/"
_SWITCHES: Final = "/api/v1/switches"
_HALTS: Final = ("/pause", "/cancel", "/drop", "/drain")
_CHECK_IN: Final = "check_ins.check_in"
_STATIC: Final = ("openapi.", "swagger.", "static")


class Closed(Exception):
    """A switch keeps the request out."""

    def __init__(self, switch: Switch) -> None:
        super().__init__(switch.name)
        self.switch = switch


def pass_through(ask: Request, route: Route | None) -> None:
    """Let the request go on. Raises `Closed`."""
    if ask.method == "OPTIONS" or (ask.endpoint or "").startswith(_STATIC):
        return
    on = site().switches.on(_school())
    if not on:
        return
    switch = in_the_way(on, _asked(route))
    if switch is not None:
        raise Closed(switch)


def _school() -> str:
    scope, holder = maybe_scope(), g.get("holder")
    if scope is not None and Reach.PLATFORM in reaches(scope, "switch.write"):
        return request.headers.get("X-Tenant-ID") or scope.tenant or site().deps.tenant
    return (scope.tenant if scope is not None else getattr(holder, "tenant", "")) or site().deps.tenant


def _asked(route: Route | None) -> Ask:
    if route is None:
        return Ask(writes=False)
    scope, policy = maybe_scope(), route.policy
    looks = (policy.action or "").endswith(".read") or route.rule.endswith("/preview")
    reads = request.method in _SAFE or looks
    return Ask(
        writes=not reads,
        check_in=route.endpoint == _CHECK_IN,
        manages=scope is not None and bool(reaches(scope, "switch.write")),
        turns=route.rule.startswith(_SWITCHES),
        halts=route.method == "POST" and route.rule.endswith(_HALTS),
        open_always=(policy.public is not None and policy.holder is None) or route.rule.startswith(_SIGNING),
    )


def maintenance() -> Switch | None:
    """The switch, where the school is closed: what is away then is no accident."""
    return site().switches.on(_school()).get(MAINTENANCE)


def closed(error: Closed) -> Response:
    """The answer to a request that is kept out."""
    switch = error.switch
    headers = {"Retry-After": str(switch.retry_after_s(now_ms()))}
    accepts = request.accept_mimetypes
    if accepts.best_match(("application/json", "application/problem+json", "text/html")) == "text/html":
        return _page(switch, headers)
    told = [Detail("until", instant(switch.until_ms) or "")] if switch.until_ms is not None else []
    told += [Detail("note", switch.note)] if switch.note else []
    code = "MAINTENANCE" if switch.name == MAINTENANCE else "READ_ONLY"
    return failure(ApiError(code, *told, headers=headers))


def _page(switch: Switch, headers: dict[str, str]) -> Response:
    """For people: both languages, since whoever comes now has chosen none."""
    zh, en = WORDS[switch.name]
    note = Markup("<p>{}</p>").format(switch.note) if switch.note else Markup("")
    text = Markup(
        '<!DOCTYPE html>\n<html lang="{}"><head><meta charset="UTF-8"><meta name="viewport" content="width=device-width">'
        "<title>{} · {}</title></head><body><h1>{}<br>{}</h1>{}{}</body></html>\n"
    ).format(language(), zh, en, zh, en, _until(switch), note)
    return Response(str(text), status=503, content_type="text/html; charset=utf-8", headers=headers)


def _until(switch: Switch) -> Markup:
    if switch.until_ms is None:
        return Markup("<p>请稍后再来。<br>Please come again later.</p>")
    zone = site().deps.zone
    at = datetime.fromtimestamp(switch.until_ms / 1000, zone).strftime("%Y-%m-%d %H:%M")
    return Markup("<p>预计 {0}（{1}）恢复。<br>Expected to end at {0} ({1}).</p>").format(at, zone.key)
