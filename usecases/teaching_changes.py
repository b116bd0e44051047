"""What people decide about single classes: moved, cancelled, restored, made up, stood in for, in another room; and taken back.

Each decision is one unit: it is checked, written, signed in the audit, and a run of kind `change` begins, which makes the
sessions anew and goes before everything else in its lanes.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, classes, sync_runs, teaching_changes
from db.courses import Within
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain.aggregation import Session
from domain.alterations import (
    CANCELLED,
    CHINESE,
    EXCHANGE_DAY,
    MAKE_UP,
    MOVED,
    RESTORED,
    ROOM_CHANGE,
    SUBSTITUTE,
    places,
)
from domain.clashes import Held
from domain.teaching_changes import ABSORBED, APPLIED, WITHDRAWN, make_up_id
from usecases import terms
from usecases.change_checks import (
    ChangeRefused,
    InTheWay,
    Said,
    Time,
    UnknownClass,
    at_time,
    changeable,
    held_as,
    in_the_way,
    offering_named,
    people_of,
    refuse_times,
    rooms_named,
    some,
    teacher_named,
)
from usecases.deps import Deps
from usecases.sync import run_tasks
from usecases.sync.overlaying import around
from usecases.sync.stages.decide import KIND
from usecases.sync.stages.table import STAGES

REASON_CHARS: Final = 500


@dataclass(slots=True)
class _Decision:
    """What is about to be written: rows, and everything that has to be seen first."""

    term: str
    what: str
    rows: list[dict[str, Any]]
    moved: list[Held] = field(default_factory=list)


# --- deciding -----------------------------------------------------------------------------------------------------------


def move(deps: Deps, session: str, to: Time, said: Said, *, room: str | None = None) -> dict[str, Any]:
    """Hold a class at another time, and in another room where one is named. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> _Decision:
        row = changeable(tx, deps, session, said)
        now = classes.as_session(row)
        seen = around(tx, tenant=deps.tenant, term=row.term, zone=deps.zone)
        new = at_time(now, to, seen)
        refuse_times(tx, new, said)
        rows = []
        if (new.date, new.start_ms, new.end_ms) != (now.date, now.start_ms, now.end_ms):
            rows.append(_row(deps, row, MOVED, said, date=new.date, start_ms=new.start_ms, end_ms=new.end_ms))
        if room is not None:
            found = rooms_named(tx, deps, room)
            if places(found) != places(now.rooms):
                rows.append(_row(deps, row, ROOM_CHANGE, said, rooms=json.dumps(found, ensure_ascii=False)))
            new = replace(new, rooms=found)
        return _Decision(row.term, MOVED, some(rows), [held_as(row, new)])

    return _decide(deps, said, work)


def room(deps: Deps, session: str, name: str, said: Said) -> dict[str, Any]:
    """Hold a class in another room. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> _Decision:
        row = changeable(tx, deps, session, said)
        now, found = classes.as_session(row), rooms_named(tx, deps, name)
        rows = [_row(deps, row, ROOM_CHANGE, said, rooms=json.dumps(found, ensure_ascii=False))]
        same = places(found) == places(now.rooms)
        held = replace(held_as(row, replace(now, rooms=found)), teachers=())
        return _Decision(row.term, ROOM_CHANGE, some([] if same else rows), [held])

    return _decide(deps, said, work)


def substitute(deps: Deps, session: str, teachers: Sequence[str], said: Said) -> dict[str, Any]:
    """Let others teach a class, by code or name; who should have stays written. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> _Decision:
        row = changeable(tx, deps, session, said)
        now, found = classes.as_session(row), [teacher_named(tx, deps, one) for one in teachers]
        names = tuple(sorted({name or code for code, name in found}))
        rows = [_row(deps, row, SUBSTITUTE, said, teachers=json.dumps(found, ensure_ascii=False))]
        held = replace(held_as(row, replace(now, teachers=names)), rooms=())
        return _Decision(row.term, SUBSTITUTE, some([] if names == now.teachers else rows), [held])

    return _decide(deps, said, work)


