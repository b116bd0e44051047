"""What every timetable source can do, and how it says that it cannot be used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from observability.redaction import scrubbed

PARTS: Final = ("terms", "periods", "rooms", "students", "teachers", "meetings", "enrolments")
"""Everything a source may yield, in reading order: rows are read against the terms and periods before them."""

REQUIRED_COLUMNS: Final[Mapping[str, tuple[tuple[tuple[str, ...], ...], ...]]] = {
    "terms": ((("xnxq",),),),
    "periods": ((("jc",),), (("st",),), (("ed",),)),
    "rooms": ((("room",),),),
    "students": ((("xh",),),),
    "teachers": ((("gh",),),),
    "meetings": ((("kkh",),), (("xnxq",),), (("rq",), ("jxz", "zc")), (("jc",), ("st", "ed"))),
    "enrolments": ((("xh",),), (("kkh",),), (("xnxq",),)),
}
"""For each part a list of demands; each is met by any one of its groups of columns. Other columns are optional."""

READ_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "terms": ("xnxq", "first_monday", "weeks", "status", "exchange"),
    "periods": ("jc", "st", "ed", "xnxq", "xq", "from", "since"),
    "rooms": ("room", "xq", "lq", "lat", "lon"),
    "students": ("xh", "xm", "xymc", "xydm"),
    "teachers": ("gh", "xm", "ssdwmc", "ssdwdm"),
    "meetings": (
        "kkh", "kcbh", "kcmc", "xnxq", "jxz", "zc", "jc", "rq", "st", "ed", "xq", "lq", "room", "lc", "ghs", "xms",
        "sfdk", "zt", "bz", "kkxy", "sj",
    ),
    "enrolments": ("xh", "kkh", "xnxq", "kcbh"),
}  # fmt: skip
"""All columns of each part that mean something, or that a person wants to see beside a row."""


class BadSource(Exception):
    """A source that cannot be read: which file, what is wrong, what to do. Nothing was changed by it."""

    def __init__(self, file: str, problem: str, remedy: str) -> None:
        # Both may quote what was typed or what stands in a file: the message is for logs and rows.
        self.file = scrubbed(file)
        self.problem = scrubbed(problem)
        super().__init__(f"{self.file}: {self.problem}. {remedy}.")
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row: the line it begins on (the header is line 1) and its values by column name, as they stand there."""

    line: int
    values: Mapping[str, str | None]


class Readable(Protocol):
    """Something that is read part by part. Not for use by several threads at once."""

    @property
    def name(self) -> str:
        """The address as people know it, without passwords."""
        ...

    def parts(self) -> tuple[str, ...]:
        """Those of PARTS that it has, in that order; always with `meetings`. Raises BadSource."""
        ...

    def file_of(self, part: str) -> str:
        """What a person would open to see the rows of `part`."""
        ...

    def check(self) -> None:
        """Raise BadSource unless every part can be opened and has its columns."""
        ...

    def fingerprint(self) -> str:
        """At most 64 characters that change when any row changes. Raises BadSource."""
        ...

    def rows(self, part: str, *, after: int, limit: int) -> list[SourceRow]:
        """Up to `limit` rows of `part` after the first `after`; fewer only at the end. Raises BadSource.

        Cheap when asked page after page.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections; the source may be used again afterwards."""
        ...


class ChangeSet(Readable, Protocol):
    """What has changed in a timetable, as rows of `meetings` (and perhaps `enrolments`) that say what becomes of them."""

    @property
    def whole(self) -> bool:
        """Whether the rows are all that there is of each number (`kkh`) they name, and not single changes."""
        ...


class TimetableSource(Readable, Protocol):
    """A source of one tenant's timetable."""

    @property
    def live(self) -> bool:
        """Whether people write to it while it is read: it is then read again from its watermark on, and not refused."""
        ...

    def watermark(self) -> str | None:
        """Up to when its rows say that they were changed (`sj`); None where they do not say it. Raises BadSource."""
        ...

    def changes(self, *, since: str | None) -> ChangeSet | None:
        """What has changed, after the watermark `since` where the source can tell; None: read the whole source."""
        ...


def of_source(part: str, source_no: int) -> str:
    """The name of a part of one of several sources: `meetings@2`. Number 0 is a source that stands alone as well."""
    return f"{part}@{source_no}" if source_no else part


def part_of(name: str) -> tuple[str, int]:
    """(part, number of the source) of such a name."""
    part, _, number = name.partition("@")
    return part, int(number or 0)


def newer_than(watermark: str | None, moment: str) -> bool:
    """Whether a row changed at `moment` (`sj`) is missing in what was read up to the watermark; unknown times count so."""
    if not watermark or not moment.strip():
        return True
    return _comparable(moment) > _comparable(watermark.partition(MARK)[0])


MARK: Final = " #"
"""Between the time of a watermark and what tells the rows of that very time apart."""


def _comparable(moment: str) -> str:
    return moment.strip().replace("/", "-").replace("T", " ")


def check_once(columns: list[str], *, file: str) -> None:
    """Raise BadSource naming the columns that are there more than once."""
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise BadSource(file, f"column {', '.join(twice)} is there more than once", "Keep one of them")


def check_columns(
    part: str,
    columns: list[str],
    *,
    file: str,
    remedy: str = "Name the columns in the first row as the README lists them, separated by commas",
) -> None:
    """Raise BadSource naming the columns that `part` needs and `columns` lacks, with what to do about it."""
    check_once(columns, file=file)
    for groups in REQUIRED_COLUMNS[part]:
        if not any(set(group) <= set(columns) for group in groups):
            wanted = " or ".join(" and ".join(group) for group in groups)
            has = ", ".join(name for name in columns if name) or "none"
            raise BadSource(file, f"column {wanted} is missing; it has the columns {has[:400]}", remedy)


def pages(source: Readable, part: str, *, size: int) -> Iterator[list[SourceRow]]:
    """All rows of `part`, page by page."""
    after = 0
    while page := source.rows(part, after=after, limit=size):
        yield page
        after += len(page)
