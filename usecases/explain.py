"""Why a class, or a student in it, is as it is: one page from the row of the source to WPS and the roster.

    source rows ─▶ session ─▶ changes ─▶ operation, WPS id ─▶ roster ─▶ check-in, facts      and a timeline of who did what when

Everything is read in one snapshot and kept nowhere.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from db import (
    check_in_refusals,
    classes,
    courses,
    explain,
    import_bases,
    imports,
    opt_outs,
    teaching_changes,
    timetable,
)
from db.engine import reading
from db.tables import AnyRow
from domain.layouts import PERSONAL, own_calendar_target, person_key
from domain.plans import calendar_target, event_target, members_target
from usecases.classes import as_dict
from usecases.deps import Deps
from usecases.sync import aggregating
from usecases.teaching_changes import as_dict as change_as_dict

_ROW: Final = (
    "line", "kkh", "kcbh", "kcmc", "kkxy", "xq", "lq", "room", "ghs", "xms", "jxz", "zc", "jc", "date", "start_ms", "end_ms",
)  # fmt: skip
_JOB: Final = (
    "id", "kind", "target", "state", "attempts", "import_no", "run_id", "error_code", "last_error", "created_ms",
    "finished_ms",
)  # fmt: skip
_SENT: Final = (
    "kind", "target", "state", "remote_id", "marker", "name", "from_ms", "until_ms", "import_no", "intent_verb", "intent_ms",
)  # fmt: skip
_ROSTER: Final = (
    "status", "total_students", "attended_count", "absent_count", "leave_count", "pending_count", "review_count",
    "late_count", "early_count", "made_ms", "opened_ms", "extended_ms", "ended_ms", "swept_ms",
)  # fmt: skip
_CHECK_IN: Final = (
    "at_ms", "client_ms", "status", "timing", "reasons", "doubts", "way", "outside_m", "accuracy_m", "rule_version",
    "created_ms",
)  # fmt: skip
_DETAIL: Final = ("status", "leave_noted", "produced_by", "why", "since_ms", "until_ms")


class UnknownSession(LookupError):
    """There is no such class in the timetable."""


def of_session(deps: Deps, session_id: str) -> dict[str, Any]:
    """A class from its source rows to WPS and its roster, with a timeline. Raises `UnknownSession`."""
    with reading(deps.engine) as tx:
        row = _session(tx, deps, session_id)
        found = _class(tx, deps, row)
        found |= _at_wps(tx, deps, row, calendar_target(row.offering_id))
        roster = explain.roster_of(tx, row.id, tenant=deps.tenant, term=row.term)
        found["roster"] = None if roster is None else _picked(roster, _ROSTER)
        return {**found, "timeline": _timeline(tx, deps, row.id, found)}


def of_student(deps: Deps, session_id: str, code: str) -> dict[str, Any]:
    """The same of one student in a class, with what is written about the two. Raises `UnknownSession`."""
    tenant = deps.tenant
    with reading(deps.engine) as tx:
        row = _session(tx, deps, session_id)
        own = timetable.load_layout(tx, tenant=tenant) == PERSONAL
        group = own_calendar_target(person_key(term=row.term, code=code)) if own else calendar_target(row.offering_id)
        found = _class(tx, deps, row) | _at_wps(tx, deps, row, group)
        found["person"] = _person(tx, deps, row, code, group)
        at = {"tenant": tenant, "term": row.term}
        detail = explain.detail(tx, row.id, code, **at)
        check_in = explain.check_in(tx, row.id, code, **at)
        roster = explain.roster_of(tx, row.id, **at)
        found["roster"] = None if roster is None else _picked(roster, _ROSTER)
        found["roster_row"] = None if detail is None else _picked(detail, _DETAIL)
        found["check_in"] = None if check_in is None else _picked(check_in, _CHECK_IN)
        away = check_in_refusals.of_student(tx, row.id, code, **at)
        found["refusals"] = [_picked(one, ("cause", "attempts", "first_ms", "last_ms", "outside_m")) for one in away]
        same = ("id", "kind", "at_ms", "says", "about", "actor", "note")
        found["facts"] = [_picked(one, same) for one in explain.facts(tx, row.id, code, **at)]
        return {**found, "timeline": _timeline(tx, deps, row.id, found)}


def _session(tx: Connection, deps: Deps, session_id: str) -> AnyRow:
    row = courses.session(tx, session_id, tenant=deps.tenant)
    if row is None:
        raise UnknownSession(session_id)
    return row


def _picked(row: AnyRow, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


# --- the class ------------------------------------------------------------------------------------------------------


def _class(tx: Connection, deps: Deps, row: AnyRow) -> dict[str, Any]:
    changes = teaching_changes.listing(tx, tenant=deps.tenant, session_id=row.id, limit=explain.MOST)
    return {
        "session": {**as_dict(row), "import_no": row.import_no},
        "course": {
            "id": row.offering_id, "title": classes.title_of(row), "college": row.college or None, "lane": row.lane,
        },
        "source": _source(tx, deps, row),
        "changes": [change_as_dict(one) for one in changes],
    }  # fmt: skip


def _source(tx: Connection, deps: Deps, row: AnyRow) -> dict[str, Any] | None:
    """The rows that the class is made of, as the last complete import has them; None before the first."""
    number = imports.latest_complete(tx, deps.tenant)
    if number is None:
        return None
    staging = import_bases.staging_no(tx, tenant=deps.tenant, import_no=number)
    rows = imports.used_of(tx, tenant=deps.tenant, import_no=staging, offering_ids=[row.offering_id])
    made = aggregating.made_of(tx, rows, tenant=deps.tenant, zone=deps.zone).sessions if rows else []
    lines = {line for _, _, session in made if session.id == row.id for line in session.lines}
    last = explain.import_of(tx, number, tenant=deps.tenant)
    assert last is not None
    files = json.loads(last.files)
    return {
        "import_no": number,
        "run_id": last.run_id,
        "finished_ms": last.finished_ms,
        "rows": [
            {**_picked(one, _ROW), "file": imports.file_named(files, "meetings", one.source_no)}
            for one in rows
            if one.line in lines
        ],
    }


# --- at WPS ---------------------------------------------------------------------------------------------------------


def _at_wps(tx: Connection, deps: Deps, row: AnyRow, group: str) -> dict[str, Any]:
    """What was asked for and sent: the calendar, its people and the event, the newest job of each first."""
    sent = explain.mirrored(tx, group, tenant=deps.tenant, term=row.term, session_id=row.id)
    targets = {group, event_target(row.id), members_target(row.offering_id), *(one.target for one in sent)}
    operations = explain.jobs_of(tx, targets, group, tenant=deps.tenant)
    differs = explain.found_at(tx, group, sorted(targets), tenant=deps.tenant, term=row.term)
    shown = ("id", "what", "state", "first_scan_ms", "last_scan_ms", "healed_ms")
    return {
        "wps": [_picked(one, _SENT) for one in sent],
        "operations": [_picked(one, _JOB) for one in operations],
        "discrepancies": [_picked(one, shown) for one in differs],
    }


def _person(tx: Connection, deps: Deps, row: AnyRow, code: str, group: str) -> dict[str, Any]:
    at = {"tenant": deps.tenant, "term": row.term}
    known = explain.people(tx, code, tenant=deps.tenant)
    ids = [one.wps_id for one in known if one.wps_id]
    out = opt_outs.get(tx, code=code, **at)
    return {
        "code": code,
        "known": [_picked(one, ("kind", "name", "college", "wps_id", "listed")) for one in known],
        "roll": [_picked(one, ("kind", "import_no")) for one in explain.on_roll(tx, row.offering_id, code, **at)],
        "opted_out_ms": None if out is None else out.since_ms,
        "in_calendar": [
            _picked(one, ("user_id", "role", "permission_id")) for one in explain.member(tx, group, ids, **at)
        ],
    }


# --- who did what when ----------------------------------------------------------------------------------------------


def _timeline(tx: Connection, deps: Deps, session_id: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What happened, newest first: when, who, and the request or the run that it came by."""
    told = [*_of_page(found)]
    run_ids = {one["run_id"] for one in found["operations"]} | {one["run"] for one in found["changes"]}
    source = found["source"]
    run_ids |= {source["run_id"]} if source is not None else set()
    ran = explain.runs_of(tx, run_ids - {None}, tenant=deps.tenant)
    told += [_event(one.created_ms, f"run.{one.kind}", actor=one.trigger, run_id=one.id) for one in ran]
    things = {session_id, *(one.id for one in ran), *(one["id"] for one in found["operations"])}
    things |= {one["batch"] for one in found["changes"]}
    acts = explain.acts_on(tx, things, tenant=deps.tenant)
    told += [_event(one.at_ms, one.action, actor=one.actor, request=one.request, thing=one.thing) for one in acts]
    return sorted(told, key=lambda one: one["at_ms"], reverse=True)


