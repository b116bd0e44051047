"""What people decide about single classes: moved, cancelled, restored, made up, stood in for, in another room; and taken back.

Each decision is one unit: it is checked, written, signed in the audit, and a run of kind `change` begins, which makes the
sessions anew and goes before everything else in its lanes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, classes, sync_runs, teaching_changes
from db.clock import now_ms as clock
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain import clashes
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
from domain.clashes import Clash, Held
from domain.teaching_changes import ABSORBED, APPLIED, WITHDRAWN, Around, make_up_id, on_day, original
from domain.timetable import local_ms
from usecases import terms
from usecases.deps import Deps
from usecases.sync import run_tasks
from usecases.sync.overlaying import around
from usecases.sync.stages.decide import KIND
from usecases.sync.stages.table import STAGES

REASON_CHARS: Final = 500
_LONGEST_MS: Final = 24 * 3600 * 1000
Room = tuple[str, str, str]


class ChangeRefused(Exception):
    """It cannot be done as things are: why, and what can. Nothing was changed."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class UnknownClass(ChangeRefused):
    """There is no such class, change or batch, or several go by what was said."""


class InTheWay(ChangeRefused):
    """Something is in the way, and nobody has said that it may be done all the same. Nothing was changed."""

    def __init__(self, conflicts: Sequence[dict[str, Any]]) -> None:
        said = "; ".join(one["sentence"] for one in conflicts[:5])
        more = f" (and {len(conflicts) - 5} more)" if len(conflicts) > 5 else ""
        super().__init__(f"时间冲突 · in the way: {said}{more}", "Choose otherwise, or say --confirm")
        self.conflicts = list(conflicts)


@dataclass(frozen=True, slots=True)
class Time:
    """When a class is to be: what is not given stays. `start` and `end` are seconds since midnight of `day`."""

    day: date | None = None
    start_s: int | None = None
    end_s: int | None = None
    periods: tuple[int, ...] = ()


@dataclass(slots=True)
class _Decision:
    """What is about to be written: rows, and everything that has to be seen first."""

    term: str
    what: str
    rows: list[dict[str, Any]]
    moved: list[Held] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Said:
    """Who decides, why, and whether what is in the way was seen. `now_ms` None: the database's clock."""

    actor: str
    reason: str = ""
    confirm: bool = False
    now_ms: int | None = None


# --- deciding -----------------------------------------------------------------------------------------------------------


def move(deps: Deps, session: str, to: Time, said: Said, *, room: str | None = None) -> dict[str, Any]:
    """Hold a class at another time, and in another room where one is named. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> _Decision:
        row = _changeable(tx, deps, session, said)
        now = classes.as_session(row)
        seen = around(tx, tenant=deps.tenant, term=row.term, zone=deps.zone)
        new = _at(now, to, seen)
        _refuse_times(tx, new, said)
        rows = []
        if (new.date, new.start_ms, new.end_ms) != (now.date, now.start_ms, now.end_ms):
            rows.append(_row(deps, row, MOVED, said, date=new.date, start_ms=new.start_ms, end_ms=new.end_ms))
        if room is not None:
            found = _rooms(tx, deps, room)
            if places(found) != places(now.rooms):
                rows.append(_row(deps, row, ROOM_CHANGE, said, rooms=json.dumps(found, ensure_ascii=False)))
            new = replace(new, rooms=found)
        return _Decision(row.term, MOVED, _some(rows), [_held(row, new)])

    return _decide(deps, said, work)


def room(deps: Deps, session: str, name: str, said: Said) -> dict[str, Any]:
    """Hold a class in another room. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> _Decision:
        row = _changeable(tx, deps, session, said)
        now, found = classes.as_session(row), _rooms(tx, deps, name)
        rows = [_row(deps, row, ROOM_CHANGE, said, rooms=json.dumps(found, ensure_ascii=False))]
        same = places(found) == places(now.rooms)
        held = replace(_held(row, replace(now, rooms=found)), teachers=())
        return _Decision(row.term, ROOM_CHANGE, _some([] if same else rows), [held])

    return _decide(deps, said, work)


