"""Shapes of classes at the bell, of marks, histories and reports."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from usecases.marks import MARKS
from web.paging import PartQuery
from web.schemas.base import ID, In, Out, Text, Whole, Wrong
from web.schemas.check_ins import ClassId, ReasonTold
from web.schemas.courses import Day, Short, TermCode

Mark = Literal["ATTENDED", "LATE", "EARLY", "ABSENT", "LEAVE", "CONFIRM", "TAKE_BACK"]
DetailStatus = Literal["PENDING", "ATTENDED", "LATE", "EARLY", "ABSENT", "LEAVE", "REVIEW", "DROPPED"]
Reason = Annotated[Text, Field(max_length=500)]
assert set(MARKS) == set(Mark.__args__)  # type: ignore[attr-defined]


class ClassPath(In):
    """Which class."""

    session_id: Annotated[str, Field(pattern=ID, alias="session_id")]


class Longer(In):
    """By how many minutes."""

    minutes: Annotated[Whole, Field(ge=1, le=240)] = 5


class Nothing(In):
    """There is nothing more to say."""


class ClassCode(Out):
    """What the screen shows: the characters, what its QR code holds, and for how long. Milliseconds."""

    schedule_id: str
    code: str
    scan: str
    left_ms: int
    server_time: str


class ClassWindow(Out):
    """When a class takes check-ins."""

    schedule_id: str
    opens_at: str
    late_from: str
    closes_at: str


class RosterCounts(Out):
    """How many are expected, and what became of them; late and early are among attended."""

    total: int
    attended: int
    absent: int
    leave: int
    pending: int
    review: int
    late: int
    early: int


class RollEntry(Out):
    """A student in a class: the status, what it comes from, and the evidence of the check-in. `sameCode`: how many others came in
    by the very code of the screen, null where it is not known."""

    student: str
    name: str | None
    schedule_id: str
    course_id: str
    course_name: str
    date: str
    start_at: str
    status: str
    leave_noted: bool
    produced_by: str
    why: str
    checkin_time: str | None
    way: str | None
    late_minutes: int | None
    outside_metres: int | None
    accuracy_metres: int | None
    rule_version: int | None
    same_code: int | None = None
    reasons: list[ReasonTold]
    receipt: str | None = None


class RollQuery(PartQuery):
    """Which students of a class."""

    status: DetailStatus | None = None


class CodeUsed(Out):
    """A code of the screen: when it was shown, how many students came in by it, and from how many devices that are known."""

    shown_at: str
    students: int
    devices: int


class TurnedAway(Out):
    """How many students the desk turned away for a cause, how often, and how many of them did not come in after all."""

    cause: str
    students: int
    attempts: int
    out: int


class ClassRoll(Out):
    """A class at the bell: how many, and who. `byCode` is how many came in by each step of the screen's code, `turnedAway` whom
    the desk refused, by cause."""

    schedule_id: str
    course_id: str
    status: str
    window: ClassWindow
    counts: RosterCounts
    by_code: list[CodeUsed]
    turned_away: list[TurnedAway]
    students: list[RollEntry]


class CheckInsQuery(PartQuery):
    """Which rows; days are included."""

    user_id: Short | None = None
    course_id: Annotated[str, Field(pattern=ID)] | None = None
    schedule_id: Annotated[str, Field(pattern=ID)] | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    status: DetailStatus | None = None


class Marked(In):
    """One student, and what he is to be."""

    student: Short
    status: Mark


class ManualMarks(In):
    """Either `marks`, one for each student; or `status` for all that are `allOf`, with the `count` that was shown."""

    schedule_id: ClassId
    marks: Annotated[list[Marked], Field(max_length=2_000)] | None = None
    all_of: DetailStatus | None = None
    status: Mark | None = None
    count: Annotated[Whole, Field(ge=0, le=100_000)] | None = None
    reason: Reason = ""

    @model_validator(mode="after")
    def _one_way(self) -> ManualMarks:
        one_by_one = self.marks is not None and self.all_of is None and self.status is None
        together = self.marks is None and self.all_of is not None and self.status is not None
        if not (one_by_one or together):
            raise Wrong("请写 marks，或写 allOf 与 status", "give marks, or allOf and status")
        return self


class PaperRoll(In):
    """A paper roll: lines of number and status, joined by a comma."""

    schedule_id: ClassId
    csv: Annotated[str, Strict(), Field(min_length=1, max_length=200_000)]
    reason: Reason = ""


class MarkChange(Out):
    """A status that changed."""

    student: str
    was: str
    now: str


class MarksTold(Out):
    """What was marked. `count`: how many are meant; `done`: false where that is all that was asked."""

    schedule_id: str
    count: int
    done: bool
    changes: list[MarkChange]


class ReportQuery(In):
    """Which term; without one all of them."""

    term: TermCode | None = None


class ClassesCounted(Out):
    """What became of classes that are closed. `rate`: attended of those without leave, or of all by setting; None: none yet."""

    total: int
    attended: int
    absent: int
    leave: int
    pending: int
    review: int
    late: int
    early: int
    rate: float | None


class StudentStats(ClassesCounted):
    """A student in a course."""

    student: str
    name: str | None
    course_id: str
    course_name: str | None
    term: str


class ClassCounts(Out):
    """A class of a course and its counters."""

    schedule_id: str
    date: str
    start_at: str
    status: str
    counts: RosterCounts


class CourseAttendance(Out):
    """A course: all its classes together, each of them, and each student."""

    course_id: str
    counts: RosterCounts
    rate: float | None
    classes: list[ClassCounts]
    students: list[StudentStats]
