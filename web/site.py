"""What the routes of one application share, and what the request at hand is about."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import redis
from flask import Flask, Request, current_app, g, has_request_context, request
from flask.ctx import _AppCtxGlobals

from bootstrap.settings import Settings
from db.check_in_stream import CheckInStream
from db.live_events import Publish
from domain.tenancy import Reach, Scope, colleges_within, reaches
from usecases.check_in import Desk
from usecases.deps import Deps
from usecases.desks import Desks
from usecases.lately import Lately
from usecases.search import Names
from usecases.switches import Switchboard
from usecases.timetables import Timetables
from web.auth import Authenticator, NotAuthenticated, Zones

NAME = "obsync"

Known: TypeAlias = _AppCtxGlobals
"""What is kept of a request while it lasts, the same as `g`."""


@dataclass(frozen=True)
class Site:
    """Deps and settings of the process, who says who is asking, where check-ins are taken and wait, and the Redis servers that
    readiness asks for."""

    deps: Deps
    settings: Settings
    authenticator: Authenticator
    desks: Desks
    switches: Switchboard
    lately: Lately
    publish: Publish
    stream: CheckInStream
    servers: dict[str, redis.Redis] = field(default_factory=dict)
    timetables: Timetables = field(default_factory=Timetables)
    zones: Zones = field(default_factory=Zones)
    names: Names = field(default_factory=Names)


def site() -> Site:
    """The site of the application that serves this request."""
    return site_of(current_app)


def site_of(app: Flask) -> Site:
    """The site of an application."""
    return cast(Site, app.extensions[NAME])


def at_hand() -> tuple[Request, Known]:
    """The request of this thread and what is kept of it (`g`), as they are: each look through the names of the framework costs a
    search for the request."""
    return request._get_current_object(), g._get_current_object()  # type: ignore[attr-defined]


def now_ms() -> int:
    """The time of this process, milliseconds UTC: for what people read, never for leases."""
    return time.time_ns() // 1_000_000


def scope() -> Scope:
    """Who is asking. Raises `NotAuthenticated` on a route that anybody may use."""
    found = maybe_scope()
    if found is None:
        raise NotAuthenticated("this route has no caller")
    return found


def caller() -> Scope:
    """The same at home: who is asking, as the credential says, also where he has entered another school."""
    return cast("Scope | None", g.get("caller")) or scope()


def maybe_scope() -> Scope | None:
    """Who is asking, where that is known by now."""
    return cast("Scope | None", g.get("scope")) if has_request_context() else None


def holder() -> Any:
    """Who holds the address of this request, where that is how one comes in; else None."""
    return g.get("holder") if has_request_context() else None


def deps() -> Deps:
    """What use cases are given for this request: in the caller's tenant."""
    return cast(Deps, g.get("deps") or site().deps)


def desk() -> Desk:
    """Where check-ins of the caller's school are taken."""
    return site().desks.of(scope().tenant)


def actor() -> str:
    """How the caller's acts are signed."""
    return f"user:{scope().user}"


def reach(action: str) -> frozenset[Reach]:
    """How far the caller may go with `action`: what a list has to be narrowed by."""
    return reaches(scope(), action)


def colleges(action: str) -> tuple[str, ...] | None:
    """The colleges whose things a list may show to the caller; None: all of the school."""
    return colleges_within(scope(), action)


def note(**facts: Any) -> None:
    """Keep facts of this request for those that come after the route (headers, log, stored answers)."""
    for name, value in facts.items():
        setattr(g, name, value)