def substitute(deps: Deps, session: str, teachers: Sequence[str], said: Said) -> dict[str, Any]:
    """Let others teach a class, by code or name; who should have stays written. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> _Decision:
        row = _changeable(tx, deps, session, said)
        now, found = classes.as_session(row), [_teacher(tx, deps, one) for one in teachers]
        names = tuple(sorted({name or code for code, name in found}))
        rows = [_row(deps, row, SUBSTITUTE, said, teachers=json.dumps(found, ensure_ascii=False))]
        held = replace(_held(row, replace(now, teachers=names)), rooms=())
        return _Decision(row.term, SUBSTITUTE, _some([] if names == now.teachers else rows), [held])

    return _decide(deps, said, work)


def cancel(deps: Deps, session: str, said: Said) -> dict[str, Any]:
    """Do not hold a class; its event stays and says so. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> _Decision:
        row = _changeable(tx, deps, session, said)
        return _Decision(row.term, CANCELLED, [_row(deps, row, CANCELLED, said)])

    return _decide(deps, said, work)


def restore(deps: Deps, session: str, said: Said) -> dict[str, Any]:
    """Hold a cancelled class after all. Raises `ChangeRefused` and its kinds."""

    def work(tx: Connection) -> _Decision:
        row = _changeable(tx, deps, session, said, cancelled=True)
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
        offering = _offering(tx, deps, term, course)
        seen = around(tx, tenant=deps.tenant, term=term, zone=deps.zone)
        if at.day is None or (at.start_s is None and not at.periods):
            raise ChangeRefused("a make-up class needs a day and hours", "Name --on DATE and --start, or --periods")
        found = [_teacher(tx, deps, one) for one in teachers]
        place = _rooms(tx, deps, room) if room is not None else ()
        change_id = deps.new_id()
        blank = Session(make_up_id(offering.id, change_id), None, None, (), at.day.isoformat(), 0, 0, place, (), ())
        new = _at(blank, at, seen)
        _refuse_times(tx, new, said)
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

    return _done(deps, work)


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


def _decide(deps: Deps, said: Said, decide: Any) -> dict[str, Any]:
    def work(tx: Connection) -> tuple[dict[str, Any], str]:
        decision: _Decision = decide(tx)
        conflicts = in_the_way(tx, deps, decision.term, decision.moved)
        if conflicts and not said.confirm:
            raise InTheWay(conflicts)
        return write(tx, deps, said, decision.what, decision.rows, conflicts)

    return _done(deps, work)


def _done(deps: Deps, work: Any) -> dict[str, Any]:
    found, task_id = in_unit(deps.engine, work)
    deps.ring(task_id)
    answer: dict[str, Any] = found
    return answer


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
    sync_runs.begin(
        tx,
        tenant=deps.tenant,
        run_id=run_id,
        kind=KIND,
        scope={"what": what, "changes": list(ids)},
        mutex=run_id,
        stages=STAGES[KIND],
        priority=sync_runs.URGENT,
    )
    return run_id, run_tasks.put(tx, deps, run_id)


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


# --- checking -----------------------------------------------------------------------------------------------------------


