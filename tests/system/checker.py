"""Compares a campus folder with a dump of the simulator: does every calendar hold exactly what the timetable says?

Independent of the product on purpose: standard library only, and the rules are written here a second time, so that
one mistake cannot hide in both. Run as `python tests/system/checker.py CAMPUS DUMP.json`.
"""

import csv
import gzip
import io
import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

ZONE = timezone(timedelta(hours=8))
MOST_DIFFERENCES = 50
NAME_CUT = 31
GAP_LEAST_MIN, GAP_MOST_MIN = -10, 35
CALENDAR_NAME = re.compile(r"(?s)(.*) ·[A-Za-z0-9]{7}\Z")
TEACHERS_LINE = re.compile(r"(?m)^教师[：:](.*)$")
SEPARATORS = re.compile("[,，、;]")
DEAD_STATUS = {"cancelled", "canceled", "deleted"}

Offered = tuple[str, str, str]  # term, kkh, kcbh
Room = tuple[str, str, str]  # campus, building, room
Event = tuple[int, int, str, str, frozenset[str]]  # start, end (minutes since 1970), summary, location, teachers
Row = dict[str, str]


class Unusable(Exception):
    """A row that cannot be used: `held` ones wait for somebody, the others are rejects."""

    def __init__(self, reason: str, *, held: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.held = held


@dataclass
class Slot:
    """One period of an offering on one date, united from its rows."""

    period: int | None
    start: int
    end: int
    rooms: set[Room] = field(default_factory=set)
    teachers: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


@dataclass
class Course:
    """What the timetable says of one offering."""

    key: Offered
    names: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    slots: dict[tuple[date, object], Slot] = field(default_factory=dict)
    name: str = ""
    events: Counter[Event] = field(default_factory=Counter)
    members: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} {self.key}"


@dataclass
class Calendar:
    """What the dump says of one live calendar."""

    id: str
    summary: str
    events: Counter[Event]
    members: Counter[tuple[str, str]]

    def __str__(self) -> str:
        return f"calendar {self.id} {self.summary!r}"


@dataclass
class Counts:
    """Where the rows went: rows_in = rows_used + rejected + held."""

    rows_in: int = 0
    rows_used: int = 0
    sessions: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"rows in: {self.rows_in}", f"rows in sessions: {self.rows_used}"]
        lines.append(f"rejected: {self.rejected.total()} {dict(self.rejected)}")
        lines.append(f"held: {self.held.total()} {dict(self.held)}")
        return "\n".join([*lines, f"sessions: {self.sessions}"])


def clean(text: str | None) -> str:
    """Trimmed and in NFC; missing is blank."""
    return unicodedata.normalize("NFC", text or "").strip()


def open_table(folder: Path, name: str) -> io.TextIOBase | None:
    plain, packed = folder / f"{name}.csv", folder / f"{name}.csv.gz"
    if plain.is_file():
        return plain.open(encoding="utf-8-sig", newline="")
    if packed.is_file():
        return gzip.open(packed, "rt", encoding="utf-8-sig", newline="")
    return None


def raw_rows(folder: Path, name: str) -> Iterator[tuple[tuple[str, ...], Row]]:
    """Each row as it stands in the file, and by column."""
    table = open_table(folder, name)
    if table is None:
        return
    with table:
        reader = csv.reader(table)
        header = [column.strip() for column in next(reader, [])]
        for values in reader:
            if values:
                yield tuple(values), {column: clean(value) for column, value in zip(header, values, strict=False)}


def rows_of(folder: Path, name: str) -> Iterator[Row]:
    for _, row in raw_rows(folder, name):
        yield row


def read_date(text: str) -> date:
    match = re.match(r"(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?\Z", text)
    try:
        if match is None:
            raise ValueError(text)
        return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        raise Unusable("unreadable date") from None


def read_clock(text: str) -> int:
    match = re.match(r"(\d{1,2}):(\d{2})(?::\d{2}(?:\.\d+)?)?\Z", text)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise Unusable("unreadable time")
    return int(match[1]) * 60 + int(match[2])


