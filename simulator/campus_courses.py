"""What a generated university teaches: offerings, their weekly slots, teachers and rooms.

Oddities come at fixed places (every so many offerings), so that a campus of 60 offerings already has each of them.
"""

from dataclasses import dataclass
from random import Random

from simulator.campus_calendar import PERIODS, TERM_CODE
from simulator.campus_people import Teacher, pick_college
from simulator.campus_places import Room
from simulator.campus_words import (
    CAMPUSES,
    COMMON_COURSES,
    EMOJI_COURSES,
    GROUNDS,
    ROOM_PHRASES,
    course_name,
    long_course_name,
)

_SEPARATORS = (",", "，", "、", ";")
_WEEKDAYS = (1, 2, 3, 4, 5)
_BLOCKS = ((1, 2), (3, 2), (5, 2), (7, 2), (9, 2), (1, 4), (3, 1), (5, 3), (10, 3), (6, 1), (2, 3))
_BLOCK_WEIGHTS = (20, 20, 18, 16, 8, 3, 4, 6, 4, 3, 2)
_CROWDED_SECTION = range(100, 112)  # of every 500 offerings: twelve courses under one number
_COURSES_PER_COLLEGE = 40
_NO_ROOM_SHARE = 0.2

SharedRoom = tuple[str, str, str, str]  # campus, building, room, floor


