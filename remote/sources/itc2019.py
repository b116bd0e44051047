"""A timetable of the International Timetabling Competition 2019: a problem as XML, and a solution that decides it.

What becomes what (docs/adr has the reasons): a *class* is an offering number, its *course* the course code, each week and
day of its decided time a row of meetings; a slot is a part of the day. There are no names, teachers, colleges or periods.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote

from domain.timetable import Refused, read_date, term_code
from remote.sources.base import BadSource, ChangeSet, SourceRow, check_columns
from remote.sources.mapping import NOTHING, ColumnMapping
from remote.sources.xml_stream import elements, root

SCHEME: Final = "itc2019"
ENDINGS: Final = (".xml", ".xml.gz")

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "terms": ("xnxq", "first_monday", "weeks"),
    "students": ("xh",),
    "meetings": ("kkh", "kcbh", "xnxq", "jxz", "zc", "st", "ed", "room"),
    "enrolments": ("xh", "kkh", "xnxq"),
}
_CHUNK_BYTES: Final = 1 << 20
_DAY_MIN: Final = 24 * 60
_MOST_DAYS: Final = 7

Values = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class _Files:
    """`decided` is where classes have their times and students: the solution, the problem itself, or nowhere (None)."""

    problem: Path
    decided: Path | None
    attributes: Mapping[str, str]
    term: str


@dataclass(frozen=True, slots=True)
class _Time:
    """When a class is: bits of weeks and days (the first is week 1, Monday), slots since midnight; length None: unsaid."""

    days: str
    start: str
    weeks: str
    length: str | None


class Itc2019:
    """The adapter. Keeps the stream of one part open between pages, so that reading on does not begin at the top."""

    def __init__(self, address: str, mapping: ColumnMapping = NOTHING) -> None:
        """`address` is a path, or `itc2019:PATH?term=…&monday=…&solution=…`. Raises BadSource for other options."""
        self._options: dict[str, str] = {}
        path = address
        if address.startswith(f"{SCHEME}:"):
            path, _, query = address.partition(":")[2].partition("?")
            self._options = _options(query, address)
            path = unquote(path.removeprefix("//"))
        self._path = Path(path).expanduser()
        self._address = address
        self._mapping = mapping
        self._found: _Files | None = None
        self._open: _Stream | None = None

    @property
    def name(self) -> str:
        """The address as it was given."""
        return self._address

    def parts(self) -> tuple[str, ...]:
        """Terms where a first Monday was given, students, meetings, and enrolments where something decides them."""
        files = self._files()
        said = bool(self._options.get("monday")) or self._mapping.says("terms")
        terms = ("terms",) if said else ()
        return (*terms, "students", "meetings", *(("enrolments",) if files.decided else ()))

    def file_of(self, part: str) -> str:
        """The solution for enrolments, the problem for all others."""
        files = self._files()
        return (files.decided or files.problem).name if part == "enrolments" else files.problem.name

    def check(self) -> None:
        """Look for the files anew, and at what the problem says of days, weeks and slots. Raises BadSource."""
        self.close()
        self._found = None
        files = self._files()
        _slot_min(files)
        days = _number(files, "nrDays")
        if days > _MOST_DAYS:
            raise BadSource(files.problem.name, f"its weeks have {days} days", "Only weeks of seven days have dates")
        for part in self.parts():
            picked = self._mapping.picks(part, _COLUMNS[part], file=self.file_of(part))
            names = [*(name for name, _ in picked), *self._mapping.constants(part)]
            check_columns(part, names, file=self.file_of(part), remedy="Mend the mapping of this source")

    def fingerprint(self) -> str:
        """A hash of the bytes of problem and solution, the options and the mapping."""
        files = self._files()
        total = hashlib.sha256(f"{sorted(self._options.items())}{self._mapping.described()}".encode())
        for path in dict.fromkeys((files.problem, files.decided or files.problem)):
            total.update(f"\0{path.name}\0".encode())
            try:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        total.update(chunk)
            except OSError as error:
                problem = f"it cannot be read ({error.strerror or error})"
                raise BadSource(path.name, problem, "Put it back and import again") from error
        return total.hexdigest()

    def rows(self, part: str, *, after: int, limit: int) -> list[SourceRow]:
        """Up to `limit` rows after the first `after`; a row's line is its number. Raises BadSource."""
        try:
            stream = self._open
            if stream is None or stream.part != part or stream.position != after:
                self.close()
                stream = self._open = _Stream(part, self._values(part))
                stream.skip(after)
            return stream.read(limit)
        except BadSource:
            self.close()  # asked again, a stream that failed would say that the file ends here
            raise

    def close(self) -> None:
        """Close the file that is open, if one is."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def live(self) -> bool:
        """False: files are written as a whole."""
        return False

    def watermark(self) -> str | None:
        """None: a problem file does not say when its parts were changed."""
        return None

    def changes(self, *, since: str | None) -> ChangeSet | None:  # noqa: ARG002 (there are none)
        """None: it is read as a whole."""
        return None

    # --- files --------------------------------------------------------------------------------------------------------

    def _files(self) -> _Files:
        if self._found is None:
            problem = self._problem()
            attributes = root(problem)[1]
            term = self._options.get("term") or attributes.get("name", "")
            try:
                term_code(term)
            except Refused as refused:
                remedy = f"Give one: {SCHEME}:{problem}?term=2018-2019-1"
                raise BadSource(problem.name, f"its name cannot be the term: {refused.sentence}", remedy) from refused
            self._found = _Files(problem, self._decided(problem, attributes.get("name", "")), attributes, term)
        return self._found

    def _problem(self) -> Path:
        if not self._path.exists():
            raise BadSource(
                self.name, "there is no such file or folder", "Give the path of a problem's .xml or .xml.gz"
            )
        if not self._path.is_dir():
            tag = root(self._path)[0]
            if tag != "problem":
                raise BadSource(self._path.name, f"its outermost element is {tag}", "Name the file with the problem")
            return self._path
        problems = [path for path in _xml_files(self._path) if root(path)[0] == "problem"]
        if len(problems) != 1:
            names = ", ".join(path.name for path in problems) or "none"
            remedy = "Give the path of the file with the problem"
            raise BadSource(self.name, f"it should hold one problem, and holds {names}", remedy)
        return problems[0]

    def _decided(self, problem: Path, name: str) -> Path | None:
        """The solution named in the address, else the one beside the problem, else the problem if it has one inside."""
        if named := self._options.get("solution"):
            path = problem.parent / named
            if not path.is_file() or root(path)[0] != "solution":
                raise BadSource(named, "it is not a file with a solution", "Name one that stands beside the problem")
            return path
        solutions = [(path, *root(path)) for path in _xml_files(problem.parent) if path != problem]
        own = [path for path, tag, said in solutions if tag == "solution" and said.get("name", name) == name]
        if len(own) > 1:
            names = " and ".join(path.name for path in own)
            remedy = f"Name one: {SCHEME}:{problem}?solution={own[0].name}"
            raise BadSource(problem.name, f"{names} are both solutions of it", remedy)
        if own:
            return own[0]
        inside = any(tag == "solution" for _, tag, _ in elements(problem))
        return problem if inside else None

    # --- parts --------------------------------------------------------------------------------------------------------

    def _values(self, part: str) -> Iterator[Values]:
        """The rows of a part, mapped."""
        read: Callable[[_Files], Iterator[Values]] = {
            "terms": self._terms, "students": _students, "meetings": _meetings, "enrolments": _enrolments,
        }[part]  # fmt: skip
        names = _COLUMNS[part]
        picks = self._mapping.picks(part, names, file=self.file_of(part))
        constants = self._mapping.constants(part)
        for values in read(self._files()):
            yield {**{ours: values.get(names[place]) for ours, place in picks}, **constants}

    def _terms(self, files: _Files) -> Iterator[Values]:
        weeks = str(_number(files, "nrWeeks"))
        yield {"xnxq": files.term, "first_monday": self._options.get("monday"), "weeks": weeks}


class _Stream:
    """One part being read; `position` counts the rows behind it."""

    def __init__(self, part: str, values: Iterator[Values]) -> None:
        self.part = part
        self.position = 0
        self._values = values

    def skip(self, rows: int) -> None:
        """Go past `rows` rows."""
        self.position += sum(1 for _ in islice(self._values, rows))

    def read(self, limit: int) -> list[SourceRow]:
        """The next rows, at most `limit`."""
        first = self.position + 1
        rows = [SourceRow(line, values) for line, values in enumerate(islice(self._values, limit), first)]
        self.position += len(rows)
        return rows

    def close(self) -> None:
        """Close its file."""
        cast(Any, self._values).close()


def _options(query: str, address: str) -> dict[str, str]:
    said = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(said) - {"term", "monday", "solution"}):
        raise BadSource(address, f"it has no option {', '.join(unknown)}", "There are term, monday and solution")
    if "monday" in said:
        monday: date | None = read_date(said["monday"])
        if monday is None or monday.isoweekday() != 1:
            raise BadSource(address, f"{said['monday']!r} is not a Monday", "Write it as monday=2018-08-27")
    return said


def _xml_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith(ENDINGS) and path.is_file())


def holds_xml(folder: Path) -> bool:
    """Whether a folder has XML files and so may be one of these timetables."""
    return folder.is_dir() and bool(_xml_files(folder))


def _number(files: _Files, attribute: str) -> int:
    text = files.attributes.get(attribute, "")
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        problem = f"its {attribute} is {text!r}, not a whole number"
        raise BadSource(files.problem.name, problem, "Check that it is a problem of ITC 2019")
    return int(text)


def _slot_min(files: _Files) -> int:
    """Minutes of a slot: five where a day has 288."""
    slots = _number(files, "slotsPerDay")
    if _DAY_MIN % slots:
        problem = f"a day of {slots} slots has none of whole minutes"
        raise BadSource(files.problem.name, problem, "Check its slotsPerDay")
    return _DAY_MIN // slots


# --- what the elements say ------------------------------------------------------------------------------------------------


def _students(files: _Files) -> Iterator[Values]:
    """Everybody in the problem's list of students."""
    inside = False
    for begins, tag, attributes in elements(files.problem):
        if tag == "students":
            inside = begins
        elif inside and begins and tag == "student":
            yield {"xh": attributes.get("id")}