def minute_of(day: date, clock: int) -> int:
    """Minutes since 1970 of a local time."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZONE)
    return int(midnight.timestamp()) // 60 + clock


class Year:
    """Terms and period tables of the folder, where it has them."""

    def __init__(self, folder: Path) -> None:
        self.first: dict[str, date] = {}
        self.closed: set[str] = set()
        self.moved: dict[str, dict[date, date]] = {}
        for row in rows_of(folder, "terms"):
            code = row.get("xnxq", "")
            if row.get("first_monday"):
                self.first[code] = read_date(row["first_monday"])
            if row.get("status") in {"frozen", "archived"}:
                self.closed.add(code)
            pairs = [pair.split("=") for pair in row.get("exchange", "").split(";") if pair.strip()]
            self.moved[code] = {read_date(taught.strip()): read_date(made_up.strip()) for made_up, taught in pairs}
        self.clocks: dict[tuple[str, str, str], list[tuple[date, str, str]]] = defaultdict(list)
        for row in rows_of(folder, "periods"):
            since = read_date(row["from"]) if row.get("from") else date.min
            key = (row.get("xnxq", ""), row.get("xq", ""), row.get("jc", ""))
            self.clocks[key].append((since, row.get("st", ""), row.get("ed", "")))

    def day(self, row: Row) -> date:
        """The date of a row: its own, else that of its week and weekday, moved by the exchange days."""
        if row.get("rq"):
            return read_date(row["rq"])
        term, week, weekday = row.get("xnxq", ""), row.get("jxz", ""), row.get("zc", "")
        if not (week.isdigit() and weekday.isdigit()):
            raise Unusable("unreadable date")
        if term not in self.first:
            raise Unusable("no first Monday of the term", held=True)
        planned = self.first[term] + timedelta(days=7 * (int(week) - 1) + int(weekday) - 1)
        return self.moved[term].get(planned, planned)

    def times(self, row: Row, day: date) -> tuple[int, int]:
        """Start and end of a row in minutes since midnight: its own, else those of the period table."""
        start, end = row.get("st", ""), row.get("ed", "")
        if not (start and end):
            listed = self._listed(row, day)
            if listed is None:
                raise Unusable("no period table", held=True)
            start, end = start or listed[0], end or listed[1]
        return read_clock(start), read_clock(end)

    def _listed(self, row: Row, day: date) -> tuple[str, str] | None:
        period = row.get("jc", "")
        for term in (row.get("xnxq", ""), ""):
            for campus in (row.get("xq", ""), ""):
                current = [entry for entry in self.clocks.get((term, campus, period), ()) if entry[0] <= day]
                if current:
                    return max(current)[1:]
        return None


def read_campus(folder: Path) -> tuple[list[Course], Counts]:
    """Everything that must exist remotely, one Course for each offering with a session."""
    year, counts = Year(folder), Counts()
    courses: dict[Offered, Course] = {}
    seen: set[tuple[str, ...]] = set()
    for raw, row in raw_rows(folder, "meetings"):
        counts.rows_in += 1
        try:
            day, start, end = place_of(row, year)
            if raw in seen:
                raise Unusable("exact duplicate")
            seen.add(raw)
            if row.get("zt") == "delete":
                raise Unusable("zt delete", held=True)
            if row.get("xnxq", "") in year.closed:
                raise Unusable("frozen term", held=True)
        except Unusable as unusable:
            (counts.held if unusable.held else counts.rejected)[unusable.reason] += 1
            continue
        counts.rows_used += 1
        key = (row.get("xnxq", ""), row["kkh"], row.get("kcbh", ""))
        add_row(courses.setdefault(key, Course(key)), row, day, start, end)
    for course in courses.values():
        course.name = min(course.names, default="") or course.key[2] or course.key[1]
        course.events = Counter(sessions(course))
        counts.sessions += course.events.total()
    add_members(folder, courses)
    return list(courses.values()), counts


def place_of(row: Row, year: Year) -> tuple[date, int, int]:
    """Date, start and end (minutes since 1970) of a usable row; raises Unusable."""
    if not row.get("kkh"):
        raise Unusable("no kkh")
    day = year.day(row)
    start, end = year.times(row, day)
    if end <= start:
        raise Unusable("end not after start")
    return day, minute_of(day, start), minute_of(day, end)


def split_names(text: str) -> set[str]:
    return {name for name in map(clean, SEPARATORS.split(text)) if name}


def add_row(course: Course, row: Row, day: date, start: int, end: int) -> None:
    """Unite a row with the others of its date and period."""
    period = int(row["jc"]) if row.get("jc", "").isdigit() else None
    slot = course.slots.setdefault((day, (start, end) if period is None else period), Slot(period, start, end))
    slot.start, slot.end = min(slot.start, start), max(slot.end, end)
    building, room = row.get("lq", ""), row.get("room", "")
    if building or room:
        slot.rooms.add((row.get("xq", ""), building, room))
    codes, names = split_names(row.get("ghs", "")), split_names(row.get("xms", ""))
    slot.teachers |= codes or names
    slot.names |= names or codes
    course.codes |= codes
    if row.get("kcmc"):
        course.names.add(row["kcmc"])


def sessions(course: Course) -> Iterator[Event]:
    """The events of an offering: neighbouring periods with equal rooms and teachers make one."""
    days: dict[date, list[Slot]] = defaultdict(list)
    for (day, _), slot in course.slots.items():
        days[day].append(slot)
    for slots in days.values():
        slots.sort(key=lambda slot: (slot.start, slot.end, slot.period or 0))
        current, last = slots[0], slots[0]
        start, end, names = current.start, current.end, set(current.names)
        for slot in slots[1:]:
            if slot.rooms == current.rooms and slot.teachers == current.teachers and joins(last, slot):
                end, names = max(end, slot.end), names | slot.names
            else:
                yield event_of(course, current, start, end, names)
                current, start, end, names = slot, slot.start, slot.end, set(slot.names)
            last = slot
        yield event_of(course, current, start, end, names)


def joins(before: Slot, after: Slot) -> bool:
    if before.end == after.start:
        return True
    follows = before.period is not None and after.period == before.period + 1
    return follows and GAP_LEAST_MIN <= after.start - before.end <= GAP_MOST_MIN


def event_of(course: Course, slot: Slot, start: int, end: int, names: set[str]) -> Event:
    location = "、".join(sorted({building + room for _, building, room in slot.rooms}))
    return (start, end, course.name, location, frozenset(names))


def add_members(folder: Path, courses: dict[Offered, Course]) -> None:
    """Teachers of the offering write, enrolled students read; people the directory does not know stay out."""
    known = {row["gh"] for row in rows_of(folder, "teachers") if row.get("gh")}
    known |= {row["xh"] for row in rows_of(folder, "students") if row.get("xh")}
    by_section: dict[tuple[str, str], list[Course]] = defaultdict(list)
    for course in courses.values():
        by_section[course.key[:2]].append(course)
    for row in rows_of(folder, "enrolments"):
        if row.get("xh") in known:
            for course in by_section.get((row.get("xnxq", ""), row.get("kkh", "")), ()):
                course.members[row["xh"]] = "reader"
    for course in courses.values():
        course.members.update(dict.fromkeys(course.codes & known, "writer"))


def read_calendars(dump: dict[str, Any]) -> list[Calendar]:
    """The live calendars of a dump."""
    ids = {str(user["id"]): str(user.get("ex_user_id") or "") for user in dump.get("users", ())}
    return [
        Calendar(
            str(item["id"]),
            clean(item.get("summary")),
            Counter(dumped_event(event) for event in item.get("events", ()) if is_live(event)),
            Counter(dumped_members(item.get("permissions", ()), ids)),
        )
        for item in dump.get("calendars", ())
        if is_live(item)
    ]


def is_live(item: dict[str, Any]) -> bool:
    return not item.get("is_deleted") and str(item.get("status") or "").lower() not in DEAD_STATUS


def dumped_event(event: dict[str, Any]) -> Event:
    location = "、".join(clean(place.get("name")) for place in event.get("locations") or ())
    line = TEACHERS_LINE.search(event.get("description") or "")
    names = {clean(name) for name in line[1].split("、")} - {""} if line else set()
    start, end = dumped_minute(event.get("start_time")), dumped_minute(event.get("end_time"))
    return (start, end, clean(event.get("summary")), location, frozenset(names))


def dumped_minute(moment: dict[str, str] | None) -> int:
    """Minutes since 1970; -1 for a time that cannot be read or has no offset."""
    try:
        read = datetime.fromisoformat((moment or {}).get("datetime", ""))
    except ValueError:
        return -1
    return -1 if read.tzinfo is None else int(read.timestamp()) // 60


def dumped_members(permissions: Iterable[dict[str, Any]], ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(person, role) of each permission; the application's own ownership is no member."""
    for item in permissions:
        person = str(item.get("ex_user_id") or ids.get(str(item.get("user_id")), ""))
        if person or item.get("role") != "owner":
            yield person or f"unknown user {item.get('user_id')}", str(item.get("role"))


