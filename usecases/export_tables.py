"""Tables that people take away as files: what is in each, a page of rows at a time, whoever writes them down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from db import attendance, check_in_refusals, courses, statistic_lists
from db.attendance import Which
from db.courses import Within
from db.engine import reading
from db.statistic_lists import Seen
from db.tables import AnyRow
from domain.attendance import REFUSED, SUSPICIOUS, WAITS, exception_of
from domain.check_in_words import CAUSES, REASONS
from domain.plans import course_title
from domain.statistics import COLLEGE, COURSE, STATS, TEACHER, TERM, USER, rate
from usecases import configs
from usecases.deps import Deps

_PAGE: Final = 1_000

Cells = tuple[object, ...]


@dataclass(frozen=True)
class Table:
    """A table: what its file is called, the words above its columns, and its rows, read while they are written."""

    called: str
    head: tuple[str, ...]
    rows: Iterator[Cells]


# --- the timetable ---------------------------------------------------------------------------------------------------

_CLASSES: Final = ("学期", "课程", "开课单位", "周次", "星期", "节次", "日期", "开始", "结束", "教室", "教师")


def timetable(deps: Deps, **which: Any) -> Table:
    """Classes: `term`, `course`, `room`."""

    def found() -> Iterator[Mapping[str, Any]]:
        after: tuple[str, str] | None = None
        while True:
            # A transaction for each page: whoever reads slowly holds none.
            with reading(deps.engine) as tx:
                page = courses.classes(tx, tenant=deps.tenant, within=courses.ALL, limit=_PAGE, after=after, **which)
            yield from page
            if len(page) < _PAGE:
                return
            after = (page[-1]["term"], page[-1]["id"])

    return classes(found(), deps.zone)


def classes(found: Iterator[Mapping[str, Any]], zone: ZoneInfo) -> Table:
    """Classes that somebody has found."""
    return Table("timetable", _CLASSES, (_class(one, zone) for one in found))


def _class(one: Mapping[str, Any], zone: ZoneInfo) -> Cells:
    clock = [f"{datetime.fromtimestamp(one[name] / 1000, zone):%H:%M}" for name in ("start_ms", "end_ms")]
    told = (one["term"], one["title"], one["college"], one["week"], one["weekday"], one["periods"], one["date"])
    return (*told, *clock, "; ".join(one["rooms"]), "; ".join(one["teachers"]))


# --- attendance ------------------------------------------------------------------------------------------------------

_STANDINGS: Final = ("学号", "姓名", "课程", "日期", "开始", "状态", "签到时间", "方式", "来源")


def standings(deps: Deps, which: Which, *, colleges: tuple[str, ...] | None = None) -> Table:
    """What became of each student in each class, the latest class first; of courses of `colleges`, None: of all."""

    def found() -> Iterator[Cells]:
        after: tuple[int, str, str] | None = None
        within = Within(colleges)
        while True:
            with reading(deps.engine) as tx:
                page = attendance.page(tx, which, tenant=deps.tenant, within=within, own=None, limit=_PAGE, after=after)
                names = attendance.names_of(tx, [row.code for row in page], tenant=deps.tenant)
            yield from (_standing(row, names, deps.zone) for row in page)
            if len(page) < _PAGE:
                return
            after = (page[-1].start_ms, page[-1].session_id, page[-1].code)

    return Table("attendance", _STANDINGS, found())


def _standing(row: AnyRow, names: Mapping[str, str], zone: ZoneInfo) -> Cells:
    start, came = (_clock(ms, zone) for ms in (row.start_ms, row.at_ms))
    title = course_title(name=row.name or "", kcbh=row.kcbh or "", kkh=row.kkh or "")
    return (row.code, names.get(row.code), title, row.course_date, start, row.status, came, row.way, row.produced_by)


def _clock(ms: int | None, zone: ZoneInfo) -> str | None:
    return None if ms is None else f"{datetime.fromtimestamp(ms / 1000, zone):%H:%M:%S}"


_EXCEPTIONS: Final = ("学院", "情况", "学号", "姓名", "课程", "日期", "开始", "状态", "签到时间", "方式", "原因")


def day_of(day: str, zone: ZoneInfo) -> tuple[int, int]:
    """From the midnight before a day to the one after it, ms UTC."""
    first = datetime.fromisoformat(day).replace(tzinfo=zone)
    return round(first.timestamp() * 1000), round((first + timedelta(days=1)).timestamp() * 1000)


def exceptions(deps: Deps, day: str, *, colleges: tuple[str, ...] | None = None) -> Table:
    """The check-ins of a day that somebody had to look at; of courses of `colleges`, None: of all."""

    def found() -> Iterator[Cells]:
        after: tuple[int, str, str] | None = None
        which = Which(began=day_of(day, deps.zone), exceptional=True)
        while True:
            with reading(deps.engine) as tx:
                page = attendance.page(
                    tx, which, tenant=deps.tenant, within=Within(colleges), own=None, limit=_PAGE, after=after
                )
                names = attendance.names_of(tx, [row.code for row in page], tenant=deps.tenant)
            for row in page:
                student, name, *rest, _by = _standing(row, names, deps.zone)
                kind, why = _WORDS[exception_of(row.status, row.produced_by)], _why(row)
                yield (row.college, kind, student, name, *rest, why)
            if len(page) < _PAGE:
                return
            after = (page[-1].start_ms, page[-1].session_id, page[-1].code)

    return Table("exceptions", _EXCEPTIONS, found())


_REFUSALS: Final = (
    "学院", "学号", "姓名", "课程", "日期", "开始", "原因", "次数", "首次", "末次", "范围外(米)", "最终状态",
)  # fmt: skip


def refusals(deps: Deps, day: str, *, colleges: tuple[str, ...] | None = None) -> Table:
    """Whom the desk turned away in the classes of a day; of courses of `colleges`, None: of all."""

    def found() -> Iterator[Cells]:
        after: tuple[int, str, str, str] | None = None
        while True:
            with reading(deps.engine) as tx:
                page = check_in_refusals.page(
                    tx, day_of(day, deps.zone), tenant=deps.tenant, within=Within(colleges), limit=_PAGE, after=after
                )
                names = attendance.names_of(tx, [row.code for row in page], tenant=deps.tenant)
            yield from (_refusal(row, names, deps.zone) for row in page)
            if len(page) < _PAGE:
                return
            after = (page[-1].start_ms, page[-1].session_id, page[-1].code, page[-1].cause)

    return Table("refusals", _REFUSALS, found())


def _refusal(row: AnyRow, names: Mapping[str, str], zone: ZoneInfo) -> Cells:
    title = course_title(name=row.name or "", kcbh=row.kcbh or "", kkh=row.kkh or "")
    start, first, last = (_clock(ms, zone) for ms in (row.start_ms, row.first_ms, row.last_ms))
    why = CAUSES[row.cause][0] if row.cause in CAUSES else row.cause
    about = (row.college, row.code, names.get(row.code), title, row.course_date, start)
    return (*about, why, row.attempts, first, last, row.outside_m, row.status)


_WORDS: Final[Mapping[str, str]] = {WAITS: "待核实", REFUSED: "未予认可", SUSPICIOUS: "可疑"}


def _why(row: AnyRow) -> str:
    said = [one for one in (*row.reasons.split(","), *row.doubts.split(",")) if one]
    return "; ".join(REASONS[one][0] if one in REASONS else one for one in dict.fromkeys(said))


# --- statistics ------------------------------------------------------------------------------------------------------

_SUMS: Final = (
    "学期",
    "对象",
    "名称",
    "学院",
    "时段",
    "应到",
    "出勤",
    "缺勤",
    "请假",
    "待定",
    "待核实",
    "迟到",
    "早退",
    "出勤率",
)


def statistics(deps: Deps, which: statistic_lists.Which) -> Table:
    """Sums of students, courses, teachers or colleges."""

    def found() -> Iterator[Cells]:
        after: tuple[str, str, str] | None = None
        with reading(deps.engine) as tx:
            leave_counts = configs.value_of(tx, "attendance.leave_counts", tenant=deps.tenant)
        while True:
            with reading(deps.engine) as tx:
                page = statistic_lists.page(tx, which, Seen(), tenant=deps.tenant, limit=_PAGE, after=after)
            yield from (_sum(row, which.kind, without_leave=not leave_counts) for row in page)
            if len(page) < _PAGE:
                return
            after = (page[-1].xnxq, page[-1].subject, page[-1].period)

    return Table("statistics", _SUMS, found())


def _sum(row: AnyRow, kind: str, *, without_leave: bool) -> Cells:
    name = row._mapping.get("name")
    if kind == COURSE and row.kkh is not None:
        name = course_title(name=row.name, kcbh=row.kcbh, kkh=row.kkh)
    share = rate(row.attended_classes, row.total_classes, row.leave_classes, without_leave=without_leave)
    counts = (getattr(row, one) for one in STATS)
    return (row.xnxq, row.subject, name, row.of_college, row.period, *counts, share)


# --- by name ---------------------------------------------------------------------------------------------------------


def _sums_of(kind: str) -> Callable[[Deps, Mapping[str, Any]], Table]:
    def made(deps: Deps, wanted: Mapping[str, Any]) -> Table:
        which = statistic_lists.Which(
            kind, wanted.get("per") or TERM, wanted.get("term"), None, wanted.get("course"), wanted.get("college"),
            wanted.get("since"), wanted.get("until"),
        )  # fmt: skip
        return statistics(deps, which)

    return made


def _standings_of(deps: Deps, wanted: Mapping[str, Any]) -> Table:
    which = Which(
        user=wanted.get("user"), course=wanted.get("course"), since=wanted.get("since"), until=wanted.get("until")
    )
    college = wanted.get("college")
    return standings(deps, which, colleges=None if college is None else (college,))


def _timetable_of(deps: Deps, wanted: Mapping[str, Any]) -> Table:
    return timetable(deps, **{name: wanted.get(name) for name in ("term", "course", "room")})


def _exceptions_of(deps: Deps, wanted: Mapping[str, Any]) -> Table:
    college = wanted.get("college")
    return exceptions(deps, wanted["since"], colleges=None if college is None else (college,))


def _refusals_of(deps: Deps, wanted: Mapping[str, Any]) -> Table:
    college = wanted.get("college")
    return refusals(deps, wanted["since"], colleges=None if college is None else (college,))


KINDS: Final[Mapping[str, Callable[[Deps, Mapping[str, Any]], Table]]] = {
    "timetable": _timetable_of, "attendance": _standings_of, "exceptions": _exceptions_of, "refusals": _refusals_of,
    "statistics.students": _sums_of(USER), "statistics.courses": _sums_of(COURSE),
    "statistics.teachers": _sums_of(TEACHER), "statistics.colleges": _sums_of(COLLEGE),
}  # fmt: skip
"""What can be asked for by name. `wanted` are texts: term, course, room, user, college, since, until, per."""
