"""Shapes of what differs at WPS, of looks at it, and of plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from db.discrepancies import HEALED, NOT_HEALED
from domain.verification import What
from web.paging import PartQuery
from web.schemas.base import ID, In, Out, Whole, Yes, instant
from web.schemas.runs import ScopeIn

State = Literal[(*NOT_HEALED, HEALED)]  # type: ignore[valid-type]


class DiscrepancyPath(In):
    """Which discrepancy."""

    discrepancy_id: Annotated[str, Field(pattern=ID, alias="discrepancy_id")]


class DiscrepanciesQuery(PartQuery):
    """Which discrepancies; without ``state`` those that are not healed, ``runId`` those that a run saw last."""

    state: Annotated[list[State], Field(max_length=4)] | None = None
    what: What | None = None
    run_id: Annotated[str, Field(pattern=ID)] | None = None


class Discrepancy(Out):
    """Something that is not as it was sent: both sides, why, and what a repair does about it."""

    id: str
    what: str
    kind: str
    state: str
    term: str
    lane: str
    calendar: str
    calendar_name: str | None
    target: str | None
    thing: str
    person: dict[str, str] | None
    ours: dict[str, Any]
    theirs: dict[str, Any]
    cause: str
    action: str
    remedy: str
    surplus: bool
    scans: int
    first_seen_at: str
    last_seen_at: str
    healed_at: str | None
    history: list[dict[str, Any]]

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Discrepancy:
        """From what the use case says."""
        left_out = ("command", "first_scan_ms", "last_scan_ms", "healed_ms", "person")
        return cls(
            **{name: value for name, value in one.items() if name not in left_out},
            person=one.get("person"),
            first_seen_at=instant(one["first_scan_ms"]) or "",
            last_seen_at=instant(one["last_scan_ms"]) or "",
            healed_at=instant(one["healed_ms"]),
        )


class DiscrepancyCount(Out):
    """How many discrepancies of a kind are in a state."""

    what: str
    state: str
    count: int


class Look(Out):
    """A run that looked at WPS: what it saw of it, and how it ended."""

    id: str
    kind: str
    state: str
    created_at: str
    finished_at: str | None
    calendars: int
    events: int
    members: int
    strangers: int
    differences: int


class Consistency(Out):
    """What is not as it should be at WPS, and the newest looks at it. ``consistent``: nothing is known to differ."""

    consistent: bool
    open: int
    counts: list[DiscrepancyCount]
    looks: list[Look]


class LookedAt(Out):
    """A calendar, and when it was seen as a whole."""

    term: str
    calendar: str
    name: str | None
    lane: str
    run_id: str | None
    verified_at: str
    events: int
    strangers: int
    members: int
    differences: int


class StartVerify(In):
    """How much to look at: ``sample`` calendars (those not seen for longest) or all; ``fields``: each field by itself."""

    sample: Annotated[Whole, Field(ge=1, le=100_000)] | None = None
    fields: Yes = False


class LookStarted(Out):
    """A run that was put to work."""

    id: str
    kind: str


class RepairPreview(Out):
    """What a repair would ask first, and the lanes that it would work in."""

    questions: list[dict[str, Any]]
    lanes: list[dict[str, Any]]


# --- plans --------------------------------------------------------------------------------------------------------------


class PlanPath(In):
    """Which plan."""

    plan_id: Annotated[str, Field(pattern=ID, alias="plan_id")]


class StartPlan(In):
    """What to plan: of the ``source`` as it is now, or of the ``timetable`` as it was read last, which is planned as a whole."""

    basis: Literal["source", "timetable"] = "source"
    scope: Annotated[ScopeIn, Field(default_factory=lambda: ScopeIn.model_validate({}))]


class PlanStarted(Out):
    """A plan that is being worked out."""

    id: str
    state: str


class PlanCount(Out):
    """How many operations of a kind."""

    kind: str
    verb: str
    count: int


class Plan(Out):
    """What a sync would send: totals, what it would ask, and how many rows of it can be read."""

    id: str
    basis: str
    scope: dict[str, Any]
    state: str
    made_by: str
    created_at: str
    finished_at: str | None
    operations: int
    listed: int
    counts: list[PlanCount]
    questions: list[dict[str, Any]]
    unmapped_people: int
    read: dict[str, Any] | None
    error: str | None


class PlanRow(Out):
    """An operation: what is missing, extra or changed, both sides, and the fields that differ."""

    number: int
    kind: str
    verb: str
    what: str
    target: str
    lane: str
    term: str
    label: str
    ours: dict[str, Any] | None
    theirs: dict[str, Any] | None
    changed: list[str]
    more: dict[str, Any]
