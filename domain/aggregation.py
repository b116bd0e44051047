"""The rows of one offering become its sessions.

1. Rows of one date and period are united: rooms as a set, teachers as a set, hours from the least start to the greatest
   end. A row without a period is united with those of exactly its hours.
2. Rule `consecutive`: neighbours of one date with equal rooms and teachers are merged when the next period number
   follows and the gap is between -10 and 35 minutes, or when one ends as the next starts.
   Rule `half-day`: everything of one date that starts before noon is one session, and everything from noon on another,
   whatever lies between, with the rooms and teachers of all of it. Noon is 12:00 by the clock of the tenant's zone: rows
   have hours by now, and a period number means another hour at every school.
3. A session is known by (offering, week, weekday, first period), or by (offering, date, start) where one of these is
   missing, so that a moved class stays the same session. Where several sessions of one import would share a key, the
   earliest keeps it and the others add their date.

The order of the rows never matters.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

from domain.alterations import Alteration
from domain.ids import key_of
from domain.text import split_list
from domain.timetable import local_ms

_LEAST_GAP_MS: Final = -10 * 60_000
_MOST_GAP_MS: Final = 35 * 60_000
_MISSING: Final = 1 << 30
_NOON_S: Final = 12 * 3600

SCATTERED_CHARS: Final = 20
"""Length of the ids that sessions once had; those of today are longer."""
TOGETHER_CHARS: Final = 6  # thirty bits: no two of some ten thousand courses of a term begin alike
TOLD_CHARS: Final = TOGETHER_CHARS + 20  # of an id that says its offering

CONSECUTIVE: Final = "consecutive"
HALF_DAY: Final = "half-day"
RULES: Final = (CONSECUTIVE, HALF_DAY)

Room = tuple[str, str, str]
"""Campus, building, room."""


@dataclass(frozen=True, slots=True)
class Row:
    """One usable meeting of the offering. Instants are milliseconds UTC; `date` is the local ISO date."""

    line: int
    jxz: int | None
    zc: int | None
    jc: int | None
    date: str
    start_ms: int
    end_ms: int
    xq: str = ""
    lq: str = ""
    room: str = ""
    ghs: str = ""
    xms: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """One class. `periods` are its period numbers in order; `lines` the source rows it was made from, sorted.

    `alteration` says how it differs from the source, None where it does not; `source_date` is its date there, blank where the
    source has no such class.
    """

    id: str
    jxz: int | None
    zc: int | None
    periods: tuple[int, ...]
    date: str
    start_ms: int
    end_ms: int
    rooms: tuple[Room, ...]
    teachers: tuple[str, ...]
    lines: tuple[int, ...]
    alteration: Alteration | None = None
    source_date: str = ""

    @property
    def jc_s(self) -> str:
        """Its periods as the sources write them: `3/4`."""
        return "/".join(map(str, self.periods))


@dataclass(frozen=True, slots=True)
class Rules:
    """What a tenant may set; see the module for `rule`.

    `lunch_s` (seconds since midnight) splits the sessions of `consecutive` whose gap it lies in; None: nothing.
    """

    zone: ZoneInfo
    lunch_s: int | None = None
    rule: str = CONSECUTIVE


@dataclass(slots=True)
class _Slot:
    """United rows, and later everything merged into them."""

    date: str
    start_ms: int
    end_ms: int
    jc: int | None
    week: tuple[int, int]
    rooms: set[Room] = field(default_factory=set)
    teachers: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    lines: list[int] = field(default_factory=list)
    periods: list[int] = field(default_factory=list)

    @property
    def order(self) -> tuple[str, int, int, int]:
        return (self.date, self.start_ms, self.end_ms, _MISSING if self.jc is None else self.jc)


def aggregate(
    rows: Iterable[Row],
    *,
    offering_id: str,
    rules: Rules,
    names: Mapping[str, str] | None = None,
    scattered: bool = False,
) -> list[Session]:
    """The sessions of the offering, by date and time; every row is in exactly one.

    `names` gives names for teacher codes: used where a row has codes but no names. `scattered`: the offering keeps ids as
    they were made once, see `session_id`.
    """
    slots = sorted(_unite(rows, names or {}), key=lambda slot: slot.order)
    merged = [session for _, day in groupby(slots, key=lambda slot: slot.date) for session in _merge(list(day), rules)]
    return _named(merged, offering_id, scattered=scattered)


def _unite(rows: Iterable[Row], names: Mapping[str, str]) -> Iterable[_Slot]:
    slots: dict[tuple[object, ...], _Slot] = {}
    for row in rows:
        key = (row.date, row.start_ms, row.end_ms) if row.jc is None else (row.date, row.jc)
        week = _week(row)
        slot = slots.get(key)
        if slot is None:
            slot = slots[key] = _Slot(row.date, row.start_ms, row.end_ms, row.jc, week)
            slot.periods = [] if row.jc is None else [row.jc]
        slot.start_ms, slot.end_ms = min(slot.start_ms, row.start_ms), max(slot.end_ms, row.end_ms)
        slot.week = min(slot.week, week)
        slot.lines.append(row.line)
        if row.lq or row.room:
            slot.rooms.add((row.xq, row.lq, row.room))
        codes, said = split_list(row.ghs), split_list(row.xms)
        slot.teachers.update(codes or said)
        slot.names.update(said or (names.get(code) or code for code in codes))
    return slots.values()


def _week(row: Row) -> tuple[int, int]:
    return (_MISSING if row.jxz is None else row.jxz, _MISSING if row.zc is None else row.zc)


def _merge(day: Sequence[_Slot], rules: Rules) -> Iterator[_Slot]:
    """One date's slots, in order, with the neighbours merged."""
    current, last = day[0], (day[0].end_ms, day[0].jc)
    for slot in day[1:]:
        before, last = last, (slot.end_ms, slot.jc)
        if _same_session(current, before, slot, rules):
            current.end_ms = max(current.end_ms, slot.end_ms)
            current.rooms |= slot.rooms
            current.names |= slot.names
            current.lines += slot.lines
            current.periods += slot.periods
        else:
            yield current
            current = slot
    yield current