@dataclass(frozen=True, slots=True)
class Crew:
    """Teachers of a class as the two columns say them: codes and names."""

    codes: str
    names: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One weekly class: weekday, first period, how many periods, in which weeks."""

    weekday: int
    first: int
    length: int
    weeks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Offering:
    """One course as offered, with everything its rows say.

    `crews` are (first half of the term, second half); `rooms` and `last_rooms` hold for each slot the rooms of its
    periods and of its last period.
    """

    number: int
    kkh: str
    kcbh: str
    kcmc: str
    college: int
    campus: int
    slots: tuple[Slot, ...]
    crews: tuple[Crew, Crew]
    rooms: tuple[tuple[SharedRoom, ...], ...]
    last_rooms: tuple[tuple[SharedRoom, ...], ...]


def section_of(number: int, offerings: int) -> int:
    """The offering whose section number (`kkh`) this offering carries: mostly its own."""
    if offerings >= 200 and number % 500 in _CROWDED_SECTION:
        return number - number % 500 + _CROWDED_SECTION.start
    if number % 30 == 24:
        return section_of(number - 1, offerings)
    return number


def section_code(section: int) -> str:
    """The `kkh` of a section."""
    return f"{TERM_CODE}-{400001 + section}"


class Catalogue:
    """Makes offering after offering; each depends on the seed and its own number only."""

    def __init__(
        self, seed: int, *, offerings: int, colleges: int, weeks: int, teachers: list[Teacher], rooms: list[Room]
    ) -> None:
        self._seed = seed
        self._offerings = offerings
        self._colleges = colleges
        self._weeks = weeks
        self._teachers = teachers
        self._staff: list[list[Teacher]] = [[] for _ in range(colleges)]
        for teacher in teachers:
            self._staff[teacher.college].append(teacher)
        self._halls: list[list[Room]] = [[] for _ in CAMPUSES]
        for room in rooms:
            if room.building:
                self._halls[room.campus].append(room)

    def offering(self, number: int) -> Offering:
        """The offering with this number, from 0."""
        rng = Random(f"{self._seed}:offering:{number}")  # noqa: S311
        college = number if number < self._colleges else pick_college(rng, self._colleges)
        section = section_of(number, self._offerings)
        code, name = self._course(rng, number, college)
        if section != number:
            code = f"{code}-{number - section}"
        campus = (college if rng.random() < 0.8 else rng.randrange(len(CAMPUSES))) % len(CAMPUSES)
        slots = self._slots(number)
        first = self._crew(rng, number, college)
        second = self._crew(rng, number, college) if number % 20 == 9 else first
        sports = "体育" in name
        rooms = tuple(self._rooms(rng, number, campus, sports=sports) for _ in slots)
        changed = number % 50 == 28
        last = tuple(self._any_room(rng, campus) for _ in slots) if changed else rooms
        return Offering(number, section_code(section), code, name, college, campus, slots, (first, second), rooms, last)

    def _course(self, rng: Random, number: int, college: int) -> tuple[str, str]:
        """Code and name of the course; odd names come at fixed numbers."""
        if number % 48 == 13:
            return f"WM{number:05d}", ""
        if number % 40 in (17, 18):
            return f"CM{number:05d}", long_course_name(Random(f"{self._seed}:long:{number % 3}"))  # noqa: S311
        if number % 50 == 19:
            return f"BQ{number:05d}", EMOJI_COURSES[number // 50 % len(EMOJI_COURSES)]
        if rng.random() < 0.25:
            return rng.choice(COMMON_COURSES)
        code = f"K{college + 101:03d}{rng.randrange(_COURSES_PER_COLLEGE):03d}"
        return code, course_name(Random(f"{self._seed}:course:{code}"))  # noqa: S311

    def _slots(self, number: int) -> tuple[Slot, ...]:
        """Weekly classes on distinct weekdays; now and then those of the offering before, so that students clash."""
        if number % 25 == 3:
            return self._slots(number - 1)
        rng = Random(f"{self._seed}:slots:{number}")  # noqa: S311
        count = rng.choices((1, 2, 3), weights=(55, 38, 7))[0]
        days = rng.sample(_WEEKDAYS, count)
        if number % 25 == 14:
            days[0] = 7 if self._weeks < 9 else rng.choice((6, 7))
        return tuple(self._slot(rng, number, day) for day in days)

    def _slot(self, rng: Random, number: int, weekday: int) -> Slot:
        first, length = rng.choices(_BLOCKS, weights=_BLOCK_WEIGHTS)[0]
        if number % 20 == 12:
            first, length = PERIODS - 1, 2  # the two periods that overlap
        elif number % 50 == 31:
            first, length = 3, 4  # over noon
        return Slot(weekday, first, length, self._teaching_weeks(rng, number))

    def _teaching_weeks(self, rng: Random, number: int) -> tuple[int, ...]:
        every = range(1, max(self._weeks - 2, 1) + 1)
        half = max(len(every) // 2, 1)
        ragged = [week for week in every if rng.random() < 0.5]
        patterns = (every, every[::2], every[1::2], every[:half], every[half:], ragged, range(1, self._weeks + 1))
        pattern = rng.choices(patterns, weights=(52, 12, 10, 10, 8, 4, 4))[0]
        if number % 20 == 5:
            pattern = every[1::2]
        taught_at_all = any(week not in (2, 6) for week in pattern)  # the holiday falls in one of these
        return tuple(pattern if taught_at_all else every)

    def _crew(self, rng: Random, number: int, college: int) -> Crew:
        if number % 45 == 11 or not self._teachers:
            return Crew("", "")
        staff = self._staff[college] or self._teachers
        count = 3 if number % 20 == 16 else rng.choices((1, 2, 3, 4), weights=(80, 13, 5, 2))[0]
        people = rng.sample(staff, min(count, len(staff)))
        codes = [teacher.code for teacher in people]
        names = [teacher.name for teacher in people]
        if number % 50 == 7:
            codes.append(f"99{number % 10_000:04d}")
            names.append("外聘教师")
        if number % 20 == 16:
            codes, names = codes[:1], [names[0] + "等"]
        separator = rng.choice(_SEPARATORS) + (" " if rng.random() < 0.1 else "")
        return Crew("" if number % 6 == 1 else ",".join(codes), separator.join(names))

    def _rooms(self, rng: Random, number: int, campus: int, *, sports: bool) -> tuple[SharedRoom, ...]:
        """The rooms of one slot at once: mostly one, sometimes none, two, or a phrase in place of a room."""
        where = CAMPUSES[campus]
        if number % 30 == 6:
            return ((where, "", rng.choice(ROOM_PHRASES), ""),)
        if number % 50 == 26:
            return ((where, self._pick_hall(rng, campus).building, "", ""),)
        if number % 25 == 4:
            return tuple(_in_room(room) for room in rng.sample(self._halls[campus], 2))
        if rng.random() < _NO_ROOM_SHARE:
            return ((where, "", "", ""),)
        if sports:
            return ((where, "", rng.choice(GROUNDS), "0"),)
        return self._any_room(rng, campus)

    def _any_room(self, rng: Random, campus: int) -> tuple[SharedRoom, ...]:
        return (_in_room(self._pick_hall(rng, campus)),)

    def _pick_hall(self, rng: Random, campus: int) -> Room:
        return rng.choice(self._halls[campus])


def _in_room(room: Room) -> SharedRoom:
    return (CAMPUSES[room.campus], room.building, room.room, room.floor)
