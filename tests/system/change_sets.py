"""Folders for tests of change sets: a base, sets of changes, and the state after all of them.

The real ones are cut to some courses, so that they take seconds; where they are not at hand, sets are made from a generated
campus. What the sets come to is worked out here, not by the product.
"""

from __future__ import annotations

import csv
import gzip
import random
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

Row = dict[str, str]


@dataclass(frozen=True)
class Story:
    """The campus at first, the files of changes in their order, and the campus after them."""

    base: Path
    changes: list[Path]
    after: Path


def real(folder: Path, home: Path, *, of: Callable[[str], bool]) -> Story:
    """The published term, with the courses (numbers) that `of` wants."""
    base, after = home / "base", home / "after"
    _cut(folder / "meetings.csv.gz", base / "meetings.csv", of)
    _cut(folder / "meetings_after.csv.gz", after / "meetings.csv", of)
    sets = []
    for source in sorted(folder.glob("changes_r*.csv.gz")):
        file = home / f"{source.name.partition('.')[0]}.csv"
        if _cut(source, file, of):
            sets.append(file)
    return Story(base, sets, after)


def generated(campus: Path, home: Path, *, sets: int, seed: int) -> Story:
    """Made-up changes of a generated campus: rooms, teachers and hours of classes, classes that go and new ones."""
    dice = random.Random(seed)
    header, rows = _read(campus)
    whole = [row for row in rows if all(row[name] for name in ("kkh", "jxz", "zc", "jc")) and row["zt"] != "delete"]
    by_slot: dict[tuple[str, ...], list[Row]] = {}
    for row in whole:
        by_slot.setdefault(_slot(row), []).append(row)
    base, after = home / "base", home / "after"
    for folder in (base, after):
        shutil.copytree(campus, folder)
        for packed in folder.glob("meetings.csv*"):
            packed.unlink()
    _write(base / "meetings.csv", header, (row for slot in by_slot.values() for row in slot))
    files = []
    for number in range(1, sets + 1):
        changes = [row for slot in dice.sample(sorted(by_slot), 12) for row in _change(dice, by_slot, slot)]
        files.append(_write(home / f"changes_{number:02d}.csv", header, changes))
    _write(after / "meetings.csv", header, (row for slot in sorted(by_slot) for row in by_slot[slot]))
    return Story(base, files, after)


def _slot(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in ("xnxq", "kkh", "kcbh", "jxz", "zc", "jc"))


def _change(dice: random.Random, state: dict[tuple[str, ...], list[Row]], slot: tuple[str, ...]) -> list[Row]:
    rows = state[slot]
    kind = dice.choice(("room", "teacher", "delete", "add"))
    if kind == "delete":
        return [{**row, "zt": "delete"} for row in state.pop(slot)]
    if kind == "add":
        # The same class once more, in a section that there was not before.
        number = f"{rows[0]['kkh']}N{dice.randrange(10**6)}"
        fresh = [{**row, "kkh": number, "zt": "add"} for row in rows]
        state[_slot(fresh[0])] = fresh
        return fresh
    changed = {"room": f"Z{dice.randrange(100)}"} if kind == "room" else {"ghs": "", "xms": f"代课{dice.randrange(9)}"}
    state[slot] = [{**row, **changed, "zt": "update"} for row in rows[:1]]
    return state[slot]


def _cut(source: Path, target: Path, of: Callable[[str], bool]) -> int:
    target.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(source, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if of(row["kkh"])]
        _write(target, list(reader.fieldnames or ()), rows)
    return len(rows)


def _read(campus: Path) -> tuple[list[str], list[Row]]:
    with (campus / "meetings.csv").open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows = [{name: value or "" for name, value in row.items() if name is not None} for row in reader]
        return list(reader.fieldnames or ()), rows


def _write(target: Path, header: list[str], rows: Iterable[Row]) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return target