def check(campus: Path, dump: dict[str, Any]) -> list[str]:
    """What differs between folder and dump, at most 50 sentences; empty when everything is as it should be."""
    return compare(read_campus(campus)[0], read_calendars(dump))


def check_personal(campus: Path, dump: dict[str, Any]) -> list[str]:
    """The same where each person has a calendar: all classes of all courses they are on, and nobody else reads it."""
    return compare_personal(read_campus(campus)[0], read_calendars(dump))


def compare_personal(courses: list[Course], calendars: list[Calendar]) -> list[str]:
    found = list(name_differences(calendars))
    wanted: dict[str, Counter[Event]] = defaultdict(Counter)
    for course in courses:
        for person in course.members if course.events else ():
            wanted[person] += course.events
    there: dict[str, list[Calendar]] = defaultdict(list)
    for calendar in calendars:
        if list(calendar.members.values()) != [1] or next(iter(calendar.members))[1] != "reader":
            found.append(f"{calendar}: its members are {sorted(calendar.members)}, not one reader")
        else:
            there[next(iter(calendar.members))[0]].append(calendar)
    for person in sorted(set(wanted) | set(there)):
        if len(there[person]) != 1 or person not in wanted:
            found.append(f"{person} has {len(there[person])} calendars and classes: {person in wanted}")
            continue
        calendar = there[person][0]
        for event, count in (wanted[person] - calendar.events).items():
            found.append(f"{person}, {calendar}: event missing {count}×: {say(event)}")
        for event, count in (calendar.events - wanted[person]).items():
            found.append(f"{person}, {calendar}: event too many {count}×: {say(event)}")
    return found[:MOST_DIFFERENCES]


