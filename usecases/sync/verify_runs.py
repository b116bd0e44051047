"""Runs that look at WPS: which calendars they ask the lanes to look at, and what they have to say in the end.

verify:  verify ─▶ finish
repair:  repair (guard; look again, put right) ─▶ calendars ─▶ events ─▶ verify (the same calendars) ─▶ finish

Before the calendars are looked at one by one, lane `_` reads the list of all of them: only there a second calendar of a course
is seen. A sample does without, and so does a repair that knows of no second calendar.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, select

from db import audit, dead_letters, discrepancies, imports, jobs, lanes
from db.clock import now_ms
from db.discrepancies import LiveCalendar
from db.engine import in_unit, reading
from db.jobs import Put
from db.tables import AnyRow, sessions
from domain.verification import What
from usecases.deps import Deps
from usecases.sync import run_tasks

KINDS = ("verify", "repair")
TOUCHED = "touched"
TOUCHED_MS = 24 * 3_600_000  # what was sent to longer ago is looked at by night
MUTEX = "verify"
VERIFY_STAGES = (("verify", "list"), ("verify", "choose"), ("verify", "verify"), ("finish", "report"))
REPAIR_STAGES = (
    ("repair", "damage"),
    ("repair", "list"),
    ("repair", "suspects"),
    ("repair", "repair"),
    ("calendars", "calendars"),
    ("calendars", "members"),
    ("events", "events"),
    ("verify", "list"),
    ("verify", "again"),
    ("verify", "verify"),
    ("finish", "report"),
)
ASKING = ("choose", "suspects", "again")
PAGE = 200
_TIER = 9  # whatever has to be sent goes before what is only looked at

Span = tuple[int, int]


def begin(
    deps: Deps,
    *,
    kind: str,
    scope: Mapping[str, Any],
    also: Callable[[Connection, str], None] | None,
    actor: str | None = None,
) -> str:
    """Start a run of kind `verify` or `repair`. Returns its id.

    `scope`: `sample` (so many calendars, those seen longest ago), `only` (touched: what was sent to since the last look),
    `fields` (compare field by field), `repairs` (a repair follows where something was found). `also` writes in the same unit,
    given the run's id; such a run is one that a schedule began, unless `actor` did: then it is in the audit. Raises
    `RunActive` while another one looks.
    """
    run_id = deps.new_id()

    def work(tx: Connection) -> None:
        trigger = "schedule" if also is not None and actor is None else "user"
        _begin(tx, deps, run_id, kind=kind, scope=scope, trigger=trigger)
        if actor is not None:
            _write_down(tx, deps, f"{kind}.begin", run_id, dict(scope), actor=actor)
        if also is not None:
            also(tx, run_id)

    in_unit(deps.engine, work)
    return run_id


def _begin(tx: Connection, deps: Deps, run_id: str, *, kind: str, scope: Mapping[str, Any], trigger: str) -> str:
    """The run and its task, whose id is returned."""
    stages = VERIFY_STAGES if kind == "verify" else REPAIR_STAGES
    return run_tasks.begin(tx, deps, run_id, kind=kind, scope=dict(scope), stages=stages, mutex=MUTEX, trigger=trigger)


def follow_up(tx: Connection, deps: Deps, run: AnyRow, report_: Mapping[str, Any]) -> str | None:
    """After the end of a run of ours, in its transaction: what it found is put right, or what it put right is written down.

    Returns the id of the task of the repair that was begun, if one was.
    """
    said = json.loads(run.scope)
    if run.kind == "verify" and said.get("repairs") and _simple(tx, deps.tenant):
        repair_id = deps.new_id()
        task_id = _begin(tx, deps, repair_id, kind="repair", scope={"after": run.id}, trigger="schedule")
        _write_down(tx, deps, "repair.begin", repair_id, {"found_by": run.id, "found": report_.get("found")})
        return task_id
    if run.kind == "repair":
        names = ("discrepancies", "healed", "found")
        _write_down(tx, deps, "repair.end", run.id, {name: report_.get(name) for name in names})
    return None


def _simple(tx: Connection, tenant: str) -> bool:
    """Whether anything waits for a repair; tickets wait for a person."""
    return discrepancies.any_in(tx, tenant=tenant, states=(discrepancies.OPEN, discrepancies.REPAIRING))


def _write_down(
    tx: Connection, deps: Deps, action: str, run_id: str, after: dict[str, Any], *, actor: str = "obsync"
) -> None:
    audit.write(
        tx,
        tenant=deps.tenant,
        new_id=deps.new_id,
        actor=actor,
        action=action,
        thing=run_id,
        before=None,
        after=after,
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """A page of calendars was asked to be looked at."""

    count: int
    cursor: str | None  # None: that was the last page


def ask(
    deps: Deps,
    *,
    step: str,
    run_id: str,
    scope: Mapping[str, Any],
    listed_ms: int | None,
    cursor: str | None,
    fence: Callable[[Connection], None],
) -> Asked:
    """Put the jobs for the next page of calendars: one for each, in the calendar's own lane.

    `listed_ms`: a walk of the list of calendars that began then or later is finished.
    """
    sample, only = scope.get("sample"), scope.get("only")
    with reading(deps.engine) as tx:
        if step == "choose" and only == TOUCHED:
            chosen = discrepancies.touched_since_seen(tx, tenant=deps.tenant, since_ms=now_ms(tx) - TOUCHED_MS)
        else:
            chosen = _choose(tx, deps.tenant, step=step, run_id=run_id, sample=sample, cursor=cursor)
        spans = {term: _span(tx, deps.tenant, term) for term in {one.term for one in chosen}}
        number = imports.latest_complete(tx, deps.tenant) or 0
    fields = bool(scope.get("fields"))
    puts = [
        _look_at(one, spans[one.term], repair=step == "suspects", listed_ms=listed_ms, fields=fields) for one in chosen
    ]
    puts.sort(key=lambda one: one.target)

    def work(tx: Connection, part: Sequence[Put]) -> None:
        fence(tx)
        lanes.make(tx, tenant=deps.tenant, names={one.lane for one in part})
        jobs.put(tx, part, tenant=deps.tenant, import_no=number, run_id=run_id, new_id=deps.new_id)

    def tidy(tx: Connection) -> None:
        fence(tx)
        now = now_ms(tx)
        discrepancies.close_without_calendar(tx, tenant=deps.tenant, now=now)
        if sample is None and only != TOUCHED:
            # All that is there is looked at now; what could not be read before and is gone is nobody's concern.
            dead_letters.drop_of_kinds(tx, ("verify",), tenant=deps.tenant, before_ms=now)

    if step == "choose" and cursor is None:
        in_unit(deps.engine, tidy)
    for start in range(0, len(puts), PAGE):
        in_unit(deps.engine, partial(work, part=puts[start : start + PAGE]))
    if chosen:
        deps.hints.mark({(deps.tenant, one.lane) for one in chosen})
        deps.ring("lanes")
    in_pages = step == "choose" and sample is None and only != TOUCHED
    return Asked(len(chosen), _cursor(chosen) if in_pages else None)


def compares_with_list(tx: Connection, *, tenant: str, kind: str, scope: Mapping[str, Any]) -> bool:
    """Whether the run needs a fresh walk of the list of all calendars."""
    if kind == "verify":
        return scope.get("sample") is None and scope.get("only") != TOUCHED
    return discrepancies.is_known(tx, tenant=tenant, what=What.CALENDAR_COPY.value)


def _choose(
    tx: Connection, tenant: str, *, step: str, run_id: str, sample: int | None, cursor: str | None
) -> list[LiveCalendar]:
    """All live calendars page by page; every other list is read at once, because looking changes it."""
    if step == "suspects":
        return discrepancies.calendars_with_discrepancies(tx, tenant=tenant)
    if step == "again":
        return discrepancies.calendars_of_run(tx, tenant=tenant, run_id=run_id)
    if sample is not None:
        return discrepancies.longest_unseen(tx, tenant=tenant, limit=sample)
    term, target = json.loads(cursor) if cursor is not None else ("", "")
    return discrepancies.calendars_after(tx, tenant=tenant, term=term, target=target, limit=PAGE)


def _cursor(page: Sequence[LiveCalendar]) -> str | None:
    return json.dumps([page[-1].term, page[-1].target]) if len(page) == PAGE else None


def _span(tx: Connection, tenant: str, term: str) -> Span:
    """From the first class of the term to the end of its last, in ms UTC; zeros when it has none."""
    where = (sessions.c.tenant_id == tenant, sessions.c.term == term)
    row = tx.execute(select(func.min(sessions.c.start_ms), func.max(sessions.c.end_ms)).where(*where)).one()
    return int(row[0] or 0), int(row[1] or 0)


def _look_at(one: LiveCalendar, span: Span, *, repair: bool, listed_ms: int | None, fields: bool) -> Put:
    said = {"repair": repair, "from_ms": span[0], "until_ms": span[1], "listed_ms": listed_ms}
    payload = json.dumps({**said, "fields": True} if fields else said)
    target = f"ver:{one.target.partition(':')[2]}"
    word = "repair" if repair else "verify"
    return Put("verify", target, one.target, one.term, one.lane, payload, word, _TIER, _TIER)


def report(tx: Connection, *, tenant: str, run_id: str) -> dict[str, Any]:
    """What a run of ours looked at, and what of it is not as it should be: `discrepancies` counts what is left."""
    counted = discrepancies.counts(tx, tenant=tenant, run_id=run_id)
    left = sum(count for _, state, count in counted if state != discrepancies.HEALED)
    healed = sum(count for _, state, count in counted if state == discrepancies.HEALED)
    found = [{"what": what, "state": state, "count": count} for what, state, count in counted]
    return {
        **discrepancies.totals(tx, tenant=tenant, run_id=run_id),
        "discrepancies": left,
        "healed": healed,
        "found": found,
    }
