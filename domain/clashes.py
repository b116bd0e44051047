"""Classes that cannot be held at once: a teacher, a room or a student in two places."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

TEACHER, ROOM, STUDENT = "teacher", "room", "student"
TOLERATED_MS: Final = 10 * 60_000
"""Periods that follow each other may overlap by this much: that is no clash."""


@dataclass(frozen=True, slots=True)
class Held:
    """A class as far as it can be in the way of another; `rooms` and `teachers` as people write them."""

    id: str
    offering_id: str
    course: str
    start_ms: int
    end_ms: int
    rooms: tuple[str, ...]
    teachers: tuple[str, ...]

    def overlaps(self, other: "Held") -> bool:
        """Whether both go on at the same time for longer than is tolerated."""
        return min(self.end_ms, other.end_ms) - max(self.start_ms, other.start_ms) > TOLERATED_MS


@dataclass(frozen=True, slots=True)
class Clash:
    """What two classes want at the same time: a teacher, a room; or how many students take both."""

    kind: str
    what: str
    moved: Held
    other: Held


def of_things(moved: Iterable[Held], others: Iterable[Held]) -> Iterator[Clash]:
    """Rooms and teachers that a moved class shares with another one at the same time; of two moved ones, once."""
    uses: dict[tuple[str, str], list[Held]] = {}
    for one in others:
        for thing in _things(one):
            uses.setdefault(thing, []).append(one)
    for one in moved:
        for kind, what in _things(one):
            yield from (Clash(kind, what, one, other) for other in uses.get((kind, what), ()) if one.overlaps(other))


def _things(one: Held) -> Iterator[tuple[str, str]]:
    yield from ((ROOM, room) for room in one.rooms if room)
    yield from ((TEACHER, teacher) for teacher in one.teachers if teacher)


def of_students(
    moved: Iterable[Held], others: Iterable[Held], students: Mapping[str, set[str]]
) -> Iterator[tuple[Held, Held, set[str]]]:
    """Pairs at the same time, with the students (offering → codes) who are expected at both."""
    listed = sorted(others, key=lambda one: one.start_ms)
    for one in moved:
        for other in listed:
            if other.start_ms >= one.end_ms:
                break
            if one.overlaps(other) and one.offering_id != other.offering_id:
                both = students.get(one.offering_id, set()) & students.get(other.offering_id, set())
                if both:
                    yield one, other, both