def compare(courses: list[Course], calendars: list[Calendar]) -> list[str]:
    found = list(name_differences(calendars))
    groups: dict[str, tuple[list[Course], list[Calendar]]] = defaultdict(lambda: ([], []))
    for calendar in calendars:
        match = CALENDAR_NAME.match(calendar.summary)
        groups[match[1].rstrip() if match else "\0" + calendar.summary][1].append(calendar)
    for course in courses:
        choose_name(course, groups)
        groups[prefix_of(course.name)][0].append(course)
    for _, (wanted, there) in sorted(groups.items()):
        found += group_differences(wanted, there)
        if len(found) >= MOST_DIFFERENCES:
            break
    return found[:MOST_DIFFERENCES]


def name_differences(calendars: list[Calendar]) -> Iterator[str]:
    for summary, count in Counter(calendar.summary for calendar in calendars).items():
        if count > 1:
            yield f"{count} live calendars are called {summary!r}; names must be unique"
    for calendar in calendars:
        if not CALENDAR_NAME.match(calendar.summary):
            yield f"{calendar}: the name is not course name, ` ·`, seven characters"


def prefix_of(name: str) -> str:
    return name[:NAME_CUT].rstrip()


def choose_name(course: Course, groups: dict[str, tuple[list[Course], list[Calendar]]]) -> None:
    """Where the rows of an offering spell its name in several ways, any of them that has a calendar will do."""
    for name in sorted(course.names)[1:]:
        if groups.get(prefix_of(course.name)) or not groups.get(prefix_of(name)):
            return
        course.events = Counter({(*event[:2], name, *event[3:]): count for event, count in course.events.items()})
        course.name = name


