"""What is looked at before something is decided about a class: whether it may be, what people mean, what is in the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from db import classes
from db.clock import now_ms as clock
from db.tables import AnyRow
from domain import clashes
from domain.aggregation import Session
from domain.clashes import Clash, Held
from domain.teaching_changes import Around, on_day, original
from domain.timetable import local_ms
from usecases import terms
from usecases.deps import Deps

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


@dataclass(frozen=True, slots=True)
class Said:
    """Who decides, why, and whether what is in the way was seen. `now_ms` None: the database's clock. `also` writes in the
    transaction of the decision, given what is answered. `preview`: nothing is decided, only shown."""

    actor: str
    reason: str = ""
    confirm: bool = False
    preview: bool = False
    now_ms: int | None = None
    also: Callable[[Connection, dict[str, Any]], None] = lambda _tx, _found: None


def changeable(tx: Connection, deps: Deps, session: str, said: Said, *, cancelled: bool = False) -> AnyRow:
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


def refuse_times(tx: Connection, new: Session, said: Said) -> None:
    if not 0 < new.end_ms - new.start_ms <= _LONGEST_MS:
        raise ChangeRefused(
            "结束时间不晚于开始时间 · the end is not after the start", "Name --start and --end, as 14:00"
        )
    if new.end_ms <= (said.now_ms or clock(tx)):
        raise ChangeRefused(f"{new.date} 已经过去 · that time is over", "Name a time that is still to come")


def some(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not rows:
        raise ChangeRefused("课次已是如此 · the class is so already", "Nothing has to be changed")
    return rows


def at_time(session: Session, to: Time, seen: Around) -> Session:
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


def rooms_named(tx: Connection, deps: Deps, text: str) -> tuple[Room, ...]:
    """The room that people call so. One that nobody knows (`线上`) is taken as it is written."""
    found = classes.rooms_called(tx, text, tenant=deps.tenant)
    if len(found) > 1:
        listed = "、".join(xq + lq + room for xq, lq, room in found[:6])
        raise ChangeRefused(
            f"{text} 有多个教室 · several rooms are called {text}", f"Write building and room: {listed}"
        )
    return tuple(found) or (("", "", text),)


def teacher_named(tx: Connection, deps: Deps, text: str) -> tuple[str, str]:
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


def offering_named(tx: Connection, deps: Deps, term: str, course: tuple[str, str | None]) -> AnyRow:
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


def people_of(tx: Connection, deps: Deps, term: str, offering_ids: set[str]) -> dict[str, int]:
    """How many students and teachers these courses have."""
    found: dict[str, set[str]] = {"student": set(), "teacher": set()}
    for _, kind, code in classes.students(tx, offering_ids, tenant=deps.tenant, term=term):
        found["student" if kind == "student" else "teacher"].add(code)
    return {"students": len(found["student"]), "teachers": len(found["teacher"])}


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


def held_as(row: AnyRow, session: Session) -> Held:
    listed = tuple(lq + room for _, lq, room in session.rooms if lq + room)
    return Held(
        row.id, row.offering_id, classes.title_of(row), session.start_ms, session.end_ms, listed, session.teachers
    )