def _of_page(found: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    source, check_in, roster = found["source"], found.get("check_in"), found["roster"]
    if source is not None and source["finished_ms"] is not None:
        yield _event(source["finished_ms"], "import.complete", run_id=source["run_id"], thing=str(source["import_no"]))
    for one in found["operations"]:
        yield _event(one["created_ms"], f"{one['kind']}.asked_for", run_id=one["run_id"], thing=one["target"])
        if one["finished_ms"] is not None:
            yield _event(one["finished_ms"], f"{one['kind']}.{one['state']}", run_id=one["run_id"], thing=one["target"])
    for name in ("made_ms", "opened_ms", "extended_ms", "ended_ms", "swept_ms") if roster is not None else ():
        if roster[name] is not None:
            yield _event(roster[name], f"roster.{name.removesuffix('_ms')}")
    if check_in is not None:
        yield _event(check_in["at_ms"], "check_in", actor=check_in["way"])
    for one in found.get("refusals", ()):
        yield _event(one["last_ms"], "check_in.refused", thing=one["cause"])
    for one in found.get("facts", ()):
        yield _event(one["at_ms"], one["kind"], actor=one["actor"], thing=one["id"])


def _event(at_ms: int, what: str, **more: str | None) -> dict[str, Any]:
    blank = {"actor": None, "request": None, "run_id": None, "thing": None}
    return {"at_ms": at_ms, "what": what, **blank, **more}
