"""Shapes of failures, their families, and dead letters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from db.failure_lists import Which
from web.paging import LeafQuery, PageQuery
from web.schemas.base import ID, In, Instant, Out, Text, Whole, Wrong, Yes, instant, to_ms

Word = Annotated[Text, Field(min_length=1, max_length=80)]
JobId = Annotated[str, Field(pattern=ID)]
Kind = Literal["calendar", "members", "event", "users", "walk", "verify", "run.advance", "schedule.slot"]


class JobPath(In):
    """Which failure, by the id of its job."""

    job_id: Annotated[JobId, Field(alias="job_id")]


class FamilyPath(In):
    """Which family."""

    family: Annotated[str, Field(pattern=ID)]


class _Filters(In):
    """The failures meant: each field that is given has to fit. ``code`` is a code of WPS or a class of errors."""

    family: Word | None = None
    lane: Word | None = None
    kind: Kind | None = None
    code: Word | None = None
    run_id: Word | None = None
    since: Instant | None = None

    def as_which(self, colleges: tuple[str, ...] | None, job_ids: tuple[str, ...] | None = None) -> Which:
        """As the use cases take it, within what the caller reaches."""
        return Which(
            family=self.family,
            lane=self.lane,
            kind=self.kind,
            code=self.code,
            run_id=self.run_id,
            since_ms=None if self.since is None else to_ms(self.since),
            job_ids=job_ids,
            colleges=colleges,
        )


class FailuresQuery(PageQuery, _Filters):
    """Which failures. ``state`` all: also those that are over; ``updatedAfter``: those that died since."""

    state: Literal["dead", "all"] = "dead"


class DeadLettersQuery(PageQuery, _Filters):
    """Which dead letters. ``updatedAfter``: those that died since."""


class FamiliesQuery(LeafQuery, _Filters):
    """Which families, and in which order."""

    state: Annotated[list[Literal["open", "resolved", "gone"]], Field(max_length=3)] | None = None
    sort: Literal["-last", "worst"] = "-last"


class Many(_Filters):
    """Dead letters by their ids, or all that the filters leave.

    Without ``count`` the answer says how many there are, and nothing is done. With it as many as were counted are meant: where
    there are others by now, nothing is done either.
    """

    ids: Annotated[list[JobId], Field(min_length=1, max_length=500)] | None = None
    all: Yes = False
    count: Annotated[Whole, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _says_which(self) -> Many:
        if (self.ids is not None) == self.all:
            raise Wrong("请写 ids，或写 all: true 并加筛选条件", "name ids, or say all: true; filters go with all")
        if self.ids is not None and self.as_which(None) != Which():
            raise Wrong("筛选条件须与 all: true 同用", "filters go with all: true")
        return self


class CountedIn(In):
    """How many are meant. Without it the answer says how many there are, and nothing is done."""

    count: Annotated[Whole, Field(ge=0)] | None = None


class ResolveIn(In):
    """How a person has seen to it."""

    note: Annotated[Text, Field(min_length=1, max_length=2000)]


class EditIn(In):
    """What a dead letter shall ask for instead: the keys that change, or with ``whole`` all of them."""

    changes: Annotated[dict[str, Any], Field(min_length=1, max_length=20)]
    whole: Yes = False


class FailureRecord(Out):
    """A job that died: what it was about, what WPS said, how often it was tried, and what it asked for."""

    id: str
    family: str
    state: str
    lane: str | None
    queue: str | None
    kind: str
    target: str
    thing: str
    term: str
    error_class: str
    code: int | None
    error: str | None
    attempts: int
    waiting: int
    run_id: str | None
    payload: Any
    died_at: str
    ended_at: str | None
    resolved_at: str | None

    @classmethod
    def of(cls, one: dict[str, Any]) -> FailureRecord:
        """From what the use case says."""
        return cls(
            **{name: one[name] for name in _SAME},
            error_class=one["class"],
            died_at=instant(one["died_ms"]) or "",
            ended_at=instant(one["ended_ms"]),
            resolved_at=instant(one["resolved_ms"]),
        )


_SAME = (
    "id", "family", "state", "lane", "queue", "kind", "target", "thing", "term", "code", "error", "attempts", "waiting",
    "run_id", "payload",
)  # fmt: skip


class DeadLetter(Out):
    """A dead letter, the college it belongs to, and which keys of its payload can be edited."""

    failure: FailureRecord
    college: str | None
    editable: list[str]


class LaneCount(Out):
    """A lane and how many."""

    lane: str
    count: int


class Sample(Out):
    """One failure of a family."""

    id: str
    target: str
    error: str | None


class Family(Out):
    """One fault: its cause, what to do, how much of it there is and whom it affects."""

    id: str
    state: str
    operation: str
    kind: str
    verb: str
    error_class: str
    code: int | None
    message: str
    cause: str
    remedy: str
    command: str
    left: int
    total: int
    waiting: int
    people: int
    lanes: list[LaneCount]
    first_at: str
    last_at: str
    sample: Sample | None
    note: str | None
    resolved_by: str | None
    resolved_at: str | None

    @classmethod
    def of(cls, one: dict[str, Any]) -> Family:
        """From what the use case says."""
        apart = ("class", "lanes", "sample", "first_ms", "last_ms", "resolved_ms")
        return cls(
            **{name: value for name, value in one.items() if name not in apart},
            error_class=one["class"],
            lanes=[LaneCount(**lane) for lane in one["lanes"]],
            sample=None if one["sample"] is None else Sample(**one["sample"]),
            first_at=instant(one["first_ms"]) or "",
            last_at=instant(one["last_ms"]) or "",
            resolved_at=instant(one["resolved_ms"]),
        )


class Done(Out):
    """How many were meant, how many it was done to, and how many are left. ``done`` null: they were only counted."""

    count: int
    done: int | None
    left: int


class Resolved(Out):
    """A family that was seen to, and how many failures of it nobody had seen to before."""

    id: str
    resolved: int


class Edited(Out):
    """What a dead letter asked for before, and what it asks for now."""

    id: str
    before: Any
    after: Any