def _changeable(tx: Connection, deps: Deps, session: str, said: Said, *, cancelled: bool = False) -> AnyRow:
    """The class, if something may be decided about it now. Raises `ChangeRefused` and its kinds."""
    rows = classes.by_id(tx, session, tenant=deps.tenant) if session else []
    if len(rows) != 1:
        problem = (
            f"no class has the id {session}" if not rows else f"several classes have ids that begin with {session}"
        )
        raise UnknownClass(problem, "`obsync classes` finds classes by course, teacher, room and day, with their ids")
    row = rows[0]
    terms.refuse_closed(tx, tenant=deps.tenant, term=row.term)
    if row.end_ms <= (said.now_ms or clock(tx)):
        raise ChangeRefused(f"{_called(deps, row)} 已经结束 · is over", "What is over is corrected in its attendance")
    if bool(row.cancelled) != cancelled:
        if cancelled:
            raise ChangeRefused(
                f"{_called(deps, row)} 没有停课 · is not cancelled", "Only a cancelled class is restored"
            )
        remedy = f"Hold it again first: `obsync changes restore {row.id}`"
        raise ChangeRefused(f"{_called(deps, row)} 已停课 · is cancelled", remedy)
    return row


def _called(deps: Deps, row: AnyRow) -> str:
    said = original(classes.as_session(row), deps.zone)
    return f"{classes.title_of(row)} {said.date} {said.hours}"


def _refuse_times(tx: Connection, new: Session, said: Said) -> None:
    if not 0 < new.end_ms - new.start_ms <= _LONGEST_MS:
        raise ChangeRefused(
            "结束时间不晚于开始时间 · the end is not after the start", "Name --start and --end, as 14:00"
        )
    if new.end_ms <= (said.now_ms or clock(tx)):
        raise ChangeRefused(f"{new.date} 已经过去 · that time is over", "Name a time that is still to come")


