"""Shapes of calendar feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from web.paging import PartQuery
from web.schemas.base import ID, In, Out, Text, Wrong, instant

Code = Annotated[Text, Field(min_length=1, max_length=60)]


class FeedPath(In):
    """Which feed."""

    feed_id: Annotated[str, Field(pattern=ID, alias="feed_id")]


class AddressPath(In):
    """The address of a feed: its school and its token."""

    school: Annotated[str, Field(min_length=1, max_length=60)]
    token: Annotated[str, Field(min_length=1, max_length=100)]


class FeedsQuery(PartQuery):
    """Whose feeds; ``user``: of one person, where the caller may see others'."""

    user: Code | None = None


class GiveFeed(In):
    """A feed of a person (``self``: of the caller), or of a course for the caller."""

    user: Code | None = None
    course_id: Annotated[str, Field(pattern=ID)] | None = None

    @model_validator(mode="after")
    def _names_one(self) -> GiveFeed:
        if (self.user is None) is (self.course_id is None):
            raise Wrong("user 与 courseId 请写其中一个", "name a user or a course, and not both")
        return self


class Feed(Out):
    """A feed without its address."""

    id: str
    kind: str
    subject: str
    owner: str
    state: str
    made_by: str
    created_at: str
    revoked_at: str | None
    read_at: str | None

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Feed:
        """From what the use case says."""
        same = ("id", "kind", "subject", "owner", "made_by")
        return cls(
            **{name: one[name] for name in same},
            state="active" if one["revoked_ms"] is None else "revoked",
            created_at=instant(one["created_ms"]) or "",
            revoked_at=instant(one["revoked_ms"]),
            read_at=instant(one["read_ms"]),
        )


class FeedGiven(Out):
    """A new feed. Whoever knows the address reads it; it is told once. ``webcalUrl`` is what calendar apps subscribe to."""

    id: str
    url: str
    webcal_url: str


class FeedRevoked(Out):
    """A feed that has ended; ``already`` where it had before."""

    id: str
    already: bool
