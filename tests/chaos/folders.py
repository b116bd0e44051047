"""Two states of one timetable that a product is driven between, so that there is always something to send."""

from __future__ import annotations

import csv
import random
import shutil
from pathlib import Path
from typing import Final

from tests.system import checker

_SHARE_MOVED: Final = 0.15
_SHARE_OTHER_ROOM: Final = 0.3


def other_state(campus: Path, folder: Path, *, seed: int) -> Path:
    """A copy of the campus: some offerings a week later (deleted and made anew), others in another room (updated)."""
    rng = random.Random(seed)
    shutil.copytree(campus, folder)
    rows = list(checker.rows_of(campus, "meetings"))
    for packed in folder.glob("meetings.csv*"):
        packed.unlink()
    fates: dict[str, float] = {}
    for row in rows:
        fate = fates.setdefault(row["kkh"], rng.random())
        if fate < _SHARE_MOVED and row["jxz"].isdigit():
            # Another week and no date of its own: the row gets that of its week, and its session another key.
            row["jxz"], row["rq"] = str(int(row["jxz"]) + 1), ""
        elif fate < _SHARE_MOVED + _SHARE_OTHER_ROOM:
            row["room"] = f"{row['room']}B"
    with (folder / "meetings.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return folder
