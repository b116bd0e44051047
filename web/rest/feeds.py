"""Calendar feeds: give, list, take back; and what calendar apps fetch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Response, request
from sqlalchemy import Connection

from db import feeds as rows
from db.engine import reading
from db.tables import AnyRow
from domain.tenancy import Reach, Scope, Thing, may
from usecases import feeds
from usecases.deps import Deps
from usecases.feeds import UnknownFeed
from web import policy, site
from web.envelope import Answer
from web.errors import ApiError
from web.paging import cursor_of, page_meta, when_and_id
from web.policy import by_address, needs, needs_some
from web.rest.courses import code_of, thing_of_course, thing_of_person
from web.routes import Feature
from web.schemas import feeds as shapes

feature = Feature("feeds", "日历订阅 calendar feeds")
open_feature = Feature("ics", "日历订阅 what calendar apps fetch", prefix="/feeds")
_ICS = "text/calendar"


def wanted_in_body(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """Whose feed is wanted: of the person that the body names, or of a course for the caller."""
    body = said["body"]
    code = scope.user if body.user is None else code_of(body.user, scope)
    return thing_of_person(tx, scope, code)


def feed_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The feed that the address names; it is its owner's."""
    row = rows.get(tx, said["path"].feed_id, tenant=scope.tenant)
    return None if row is None else Thing(scope.tenant, people=frozenset({row.owner}))


@feature.get("/feeds", needs_some("calendar_feed.read"), items=shapes.Feed)
def list_feeds(query: shapes.FeedsQuery) -> Answer:
    """Feeds, newest first, without their addresses: one's own, or those of the school."""
    everybody = bool(site.reach("calendar_feed.read") & {Reach.TENANT, Reach.PLATFORM})
    owner = None if query.user is None else code_of(query.user, site.scope())
    if not everybody:
        if owner not in (None, site.scope().user):
            raise ApiError("NOT_FOUND")
        owner = site.scope().user
    after = when_and_id(query.cursor)
    found = feeds.listing(site.deps(), owner=owner, limit=query.size + 1, offset=query.offset, after=after)
    shown = found[: query.size]
    cursor = cursor_of(shown[-1]["created_ms"], shown[-1]["id"]) if shown else None
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor)
    return Answer({"items": [shapes.Feed.of(one).as_json() for one in shown]}, page=page)


@feature.post(
    "/feeds", needs("calendar_feed.manage", wanted_in_body), data=shapes.FeedGiven, status=201, limit="20/minute"
)
def give_feed(body: shapes.GiveFeed) -> Answer:
    """Make a feed; its address is told once, and is good until it is taken back."""
    scope, deps = site.scope(), site.deps()
    if body.course_id is None:
        code = code_of(body.user or scope.user, scope)
        given = feeds.give(deps, kind=feeds.USER, subject=code, owner=code, actor=site.actor(), known=True)
    else:
        on_roll = _demand_course(body.course_id)
        given = feeds.give(
            deps,
            kind=feeds.COURSE,
            subject=body.course_id,
            owner=scope.user,
            actor=site.actor(),
            on_roll=on_roll,
            known=True,
        )
    url = request.host_url.rstrip("/") + given.path
    shape = shapes.FeedGiven(id=given.id, url=url, webcal_url="webcal" + url[url.index(":") :])
    return Answer(shape.as_json(), 201)


def _demand_course(course_id: str) -> bool:
    """That the caller may see the course; whether only because he is on its roll. Raises `ApiError` 404."""
    scope, deps = site.scope(), site.deps()
    with reading(deps.engine) as tx:
        thing = thing_of_course(tx, scope, course_id)
    if thing is None:
        raise ApiError("NOT_FOUND")
    policy.demand("course.read", thing, scope, deps)
    return not may(scope, "course.read", Thing(thing.tenant, thing.colleges))


@feature.delete("/feeds/<feed_id>", needs("calendar_feed.manage", feed_of), data=shapes.FeedRevoked)
def revoke_feed(path: shapes.FeedPath) -> Answer:
    """End a feed now: its address is nobody's any more."""
    ended = feeds.revoke(site.deps(), path.feed_id, actor=site.actor())
    return Answer(shapes.FeedRevoked(id=path.feed_id, already=not ended).as_json())


# --- what calendar apps fetch -------------------------------------------------------------------------------------------


def _holder(deps: Deps, said: Mapping[str, Any]) -> tuple[Deps, AnyRow] | None:
    try:
        return feeds.standing(deps, str(said["school"]), str(said["token"]))
    except UnknownFeed:
        return None


@open_feature.get(
    "/<school>/<token>.ics",
    by_address("a calendar app signs in nowhere; the address is as long as a key", _holder),
    raw=_ICS,
    errors=(304, 404),
    limit="60/minute",
)
def fetch_feed(path: shapes.AddressPath) -> Response:  # noqa: ARG001 - it was read before the limits
    """The classes as RFC 5545 has them; 304 where nothing has changed since the ETag or the time that is named."""
    held = site.holder()
    if held is None:
        raise ApiError("NOT_FOUND")
    text = feeds.read(*held, now_ms=site.now_ms())
    response = Response(text.body, content_type=f"{_ICS}; charset=utf-8")
    response.set_etag(text.etag)
    response.last_modified = datetime.fromtimestamp(text.changed_ms // 1000, UTC)
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Disposition"] = 'inline; filename="timetable.ics"'
    response.make_conditional(request)
    return response