def _some(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not rows:
        raise ChangeRefused("课次已是如此 · the class is so already", "Nothing has to be changed")
    return rows


def _at(session: Session, to: Time, seen: Around) -> Session:
    """The class at the time that a person gave. What is not given follows from the class."""
    day = to.day or date.fromisoformat(session.date)
    kept = session if to.day is None or session.end_ms == 0 else on_day(session, day, seen)
    if to.periods:
        campus = session.rooms[0][0] if session.rooms else ""
        hours = [seen.periods.hours(term=seen.term.code, campus=campus, day=day, period=one) for one in to.periods]
        known = [one for one in hours if one is not None]
        if len(known) != len(hours):
            remedy = (
                f"Name --start and --end, or load the clock: `obsync terms periods {seen.term.code} --load FILE.csv`"
            )
            raise ChangeRefused("节次表中没有这些节次 · the period table has no such periods", remedy)
        start, end = min(one[0] for one in known), max(one[1] for one in known)
        return replace(
            kept, date=day.isoformat(), start_ms=local_ms(day, start, seen.zone), end_ms=local_ms(day, end, seen.zone)
        )
    start_ms = kept.start_ms if to.start_s is None else local_ms(day, to.start_s, seen.zone)
    if to.end_s is not None:
        # A class that ends at half past midnight ends on the next day.
        later = to.start_s is not None and to.end_s <= to.start_s and to.end_s < 6 * 3600
        end_ms = local_ms(day + timedelta(days=1) if later else day, to.end_s, seen.zone)
    else:
        end_ms = start_ms + kept.end_ms - kept.start_ms
    return replace(kept, date=day.isoformat(), start_ms=start_ms, end_ms=end_ms)


def _rooms(tx: Connection, deps: Deps, text: str) -> tuple[Room, ...]:
    """The room that people call so. One that nobody knows (`线上`) is taken as it is written."""
    found = classes.rooms_called(tx, text, tenant=deps.tenant)
    if len(found) > 1:
        listed = "、".join(xq + lq + room for xq, lq, room in found[:6])
        raise ChangeRefused(
            f"{text} 有多个教室 · several rooms are called {text}", f"Write building and room: {listed}"
        )
    return tuple(found) or (("", "", text),)


def _teacher(tx: Connection, deps: Deps, text: str) -> tuple[str, str]:
    found = classes.teachers_called(tx, text, tenant=deps.tenant)
    if len(found) != 1:
        listed = "、".join(f"{name}（{code}）" for code, name in found[:6])
        problem = (
            f"教师 {text} 有多位 · several teachers are called {text}"
            if found
            else f"没有教师 {text} · no teacher {text}"
        )
        raise ChangeRefused(
            problem, f"Name one by code: {listed}" if found else "Name a teacher of the teachers file by code"
        )
    return found[0]


def _offering(tx: Connection, deps: Deps, term: str, course: tuple[str, str | None]) -> AnyRow:
    found = classes.of_course(tx, *course, tenant=deps.tenant, term=term)
    if len(found) != 1:
        codes = ", ".join(row.kcbh for row in found[:12])
        problem = f"course {course[0]} has several codes" if found else f"term {term} has no course {course[0]}"
        raise UnknownClass(problem, f"Name one: KKH,KCBH with {codes}" if found else "`obsync classes` finds courses")
    return found[0]


def in_the_way(tx: Connection, deps: Deps, term: str, moved: Sequence[Held]) -> list[dict[str, Any]]:
    """What clashes with single classes where they are to be: rooms, teachers, and students who take both."""
    found: list[dict[str, Any]] = []
    for one in moved:
        first, last = (datetime.fromtimestamp(ms / 1000, deps.zone).date() for ms in (one.start_ms, one.end_ms))
        days = [(first + timedelta(days=n)).isoformat() for n in range(-1, (last - first).days + 1)]
        rows = classes.at(
            tx, tenant=deps.tenant, start_ms=one.start_ms, end_ms=one.end_ms, dates=days, but={one.id}
        )  # fmt: skip
        others = [classes.as_held(row) for row in rows]
        found += [conflict(deps, clash) for clash in clashes.of_things([one], others)]
        expected: dict[str, set[str]] = {}
        ids = {one.offering_id, *(other.offering_id for other in others)} if others else set[str]()
        for offering_id, kind, code in classes.students(tx, ids, tenant=deps.tenant, term=term):
            if kind == "student":
                expected.setdefault(offering_id, set()).add(code)
        for _, other, both in clashes.of_students([one], others, expected):
            found.append(conflict(deps, Clash(clashes.STUDENT, str(len(both)), one, other)))
    return found


def conflict(deps: Deps, clash: Clash) -> dict[str, Any]:
    """A clash as people and programs read it."""
    start = datetime.fromtimestamp(clash.other.start_ms / 1000, deps.zone)
    when = f"{start:%Y-%m-%d %H:%M}"
    what = {
        clashes.ROOM: f"教室 {clash.what} · room {clash.what}",
        clashes.TEACHER: f"教师 {clash.what} · teacher {clash.what}",
        clashes.STUDENT: f"{clash.what} 名学生 · {clash.what} students",
    }[clash.kind]
    return {
        "kind": clash.kind,
        "what": clash.what,
        "session": clash.moved.id,
        "course": clash.moved.course,
        "other_session": clash.other.id,
        "other_course": clash.other.course,
        "start_ms": clash.other.start_ms,
        "end_ms": clash.other.end_ms,
        "sentence": f"{what}：{clash.other.course} {when}",
    }


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


def _held(row: AnyRow, session: Session) -> Held:
    listed = tuple(lq + room for _, lq, room in session.rooms if lq + room)
    return Held(
        row.id, row.offering_id, classes.title_of(row), session.start_ms, session.end_ms, listed, session.teachers
    )


# --- looking ------------------------------------------------------------------------------------------------------------


def listing(
    deps: Deps,
    *,
    term: str | None = None,
    kinds: Sequence[str] = (),
    states: Sequence[str] = (),
    course: str | None = None,
    limit: int = 50,
) -> dict[str, Any]:
    """Changes, newest first."""
    with reading(deps.engine) as tx:
        ids = None
        if course is not None:
            ids = sorted(
                {row.offering_id for row in classes.find(tx, tenant=deps.tenant, course=course, limit=100_000)}
            )
        rows = teaching_changes.listing(
            tx, tenant=deps.tenant, term=term, kinds=kinds, states=states, offering_ids=ids, limit=limit
        )
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
