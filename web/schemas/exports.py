"""Shapes of files that a worker makes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from usecases.export_tables import KINDS
from web.schemas.base import ID, In, Out, Wrong
from web.schemas.courses import Day, Short, TermCode

ExportKind = Literal[
    "timetable",
    "attendance",
    "exceptions",
    "refusals",
    "statistics.students",
    "statistics.courses",
    "statistics.teachers",
    "statistics.colleges",
]
assert set(KINDS) == set(ExportKind.__args__)  # type: ignore[attr-defined]
_TAKES = {
    "timetable": {"term", "course_id", "room"},
    "attendance": {"course_id", "user", "college", "since", "until"},
    "exceptions": {"since", "college"},
    "refusals": {"since", "college"},
    "statistics.students": {"term", "course_id", "college"},
}
_SUMS = {"term", "college", "per", "since", "until"}


class BeginExport(In):
    """Which file. ``from`` and ``to`` are days, both included; `user` is a number or ``self``."""

    kind: ExportKind
    format: Literal["csv", "xlsx"] = "csv"
    term: TermCode | None = None
    course_id: Annotated[str, Field(pattern=ID)] | None = None
    room: Short | None = None
    user: Short | None = None
    college: Short | None = None
    per: Literal["term", "week", "day"] | None = None
    since: Annotated[Day | None, Field(alias="from")] = None
    until: Annotated[Day | None, Field(alias="to")] = None

    @model_validator(mode="after")
    def _of_its_kind(self) -> BeginExport:
        extra = self.model_fields_set - {"kind", "format"} - _TAKES.get(self.kind, _SUMS)
        if extra:
            called = ", ".join(sorted(type(self).model_fields[name].alias or name for name in extra))
            raise Wrong(f"{self.kind} 不用 {called}", f"{self.kind} takes no {called}")
        if self.kind in ("exceptions", "refusals") and self.since is None:
            raise Wrong(f"{self.kind} 需要 from：哪一天", f"{self.kind} needs from: the day")
        if self.course_id is not None and self.user is not None:
            raise Wrong("请写 courseId 或 user 其中之一", "give courseId or user")
        return self


class ExportPath(In):
    """Which file."""

    export_id: Annotated[str, Field(pattern=ID, alias="export_id")]


class ExportTask(Out):
    """A file: how many rows are written, and once it is `done` where it is and until when."""

    id: str
    kind: str
    format: Literal["csv", "xlsx"]
    state: Literal["working", "done", "failed", "cancelled"]
    rows: int
    bytes: int | None
    created_at: str
    finished_at: str | None
    expires_at: str | None
    file: str | None
