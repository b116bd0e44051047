"""Rows of the file `meetings`: one per week, weekday and period, with the dirt that real files carry."""

from collections import Counter
from collections.abc import Iterator
from random import Random

from simulator.campus_calendar import Clocks, Term
from simulator.campus_courses import Offering
from simulator.campus_words import REMARKS, college_name

COLUMNS = (
    "kkh", "kcbh", "kcmc", "xnxq", "jxz", "zc", "jc", "xq", "lq", "room", "lc", "ghs", "xms", "st", "ed", "rq", "sfdk",
    "zt", "bz", "kkxy",
)  # fmt: skip
_AT = {name: place for place, name in enumerate(COLUMNS)}

DUPLICATE = "duplicate"
NO_KKH = "no_kkh"
END_BEFORE_START = "end_before_start"
UNREADABLE_DATE = "unreadable_date"
UNREADABLE_TIME = "unreadable_time"
DELETED = "deleted"
DIRT = (DELETED, DUPLICATE, NO_KKH, END_BEFORE_START, UNREADABLE_DATE, UNREADABLE_TIME)
_DIRT_EVERY = 100

Row = list[str]


class RowMaker:
    """Turns offerings into rows; `dirt` counts the rows made unusable on purpose, by kind."""

    def __init__(self, seed: int, *, offerings: int, term: Term, clocks: Clocks) -> None:
        self._seed = seed
        self._every = min(_DIRT_EVERY, offerings)
        self._term = term
        self._clocks = clocks
        self.dirt: Counter[str] = Counter()

    def rows(self, offering: Offering, *, colleges: int) -> list[Row]:
        """All rows of one offering, dirty ones last."""
        rng = Random(f"{self._seed}:rows:{offering.number}")  # noqa: S311
        remark = rng.choice(REMARKS)
        rows = list(self._clean(offering, remark))
        _blank_colleges(rows, offering, colleges)
        for place, kind in enumerate(DIRT):
            if offering.number % self._every == (place * 7 + 2) % self._every:
                self._soil(rows, kind)
        return rows

    def _clean(self, offering: Offering, remark: str) -> Iterator[Row]:
        half = self._term.weeks // 2
        changed = offering.number % 50
        change = {2: "update", 3: ""}.get(changed, "add")
        must_check_in = "1" if changed % 10 == 5 else ""
        college = college_name(offering.college)
        for slot, rooms, last_rooms in zip(offering.slots, offering.rooms, offering.last_rooms, strict=True):
            for week in slot.weeks:
                day = self._term.taught_on(week, slot.weekday)
                if day is None:
                    continue
                crew = offering.crews[week > half]
                clock = self._clocks.on(offering.campus, day)
                head = [offering.kkh, offering.kcbh, offering.kcmc, self._term.code, str(week), str(slot.weekday)]
                last = slot.first + slot.length - 1
                for period in range(slot.first, last + 1):
                    start, end = clock[period - 1]
                    for room in last_rooms if period == last else rooms:
                        yield [
                            *head, str(period), *room, crew.codes, crew.names, start, end, str(day),
                            must_check_in, change, remark, college,
                        ]  # fmt: skip

    def _soil(self, rows: list[Row], kind: str) -> None:
        if kind == DELETED:
            self._delete_last_day(rows)
            return
        row = list(rows[0])
        if kind == NO_KKH:
            row[_AT["kkh"]] = ""
        elif kind == END_BEFORE_START:
            row[_AT["st"]], row[_AT["ed"]] = row[_AT["ed"]], row[_AT["st"]]
        elif kind == UNREADABLE_DATE:
            row[_AT["rq"]] = "2026-13-45"
        elif kind == UNREADABLE_TIME:
            row[_AT["st"]] = "25:61"
        rows.append(row)
        self.dirt[kind] += 1

    def _delete_last_day(self, rows: list[Row]) -> None:
        """Mark every row of the last date as deleted, where enough dates remain."""
        days = sorted({row[_AT["rq"]] for row in rows})
        if len(days) < 3:
            return
        for row in rows:
            if row[_AT["rq"]] == days[-1]:
                row[_AT["zt"]] = "delete"
                self.dirt[DELETED] += 1


def _blank_colleges(rows: list[Row], offering: Offering, colleges: int) -> None:
    """Blank the college of some offerings wholly, of some in part; a few have rows of two colleges."""
    place = _AT["kkxy"]
    if offering.number % 40 == 21:
        for row in rows:
            row[place] = ""
    elif offering.number % 30 == 22:
        for row in rows[::5]:
            row[place] = ""
    elif offering.number % 50 == 23:
        for row in rows[::7]:
            row[place] = college_name((offering.college + 1) % colleges)