def cancel(deps: Deps, session: str, said: Said) -> dict[str, Any]:
    """Do not hold a class; its event stays and says so. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> _Decision:
        row = changeable(tx, deps, session, said)
        return _Decision(row.term, CANCELLED, [_row(deps, row, CANCELLED, said)])

    return _decide(deps, said, work)


def restore(deps: Deps, session: str, said: Said) -> dict[str, Any]:
    """Hold a cancelled class after all. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> _Decision:
        row = changeable(tx, deps, session, said, cancelled=True)
        return _Decision(row.term, RESTORED, [_row(deps, row, RESTORED, said)], [classes.as_held(row)])

    return _decide(deps, said, work)


def make_up(
    deps: Deps,
    term: str,
    course: tuple[str, str | None],
    at: Time,
    said: Said,
    *,
    room: str | None = None,
    teachers: Sequence[str] = (),
) -> dict[str, Any]:
    """Hold a class more, of a course (number, code) in a term. Raises `ChangeRefused` and its kinds, `UnknownTerm`."""

    def work(tx: Connection) -> _Decision:
        terms.refuse_closed(tx, tenant=deps.tenant, term=term)
        offering = offering_named(tx, deps, term, course)
        seen = around(tx, tenant=deps.tenant, term=term, zone=deps.zone)
        if at.day is None or (at.start_s is None and not at.periods):
            raise ChangeRefused("a make-up class needs a day and hours", "Name --on DATE and --start, or --periods")
        found = [teacher_named(tx, deps, one) for one in teachers]
        place = rooms_named(tx, deps, room) if room is not None else ()
        change_id = deps.new_id()
        blank = Session(make_up_id(offering.id, change_id), None, None, (), at.day.isoformat(), 0, 0, place, (), ())
        new = at_time(blank, at, seen)
        refuse_times(tx, new, said)
        made = {
            "id": change_id, "term": term, "offering_id": offering.id, "session_id": new.id, "type": MAKE_UP,
            "date": new.date, "start_ms": new.start_ms, "end_ms": new.end_ms, "reason": _reason(said),
            "rooms": json.dumps(place, ensure_ascii=False), "teachers": json.dumps(found, ensure_ascii=False),
        }  # fmt: skip
        names = tuple(sorted({name or code for code, name in found}))
        called = classes.title_of(offering)
        held = Held(
            new.id, offering.id, called, new.start_ms, new.end_ms, tuple(lq + one for _, lq, one in place), names
        )
        return _Decision(term, MAKE_UP, [made], [held])

    return _decide(deps, said, work)


