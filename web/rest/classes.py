"""A class at the bell, as its teacher sees it: the code on the screen, the window, the roll, marks and paper rolls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from db import attendance, check_in_refusals, check_ins, courses, rosters
from db.attendance import Which
from db.courses import ALL
from db.engine import reading
from db.people import TEACHER
from db.tables import AnyRow
from domain.attendance import COUNTERS
from domain.check_in_words import REASONS
from domain.class_codes import STEP_MS
from domain.tenancy import Scope, Thing
from domain.verdicts import MINUTE_MS, Window
from usecases import live, marks, teacher_windows
from web import site
from web.envelope import Answer, language
from web.errors import ApiError
from web.paging import cursor_of, page_meta, read_cursor
from web.policy import needs
from web.routes import Feature
from web.schemas import attendance as shapes
from web.schemas.base import instant
from web.schemas.check_ins import ReasonTold

feature = Feature("classes", "课堂 a class at the bell: code, window, roll and marks")


# --- what a request is about ----------------------------------------------------------------------------------------


def class_of(tx: Connection, scope: Scope, said: Mapping[str, Any]) -> Thing | None:
    """The class that the address or the body names, with the college of its course, and the caller where he teaches it."""
    session_id = said["path"].session_id if "path" in said else said["body"].schedule_id
    session = rosters.session(tx, session_id, tenant=scope.tenant)
    course_id = session.offering_id if session is not None else _course_of_roster(tx, scope, session_id)
    course = None if course_id is None else courses.get(tx, course_id, tenant=scope.tenant)
    if course is None:
        return None
    teaches = TEACHER in courses.kinds_on_roll(tx, course, scope.user, tenant=scope.tenant)
    mine = frozenset({scope.user}) if teaches else frozenset()
    return Thing(scope.tenant, frozenset({course.college} - {""}), teachers=mine)


def _course_of_roster(tx: Connection, scope: Scope, session_id: str) -> str | None:
    """The course of a class that the timetable has no more."""
    row = rosters.find(tx, session_id, tenant=scope.tenant)
    return None if row is None else str(row.course_id)


# --- the window -------------------------------------------------------------------------------------------------------


@feature.get("/sessions/<session_id>/class-code", needs("check_in.manage", class_of), data=shapes.ClassCode)
def show_class_code(path: shapes.ClassPath) -> Answer:
    """The code for the screen of a classroom; a new one every ten seconds."""
    code, left_ms = site.desk().class_code(path.session_id)
    shape = shapes.ClassCode(
        schedule_id=path.session_id,
        code=code,
        scan=f"obsync:{path.session_id}:{code}",
        left_ms=left_ms,
        server_time=instant(site.now_ms()) or "",
    )
    return Answer(shape.as_json())


@feature.post(
    "/sessions/<session_id>/start", needs("check_in.manage", class_of), data=shapes.ClassWindow, errors=(409,)
)
def start_class(path: shapes.ClassPath) -> Answer:
    """Take check-ins from now on, also before the time; an end is taken back."""
    return _moved(path.session_id, teacher_windows.START)


@feature.post(
    "/sessions/<session_id>/extend", needs("check_in.manage", class_of), data=shapes.ClassWindow, errors=(409,)
)
def extend_class(path: shapes.ClassPath, body: shapes.Longer) -> Answer:
    """Take check-ins for some minutes more, from the end that was set or from now. Who comes then is late as before."""
    return _moved(path.session_id, teacher_windows.EXTEND, minutes=body.minutes)


@feature.post("/sessions/<session_id>/end", needs("check_in.manage", class_of), data=shapes.ClassWindow, errors=(409,))
def end_class(path: shapes.ClassPath) -> Answer:
    """Take no more check-ins. Who has not come is absent when the class is over."""
    return _moved(path.session_id, teacher_windows.END)


def _moved(session_id: str, act: str, **more: int) -> Answer:
    window = teacher_windows.move(site.deps(), session_id, act, actor=site.actor(), **more)
    site.desk().book.forget(session_id)
    return Answer(_window(session_id, window).as_json())


def _window(session_id: str, window: Window) -> shapes.ClassWindow:
    return shapes.ClassWindow(
        schedule_id=session_id,
        opens_at=instant(window.opens_ms) or "",
        late_from=instant(window.late_from_ms) or "",
        closes_at=instant(window.closes_ms) or "",
    )


# --- the roll ---------------------------------------------------------------------------------------------------------


@feature.get("/sessions/<session_id>/roster", needs("roll.read", class_of), data=shapes.ClassRoll)
def show_roll(path: shapes.ClassPath, query: shapes.RollQuery) -> Answer:
    """A class: how many came, and a page of who. `status=REVIEW` are those that wait for the teacher."""
    known = site.desk().session(path.session_id)
    tenant = site.scope().tenant
    which = Which(session=path.session_id, status=query.status)
    with reading(site.deps().engine) as tx:
        roster = rosters.get(tx, path.session_id, tenant=tenant, term=known.row.term)
        found = attendance.page(
            tx, which, tenant=tenant, within=ALL, own=None, limit=query.size + 1, offset=query.offset,
            after=after_of(query.cursor),
        )  # fmt: skip
        shown = found[: query.size]
        names = attendance.names_of(tx, [row.code for row in shown], tenant=tenant)
        used = check_ins.codes_used(tx, path.session_id, tenant=tenant, term=known.row.term)
        away = check_in_refusals.of_session(tx, path.session_id, tenant=tenant, term=known.row.term)
    if roster is None:
        raise ApiError("NOT_FOUND")
    page = page_meta(query, shown=shown, more=len(found) > query.size, cursor=cursor_for(shown))
    shape = shapes.ClassRoll(
        schedule_id=path.session_id,
        course_id=roster.course_id,
        status=roster.status,
        window=_window(path.session_id, known.window),
        counts=counts_of(roster),
        by_code=_by_code(used),
        turned_away=[
            shapes.TurnedAway(cause=cause, students=students, attempts=attempts, out=out)
            for cause, students, attempts, out in away
        ],
        students=[entry_of(row, names, used=used) for row in shown],
    )
    return Answer(shape.as_json(), page=page)


def _by_code(used: Mapping[int, tuple[int, int]]) -> list[shapes.CodeUsed]:
    return [
        shapes.CodeUsed(shown_at=instant(step * STEP_MS) or "", students=students, devices=devices)
        for step, (students, devices) in sorted(used.items())
    ]


def counts_of(row: AnyRow) -> shapes.RosterCounts:
    """The counters of a roster."""
    return shapes.RosterCounts(
        **{name.removesuffix("_count").removesuffix("_students"): getattr(row, name) for name in COUNTERS}
    )


def entry_of(
    row: AnyRow,
    names: Mapping[str, str],
    *,
    with_receipt: bool = False,
    used: Mapping[int, tuple[int, int]] | None = None,
) -> shapes.RollEntry:
    """A row of a roster as it is shown; `used` says how many came in by each code of the screen.

    Where somebody was is not in it; how far from the room is."""
    reasons = [one for one in f"{row.reasons or ''},{row.doubts or ''}".split(",") if one in REASONS]
    at = 0 if language() == "zh" else 1
    late = row.at_ms is not None and row.timing == "LATE"
    return shapes.RollEntry(
        student=row.code,
        name=names.get(row.code),
        schedule_id=row.session_id,
        course_id=row.course_id,
        course_name=row.name or row.kcbh or row.kkh or "",
        date=row.course_date,
        start_at=instant(row.start_ms) or "",
        status=row.status,
        leave_noted=row.leave_noted,
        produced_by=row.produced_by,
        why=row.why,
        checkin_time=instant(row.at_ms),
        way=row.way,
        late_minutes=max(0, row.at_ms - row.start_ms) // MINUTE_MS if late else None,
        outside_metres=row.outside_m,
        accuracy_metres=row.accuracy_m,
        rule_version=row.rule_version,
        same_code=None if row.code_step is None or not used else used.get(row.code_step, (1, 0))[0] - 1,
        reasons=[ReasonTold(code=one, message=REASONS[one][at]) for one in sorted({*reasons})],
        receipt=row.receipt if with_receipt else None,
    )


def after_of(cursor: str | None) -> tuple[int, str, str] | None:
    """The last row that was seen."""
    if cursor is None:
        return None
    start_ms, session_id, code = read_cursor(cursor)
    return int(start_ms), str(session_id), str(code)


def cursor_for(shown: Sequence[AnyRow]) -> str | None:
    """A cursor behind the last of these rows."""
    return cursor_of(shown[-1].start_ms, shown[-1].session_id, shown[-1].code) if shown else None


# --- marks ------------------------------------------------------------------------------------------------------------


@feature.post("/checkin/manual", needs("check_in.manage", class_of), data=shapes.MarksTold, errors=(409,))
def mark_students(body: shapes.ManualMarks) -> Answer:
    """Mark one student, many, or all that have a status; decide about check-ins that wait; correct with a reason.

    All or nothing. For all of a status the answer without `count` says how many are meant, and nothing is done.
    """
    of: dict[str, Any] = {"actor": site.actor(), "reason": body.reason}
    if body.marks is not None:
        wanted = {one.student: one.status for one in body.marks}
        changes = marks.mark(site.deps(), body.schedule_id, wanted, **of)
        _tell_screens(body.schedule_id, changes)
        return _told(body.schedule_id, len(wanted), changes)
    count, changes = marks.mark_all(
        site.deps(), body.schedule_id, str(body.all_of), str(body.status), count=body.count, **of
    )
    _tell_screens(body.schedule_id, changes)
    return _told(body.schedule_id, count, changes, done=body.count is not None)


@feature.post("/checkin/roll", needs("check_in.manage", class_of), data=shapes.MarksTold, errors=(409,))
def import_paper_roll(body: shapes.PaperRoll) -> Answer:
    """Mark students as a paper roll says. A line that cannot be read is named, and nothing is marked then."""
    wanted = marks.read_roll(body.csv)
    of: dict[str, Any] = {"actor": site.actor(), "reason": body.reason or "纸质点名表 paper roll", "about": "import"}
    changes = marks.mark(site.deps(), body.schedule_id, wanted, **of)
    _tell_screens(body.schedule_id, changes)
    return _told(body.schedule_id, len(wanted), changes)


def _tell_screens(session_id: str, changes: Sequence[marks.Change]) -> None:
    if changes:
        live.tell(site.deps(), session_id, site.site().publish)


def _told(session_id: str, count: int, changes: Sequence[marks.Change], *, done: bool = True) -> Answer:
    told = [shapes.MarkChange(student=one.code, was=one.was, now=one.now) for one in changes]
    shape = shapes.MarksTold(schedule_id=session_id, count=count, done=done, changes=told)
    return Answer(shape.as_json())
