"""What a run is about: terms, colleges, courses, people. Nothing named means everything.

    term=2024-2025-1,college=数学学院,course=A-1,A,user=20240001,20240002

A value without a name belongs to the name before it; behind a `course` it is the course code (`kcbh`) of that course.
Values of one name are added up, different names narrow each other down.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.text import clean

NO_COLLEGE: Final = "_"
_NAMES: Final = ("term", "college", "course", "user")


class BadScope(Exception):
    """A scope that says nothing anybody could carry out: which part of it, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Scope:
    """Sorted values by name; `courses` are (kkh, kcbh), with a blank kcbh for every course of the number."""

    terms: tuple[str, ...] = ()
    colleges: tuple[str, ...] = ()
    courses: tuple[tuple[str, str], ...] = ()
    users: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether it leaves nothing out."""
        return self == EVERYTHING

    @property
    def divides_people(self) -> bool:
        """Whether it may name some of a person's classes and leave out others."""
        return bool(self.colleges or self.courses)

    def as_dict(self) -> dict[str, Any]:
        """As a run stores it: only what it names."""
        said = {"terms": self.terms, "colleges": self.colleges, "courses": self.courses, "users": self.users}
        return {name: [list(one) if isinstance(one, tuple) else one for one in of] for name, of in said.items() if of}

    def overlaps(self, other: "Scope") -> bool:
        """Whether some object may be in both. People do not divide: they share calendars."""
        return _meet(self.terms, other.terms) and _meet(self.colleges, other.colleges) and self._share_a_course(other)

    def _share_a_course(self, other: "Scope") -> bool:
        if not self.courses or not other.courses:
            return True
        return any(
            kkh == its and (not kcbh or not code or kcbh == code)
            for kkh, kcbh in self.courses
            for its, code in other.courses
        )

    def __str__(self) -> str:
        courses = [",".join(filter(None, course)) for course in self.courses]
        said = zip(_NAMES, (self.terms, self.colleges, courses, self.users), strict=True)
        return " ".join(f"{name}={value}" for name, values in said for value in values) or "everything"


EVERYTHING: Final = Scope()


def _meet(these: Sequence[str], those: Sequence[str]) -> bool:
    return not these or not those or not set(these).isdisjoint(those)


def of_dict(said: Mapping[str, Any] | str) -> Scope:
    """The scope that a run has stored; everything where it is a word of its own: a verification looks at `all`, or at what was
    `touched`."""
    if isinstance(said, str):
        return Scope()
    return Scope(
        tuple(said.get("terms", ())),
        tuple(said.get("colleges", ())),
        tuple((kkh, kcbh) for kkh, kcbh in said.get("courses", ())),
        tuple(said.get("users", ())),
    )


def read_scope(texts: Iterable[str]) -> Scope:
    """The scope that a person wrote, one or more texts. Raises BadScope."""
    found: dict[str, set[Any]] = {name: set() for name in _NAMES}
    for text in texts:
        for name, values in _named(text):
            if name == "course":
                found[name].add(_course(text, values))
            else:
                found[name].update(values)
    kept = {name: tuple(sorted(values)) for name, values in found.items()}
    return Scope(kept["term"], kept["college"], kept["course"], kept["user"])


def _named(text: str) -> list[tuple[str, list[str]]]:
    """Each name with the values that follow it."""
    found: list[tuple[str, list[str]]] = []
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals:
            name = clean(name).lower()
            if name not in _NAMES:
                raise BadScope(f"a scope has no {name!r}", f"Name {', '.join(_NAMES[:-1])} or {_NAMES[-1]}")
            found.append((name, [clean(value)]))
        elif found:
            found[-1][1].append(clean(part))
        else:
            raise BadScope(f"{part!r} in the scope {text!r} has no name", "Write it as college=NAME, term=CODE, …")
    for name, values in found:
        if not all(values):
            raise BadScope(f"{name} in the scope {text!r} is blank", f"Write it as {name}=VALUE, or leave it out")
    return found


def _course(text: str, values: list[str]) -> tuple[str, str]:
    if len(values) > 2:
        remedy = "Write course=KKH or course=KKH,KCBH for each of them"
        raise BadScope(f"course in the scope {text!r} has more than a number and a code", remedy)
    return values[0], values[1] if len(values) == 2 else ""
