"""Change sets: which rows replace which, decided on values.

A change row names a *slot* – an offering's week, weekday and period, or its date and start where one of these is
missing – and what becomes of it:

    add      the row is there as well
    update   the rows of the set are all the rows of the slot
    delete   the row goes; where none of the slot's rows is like it, all of them go
    whole    the rows of the set are everything there is of the offering's number, whatever its slots

The rows of a slot count in the order in which they stand in the set.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.ids import key_of

ADD: Final = "add"
UPDATE: Final = "update"
DELETE: Final = "delete"
WHOLE: Final = "whole"

StagedRow = Mapping[str, Any]
"""A row of staging by column: `line` and `row_hash`, and what it says."""

_SAYS: Final = (
    "offering_id", "term", "kkh", "kcbh", "kcmc", "kkxy", "xq", "lq", "room", "ghs", "xms", "jxz", "zc", "jc", "date",
    "start_ms", "end_ms", "sfdk", "held",
)  # fmt: skip


_LINES: Final = 10**10
_LINES_OF_SOURCE: Final = 10**8
MOST_SOURCES: Final = _LINES // _LINES_OF_SOURCE - 1
"""The highest number that a source may have, so that its lines stay below those of change sets."""


def source_line(source_no: int, line: int) -> int:
    """The line under which a row of a numbered source stands in a staging that several sources share."""
    return source_no * _LINES_OF_SOURCE + line


def line_source(line: int) -> int:
    """The number of the source of a row, from its staged line without the buffer."""
    return line % _LINES // _LINES_OF_SOURCE


def line_in_source(line: int) -> int:
    """The line in its own file of a row, from its staged line without the buffer."""
    return line % _LINES_OF_SOURCE


def staged_line(buffer_no: int, line: int) -> int:
    """The line under which a changed row stands in a staging that has lines of its own."""
    return buffer_no * _LINES + line


def read_line(line: int) -> tuple[int, int]:
    """(buffer, line in the change set) of a staged line; buffer 0 where it is a line of the import itself."""
    return divmod(line, _LINES)


def slot_of(row: StagedRow) -> str:
    """The key of the slot that a row stands in."""
    if row["jxz"] is not None and row["zc"] is not None and row["jc"] is not None:
        return key_of(row["kcbh"], str(row["jxz"]), str(row["zc"]), str(row["jc"]))
    start = row["jc"] if row["jc"] is not None else row["start_ms"]
    return key_of(row["kcbh"], "date", str(row["date"]), str(start))


@dataclass(frozen=True, slots=True)
class Change:
    """One row of a change set, read."""

    op: str
    row: StagedRow
    sj: str = ""  # when the source changed it; blank where it does not say


@dataclass(frozen=True, slots=True)
class Merged:
    """What turns the rows that are there into those that should be."""

    gone: list[StagedRow]
    fresh: list[StagedRow]


def merge(there: Sequence[StagedRow], changes: Iterable[Change]) -> Merged:
    """The changes of one slot (or, with WHOLE, of one number) against the rows that are there.

    A row that is there already stays as it is, so the same changes once more come to nothing.
    """
    kept, fresh, anew = list(there), dict[str, StagedRow](), False
    for change in changes:
        row = change.row
        if change.op == DELETE:
            left = _without([*kept, *fresh.values()], row)
            kept = [one for one in kept if one in left]
            fresh = {one["row_hash"]: one for one in fresh.values() if one in left}
            continue
        if change.op in (UPDATE, WHOLE) and not anew:
            # From here on only what the set says counts; rows like it are found again below.
            kept, fresh, anew = [], {}, True
        if all(one["row_hash"] != row["row_hash"] for one in kept):
            fresh.setdefault(row["row_hash"], row)
    return _against(there, [*kept, *fresh.values()])


def _without(rows: list[StagedRow], row: StagedRow) -> list[StagedRow]:
    said = _said(row, but=("held",))
    left = [one for one in rows if _said(one, but=("held",)) != said]
    return left if len(left) < len(rows) else []


def _against(there: Sequence[StagedRow], wanted: Sequence[StagedRow]) -> Merged:
    """Rows that say the same are the same row, whatever line they stand on."""
    missing = Counter(map(_said, wanted))
    gone = []
    for one in there:
        if missing[_said(one)]:
            missing[_said(one)] -= 1
        else:
            gone.append(one)
    fresh = []
    for one in reversed(wanted):
        if missing[_said(one)]:
            missing[_said(one)] -= 1
            fresh.append(one)
    return Merged(gone, fresh[::-1])


def _said(row: StagedRow, *, but: tuple[str, ...] = ()) -> tuple[Any, ...]:
    return tuple(row[name] for name in _SAYS if name not in but)