def _enrolments(files: _Files) -> Iterator[Values]:
    """Who is put into which class."""
    if files.decided is None:
        return
    class_id: str | None = None
    for begins, tag, attributes in _solution(files.decided):
        if tag == "class" and begins:
            class_id = attributes.get("id")
        elif tag == "student" and begins:
            yield {"xh": attributes.get("id"), "kkh": class_id, "xnxq": files.term}


def _solution(path: Path) -> Iterator[tuple[bool, str, dict[str, str]]]:
    """The elements within `solution`."""
    inside = False
    for begins, tag, attributes in elements(path):
        if tag == "solution":
            inside = begins
        elif inside:
            yield begins, tag, attributes


def _meetings(files: _Files) -> Iterator[Values]:
    """A row for every class, week and day. Raises BadSource when the solution decides classes that there are not."""
    decided = _decisions(files)
    slot_min = _slot_min(files)
    for course, one in _classes(files.problem):
        said = decided.pop(one.id, None) or one.own_decision()
        yield from _rows(course, one, said, term=files.term, slot_min=slot_min)
    if decided:
        names = ", ".join(sorted(decided)[:5])
        problem = f"it decides {len(decided)} classes that {files.problem.name} does not have ({names})"
        raise BadSource((files.decided or files.problem).name, problem, "Give the solution of this very problem")


