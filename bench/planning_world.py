"""A term for `bench.planning`: courses, classes, people and rolls written straight into an empty database."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, and_, exists, func, insert, literal_column, select, update

from db import imports, timetable
from db.engine import in_unit, reading
from db.people import STUDENT, TEACHER
from db.tables import jobs, mirror, users
from db.timetable import Offering
from domain.aggregation import Session, session_id
from domain.ids import key_of
from domain.terms import Term
from domain.timetable import local_ms

T = TypeVar("T")

TERM = "2024-2025-1"
_ZONE = ZoneInfo("Asia/Shanghai")
_MONDAY = date(2024, 9, 2)
_ROWS_PER_UNIT = 2_000
_STARTS_S = (28_800, 36_000, 50_400, 57_600, 66_600)  # 8:00, 10:00, 14:00, 16:00, 18:30
_CLASS_S = 5_700


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the term is. Classes are of courses of equal length; each course has a roll of students and a teacher."""

    sessions: int
    of_course: int
    roll: int
    students: int
    colleges: int

    @property
    def courses(self) -> int:
        return -(-self.sessions // self.of_course)

    @property
    def teachers(self) -> int:
        return max(1, self.courses // 8)


def fill(engine: Engine, shape: Shape, *, tenant: str) -> int:
    """Write the term as a complete import has it. Returns the number of that import."""
    import_no = in_unit(engine, lambda tx: _complete_import(tx, tenant))
    key: dict[str, Any] = {"tenant": tenant, "import_no": import_no}
    in_unit(engine, lambda tx: timetable.save_terms(tx, [Term(TERM, _MONDAY, 18)], tenant=tenant))
    _in_units(engine, _people(shape, tenant, import_no), lambda tx, rows: tx.execute(insert(users), rows))
    _in_units(
        engine,
        (_course(number, shape) for number in range(shape.courses)),
        lambda tx, rows: timetable.save_offerings(tx, rows, **key),
    )
    titles = {_id(number): _course(number, shape).title for number in range(shape.courses)}
    _in_units(engine, _classes(shape), lambda tx, rows: timetable.save_sessions(tx, rows, titles=titles, **key))
    _in_units(engine, _rolls(shape), lambda tx, rows: timetable.save_rolls(tx, rows, **key))
    return import_no


def _complete_import(tx: Connection, tenant: str) -> int:
    number = imports.begin(
        tx, tenant=tenant, run_id="bench", source="bench", files={}, fingerprint="", part=imports.READ
    )
    imports.complete(tx, tenant=tenant, import_no=number, findings=0)
    return number


def _in_units(engine: Engine, rows: Iterable[T], write: Callable[[Connection, list[T]], Any]) -> None:
    left = iter(rows)
    while page := list(islice(left, _ROWS_PER_UNIT)):
        in_unit(engine, lambda tx, page=page: write(tx, page))  # type: ignore[misc]


def _people(shape: Shape, tenant: str, import_no: int) -> Iterator[dict[str, Any]]:
    for kind, first, count in ((STUDENT, "24", shape.students), (TEACHER, "t", shape.teachers)):
        for number in range(count):
            code = f"{first}{number:07d}"
            yield {
                "tenant_id": tenant,
                "kind": kind,
                "code": code,
                "name": f"人{number}",
                "college": "",
                "listed": True,
                "wps_id": f"wps-{code}",
                "import_no": import_no,
            }


def _id(course: int) -> str:
    return key_of("offering", "bench", TERM, f"K{course:06d}", "")


def _course(number: int, shape: Shape) -> Offering:
    college = f"学院{number % shape.colleges:02d}"
    return Offering(_id(number), TERM, f"K{number:06d}", f"C{number % 5000:05d}", f"课程设计与实践 {number}", college)


def _classes(shape: Shape) -> Iterator[timetable.SessionOf]:
    for number in range(shape.sessions):
        course, turn = divmod(number, shape.of_course)
        week, weekday = 1 + turn % 18, 1 + (course + turn // 18) % 5
        day = _MONDAY + timedelta(days=7 * (week - 1) + weekday - 1)
        start_s = _STARTS_S[course % len(_STARTS_S)]
        period = 1 + 2 * (course % len(_STARTS_S))
        yield (
            TERM,
            _id(course),
            Session(
                id=session_id(_id(course), "week", str(week), str(weekday), str(period)),
                jxz=week,
                zc=weekday,
                periods=(period, period + 1),
                date=day.isoformat(),
                start_ms=local_ms(day, start_s, _ZONE),
                end_ms=local_ms(day, start_s + _CLASS_S, _ZONE),
                rooms=(("闵行", "东上院", f"{100 + course % 400}"),),
                teachers=(f"教师{course % shape.teachers}",),
                lines=(2 * number, 2 * number + 1),
            ),
        )


def _rolls(shape: Shape) -> Iterator[timetable.RollEntry]:
    for course in range(shape.courses):
        offering = _id(course)
        yield TERM, offering, TEACHER, f"t{course % shape.teachers:07d}"
        for place in range(min(shape.roll, shape.students)):
            yield TERM, offering, STUDENT, f"24{(course * shape.roll + place) % shape.students:07d}"


def planned(engine: Engine, *, tenant: str) -> dict[str, int]:
    """Kind of target → how many jobs ask for one."""
    with reading(engine) as tx:
        rows = tx.execute(
            select(jobs.c.kind, func.count())
            .where(jobs.c.tenant_id == tenant, jobs.c.open_key.is_not(None), jobs.c.lane.is_not(None))
            .group_by(jobs.c.kind)
        )
        return {row[0]: int(row[1]) for row in rows}


def mark_as_sent(engine: Engine, *, tenant: str) -> None:
    """As after a drain in which everything went well: the mirror is what the jobs asked for, and the jobs are done."""
    asked_for = (
        select(jobs.c.desired_hash)
        .where(jobs.c.tenant_id == tenant, jobs.c.kind == mirror.c.kind, jobs.c.open_key == mirror.c.target)
        .scalar_subquery()
    )
    open_ = exists().where(
        and_(jobs.c.tenant_id == tenant, jobs.c.kind == mirror.c.kind, jobs.c.open_key == mirror.c.target)
    )
    in_unit(
        engine,
        lambda tx: tx.execute(
            update(mirror)
            .where(mirror.c.tenant_id == tenant, open_)
            .values(state="live", sent_hash=asked_for, remote_id=literal_column("target"))
        ),
    )
    in_unit(
        engine,
        lambda tx: tx.execute(
            update(jobs)
            .where(jobs.c.tenant_id == tenant, jobs.c.lane.is_not(None))
            .values(state="done", open_key=None, finished_ms=1)
        ),
    )


def sizes(given: Sequence[int], **rest: int) -> list[Shape]:
    """One shape for each number of sessions; students keep the proportion of fifty thousand to half a million classes."""
    return [Shape(sessions=one, students=max(100, one // 10), **rest) for one in given]
