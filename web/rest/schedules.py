"""Schedules, terms, and what people did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, terms
from db import schedules as schedule_rows
from db.engine import reading
from domain.tenancy import Scope, Thing
from usecases import archive, schedules
from usecases import terms as term_cases
from web import site, versions
from web.envelope import Answer
from web.paging import LeafQuery, cursor_of, page_meta, read_cursor
from web.policy import needs, whole_school
from web.routes import Feature
from web.schemas import operations as shapes
from web.schemas.base import instant, to_ms

feature = Feature("schedules", "定时与学期 schedules, terms and the audit")
_SLOTS: Final = 20


def schedule_named(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The schedule that the address names."""
    row = schedule_rows.get(tx, tenant=scope.tenant, name=said["path"].name)
    return None if row is None else Thing(scope.tenant)


def term_named(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The term that the address names."""
    row = terms.get(tx, tenant=scope.tenant, term=said["path"].term)
    return None if row is None else Thing(scope.tenant)


@feature.get("/schedules", needs("schedule.read", whole_school), items=shapes.Schedule)
def list_schedules(query: LeafQuery) -> Answer:
    """What starts by itself: when next, and what became of the last time."""
    shown, page = query.leaf(schedules.listing(site.deps())["items"])
    return Answer({"items": [_schedule(one).as_json() for one in shown]}, page=page)


@feature.get("/schedules/<name>", needs("schedule.read", schedule_named), data=shapes.Schedule)
def show_schedule(path: shapes.NamePath) -> Answer:
    """One schedule with its newest slots: what each started, or why not. Send the ETag as If-Match with a change."""
    return _shown(path.name)


def _shown(name: str) -> Answer:
    found = schedules.one(site.deps(), name, limit=_SLOTS)
    return Answer(_schedule(found).as_json(), etag=found["version"])


@feature.patch("/schedules/<name>", needs("schedule.manage", schedule_named), data=shapes.Schedule, versioned=True)
def change_schedule(path: shapes.NamePath, body: shapes.ScheduleIn) -> Answer:
    """Change a schedule. New times count from now on; nothing is caught up for them."""
    schedules.change(site.deps(), path.name, actor=site.actor(), seen=versions.seen(), **body.wanted())
    return _shown(path.name)


@feature.post("/schedules/<name>/run", needs("schedule.manage", schedule_named), data=shapes.SlotMade, status=202)
def run_schedule(path: shapes.NamePath) -> Answer:
    """Start what the schedule starts, now, whatever its times say; its slots say what became of it."""
    slot_ms = schedules.run_now(site.deps(), path.name, actor=site.actor())
    return Answer(shapes.SlotMade(name=path.name, slot_at=instant(slot_ms) or "").as_json(), 202)


def _schedule(one: Mapping[str, Any]) -> shapes.Schedule:
    same = (
        "name",
        "cron",
        "zone",
        "policy",
        "enabled",
        "max_queued",
        "windows",
        "backs_off",
        "busy_every_min",
        "starts",
    )
    last = one["last_slot"]
    return shapes.Schedule(
        **{name: one[name] for name in same},
        next_at=instant(one["next_slot_ms"]),
        why=one["why"],
        held_back=one["held_back"],
        last_slot=None if last is None else _slot(last),
        slots=[_slot(slot) for slot in one["slots"]] if "slots" in one else None,
    )


def _slot(one: Mapping[str, Any]) -> shapes.Slot:
    at = instant(one["slot_ms"]) or ""
    return shapes.Slot(slot_at=at, state=one["state"], reason=one["reason"], run_id=one["run_id"])


# --- terms --------------------------------------------------------------------------------------------------------------


@feature.get("/terms", needs("term.read", whole_school), items=shapes.Term)
def list_terms(query: LeafQuery) -> Answer:
    """Terms, newest first: what there is of each, and what it lacks."""
    shown, page = query.leaf(term_cases.listing(site.deps())["items"])
    return Answer({"items": [_term(one).as_json() for one in shown]}, page=page)


@feature.get("/terms/<term>", needs("term.read", term_named), data=shapes.Term)
def show_term(path: shapes.TermPath) -> Answer:
    """One term."""
    return Answer(_term(term_cases.one(site.deps(), path.term)).as_json())


@feature.patch("/terms/<term>", needs("term.manage", term_named), data=shapes.Term, errors=(409,))
def change_term(path: shapes.TermPath, body: shapes.TermIn) -> Answer:
    """Set first Monday, weeks or status of a term; the next sync uses it."""
    monday = None if body.first_monday is None else date.fromisoformat(body.first_monday)
    found = term_cases.change(
        site.deps(), path.term, first_monday=monday, weeks=body.weeks, status=body.status, actor=site.actor()
    )
    return Answer(_term(found).as_json())


@feature.get("/terms/<term>/periods", needs("term.read", term_named), items=shapes.Period)
def list_periods(path: shapes.TermPath) -> Answer:
    """The hours of a term's periods."""
    return _periods(path.term)


def _periods(term: str) -> Answer:
    found = term_cases.periods(site.deps(), term)
    return Answer({"items": [shapes.Period(**one).as_json() for one in found]})


@feature.put("/terms/<term>/periods", needs("term.manage", term_named), items=shapes.Period, errors=(409,))
def set_periods(path: shapes.TermPath, body: shapes.PeriodsIn) -> Answer:
    """Make these the hours of a term's periods, in place of those there are; the next sync uses them."""
    term_cases.set_periods(site.deps(), path.term, [one.as_row() for one in body.periods], actor=site.actor())
    return _periods(path.term)


@feature.post(
    "/terms/<term>/archive", needs("term.manage", term_named), data=shapes.ArchiveBegun, status=202, errors=(409,)
)
def archive_term(path: shapes.TermPath) -> Answer:
    """Put a frozen term away for good: classes, rolls and calendars stay readable, the work on them is removed."""
    run_id, task_id = archive.begin(site.deps(), path.term, actor=site.actor())
    site.deps().ring(task_id)
    data = shapes.ArchiveBegun(id=run_id, term=path.term).as_json()
    return Answer(data, 202, headers={"Location": f"/api/v1/sync/runs/{run_id}"})


def _term(one: Mapping[str, Any]) -> shapes.Term:
    told = {name: value for name, value in one.items() if name not in ("archived_ms", "removed")}
    return shapes.Term(**told, archived_at=instant(one["archived_ms"]))


# --- what people did ----------------------------------------------------------------------------------------------------


@feature.get("/audit", needs("audit.read", whole_school), items=shapes.Act)
def list_acts(query: shapes.AuditQuery) -> Answer:
    """What people did, newest first."""
    after = None
    if query.cursor is not None:
        at_ms, act_id = read_cursor(query.cursor)
        after = (int(at_ms), str(act_id))
    with reading(site.deps().engine) as tx:
        rows = audit.page(
            tx,
            tenant=site.scope().tenant,
            limit=query.size + 1,
            offset=query.offset,
            after=after,
            thing=query.thing,
            actor=query.actor,
            action=query.action,
            since_ms=None if query.updated_after is None else to_ms(query.updated_after),
        )
    shown = rows[: query.size]
    cursor = cursor_of(shown[-1]["at_ms"], shown[-1]["id"]) if shown else None
    page = page_meta(query, shown=shown, more=len(rows) > query.size, cursor=cursor)
    return Answer({"items": [_act(one).as_json() for one in shown]}, page=page)


def _act(one: Mapping[str, Any]) -> shapes.Act:
    told = {name: value for name, value in one.items() if name != "at_ms"}
    return shapes.Act(**told, at=instant(one["at_ms"]) or "")