@dataclass(frozen=True, slots=True)
class _Decision:
    time: _Time
    room: str


def _decisions(files: _Files) -> dict[str, _Decision]:
    """By class: one small entry each, which is all that is kept of a solution."""
    if files.decided is None:
        return {}
    return {
        attributes.get("id", ""): _Decision(_time(attributes), attributes.get("room", ""))
        for begins, tag, attributes in _solution(files.decided)
        if begins and tag == "class"
    }


def _time(attributes: Mapping[str, str]) -> _Time:
    days, start, weeks = (attributes.get(name, "") for name in ("days", "start", "weeks"))
    return _Time(days, start, weeks, attributes.get("length"))


@dataclass(slots=True)
class _Class:
    """A class of the problem with the times and rooms it may have."""

    id: str
    attributes: Mapping[str, str]
    times: list[_Time]
    rooms: list[str]

    def own_decision(self) -> _Decision | None:
        """What the problem alone decides: said of the class itself, or its only possible time. None: nothing."""
        if self.attributes.get("days"):
            return _Decision(_time(self.attributes), self.attributes.get("room", ""))
        if len(self.times) != 1:
            return None
        return _Decision(self.times[0], self.rooms[0] if len(self.rooms) == 1 else "")

    def length_of(self, time: _Time) -> str | None:
        """In slots; solutions leave it to the time they chose. None when that is none of the possible ones."""
        chosen = (time.days, time.start, time.weeks)
        same = (one.length for one in self.times if (one.days, one.start, one.weeks) == chosen)
        return time.length or next(same, None)


def _classes(problem: Path) -> Iterator[tuple[str, _Class]]:
    """(course, class) of all classes. Other elements called class or course stand outside of `courses`."""
    course, one = "", _Class("", {}, [], [])
    stream = elements(problem)
    for _, tag, _ in stream:
        if tag == "courses":
            break
    for begins, tag, attributes in stream:
        if tag == "courses":
            return
        if tag == "course" and begins:
            course = attributes.get("id", "")
        elif tag == "class":
            if begins:
                one = _Class(attributes.get("id", ""), attributes, [], [])
            else:
                yield course, one
        elif tag == "time" and begins:
            one.times.append(_time(attributes))
        elif tag == "room" and begins:
            one.rooms.append(attributes.get("id", ""))


def _rows(course: str, one: _Class, said: _Decision | None, *, term: str, slot_min: int) -> Iterator[Values]:
    """The rows of a class; of one that nobody decided a single row, which is refused with its number for all to see."""
    row: Values = {"kkh": one.id, "kcbh": course, "xnxq": term}
    if said is None:
        yield row
        return
    row["room"] = said.room
    row["st"], row["ed"] = _hours(said.time.start, one.length_of(said.time), slot_min)
    dates = [(week, day) for week in _places(said.time.weeks) for day in _places(said.time.days)]
    if not dates:
        yield row
    for week, day in dates:
        yield row | {"jxz": str(week), "zc": str(day)}


def _places(bits: str) -> Sequence[int]:
    return [place for place, bit in enumerate(bits, start=1) if bit == "1"]


def _hours(start: str, length: str | None, slot_min: int) -> tuple[str, str]:
    """Start and end as clock times; as they stand, or blank, where they are no numbers: then the row is refused."""
    if not start.isdecimal():
        return start or "?", ""
    first = int(start) * slot_min
    if length is None or not length.isdecimal():
        return _clock(first), ""
    return _clock(first), _clock(first + int(length) * slot_min)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
