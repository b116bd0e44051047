"""A generated university of any size, as a folder of CSV files with everything that real timetables have."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from simulator.campus_calendar import Clocks, Term
from simulator.campus_courses import Catalogue, section_code, section_of
from simulator.campus_people import Rolls, make_teachers, student_code, student_row, teacher_row
from simulator.campus_places import make_rooms, room_row
from simulator.campus_rows import COLUMNS, RowMaker
from simulator.campus_words import CAMPUSES

HEADERS: dict[str, tuple[str, ...]] = {
    "meetings": COLUMNS,
    "students": ("xh", "xm", "xydm", "xymc", "bj"),
    "teachers": ("gh", "xm", "ssdwdm", "ssdwmc"),
    "enrolments": ("xh", "kkh", "xnxq"),
    "rooms": ("xq", "lq", "room", "lat", "lon"),
    "terms": ("xnxq", "first_monday", "weeks", "status", "exchange"),
    "periods": ("xnxq", "xq", "from", "jc", "st", "ed"),
}
SUMMARY_FILE = ".campus.json"
_OFFERINGS_PER_TEACHER = 3
_LEAST_TEACHERS = 12
_REPORT_EVERY = 200

Progress = Callable[[str, int, int], None]


class _Writer(Protocol):
    def writerow(self, row: Iterable[str], /) -> object: ...

    def writerows(self, rows: Iterable[Iterable[str]], /) -> object: ...


@dataclass(frozen=True, slots=True)
class CampusSummary:
    """What was generated: the parameters, rows by file, and rows made unusable on purpose by kind (`dirt`).

    `sections` counts distinct `kkh`; `offerings` counts distinct (`kkh`, `kcbh`), each of which has a session.
    """

    seed: int
    colleges: int
    offerings: int
    weeks: int
    gz: bool
    sections: int
    meetings: int
    students: int
    teachers: int
    enrolments: int
    rooms: int
    dirt: dict[str, int]


def generate(
    directory: Path,
    *,
    seed: int,
    colleges: int,
    offerings: int,
    students: int,
    teachers: int | None = None,
    weeks: int = 18,
    gz: bool = False,
    progress: Progress | None = None,
) -> CampusSummary:
    """Write a university into `directory` (made when missing) and say what is in it.

    The same parameters give the same bytes. Rows are written as they are made; only teachers and rooms are kept in
    memory. `teachers` defaults to one for three offerings. `progress` gets (file, offerings done, all offerings).
    Files of an earlier campus in the folder are replaced; other files stay.
    Raises ValueError for a size below its least, OSError when the folder cannot be written.
    """
    _refuse_too_small(colleges=colleges, offerings=offerings, students=students, teachers=teachers, weeks=weeks)
    directory.mkdir(parents=True, exist_ok=True)
    _clear(directory)
    term = Term.of(weeks)
    clocks = Clocks(term, len(CAMPUSES))
    staff_size = max(_LEAST_TEACHERS, offerings // _OFFERINGS_PER_TEACHER) if teachers is None else teachers
    staff = make_teachers(seed, count=staff_size, colleges=colleges)
    rooms = make_rooms(seed, offerings=offerings)
    folder = _Folder(directory, gz=gz)
    folder.write("terms", [(term.code, str(term.first_monday), str(weeks), "open", term.exchange)])
    folder.write("periods", clocks.rows(CAMPUSES))
    folder.write("rooms", map(room_row, rooms))
    folder.write("teachers", map(teacher_row, staff))
    names = Random(f"{seed}:students")  # noqa: S311
    folder.write("students", (student_row(names, number, colleges) for number in range(students)))
    catalogue = Catalogue(seed, offerings=offerings, colleges=colleges, weeks=weeks, teachers=staff, rooms=rooms)
    maker = RowMaker(seed, offerings=offerings, term=term, clocks=clocks)
    rolls = Rolls(seed, offerings=offerings, students=students)
    report = progress or _silent
    summary = CampusSummary(
        seed=seed,
        colleges=colleges,
        offerings=offerings,
        weeks=weeks,
        gz=gz,
        sections=sum(section_of(number, offerings) == number for number in range(offerings)),
        meetings=folder.write("meetings", _meetings(catalogue, maker, offerings, colleges, report)),
        students=students,
        teachers=len(staff),
        enrolments=folder.write("enrolments", _enrolments(rolls, term.code, offerings, report)),
        rooms=len(rooms),
        dirt=dict(maker.dirt),
    )
    _sign(directory, asdict(summary))
    return summary


def is_generated(directory: Path) -> bool:
    """Whether the folder was made by `generate`, be it only in part."""
    return (directory / SUMMARY_FILE).is_file()


def read_summary(directory: Path) -> CampusSummary | None:
    """The summary of a folder that `generate` completed; None for any other."""
    try:
        found = json.loads((directory / SUMMARY_FILE).read_text(encoding="utf-8"))
        return CampusSummary(**found)
    except (OSError, ValueError, TypeError):
        return None


def _refuse_too_small(*, colleges: int, offerings: int, students: int, teachers: int | None, weeks: int) -> None:
    least = {"colleges": (colleges, 1), "offerings": (offerings, 1), "students": (students, 0), "weeks": (weeks, 1)}
    least["teachers"] = (0 if teachers is None else teachers, 0)
    for name, (given, minimum) in least.items():
        if given < minimum:
            raise ValueError(f"{name} must be at least {minimum}, not {given}")


def _clear(directory: Path) -> None:
    """Remove the files of an earlier campus, signing first so that a half-made folder is known as ours."""
    _sign(directory, {})
    for name in HEADERS:
        for ending in (".csv", ".csv.gz"):
            (directory / f"{name}{ending}").unlink(missing_ok=True)


def _sign(directory: Path, summary: dict[str, object]) -> None:
    text = json.dumps(summary, ensure_ascii=False, indent=1)
    (directory / SUMMARY_FILE).write_text(text + "\n", encoding="utf-8")


def _silent(_file: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def _meetings(
    catalogue: Catalogue, maker: RowMaker, offerings: int, colleges: int, report: Progress
) -> Iterator[list[str]]:
    for number in range(offerings):
        yield from maker.rows(catalogue.offering(number), colleges=colleges)
        if number % _REPORT_EVERY == 0:
            report("meetings", number, offerings)
    report("meetings", offerings, offerings)


def _enrolments(rolls: Rolls, term: str, offerings: int, report: Progress) -> Iterator[tuple[str, str, str]]:
    """Rows of the rolls, with a few unknown students, repeated rows, and one section that nobody teaches."""
    for number in range(offerings):
        if section_of(number, offerings) != number:
            continue
        code = section_code(number)
        members = rolls.members(number)
        if number % 25 == 3:  # the same hours as the section before: two of its students sit in both
            members = sorted({*members, *rolls.members(section_of(number - 1, offerings))[:2]})
        for member in members:
            yield student_code(member), code, term
        if number % 50 == 10:
            yield f"2099{number:07d}", code, term
        if number % 50 == 20 and members:
            yield student_code(members[0]), code, term
        if number % _REPORT_EVERY == 0:
            report("enrolments", number, offerings)
    yield student_code(0), section_code(offerings), term
    report("enrolments", offerings, offerings)


class _Folder:
    """Writes the files of one campus, plain or compressed."""

    def __init__(self, directory: Path, *, gz: bool) -> None:
        self._directory = directory
        self._gz = gz

    def write(self, name: str, rows: Iterable[Iterable[str]]) -> int:
        """Write one file with its header; returns how many rows it has."""
        count = 0
        with self._open(name) as out:
            out.writerow(HEADERS[name])
            for row in rows:
                out.writerow(row)
                count += 1
        return count

    @contextmanager
    def _open(self, name: str) -> Iterator[_Writer]:
        if not self._gz:
            with (self._directory / f"{name}.csv").open("w", encoding="utf-8", newline="") as plain:
                yield csv.writer(plain, lineterminator="\n")
            return
        # No file name and no time in the gzip header: the same campus has the same bytes.
        with (
            (self._directory / f"{name}.csv.gz").open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
        ):
            yield csv.writer(text, lineterminator="\n")
