"""Shapes of what people decide about classes, and of exchange days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from domain.alterations import CANCELLED, MAKE_UP, MOVED, RESTORED, ROOM_CHANGE, SUBSTITUTE, TYPES
from domain.teaching_changes import STATES
from usecases.change_checks import Time
from web.paging import PartQuery
from web.schemas.base import ID, In, Out, Text, Whole, Wrong, Yes, instant
from web.schemas.courses import Day, Short, TermCode

Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["14:00"])]
Reason = Annotated[Text, Field(max_length=500)]


class ChangePath(In):
    """Which change, by its id or that of its batch."""

    change_id: Annotated[str, Field(pattern=ID, alias="change_id")]


class ChangesQuery(PartQuery):
    """Which changes."""

    term: TermCode | None = None
    type: Annotated[list[Literal[TYPES]], Field(max_length=7)] | None = None  # type: ignore[valid-type]
    state: Annotated[list[Literal[STATES]], Field(max_length=3)] | None = None  # type: ignore[valid-type]


class DecideChange(In):
    """What is decided about a class, or of a make-up about a course. ``confirm``: although something is in the way.

    A moved class needs a time or a day, a room change a room, a substitution teachers (by number or name), a make-up a term, a
    course, a day and hours: ``start`` (and ``end``) or ``periods``.
    """

    type: Literal["moved", "cancelled", "restored", "make_up", "substitute", "room_change"]
    session_id: Annotated[str, Field(pattern=ID)] | None = None
    course_id: Annotated[str, Field(pattern=ID)] | None = None
    date: Day | None = None
    start: Clock | None = None
    end: Clock | None = None
    periods: Annotated[list[Annotated[Whole, Field(ge=1, le=99)]], Field(max_length=20)] | None = None
    room: Short | None = None
    teachers: Annotated[list[Short], Field(max_length=10)] | None = None
    reason: Reason = ""
    confirm: Yes = False

    @model_validator(mode="after")
    def _is_whole(self) -> DecideChange:
        made_up = self.type == MAKE_UP
        if made_up is (self.course_id is None) or made_up is not (self.session_id is None):
            raise Wrong(
                "补课请写 courseId，其余请写 sessionId",
                "name a course for a make-up, and a session for everything else",
            )
        given = {name for name in ("date", "start", "end", "periods", "room", "teachers") if getattr(self, name)}
        if stray := given - _TAKES[self.type]:
            raise Wrong(
                f"{self.type} 不用 {', '.join(sorted(stray))}", f"{self.type} takes no {', '.join(sorted(stray))}"
            )
        if not given & _NEEDS[self.type] and _NEEDS[self.type]:
            needed = sorted(_NEEDS[self.type])
            raise Wrong(f"{self.type} 需要 {' 或 '.join(needed)}", f"{self.type} needs {' or '.join(needed)}")
        return self

    def time(self) -> Time:
        """When it is to be."""
        day = None if self.date is None else date.fromisoformat(self.date)
        return Time(day, _seconds(self.start), _seconds(self.end), tuple(sorted(self.periods or ())))


_TIMES = {"date", "start", "end", "periods"}
_TAKES: Mapping[str, set[str]] = {
    MOVED: {*_TIMES, "room"}, CANCELLED: set(), RESTORED: set(), SUBSTITUTE: {"teachers"}, ROOM_CHANGE: {"room"},
    MAKE_UP: {*_TIMES, "room", "teachers"},
}  # fmt: skip
_NEEDS: Mapping[str, set[str]] = {
    MOVED: _TIMES, CANCELLED: set(), RESTORED: set(), SUBSTITUTE: {"teachers"}, ROOM_CHANGE: {"room"}, MAKE_UP: {"date"},
}  # fmt: skip


def _seconds(clock: str | None) -> int | None:
    return None if clock is None else int(clock[:2]) * 3600 + int(clock[3:]) * 60


class WithdrawIn(In):
    """Why it is taken back."""

    reason: Reason = ""


class TeachingChange(Out):
    """What somebody decided about a class; ``before`` is how the source had it then."""

    id: str
    type: str
    state: str
    term: str
    session_id: str | None
    batch: str
    course: str | None
    teaching_day: str | None
    date: str | None
    start_at: str | None
    end_at: str | None
    rooms: list[list[str]] | None
    teachers: list[list[str]] | None
    before: dict[str, Any] | None
    reason: str
    actor: str
    at: str
    ended_at: str | None
    ended_by: str | None
    run_id: str | None

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> TeachingChange:
        """From what the use case says."""
        same = (
            "id",
            "type",
            "state",
            "term",
            "batch",
            "date",
            "rooms",
            "teachers",
            "before",
            "reason",
            "actor",
            "ended_by",
        )
        return cls(
            **{name: one[name] for name in same},
            session_id=one["session"],
            course=one.get("course"),
            teaching_day=one.get("teaching_day"),
            start_at=instant(one["start_ms"]),
            end_at=instant(one["end_ms"]),
            at=instant(one["at_ms"]) or "",
            ended_at=instant(one["ended_ms"]),
            run_id=one["run"],
        )


class Decided(Out):
    """What was decided together, what was in the way, and the run that carries it to WPS."""

    batch: str
    run_id: str
    changes: list[TeachingChange]
    conflicts: list[str]


class PreviewedChange(Out):
    """What would be decided about a class; what is null stays, ``before`` is how the source has it."""

    type: str
    term: str
    session_id: str
    date: str | None
    start_at: str | None
    end_at: str | None
    rooms: list[list[str]] | None
    teachers: list[list[str]] | None
    before: dict[str, Any] | None

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> PreviewedChange:
        """From what the use case says."""
        same = ("type", "term", "date", "rooms", "teachers", "before")
        times: dict[str, Any] = {"start_at": instant(one["start_ms"]), "end_at": instant(one["end_ms"])}
        return cls(**{name: one[name] for name in same}, session_id=one["session"], **times)


class People(Out):
    """How many people it is about."""

    students: int
    teachers: int


class ChangePreview(Out):
    """What a decision would mean. What is in the way needs ``confirm`` when it is decided."""

    changes: list[PreviewedChange]
    people: People
    conflicts: list[str]


# --- exchange days ------------------------------------------------------------------------------------------------------


class DayPair(In):
    """The classes of ``teachingDay`` (a date, or as W5-5 week and weekday) are held on ``heldOn``; null: not at all."""

    teaching_day: Annotated[Text, Field(max_length=10, examples=["2024-10-04"])]
    held_on: Day | None = None


class ExchangeIn(In):
    """Days that are exchanged, all at once."""

    term: TermCode
    days: Annotated[list[DayPair], Field(min_length=1, max_length=30)]

    def as_texts(self) -> tuple[list[str], list[str]]:
        """As the use cases read them: pairs, and days without classes."""
        pairs = [f"{one.held_on}={one.teaching_day}" for one in self.days if one.held_on is not None]
        return pairs, [one.teaching_day for one in self.days if one.held_on is None]


class ApplyExchange(ExchangeIn):
    """The same, with why; ``confirm``: although something is in the way."""

    reason: Reason = ""
    confirm: Yes = False


class BatchPath(In):
    """Which days, by one's id or that of their batch."""

    batch: Annotated[str, Field(pattern=ID)]


class ExchangeQuery(In):
    """Of which term; without one of all."""

    term: TermCode | None = None


class PreviewedDay(Out):
    """What would become of a day."""

    teaching_day: str
    teaching_day_is: str
    held_on: str | None
    held_on_is: str
    sessions: int
    offerings: int
    staying: int
    people: People
    conflicts: int


class ExchangePreview(Out):
    """What exchanging days would mean: classes, people, and what is in the way."""

    term: str
    days: list[PreviewedDay]
    sessions: int
    people: People
    conflicts: list[str]
    conflicts_total: int


class ExchangeDay(Out):
    """A day that is exchanged, by the desk or by the source."""

    id: str | None
    batch: str | None
    term: str
    by: str
    state: str
    teaching_day: str
    teaching_day_is: str
    held_on: str | None
    held_on_is: str
    reason: str | None
    actor: str | None
    at: str | None
    run_id: str | None
