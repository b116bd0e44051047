"""Sources as people read them, who wants no calendar, when far work is sent, and how fresh WPS is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from db import sources
from domain.tenancy import Scope, Thing
from usecases import freshness, named_sources, off_peak, opt_outs
from web import site
from web.envelope import Answer
from web.paging import LeafQuery
from web.policy import needs, whole_school
from web.rest.courses import code_of, person_of
from web.routes import Feature
from web.schemas import operations as shapes
from web.schemas.base import instant
from web.schemas.courses import PersonPath

feature = Feature("sources", "数据源与时效 sources, opt-outs, off-peak hours and freshness")


def source_named(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The source that the address names."""
    row = sources.get(tx, tenant=scope.tenant, name=said["path"].source)
    return None if row is None else Thing(scope.tenant)


@feature.get("/sources", needs("source.read", whole_school), items=shapes.Source)
def list_sources(query: LeafQuery) -> Answer:
    """The sources of the school in the order of their precedence, with their open alarms."""
    shown, page = query.leaf(named_sources.listing(site.deps())["items"])
    return Answer({"items": [_source(one).as_json() for one in shown]}, page=page)


@feature.get("/sources/<source>", needs("source.read", source_named), data=shapes.Source)
def show_source(path: shapes.SourcePath) -> Answer:
    """One source, with the names that its columns are read under."""
    return Answer(_source(named_sources.one(site.deps(), path.source)).as_json())


def _source(one: Mapping[str, Any]) -> shapes.Source:
    same = ("name", "rank", "kind", "address", "enabled", "silent_h", "unchanged_h", "error", "alarms")
    mapping = one.get("mapping")
    return shapes.Source(
        **{name: one[name] for name in same},
        checked_at=instant(one["checked_ms"]),
        answered_at=instant(one["answered_ms"]),
        changed_at=instant(one["changed_ms"]),
        mapping=None if mapping is None else dict(mapping),
    )


# --- who wants no calendar ----------------------------------------------------------------------------------------------


@feature.get("/opt-outs", needs("opt_out.read", whole_school), items=shapes.OptOut)
def list_opt_outs(query: shapes.TermOnly) -> Answer:
    """Who wants no calendar in a term, newest first."""
    found = opt_outs.listing(site.deps(), term=query.term)
    same = ("code", "term", "by", "since")
    return Answer({"items": [shapes.OptOut(**{name: one[name] for name in same}).as_json() for one in found]})


@feature.put(
    "/users/<code>/opt-outs/<term>",
    needs("opt_out.manage", person_of),
    data=shapes.OptOutTold,
    status=202,
    errors=(409,),
)
def opt_out(path: shapes.OptOutPath) -> Answer:
    """Withdraw somebody's calendars of a term (``self``: one's own); they stay away until they are wanted again."""
    return _opted(path, out=True)


@feature.delete(
    "/users/<code>/opt-outs/<term>",
    needs("opt_out.manage", person_of),
    data=shapes.OptOutTold,
    status=202,
    errors=(409,),
)
def opt_in(path: shapes.OptOutPath) -> Answer:
    """Give somebody the calendars of a term back."""
    return _opted(path, out=False)


def _opted(path: shapes.OptOutPath, *, out: bool) -> Answer:
    change = opt_outs.opt_out if out else opt_outs.opt_in
    done = change(site.deps(), code_of(path.code, site.scope()), term=path.term, actor=site.actor())
    shape = shapes.OptOutTold(
        code=done["code"], term=done["term"], out=out, already=not done["changed"], calendars=done["calendars"]
    )
    return Answer(shape.as_json(), 202)


# --- when, and how fresh ------------------------------------------------------------------------------------------------


@feature.get("/off-peak", needs("setting.read", whole_school), data=shapes.OffPeak)
def show_off_peak() -> Answer:
    """The hours that far classes wait for."""
    return _off_peak()


def _off_peak() -> Answer:
    found = off_peak.shown(site.deps())
    hours = found["hours"]
    shape = shapes.OffPeak(
        hours=None
        if hours is None
        else shapes.OffPeakHours(since=hours["from"], until=hours["until"], tier=hours["tier"]),
        zone=found["zone"],
        off_peak_now=found["off_peak_now"],
        next_at=instant(found["next_ms"]),
        held=found["held"],
    )
    return Answer(shape.as_json())


@feature.put("/off-peak", needs("setting.write", whole_school), data=shapes.OffPeak)
def set_off_peak(body: shapes.OffPeakIn) -> Answer:
    """Set the off-peak hours: by day near classes go first, and far ones wait for these hours."""
    hours = body.hours
    wanted = None if hours is None else {"from": hours.since, "until": hours.until, "tier": hours.tier}
    off_peak.change(site.deps(), wanted, actor=site.actor())
    return _off_peak()


@feature.get("/freshness", needs("term.read", whole_school), data=shapes.Freshness)
def show_freshness() -> Answer:
    """How fresh the timetable is at WPS, tier by tier, and when what is missing will be there."""
    return _freshness(None)


@feature.get("/users/<code>/freshness", needs("timetable.read", person_of), data=shapes.Freshness)
def show_freshness_of(path: PersonPath) -> Answer:
    """The same of somebody's own classes; ``self``: one's own."""
    return _freshness(code_of(path.code, site.scope()))


def _freshness(user: str | None) -> Answer:
    found = freshness.shown(site.deps(), user=user)
    shape = shapes.Freshness(
        user=user,
        at=instant(found["at_ms"]) or "",
        next_at=instant(found["next_ms"]),
        term_percent=found["term_percent"],
        tiers=[_tier(one) for one in found["items"]],
    )
    return Answer(shape.as_json())


def _tier(one: Mapping[str, Any]) -> shapes.TierFresh:
    eta = one["eta_ms"]
    return shapes.TierFresh(
        **{name: one[name] for name in ("tier", "classes", "percent", "held")},
        synced_at=instant(one["synced_ms"]),
        next_at=instant(one["next_ms"]),
        eta=None if eta is None else [instant(ms) or "" for ms in eta],
        held_until=instant(one["held_until_ms"]),
    )
