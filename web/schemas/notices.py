"""Shapes of what people are told by the product."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from web.paging import PartQuery
from web.schemas.base import ID, In, Out, Wrong, Yes


class NoticesQuery(PartQuery):
    """Which notices; ``unread``: only those that one has not read."""

    unread: bool = False


class NoticesRead(In):
    """Which notices one has read: ``ids``, or ``all``."""

    ids: Annotated[list[Annotated[str, Field(pattern=ID)]], Field(min_length=1, max_length=200)] | None = None
    all: Yes = False

    @model_validator(mode="after")
    def _names_some(self) -> NoticesRead:
        if (self.ids is None) is not self.all:
            raise Wrong("请写 ids，或写 all: true", "name ids, or say all: true")
        return self


class Notice(Out):
    """Something that one is told. ``about`` is the id of what it is about, ``link`` where that is."""

    id: str
    kind: str
    message: str
    about: str
    link: str | None
    created_at: str
    read_at: str | None


class NoticeCount(Out):
    """How many notices one has not read."""

    unread: int


class NoticesDone(Out):
    """How many notices became read, and how many are left."""

    read: int
    unread: int