def _same_session(current: _Slot, before: tuple[int, int | None], slot: _Slot, rules: Rules) -> bool:
    if rules.rule == HALF_DAY:
        noon_ms = local_ms(date.fromisoformat(slot.date), _NOON_S, rules.zone)
        return (current.start_ms < noon_ms) == (slot.start_ms < noon_ms)
    return slot.rooms == current.rooms and slot.teachers == current.teachers and _joins(before, slot, rules)


def _joins(before: tuple[int, int | None], slot: _Slot, rules: Rules) -> bool:
    end_ms, period = before
    gap_ms = slot.start_ms - end_ms
    if gap_ms == 0:
        return True
    follows = period is not None and slot.jc == period + 1
    if not follows or not _LEAST_GAP_MS <= gap_ms <= _MOST_GAP_MS:
        return False
    if rules.lunch_s is None:
        return True
    lunch_ms = local_ms(date.fromisoformat(slot.date), rules.lunch_s, rules.zone)
    return not end_ms <= lunch_ms <= slot.start_ms


def _named(slots: Iterable[_Slot], offering_id: str, *, scattered: bool) -> list[Session]:
    """Sessions with their ids. The slots come by date, so the earliest of equal keys is met first and keeps it."""
    taken: set[tuple[str, ...]] = set()
    sessions = []
    for slot in slots:
        key = next(key for key in _keys(slot) if key not in taken)
        taken.add(key)
        id_ = session_id(offering_id, *key)
        sessions.append(_session(slot, id_[-SCATTERED_CHARS:] if scattered else id_))
    return sessions


def session_id(offering_id: str, *key: str) -> str:
    """What a session goes by: the beginning of its offering's id, then twenty characters of its own.

    So the sessions of a course, and the rows that are found by them, lie together in every index. Ids once were the last
    part alone, and these are kept: another id is another event.
    """
    return offering_id[:TOGETHER_CHARS] + key_of("session", offering_id, *key)


def beginning_of_offering(session_id: str) -> str | None:
    """How the id of a session's offering begins; None where the id is one of those that do not say it."""
    return session_id[:TOGETHER_CHARS] if len(session_id) == TOLD_CHARS else None


def _keys(slot: _Slot) -> Iterator[tuple[str, ...]]:
    """The key of a session, then longer ones for when it is taken."""
    by_place = slot.jc is not None and _MISSING not in slot.week
    jxz, zc = slot.week
    key = ("week", str(jxz), str(zc), str(slot.jc)) if by_place else ("date", slot.date, str(slot.start_ms))
    yield key
    longer = (*key, slot.date)
    yield longer
    number = 0
    while True:
        yield (*longer, str(slot.start_ms), str(slot.end_ms), str(slot.jc), str(number))
        number += 1


def _session(slot: _Slot, session_id: str) -> Session:
    jxz, zc = (None if number == _MISSING else number for number in slot.week)
    return Session(
        id=session_id,
        jxz=jxz,
        zc=zc,
        periods=tuple(slot.periods),
        date=slot.date,
        start_ms=slot.start_ms,
        end_ms=slot.end_ms,
        rooms=tuple(sorted(slot.rooms)),
        teachers=tuple(sorted(slot.names)),
        lines=tuple(sorted(slot.lines)),
        source_date=slot.date,
    )
