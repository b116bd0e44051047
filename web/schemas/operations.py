"""Shapes of lanes, the limiter, queues, schedules, terms and the audit."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from web.paging import LeafQuery, PageQuery
from web.schemas.base import In, Out, Text, Whole, Yes

Name = Annotated[Text, Field(min_length=1, max_length=80)]


class LanePath(In):
    """Which lane."""

    lane: Name


class LanesQuery(LeafQuery):
    """Which lanes."""

    state: Annotated[list[Literal["free", "working", "lost", "resting", "paused"]], Field(max_length=5)] | None = None


class Lane(Out):
    """A lane: who works it, what waits in it, and what it waits for. Times in milliseconds."""

    lane: str
    state: str
    owner: str | None
    queued: int
    held: int
    unsettled: int
    dead: int
    fence: int
    rests_ms: int
    note: str | None


class LaneTold(Out):
    """A lane that was paused or resumed; `already` where it was so before."""

    lane: str
    paused: bool
    already: bool


class Breaker(Out):
    """The circuit breaker in front of WPS. Times in milliseconds."""

    state: str
    held: bool
    for_ms: int
    failures: int
    next_probe_ms: int
    probing: bool
    why: str


class Limiter(Out):
    """The limiter that all workers share."""

    rate_per_s: float
    max_rate_per_s: float
    tokens: float
    burst: float
    in_flight: int
    max_in_flight: int
    blocked_ms: int
    breaker: Breaker


class Queue(Out):
    """A queue of tasks: how many wait, and for how long the oldest has been due."""

    queue: str
    waiting: int
    oldest_ms: int


class NamePath(In):
    """Which schedule."""

    name: Name


class Slot(Out):
    """A time that was due, and what became of it."""

    slot_at: str
    state: str
    reason: str | None
    run_id: str | None


class Schedule(Out):
    """What starts by itself, and when next."""

    name: str
    cron: str
    zone: str
    policy: str
    enabled: bool
    max_queued: int | None
    starts: dict[str, Any]
    next_at: str | None
    last_slot: Slot | None
    slots: list[Slot] | None = None


class ScheduleIn(In):
    """What changes of a schedule; ``maxQueued`` null: whatever waits in the lanes."""

    cron: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    zone: Literal["utc", "tenant"] | None = None
    policy: Literal["run_once", "each", "skip"] | None = None
    enabled: Yes | None = None
    max_queued: Annotated[Whole, Field(ge=0, le=1_000_000_000)] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> ScheduleIn:
        if not self.wanted():
            raise ValueError("name what shall change")
        return self

    def wanted(self) -> dict[str, Any]:
        """What is named, and not null where null means nothing."""
        named = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: value for name, value in named.items() if value is not None or name == "max_queued"}


class SlotMade(Out):
    """The slot that stands for a start by hand."""

    name: str
    slot_at: str


def _day(text: str) -> str:
    date.fromisoformat(text)
    return text


class TermPath(In):
    """Which term."""

    term: Annotated[Text, Field(min_length=1, max_length=20)]


class TermIn(In):
    """What changes of a term."""

    first_monday: Annotated[str, Strict(), Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_day)] | None = None
    weeks: Annotated[Whole, Field(ge=1, le=60)] | None = None
    status: Literal["open", "frozen", "archived"] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> TermIn:
        if self.first_monday is None and self.weeks is None and self.status is None:
            raise ValueError("name what shall change")
        return self


class Term(Out):
    """A term, what there is of it, and what it lacks."""

    code: str
    first_monday: str | None
    weeks: int | None
    status: str
    exchange_days: list[dict[str, str]]
    offerings: int
    sessions: int
    periods: int
    missing: list[dict[str, Any]]
    archived_at: str | None


class Period(Out):
    """The hours of a period; ``term`` and ``campus`` blank: of any."""

    term: str
    campus: str
    since: str
    period: int
    start: str
    end: str


class AuditQuery(PageQuery):
    """Which acts. ``updatedAfter``: those since."""

    thing: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    actor: Annotated[Text, Field(min_length=1, max_length=120)] | None = None
    action: Annotated[Text, Field(min_length=1, max_length=60)] | None = None


class Act(Out):
    """What somebody did, to what, and the request it came by."""

    id: str
    at: str
    actor: str
    action: str
    thing: str
    before: Any
    after: Any
    request: str | None
