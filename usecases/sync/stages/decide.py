"""A change run: what a person decided about classes becomes sessions at once, and goes to WPS before everything else.

    change / decided ─▶ change / sent ─▶ finish

It reads no source and waits for no other run: what it makes has an import number of its own, newer than what any run that
goes on may still put for the same targets, so that nothing older takes it back. It deletes nothing but what the change itself
takes away: whatever else differs is a matter of the ordinary runs and their guards.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from db import changes, import_bases, imports, scopes, sync_runs, teaching_changes, timetable
from db.engine import in_unit, reading
from db.planning import Chosen
from db.tables import AnyRow
from domain.layouts import PERSONAL, PREFIX, layout_of, own_event_key
from domain.plans import Operation, event_target
from domain.settlement import Verb
from usecases.sync import layout, touched
from usecases.sync.personal import PersonalPlanner
from usecases.sync.planning import CoursePlan, Planner
from usecases.sync.stages import detect, drain
from usecases.sync.stages.base import TURN_MS, Done, More, RunFailed, Running, Step

KIND = "change"
STAGES = (("change", "decided"), ("change", "sent"))
_KINDS = ("calendar", "members", "event")
_PUT = "put"
_READS = ("prepare", "aggregate", "detect")


def make_sessions(on: Running, stage: AnyRow) -> Step:
    """The sessions of the offerings concerned, made anew from the rows that are there."""
    if not on.may_read():
        return More(TURN_MS)
    deps = on.deps
    # What a run that died had left half done goes in first: its import may not become older than ours.
    if isinstance(half := detect.apply_changes(on, stage), More):
        return half
    if stage.cursor is None:
        _touch(on)
        on.progress(stage.position, cursor="touched")
    with reading(deps.engine) as tx:
        run = sync_runs.get(tx, on.run_id, tenant=on.deps.tenant)
    assert run is not None
    done = stage.done
    while not on.stopping:
        made = touched.step(
            deps.engine, tenant=deps.tenant, import_no=run.import_no, zone=deps.zone, fence=on.fence
        )  # fmt: skip
        done += made
        on.progress(stage.position, done=done, total=done)
        if made == 0:
            on.has_read()
            return Done(f"{done:,} offerings")
    return More()


def _touch(on: Running) -> None:
    """Choose the offerings, a page a unit, and mark them as touched by an import that nothing older overtakes."""
    tenant = on.deps.tenant

    def number(tx: Connection) -> tuple[int, bool]:
        on.fence(tx)
        latest = imports.latest_complete(tx, tenant)
        if latest is None:
            raise RunFailed("There is no timetable. Run `obsync sync SOURCE` first")
        # One that waits for a person, or is paused, would be overtaken by a newer number, and lost.
        kept = import_bases.any_unfinished(tx, tenant=tenant) or _is_half_read(tx, tenant)
        base = imports.load(tx, tenant=tenant, import_no=latest)
        now = latest if kept else import_bases.stand_on(tx, base, tenant=tenant, run_id=on.run_id)
        sync_runs.change_run(tx, on.run_id, tenant=on.deps.tenant, import_no=now)
        return now, kept

    import_no, kept = in_unit(on.deps.engine, number)
    for keys in _concerned(on):

        def touch(tx: Connection, keys: Sequence[tuple[str, str]] = keys) -> None:
            on.fence(tx)
            if kept:
                timetable.age(tx, keys, tenant=tenant, import_no=import_no)
            changes.touch_anew(tx, keys, tenant=tenant, import_no=import_no)
            scopes.choose(tx, keys, run_id=on.run_id)

        in_unit(on.deps.engine, touch)


def _is_half_read(tx: Connection, tenant: str) -> bool:
    """Whether a run that is paused, or asks, has an import that is not through to its sessions."""
    going = sync_runs.going_on(tx, tenant=tenant, kinds=("full", "import", "incremental"))
    return any(one.started_ms is not None and one.stage in _READS for one in going)


def _rows(on: Running) -> list[AnyRow]:
    with reading(on.deps.engine) as tx:
        return teaching_changes.by_ids(tx, on.scope()["decided"], tenant=on.deps.tenant)


def _concerned(on: Running) -> Iterator[list[tuple[str, str]]]:
    """Pages of the offerings (term, id) that the changes of the run are about."""
    rows = _rows(on)
    if single := sorted({(row.term, row.offering_id) for row in rows if row.offering_id}):
        yield single
    for term in sorted({row.term for row in rows if not row.offering_id}):
        days = sorted({day for row in rows if row.term == term for day in (row.day, row.date) if day})
        after = ""
        while True:
            with reading(on.deps.engine) as tx:
                known = timetable.load_terms(tx, on.deps.tenant).get(term)
                moved = known.made_up if known is not None else {}
                held = [there.isoformat() for day, there in moved.items() if day.isoformat() in days]
                ids = teaching_changes.concerned_by_days(
                    tx, [*days, *held], tenant=on.deps.tenant, term=term, after=after
                )
            if not ids:
                break
            after = ids[-1]
            yield [(term, one) for one in ids]


def send(on: Running, stage: AnyRow) -> Step:
    """Put what is different, before everything else in its lanes, and wait for it. Raises `RunFailed` when WPS refuses us."""
    if stage.cursor != _PUT:
        return _put(on, stage)
    left = drain.any_left(on, _KINDS)
    if left:
        return More(drain.POLL_MS)
    on.progress(stage.position, done=stage.total)
    while on.unit(lambda tx: scopes.unchoose(tx, run_id=on.run_id)):
        continue
    return Done()


def _put(on: Running, stage: AnyRow) -> Step:
    deps, rows, total = on.deps, _rows(on), stage.total
    chosen = Chosen(on.run_id)
    planner = layout.planner(deps.engine, deps.tenant, deps.secret, chosen=chosen)
    for cursor, plans in _pages(planner, rows, chosen, stage.cursor):
        # A course that no run has planned yet goes to WPS with one that does.
        known = [plan for plan in plans if not plan.new_lane]
        mine = [replace(plan, operations=[one for one in plan.operations if _may(one, plan, rows)]) for plan in known]
        lanes = planner.put(
            [plan for plan in mine if plan.operations],
            import_no=on.import_no,
            run_id=on.run_id,
            new_id=deps.new_id,
            fence=on.fence,
            priority=sync_runs.URGENT,
        )
        total += sum(len(plan.operations) for plan in mine)
        on.progress(stage.position, cursor=cursor, total=total)
        on.ring_lanes(lanes)
        if on.stopping:
            return More()
    on.progress(stage.position, cursor=_PUT)
    return More()


def _pages(
    planner: Planner, rows: Sequence[AnyRow], chosen: Chosen, after: str | None
) -> Iterator[tuple[str, list[CoursePlan]]]:
    if not isinstance(planner, PersonalPlanner):
        yield from planner.pages(after=after)
        return
    codes = sorted({code for row in rows for code, _ in json.loads(row.teachers or "[]") if code})
    since = json.loads(after) if after else ["", ""]
    for term in sorted({row.term for row in rows}):
        if term >= since[0]:
            last = since[1] if term == since[0] else ""
            for cursor, plans in planner.of_takers(term, after=last, chosen=chosen, codes=codes):
                yield json.dumps([term, cursor]), plans


def _may(one: Operation, plan: CoursePlan, rows: Sequence[AnyRow]) -> bool:
    """Whether the run may send it: of deletions only those of classes that its changes name."""
    if one.verb is not Verb.DELETE:
        return True
    named = {row.session_id for row in rows if row.session_id}
    if layout_of(plan.group) == PERSONAL:
        person = plan.group.removeprefix(PREFIX[PERSONAL])
        named = {own_event_key(person, session_id) for session_id in named}
    return one.target in {event_target(session_id) for session_id in named}
