"""Copies of a campus folder with one cell changed, and what such a change must come to.

The expected operations are worked out with the checker's own rules, not with the product's.
"""

from __future__ import annotations

import csv
import gzip
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.system import checker


@dataclass(frozen=True)
class Change:
    """A copy of the folder, the offering that was changed, and the operations that the change asks for."""

    folder: Path
    offering: str
    date: str
    operations: Counter[tuple[str, str]]


def later_end(campus: Path, folder: Path) -> Change:
    """The last row of a session ends five minutes later: one event of one calendar is updated."""
    header, rows = _read(campus)
    at = {name: place for place, name in enumerate(header)}
    for number, row in enumerate(rows):
        if not _is_plain(row, at) or not row[at["ed"]] < "23:50":
            continue
        changed = list(row)
        hours, minutes = (int(part) for part in row[at["ed"]].split(":")[:2])
        changed[at["ed"]] = f"{(hours * 60 + minutes + 5) // 60:02d}:{(minutes + 5) % 60:02d}"
        change = _written(campus, folder, header, [*rows[:number], changed, *rows[number + 1 :]], row, at)
        if change.operations == Counter({("event", "update"): 1}):
            return change
    raise AssertionError(f"no row of {campus} changes just one session when it ends later")


def other_room(campus: Path, folder: Path) -> Change:
    """The second period of a session moves to another room: it becomes a session of its own, the first one shrinks."""
    header, rows = _read(campus)
    at = {name: place for place, name in enumerate(header)}
    for number, row in enumerate(rows):
        if not _is_plain(row, at):
            continue
        changed = list(row)
        changed[at["room"]] = "Z909"
        change = _written(campus, folder, header, [*rows[:number], changed, *rows[number + 1 :]], row, at)
        if change.operations == Counter({("event", "update"): 1, ("event", "create"): 1}):
            return change
    raise AssertionError(f"no row of {campus} splits a session when its room changes")


_Keyed = dict[tuple[int, int], checker.Event]


def operations_between(before: Path, after: Path) -> Counter[tuple[str, str]]:
    """What turns the events of one folder into those of another.

    Within an offering a session keeps its identity while its date (week and weekday) and first period do, which here
    means: while it starts at the same minute.
    """
    was, becomes = (
        {course.key: _by_start(course) for course in checker.read_campus(one)[0]} for one in (before, after)
    )
    assert was.keys() == becomes.keys(), "the change makes or ends an offering"
    found: Counter[tuple[str, str]] = Counter()
    for key, old in was.items():
        new = becomes[key]
        found["event", "delete"] += len(old.keys() - new.keys())
        found["event", "create"] += len(new.keys() - old.keys())
        found["event", "update"] += sum(old[at] != new[at] for at in old.keys() & new.keys())
    return +found


def _by_start(course: checker.Course) -> _Keyed:
    """Sessions by start; two of one start are told apart by their order."""
    found: _Keyed = {}
    for event in sorted(course.events.elements(), key=str):
        place = 0
        while (event[0], place) in found:
            place += 1
        found[event[0], place] = event
    return found


def _is_plain(row: list[str], at: dict[str, int]) -> bool:
    """Whether a row is used as it is: nothing in it is made unusable on purpose."""
    try:
        checker.read_date(row[at["rq"]])
        whole = checker.read_clock(row[at["st"]]) < checker.read_clock(row[at["ed"]])
    except checker.Unusable:
        return False
    return whole and bool(row[at["kkh"]]) and row[at["zt"]] != "delete"


def _written(
    campus: Path, folder: Path, header: list[str], rows: list[list[str]], changed: list[str], at: dict[str, int]
) -> Change:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(campus, folder)
    for packed in folder.glob("meetings.csv*"):
        packed.unlink()
    with (folder / "meetings.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    operations = operations_between(campus, folder)
    return Change(folder, changed[at["kcmc"]], changed[at["rq"]], operations)


def _read(campus: Path) -> tuple[list[str], list[list[str]]]:
    packed = campus / "meetings.csv.gz"
    if packed.is_file():
        with gzip.open(packed, "rt", encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    else:
        with (campus / "meetings.csv").open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    return rows[0], [row for row in rows[1:] if row]