def withdraw(deps: Deps, reference: str, said: Said) -> dict[str, Any]:
    """Let a change, or all of a batch, count no more: what was before it comes back. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> tuple[dict[str, Any], str]:
        rows = teaching_changes.by_reference(tx, reference, tenant=deps.tenant)
        if not rows:
            raise UnknownClass(f"there is no change {reference}", "`obsync changes` lists them")
        standing = [row for row in rows if row.state == APPLIED or (row.state == ABSORBED and row.type == CANCELLED)]
        if not standing:
            state = {ABSORBED: "the source says the same by now", WITHDRAWN: "it was withdrawn already"}[rows[-1].state]
            raise ChangeRefused(
                f"change {reference} does not count any more: {state}", "`obsync changes` lists those that do"
            )
        for term in sorted({row.term for row in standing}):
            terms.refuse_closed(tx, tenant=deps.tenant, term=term)
        ids = [row.id for row in standing]
        _refuse_making_nothing(tx, deps, standing)
        teaching_changes.withdraw(tx, ids, tenant=deps.tenant, actor=said.actor)
        run_id, task_id = begin_run(tx, deps, ids, what="withdrawn")
        after = {"changes": ids, "reason": _reason(said), "run": run_id}
        _audit(tx, deps, said, "changes.withdraw", reference, [as_dict(row) for row in standing], after)
        found = [as_dict(row) for row in teaching_changes.by_ids(tx, ids, tenant=deps.tenant)]
        return {"items": found[::-1], "batch": standing[0].batch_id, "run": run_id, "conflicts": []}, task_id

    return done(deps, said, work)


def _refuse_making_nothing(tx: Connection, deps: Deps, rows: Sequence[AnyRow]) -> None:
    """A make-up goes with what was decided about it, so that goes first."""
    made = {row.session_id for row in rows if row.type == MAKE_UP}
    going = {row.id for row in rows}
    for session_id in sorted(made):
        later = teaching_changes.listing(tx, tenant=deps.tenant, session_id=session_id, states=[APPLIED])
        if left := [row for row in later if row.id not in going]:
            remedy = f"Withdraw that first: `obsync changes withdraw {left[0].id}`"
            raise ChangeRefused(
                f"the make-up class was changed itself ({CHINESE[left[0].type]} {left[0].type})", remedy
            )


def _decide(deps: Deps, said: Said, decide: Callable[[Connection], _Decision]) -> dict[str, Any]:
    if said.preview:
        with reading(deps.engine) as tx:
            return _shown(tx, deps, decide(tx))

    def work(tx: Connection) -> tuple[dict[str, Any], str]:
        decision = decide(tx)
        conflicts = in_the_way(tx, deps, decision.term, decision.moved)
        if conflicts and not said.confirm:
            raise InTheWay(conflicts)
        return write(tx, deps, said, decision.what, decision.rows, conflicts)

    return done(deps, said, work)


def _shown(tx: Connection, deps: Deps, decision: _Decision) -> dict[str, Any]:
    """What would be decided: each change with how the source has the class, whom it is about, and what is in the way."""
    blank = dict.fromkeys(("date", "start_ms", "end_ms", "rooms", "teachers", "before"))
    items = []
    for row in decision.rows:
        one = {**blank, **{name: value for name, value in row.items() if name in blank}}
        one |= {name: json.loads(one[name]) for name in ("rooms", "teachers", "before") if one[name] is not None}
        items.append({"type": row["type"], "term": row["term"], "session": row["session_id"], **one})
    offerings = {row["offering_id"] for row in decision.rows}
    return {
        "items": items[::-1],
        "people": people_of(tx, deps, decision.term, offerings),
        "conflicts": in_the_way(tx, deps, decision.term, decision.moved),
    }


def done(deps: Deps, said: Said, work: Callable[[Connection], tuple[dict[str, Any], str]]) -> dict[str, Any]:
    """Carry a decision out in a unit, with what `said` writes beside it; then wake a worker for its run."""

    def unit(tx: Connection) -> tuple[dict[str, Any], str]:
        found, task_id = work(tx)
        said.also(tx, found)
        return found, task_id

    found, task_id = in_unit(deps.engine, unit)
    deps.ring(task_id)
    return found


def write(
    tx: Connection,
    deps: Deps,
    said: Said,
    what: str,
    rows: Sequence[dict[str, Any]],
    conflicts: Sequence[dict[str, Any]],
) -> tuple[dict[str, Any], str]:
    """Write what was decided together, begin its run, sign it. Returns what a person is answered, and the run's task."""
    ids, batch_id = [row["id"] for row in rows], deps.new_id()
    run_id, task_id = begin_run(tx, deps, ids, what=what)
    teaching_changes.add(tx, rows, tenant=deps.tenant, batch_id=batch_id, actor=said.actor, run_id=run_id)
    found = [as_dict(row) for row in teaching_changes.by_ids(tx, ids, tenant=deps.tenant)]
    thing = found[0]["session"] or batch_id
    after = {"changes": found, "run": run_id, "confirmed": [one["sentence"] for one in conflicts]}
    _audit(tx, deps, said, f"changes.{what}", thing, None, after)
    return {"items": found[::-1], "batch": batch_id, "run": run_id, "conflicts": list(conflicts)}, task_id


