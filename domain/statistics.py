"""Statistics of attendance: sums over the classes that are closed, of whom, and of which time.

    whom   a student · a student in a course · a course · a teacher · a college
    time   the whole term · a week · a day; of students the term alone, their weeks and days are few enough to be added up

What a closed class counts for (course, teachers, college, day) is written down when it is closed, and never changes: a
correction a month later is taken from, and added to, the same sums.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, NamedTuple

from domain.attendance import change

STATS: Final = (
    "total_classes", "attended_classes", "absence_classes", "leave_classes", "pending_classes", "review_classes",
    "late_classes", "early_leave_classes",
)  # fmt: skip
"""total = attended + absence + leave + pending + review; late and early leave are among attended."""

_OF_COUNTER: Final[Mapping[str, str]] = {
    "total_students": "total_classes", "attended_count": "attended_classes", "absent_count": "absence_classes",
    "leave_count": "leave_classes", "pending_count": "pending_classes", "review_count": "review_classes",
    "late_count": "late_classes", "early_count": "early_leave_classes",
}  # fmt: skip

USER, COURSE, TEACHER, COLLEGE = "user", "course", "teacher", "college"
KINDS: Final = (USER, COURSE, TEACHER, COLLEGE)
"""Whom sums are about. Those of a student in a course belong to the student."""

_FIELD: Final[Mapping[str, str]] = {USER: "user_id", COURSE: "course_id", TEACHER: "teacher_id", COLLEGE: "college"}

NO_COLLEGE: Final = "_"
TERM, WEEK, DAY = "term", "week", "day"


class Key(NamedTuple):
    """Names one sum; blank means all. In the order of these fields everybody locks.

    `period` is blank for the whole term, ``2024-W36`` for a week, ``2024-09-02`` for a day. The sum of the whole term comes
    first among those of somebody, and whoever changes one of the others changes it too.
    """

    user_id: str = ""
    course_id: str = ""
    teacher_id: str = ""
    college: str = ""
    period: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """What a closed class counts for."""

    course_id: str
    college: str
    day: str
    teachers: tuple[str, ...] = ()


def key_of(kind: str, subject: str, period: str = "") -> Key:
    """The sum of somebody or something in a period."""
    return Key(period=period)._replace(**{_FIELD[kind]: subject})


def keys_of(student: str, place: Place) -> list[Key]:
    """All sums that a student's standing in a class is part of."""
    found = [key_of(USER, student), Key(student, place.course_id)]
    subjects = [(COURSE, place.course_id), (COLLEGE, place.college), *((TEACHER, one) for one in place.teachers)]
    return found + [key_of(*one, period) for one in subjects for period in periods_of(place.day)]


def periods_of(day: str) -> tuple[str, str, str]:
    """The term, the week and the day that a day lies in."""
    return ("", week_of(day), day)


def week_of(day: str) -> str:
    """The week of a day by ISO 8601, as ``2024-W36``."""
    year, week, _ = date.fromisoformat(day).isocalendar()
    return f"{year}-W{week:02d}"


def per_of(period: str) -> str:
    """Which kind of time a period is."""
    return WEEK if "W" in period else DAY if period else TERM


def monday_of(period: str) -> date | None:
    """The Monday of the week that a period lies in; None for a whole term."""
    if not period:
        return None
    if per_of(period) == WEEK:
        return date.fromisocalendar(int(period[:4]), int(period[-2:]), 1)
    found = date.fromisoformat(period)
    return found - timedelta(days=found.weekday())


def teaching_week(period: str, first_monday: date | None) -> int | None:
    """The week of the term that a period lies in; None where the term's beginning is not known."""
    monday = monday_of(period)
    return None if monday is None or first_monday is None else (monday - first_monday).days // 7 + 1


def add(sums: dict[Key, Counter[str]], keys: Iterable[Key], before: str, after: str, *, times: int = 1) -> None:
    """Add to `sums` what `times` students bring who were `before` (blank: not counted) and are `after`."""
    step: Counter[str] = Counter()
    change(step, before, after)
    for key in keys:
        total = sums.setdefault(key, Counter())
        for name, by in step.items():
            total[_OF_COUNTER[name]] += by * times


def rate(attended: int, total: int, leave: int, *, without_leave: bool = True) -> float | None:
    """The share of classes that were attended, of those without leave or of all; None where there are none."""
    of = total - leave if without_leave else total
    return round(attended / of, 4) if of > 0 else None
