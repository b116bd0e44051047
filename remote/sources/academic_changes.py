"""What has changed in an academic database since a watermark."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

import sqlalchemy as sa

from remote.sources.academic_parts import Part, text_of
from remote.sources.base import SourceRow

_NUMBERS: Final = 50
"""Numbers in one query: about two thousand rows."""


class Database(Protocol):
    """What is needed of the adapter."""

    term: str

    @property
    def name(self) -> str: ...

    def described(self) -> Mapping[str, Part]: ...

    def file_of(self, part: str) -> str: ...

    def check(self) -> None: ...

    def watermark(self) -> str | None: ...

    def all(self, statement: sa.Executable, *, table: str) -> Sequence[sa.Row[Any]]: ...

    def close(self) -> None: ...


class AcademicChanges:
    """All rows of every number (`kkh`) of which a row was changed at a time or later, meetings and enrolments apart.

    The school marks rows, not slots; and a row whose week or period was overwritten in place leaves no trace at its old
    one. So a number is read as a whole. One that nobody takes any more is a row with a number and no student.
    """

    def __init__(self, source: Database, since: str) -> None:
        self._source = source
        self._since = since
        self._rows: Iterator[SourceRow] = iter(())
        self._at = ("", 0)

    @property
    def name(self) -> str:
        """The address without its password."""
        return self._source.name

    @property
    def whole(self) -> bool:
        """True: numbers are read as a whole."""
        return True

    def parts(self) -> tuple[str, ...]:
        """Meetings, and enrolments where they say when they were changed."""
        there = self._source.described()
        return tuple(part for part in ("meetings", "enrolments") if part in there and there[part].changed is not None)

    def file_of(self, part: str) -> str:
        """The name of the table."""
        return self._source.file_of(part)

    def check(self) -> None:
        """Look for tables and columns. Raises BadSource."""
        self._source.check()

    def fingerprint(self) -> str:
        """As long as the watermark is the same, there is nothing new."""
        return hashlib.sha256(f"{self._source.watermark()}{self.parts()}".encode()).hexdigest()

    def rows(self, part: str, *, after: int, limit: int) -> list[SourceRow]:
        """Up to `limit` rows after the first `after`; a row's line is its number in the order of reading."""
        if self._at != (part, after):
            self._rows = self._from(part)
            for _ in islice(self._rows, after):
                pass
        found = list(islice(self._rows, limit))
        self._at = (part, after + len(found))
        return found

    def close(self) -> None:
        """Close the connection."""
        self._at = ("", 0)
        self._source.close()

    def _from(self, part: str) -> Iterator[SourceRow]:
        described = self._source.described()[part]
        names, line = list(described.columns), 0
        numbers = self._numbers(described)
        for start in range(0, len(numbers), _NUMBERS):
            some = numbers[start : start + _NUMBERS]
            statement = sa.select(*described.columns.values()).select_from(described.source).where(*described.where)
            kkh = described.columns["kkh"]
            order = sa.func.md5(described.content)
            rows = self._source.all(
                statement.where(kkh.in_([number for number, _ in some])).order_by(kkh, order), table=described.table
            )
            met = set()
            for row in rows:
                line += 1
                values = {**dict(zip(names, map(text_of, row), strict=True)), **described.constants}
                met.add((values["kkh"], values["xnxq"]))
                yield SourceRow(line, values)
            for number, term in some:
                if part == "enrolments" and (number, term) not in met:
                    line += 1
                    yield SourceRow(line, {"kkh": number, "xnxq": term, "xh": None})

    def _numbers(self, described: Part) -> list[tuple[str, str]]:
        """(number, term) of which a row was changed, whether or not that row counts."""
        assert described.changed is not None
        kkh, term = described.columns["kkh"], described.columns.get("xnxq")
        columns = (kkh,) if term is None else (kkh, term)
        statement = sa.select(*columns).select_from(described.source).where(described.changed >= self._since).distinct()
        if self._source.term and term is not None:
            statement = statement.where(term == self._source.term)
        rows = self._source.all(statement, table=described.table)
        constant = described.constants.get("xnxq", "")
        said = (tuple(row) for row in rows)
        return sorted({(str(one[0]), constant if term is None else str(one[-1])) for one in said if one[0] is not None})
