"""Shapes of runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from domain.runs import STATES
from domain.scopes import Scope
from domain.text import clean
from web.paging import PageQuery
from web.schemas.base import ID, Identifier, In, Out, Whole, Wrong

Some = Annotated[list[Identifier], Field(max_length=500, default_factory=list)]


class CourseRef(In):
    """A course by its number, or one course code of it."""

    kkh: Identifier
    kcbh: Identifier | None = None


class ScopeIn(In):
    """The part of the timetable that a run is about; what is left out is not narrowed down."""

    terms: Some
    colleges: Some
    courses: Annotated[list[CourseRef], Field(max_length=500, default_factory=list)]
    users: Some

    def as_scope(self) -> Scope:
        """As the use cases take it."""
        return Scope(
            _sorted(self.terms),
            _sorted(self.colleges),
            tuple(sorted({(clean(one.kkh), clean(one.kcbh)) for one in self.courses})),
            _sorted(self.users),
        )


def _sorted(values: list[str]) -> tuple[str, ...]:
    return tuple(sorted({clean(one) for one in values} - {""}))


class StartRun(In):
    """A run to start. ``confirmDeletes``: how many events it may delete without asking."""

    kind: Literal["full", "incremental", "users"] = "incremental"
    scope: Annotated[ScopeIn, Field(default_factory=lambda: ScopeIn.model_validate({}))]
    priority: Literal["normal", "urgent"] = "normal"
    confirm_deletes: Annotated[Whole, Field(ge=0, le=1_000_000)] | None = None


class SyncCourses(In):
    """Courses to sync; at least one course or college."""

    scope: ScopeIn
    priority: Literal["normal", "urgent"] = "normal"

    @model_validator(mode="after")
    def _names_something(self) -> SyncCourses:
        if self.scope.as_scope().is_everything:
            raise Wrong(
                "请写 courses、colleges、terms 或 users；全校同步请用 /sync/runs",
                "name courses, colleges, terms or users; a whole school is synced by /sync/runs",
            )
        return self


class RunPath(In):
    """Which run."""

    run_id: Annotated[str, Field(pattern=ID, alias="run_id")]


class SyncPath(In):
    """Which run."""

    sync_id: Annotated[str, Field(pattern=ID, alias="sync_id")]


RunState = Literal[STATES]  # type: ignore[valid-type]


class RunsQuery(PageQuery):
    """Which runs, and in which order of their start."""

    state: Annotated[list[RunState], Field(max_length=8)] | None = None
    kind: Annotated[list[Literal["full", "incremental", "users", "import", "verify", "repair", "undo", "archive"]],
                    Field(max_length=8)] | None = None  # fmt: skip
    sort: Literal["-created", "created"] = "-created"


class RunStarted(Out):
    """A run that was put to work, and between which times it may be over."""

    id: str
    status: str
    estimated_completion: EstimatedCompletion


class EstimatedCompletion(Out):
    """At best, and with others at work; RFC 3339."""

    earliest: str
    latest: str


class Stage(Out):
    """One stage of a run."""

    stage: str
    step: str
    state: str
    done: int
    total: int
    note: str | None
    took_ms: int | None


class Counts(Out):
    """What a run has to do with one kind of object."""

    planned: int
    done: int
    failed: int
    superseded: int


class Asked(Out):
    """What a run asked a person."""

    number: int
    state: str
    asked_at: str
    answered_at: str | None
    answered_by: str | None
    questions: list[dict[str, Any]]


class WaitsFor(Out):
    """The run that goes first."""

    id: str
    kind: str
    state: str


class Run(Out):
    """A run with its stages and counts."""

    id: str
    kind: str
    trigger: str | None
    priority: str
    state: str
    asked: str | None
    waits_for: WaitsFor | None
    stage: str
    scope: dict[str, Any]
    import_no: int | None
    error: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    took_ms: int | None
    stages: list[Stage]
    counts: dict[str, Counts]
    questions: list[Asked]


class Report(Out):
    """What a run has to say at its end; null while it goes on."""

    id: str
    state: str
    report: dict[str, Any] | None


class Told(Out):
    """A command that a run has taken; `already` where it was so before."""

    id: str
    command: str
    already: bool


class Progress(Out):
    """How far a run is, of all targets that it has put so far."""

    planned: int
    done: int
    failed: int
    superseded: int
    percent: float


class SyncStatus(Out):
    """A run in brief."""

    id: str
    status: str
    stage: str
    progress: Progress
    error: str | None
    started_at: str | None
    finished_at: str | None


RunStarted.model_rebuild()
