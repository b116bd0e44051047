"""Several sources that are read as one: each part of each of them keeps its name, file and lines.

The parts of a united source are called `meetings@2`: the part, and the number of the source. All of one kind come before the
next kind, so that the terms of every source are known before the first meeting is read.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from remote.sources.base import PARTS, BadSource, ChangeSet, SourceRow, TimetableSource, of_source, part_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """One of several sources: what people call it, and its number in the rows."""

    name: str
    number: int
    source: TimetableSource


class MemberFailed(BadSource):
    """One of several sources cannot be read on."""

    def __init__(self, member: Member, bad: BadSource) -> None:
        super().__init__(f"{member.name} ({bad.file})", bad.problem, bad.remedy)
        self.number = member.number
        self.bad = bad


class United:
    """The adapter. Not for use by several threads at once."""

    def __init__(self, members: Sequence[Member], *, fingerprint: str | None = None) -> None:
        """`fingerprint`: what was found out already; asking each of them takes a pass over its rows."""
        self.members = tuple(members)
        self._fingerprint = fingerprint

    @property
    def name(self) -> str:
        """The same as long as they are the same sources."""
        return f"sources:{','.join(member.name for member in self.members)}"

    def parts(self) -> tuple[str, ...]:
        """Every part of every source. Raises MemberFailed."""
        there = [(member, self._asked(member, member.source.parts)) for member in self.members]
        return tuple(of_source(part, one.number) for part in PARTS for one, parts in there if part in parts)

    def file_of(self, part: str) -> str:
        """The file or table, after the name of its source."""
        kind, number = part_of(part)
        member = self._member(number)
        return f"{member.name}/{member.source.file_of(kind)}"

    def check(self) -> None:
        """Raise MemberFailed where none of the sources can be read: the others are enough to go on with."""
        failed: list[MemberFailed] = []
        for member in self.members:
            try:
                self._asked(member, member.source.check)
            except MemberFailed as error:
                failed.append(error)
        if failed and len(failed) == len(self.members):
            raise failed[0]

    def fingerprint(self) -> str:
        """A hash of those of all sources. Raises MemberFailed."""
        if self._fingerprint is not None:
            return self._fingerprint
        total = hashlib.sha256()
        for member in self.members:
            total.update(f"{member.number}:{self._asked(member, member.source.fingerprint)};".encode())
        return total.hexdigest()

    def rows(self, part: str, *, after: int, limit: int) -> list[SourceRow]:
        """Rows of one part of one source. Raises MemberFailed."""
        kind, number = part_of(part)
        member = self._member(number)
        try:
            return member.source.rows(kind, after=after, limit=limit)
        except BadSource as bad:
            raise MemberFailed(member, bad) from bad

    @property
    def live(self) -> bool:
        """True: whether a source changed while it was read is asked of each of them."""
        return True

    def watermark(self) -> str | None:
        """None: each source has its own."""
        return None

    def changes(self, *, since: str | None) -> ChangeSet | None:  # noqa: ARG002 (each source has its own)
        """None: each source has its own."""
        return None

    def close(self) -> None:
        """Let go of all of them."""
        for member in self.members:
            with suppress(OSError):
                member.source.close()

    def _member(self, number: int) -> Member:
        return next(member for member in self.members if member.number == number)

    def _asked(self, member: Member, question: Callable[[], T]) -> T:
        try:
            return question()
        except BadSource as bad:
            raise MemberFailed(member, bad) from bad
