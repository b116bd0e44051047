"""Shapes of lanes, the limiter, queues, schedules, terms and the audit."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from domain.schedules import SIGNS
from web.paging import LeafQuery, PageQuery
from web.schemas.base import In, Number, Out, Text, Whole, Wrong, Yes

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


class LimiterIn(In):
    """What changes of the limits: calls per second, calls at once after a pause, calls under way at the same time."""

    rate_per_s: Annotated[Number, Field(ge=0.1, le=10_000)] | None = None
    burst: Annotated[Number, Field(ge=1, le=10_000)] | None = None
    max_in_flight: Annotated[Whole, Field(ge=1, le=10_000)] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> LimiterIn:
        if self.rate_per_s is None and self.burst is None and self.max_in_flight is None:
            raise Wrong("请写要改的字段", "name what shall change")
        return self


class BreakerIn(In):
    """Whether WPS may be called; ``why`` is shown to whoever asks why nothing is sent."""

    state: Literal["open", "closed"]
    why: Annotated[Text, Field(min_length=1, max_length=200)] = "kept open by an admin"


class Queue(Out):
    """A queue of tasks: how many wait, and for how long the oldest has been due."""

    queue: str
    waiting: int
    oldest_ms: int


Sign = Literal[SIGNS]  # type: ignore[valid-type]
_MAY_BE_NULL = ("max_queued", "busy_every_min")


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
    windows: list[str]
    backs_off: list[str]
    busy_every_min: int | None
    starts: dict[str, Any]
    next_at: str | None
    why: str
    held_back: str | None
    last_slot: Slot | None
    slots: list[Slot] | None = None


class ScheduleIn(In):
    """What changes of a schedule; ``maxQueued`` null: whatever waits in the lanes. ``windows`` are hours of the day with other
    times, ``busyEveryMin`` the minutes between two starts under load (null: none then)."""

    cron: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    zone: Literal["utc", "tenant"] | None = None
    policy: Literal["run_once", "each", "skip"] | None = None
    enabled: Yes | None = None
    max_queued: Annotated[Whole, Field(ge=0, le=1_000_000_000)] | None = None
    windows: (
        Annotated[list[Annotated[Text, Field(max_length=40, examples=["07:00-22:00=15"])]], Field(max_length=24)] | None
    ) = None
    backs_off: Annotated[list[Sign], Field(max_length=5)] | None = None
    busy_every_min: Annotated[Whole, Field(ge=1, le=10_080)] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> ScheduleIn:
        if not self.wanted():
            raise Wrong("请写要改的字段", "name what shall change")
        return self

    def wanted(self) -> dict[str, Any]:
        """What is named, and not null where null means nothing."""
        named = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: value for name, value in named.items() if value is not None or name in _MAY_BE_NULL}


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
            raise Wrong("请写要改的字段", "name what shall change")
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


class PeriodIn(In):
    """The hours of a period; ``campus`` and ``since`` (a day from which they count) where they differ."""

    period: Annotated[Whole, Field(ge=1, le=99)]
    start: Annotated[Text, Field(max_length=8, examples=["08:00"])]
    end: Annotated[Text, Field(max_length=8, examples=["08:45"])]
    campus: Annotated[Text, Field(max_length=60)] = ""
    since: Annotated[Text, Field(max_length=10)] = ""

    def as_row(self) -> dict[str, str]:
        """As a row of a periods file."""
        return {"jc": str(self.period), "st": self.start, "ed": self.end, "xq": self.campus, "since": self.since}


class PeriodsIn(In):
    """All periods of a term."""

    periods: Annotated[list[PeriodIn], Field(min_length=1, max_length=500)]


class ArchiveBegun(Out):
    """The run that puts a term away."""

    id: str
    term: str


class OffPeakHours(Out):
    """From when until when, and which classes wait for it: from week 4 on (middle), or 12 (far)."""

    since: Annotated[str, Field(alias="from")]
    until: str
    tier: str


class OffPeak(Out):
    """The off-peak hours, whether they last now, when they begin next, and how much waits for them."""

    hours: OffPeakHours | None
    zone: str
    off_peak_now: bool
    next_at: str | None
    held: int


class OffPeakIn(In):
    """The off-peak hours to be; ``hours`` null: nothing waits any more."""

    hours: OffPeakHoursIn | None


class OffPeakHoursIn(In):
    """From when until when by the school's clock, and which classes wait."""

    since: Annotated[Text, Field(alias="from", max_length=5, examples=["22:00"])]
    until: Annotated[Text, Field(max_length=5, examples=["06:00"])]
    tier: Literal["middle", "far"] = "middle"


class SourcePath(In):
    """Which source."""

    source: Name


class Source(Out):
    """A source: where it is, how it is, and what is wrong with it. Passwords in addresses are left out."""

    name: str
    rank: int
    kind: str
    address: str
    enabled: bool
    silent_h: int | None
    unchanged_h: int | None
    checked_at: str | None
    answered_at: str | None
    changed_at: str | None
    error: str | None
    alarms: list[str]
    mapping: dict[str, Any] | None = None


class TermOnly(In):
    """Which term; without one all of them."""

    term: Annotated[Text, Field(min_length=1, max_length=20)] | None = None


class OptOutPath(In):
    """Who, and of which term."""

    code: Annotated[Text, Field(min_length=1, max_length=60)]
    term: Annotated[Text, Field(min_length=1, max_length=20)]


class OptOut(Out):
    """Somebody who wants no calendar in a term."""

    code: str
    term: str
    by: str
    since: str


class OptOutTold(Out):
    """A person who is out of a term's calendars, or back in; ``calendars``: how many have something to do for it."""

    code: str
    term: str
    out: bool
    already: bool
    calendars: int


class TierFresh(Out):
    """How fresh the classes of a tier are at WPS: how many there are, how much of them is there, when they were synced, and
    between which times what is missing will be there."""

    tier: str
    classes: int
    percent: int
    synced_at: str | None
    next_at: str | None
    eta: list[str] | None
    held: int
    held_until: str | None


class Freshness(Out):
    """How fresh the timetable is at WPS, for everybody or for one person."""

    user: str | None
    at: str
    next_at: str | None
    term_percent: int
    tiers: list[TierFresh]


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