def begin_run(tx: Connection, deps: Deps, ids: Sequence[str], *, what: str) -> tuple[str, str]:
    """A run that carries these changes to WPS, before everything else. Returns its id and its task's."""
    run_id = deps.new_id()
    sync_runs.hold_order(tx, tenant=deps.tenant)
    scope = {"what": what, "decided": list(ids)}
    task_id = run_tasks.begin(
        tx, deps, run_id, kind=KIND, scope=scope, stages=STAGES[KIND], priority=sync_runs.URGENT
    )  # fmt: skip
    return run_id, task_id


def _audit(tx: Connection, deps: Deps, said: Said, action: str, thing: str, before: Any, after: Any) -> None:
    audit.write(
        tx,
        tenant=deps.tenant,
        new_id=deps.new_id,
        actor=said.actor,
        action=action,
        thing=thing,
        before=before,
        after=after,
    )


# --- rows ---------------------------------------------------------------------------------------------------------------


def _reason(said: Said) -> str:
    return said.reason.strip()[:REASON_CHARS]


def _row(deps: Deps, row: AnyRow, kind: str, said: Said, **values: Any) -> dict[str, Any]:
    same = {"id": deps.new_id(), "term": row.term, "offering_id": row.offering_id, "session_id": row.id, "type": kind}
    return {**same, "reason": _reason(said), "before": _before(row), **values}


def _before(row: AnyRow) -> str | None:
    """The class as the source has it now; None where it has no such class."""
    now = classes.as_session(row)
    was: Any = now
    if now.alteration is not None:
        was = now.alteration.original
    if was is None:
        return None
    said = {
        "jxz": now.jxz, "zc": now.zc, "periods": now.periods, "date": was.date, "start_ms": was.start_ms,
        "end_ms": was.end_ms, "rooms": was.rooms, "teachers": was.teachers,
    }  # fmt: skip
    return json.dumps(said, ensure_ascii=False)


# --- looking ------------------------------------------------------------------------------------------------------------


def listing(
    deps: Deps,
    *,
    term: str | None = None,
    kinds: Sequence[str] = (),
    states: Sequence[str] = (),
    course: str | None = None,
    within: Within | None = None,
    limit: int = 50,
    offset: int = 0,
    after: tuple[int, str] | None = None,
) -> dict[str, Any]:
    """Changes, newest first; `after` as in `db.teaching_changes.listing`."""
    with reading(deps.engine) as tx:
        ids = None
        if course is not None:
            ids = sorted(
                {row.offering_id for row in classes.find(tx, tenant=deps.tenant, course=course, limit=100_000)}
            )
        rows = teaching_changes.listing(
            tx, tenant=deps.tenant, term=term, kinds=kinds, states=states, offering_ids=ids, within=within, limit=limit,
            offset=offset, after=after,
        )  # fmt: skip
    return {"items": [as_dict(row, course=row.course) for row in rows]}


def as_dict(row: AnyRow, *, course: str | None = None) -> dict[str, Any]:
    """A change as people and programs read it; original and actual both."""
    one = {
        "id": row.id,
        "type": row.type,
        "state": row.state,
        "term": row.term,
        "session": row.session_id or None,
        "batch": row.batch_id,
        "reason": row.reason,
        "actor": row.actor,
        "at_ms": row.at_ms,
        "ended_ms": row.ended_ms,
        "ended_by": row.ended_by,
        "run": row.run_id,
        "before": json.loads(row.before) if row.before else None,
        "date": row.date,
        "start_ms": row.start_ms,
        "end_ms": row.end_ms,
        "rooms": json.loads(row.rooms) if row.rooms else None,
        "teachers": json.loads(row.teachers) if row.teachers else None,
    }
    if row.type == EXCHANGE_DAY:
        one["teaching_day"] = row.day
    return one if course is None else {**one, "course": course}