def group_differences(wanted: list[Course], there: list[Calendar]) -> Iterator[str]:
    """Differences among offerings and calendars of one name, once those that agree are paired off."""
    wanted, there = pair_off(wanted, there, with_members=True)
    pairs: list[tuple[Course, Calendar]] = []
    wanted, there = pair_off(wanted, there, with_members=False, pairs=pairs)
    overlaps = [
        (-(course.events & calendar.events).total(), course.key, calendar.id, course, calendar)
        for course in wanted
        for calendar in there
    ]
    taken: set[object] = set()
    for _, key, calendar_id, course, calendar in sorted(overlaps, key=lambda overlap: overlap[:3]):
        if key not in taken and calendar_id not in taken:
            taken |= {key, calendar_id}
            pairs.append((course, calendar))
    for course, calendar in pairs:
        yield from pair_differences(course, calendar)
    yield from (f"no calendar for {course}" for course in wanted if course.key not in taken)
    yield from (f"{calendar} belongs to no offering" for calendar in there if calendar.id not in taken)


def pair_off(
    wanted: list[Course],
    there: list[Calendar],
    *,
    with_members: bool,
    pairs: list[tuple[Course, Calendar]] | None = None,
) -> tuple[list[Course], list[Calendar]]:
    """Pair each offering with a calendar of equal events (and members); returns who is left over on both sides."""
    free: dict[object, list[Calendar]] = defaultdict(list)
    for calendar in there:
        free[frozenset(calendar.events.items()), frozenset(calendar.members.items()) if with_members else None].append(
            calendar
        )
    left = []
    for course in wanted:
        members = frozenset(Counter(course.members.items()).items()) if with_members else None
        equal = free[frozenset(course.events.items()), members]
        if not equal:
            left.append(course)
            continue
        calendar = equal.pop()
        if pairs is not None:
            pairs.append((course, calendar))
    remaining = {id(calendar) for calendars in free.values() for calendar in calendars}
    return left, [calendar for calendar in there if id(calendar) in remaining]


def pair_differences(course: Course, calendar: Calendar) -> Iterator[str]:
    about = f"{course}, {calendar}"
    for event, count in (course.events - calendar.events).items():
        yield f"{about}: event missing {count}×: {say(event)}"
    for event, count in (calendar.events - course.events).items():
        yield f"{about}: event too many {count}×: {say(event)}"
    members = Counter(course.members.items())
    for (person, role), _ in sorted((members - calendar.members).items()):
        yield f"{about}: {person} is not {role}"
    for (person, role), count in sorted((calendar.members - members).items()):
        yield f"{about}: {person} should not be {role} ({count}× too many)"


def say(event: Event) -> str:
    start, end, summary, location, names = event
    if start < 0 or end < 0:
        return f"unreadable time, {summary}"
    when = datetime.fromtimestamp(start * 60, ZONE)
    until = datetime.fromtimestamp(end * 60, ZONE)
    return f"{when:%Y-%m-%d %H:%M}-{until:%H:%M} {summary} @{location or '-'} [{'、'.join(sorted(names))}]"


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("usage: checker.py CAMPUS DUMP.json", file=sys.stderr)
        return 2
    campus, dump_file = Path(arguments[0]), Path(arguments[1])
    courses, counts = read_campus(campus)
    calendars = read_calendars(json.loads(dump_file.read_text(encoding="utf-8")))
    differences = compare(courses, calendars)
    print(counts)
    print(f"offerings with a session: {len(courses)}, live calendars: {len(calendars)}")
    for difference in differences:
        print(difference)
    print(f"differences: {len(differences)}{' or more' if len(differences) >= MOST_DIFFERENCES else ''}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
