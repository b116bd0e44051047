"""The people of a generated university: teachers, students, and who takes which section."""

from dataclasses import dataclass
from random import Random

from simulator.campus_words import RARE_NAMES, college_name, person_name

_RARE_NAME_EVERY = 40
_ENROLMENTS_PER_STUDENT = 6
_LARGEST_ROLL = 300
_ROLL_SLOPE = 0.65  # sizes fall with rank to this power: a few lecture halls, many small classes
_PRIME = 7919  # spreads the large classes over the offerings; coprime to any smaller count


@dataclass(frozen=True, slots=True)
class Teacher:
    code: str
    name: str
    college: int


def pick_college(rng: Random, colleges: int) -> int:
    """A college, the low numbers much more often than the high ones."""
    return int(colleges * rng.random() ** 1.8)


def make_teachers(seed: int, *, count: int, colleges: int) -> list[Teacher]:
    """All teachers; every college has one as far as there are enough of them. Codes start with zeros."""
    rng = Random(f"{seed}:teachers")  # noqa: S311
    teachers = []
    for number in range(count):
        rare = number % _RARE_NAME_EVERY == 3
        name = RARE_NAMES[number // _RARE_NAME_EVERY % len(RARE_NAMES)] if rare else person_name(rng)
        college = number if number < colleges else pick_college(rng, colleges)
        teachers.append(Teacher(f"{2001 + number:06d}", name, college))
    return teachers


def teacher_row(teacher: Teacher) -> tuple[str, ...]:
    """One row of the file `teachers`."""
    return (teacher.code, teacher.name, college_code(teacher.college), college_name(teacher.college))


def student_code(number: int) -> str:
    """The code of the student with this number, from 0."""
    return f"{2023 + number % 4}{number + 1:07d}"


def student_row(rng: Random, number: int, colleges: int) -> tuple[str, ...]:
    """One row of the file `students`."""
    college = pick_college(rng, colleges)
    rare = number % (_RARE_NAME_EVERY * 10) == 7
    name = RARE_NAMES[number // _RARE_NAME_EVERY % len(RARE_NAMES)] if rare else person_name(rng)
    class_name = f"{college_name(college)[:2]}{23 + number % 4}{number // 4 % 6 + 1:02d}班"
    return (student_code(number), name, college_code(college), college_name(college), class_name)


def college_code(college: int) -> str:
    """The code of the college with this number, from 0."""
    return f"{college + 101:03d}"


class Rolls:
    """Sizes and members of the rolls, each computed from its section's number alone, so nothing is kept."""

    def __init__(self, seed: int, *, offerings: int, students: int) -> None:
        self._seed = seed
        self._offerings = offerings
        self._students = students
        self._step = _PRIME if offerings % _PRIME else 1
        total = sum((rank + 3) ** -_ROLL_SLOPE for rank in range(offerings))
        self._scale = _ENROLMENTS_PER_STUDENT * students / total

    def size(self, number: int) -> int:
        """How many students section `number` has; about one in thirty has none, the three largest more than 100."""
        if number % 30 == 8:
            return 0
        rank = number * self._step % self._offerings
        wanted = int(self._scale * (rank + 3) ** -_ROLL_SLOPE)
        least = 101 + rank if rank < 3 else 0
        return min(max(wanted, least), _LARGEST_ROLL, self._students)

    def members(self, number: int) -> list[int]:
        """Numbers of the students of section `number`, ascending."""
        rng = Random(f"{self._seed}:roll:{number}")  # noqa: S311
        return sorted(rng.sample(range(self._students), self.size(number)))
