"""Lanes, the limiter they share, and the queues of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from db import lag, lanes
from db.engine import reading
from domain.lane_of import SHARED_LANE
from domain.tenancy import Scope, Thing
from usecases import lane_control, limits
from web import site, versions
from web.envelope import Answer
from web.errors import ApiError
from web.policy import needs, needs_some, platform, whole_school
from web.routes import Feature
from web.schemas import operations as shapes

feature = Feature("lanes", "通道 lanes, limiter and queues")


def lane_named(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The lane that the address names; a college's is that college's."""
    lane = said["path"].lane
    if not lanes.exists(tx, lane, tenant=scope.tenant):
        return None
    return Thing(scope.tenant, frozenset({lane} - {SHARED_LANE}))


@feature.get("/lanes", needs_some("lane.read"), items=shapes.Lane)
def list_lanes(query: shapes.LanesQuery) -> Answer:
    """Lanes by their names: who works them, what waits, and what they wait for."""
    colleges = site.colleges("lane.read")
    found = [
        one
        for one in _listing()
        if (colleges is None or one["lane"] in colleges) and (not query.state or one["state"] in query.state)
    ]
    shown, page = query.leaf(found)
    return Answer({"items": [shapes.Lane(**one).as_json() for one in shown]}, page=page)


@feature.get("/lanes/<lane>", needs("lane.read", lane_named), data=shapes.Lane)
def show_lane(path: shapes.LanePath) -> Answer:
    """One lane."""
    found = next((one for one in _listing() if one["lane"] == path.lane), None)
    if found is None:
        raise ApiError("NOT_FOUND")
    return Answer(shapes.Lane(**found).as_json())


def _listing() -> list[dict[str, Any]]:
    with reading(site.deps().engine) as tx:
        return lanes.listing(tx, tenant=site.scope().tenant)


@feature.post("/lanes/<lane>/pause", needs("lane.control", lane_named), data=shapes.LaneTold)
def pause_lane(path: shapes.LanePath) -> Answer:
    """Send nothing more for a lane; a call under way ends first."""
    return _tell(path.lane, paused=True)


@feature.post("/lanes/<lane>/resume", needs("lane.control", lane_named), data=shapes.LaneTold)
def resume_lane(path: shapes.LanePath) -> Answer:
    """Go on with a lane."""
    return _tell(path.lane, paused=False)


def _tell(lane: str, *, paused: bool) -> Answer:
    already = lane_control.set_paused(site.deps(), lane, paused=paused, actor=site.actor())
    return Answer(shapes.LaneTold(lane=lane, paused=paused, already=already).as_json())


# --- what they share ----------------------------------------------------------------------------------------------------


@feature.get("/limiter", needs("limiter.read", whole_school), data=shapes.Limiter)
def show_limiter() -> Answer:
    """The limiter of the school's app: its rate, its tokens, calls in flight, and the circuit breaker.

    The ETag is that of the limits as they were set.
    """
    return _limiter()


def _limiter() -> Answer:
    deps = site.deps()
    with reading(deps.engine) as tx:
        key = limits.key_of(tx, tenant=deps.tenant)
        version = limits.version_of(limits.stored(tx, tenant=deps.tenant, default=_default()))
    state, breaker = asdict(deps.remote.limiter.state(key)), asdict(deps.remote.limiter.breaker(key))
    told = {name: value for name, value in state.items() if name != "epoch"}
    shown = {name: value for name, value in breaker.items() if name != "trip"}
    return Answer(shapes.Limiter(**told, breaker=shapes.Breaker(**shown)).as_json(), etag=version)


def _default() -> limits.Limits:
    settings = site.site().settings
    return limits.Limits(settings.wps_rate, settings.wps_burst, settings.wps_max_in_flight)


@feature.put("/limiter", needs("limiter.write", platform), data=shapes.Limiter, versioned=True)
def set_limiter(body: shapes.LimiterIn) -> Answer:
    """Set the limits of the school's app, for all workers at once; they stay until they are set again."""
    limits.change(
        site.deps(),
        default=_default(),
        actor=site.actor(),
        rate_per_s=body.rate_per_s,
        burst=body.burst,
        max_in_flight=body.max_in_flight,
        seen=versions.seen(),
    )
    return _limiter()


@feature.put("/limiter/breaker", needs("limiter.write", platform), data=shapes.Limiter)
def set_breaker(body: shapes.BreakerIn) -> Answer:
    """Stop all calls to WPS until told otherwise (open), or let lanes call again now (closed)."""
    limits.hold(site.deps(), body.why if body.state == "open" else None, actor=site.actor())
    return _limiter()


@feature.get("/queues", needs("cluster.read", whole_school), items=shapes.Queue)
def list_queues() -> Answer:
    """Queues in which tasks of the school wait: how many, and for how long the oldest has been due."""
    with reading(site.deps().engine) as tx:
        found = lag.depths(tx, tenant=site.scope().tenant)
    items = [shapes.Queue(queue=queue, waiting=count, oldest_ms=oldest).as_json() for queue, count, oldest in found]
    return Answer({"items": items})
