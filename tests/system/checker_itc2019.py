"""A timetable of the ITC-2019 competition as a campus folder, so that the checker can read it.

Independent of the product, like the checker: standard library only, and the format's rules are written here a second time.
Run as `python tests/system/checker_itc2019.py PROBLEM SOLUTION TERM MONDAY FOLDER`.
"""

import csv
import gzip
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path

MEETINGS = ("kkh", "kcbh", "xnxq", "jxz", "zc", "rq", "st", "ed", "room")


def parse(path: Path) -> ET.Element:
    """The outermost element; these files are small and our own, so nothing guards against hostile ones."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return ET.parse(file).getroot()


def as_folder(problem: Path, solution: Path, *, term: str, monday: date, folder: Path) -> Path:
    """Write meetings, students and enrolments of a solved problem, week one beginning on `monday`."""
    asked, solved = parse(problem), parse(solution)
    slot_min = 24 * 60 // int(asked.attrib["slotsPerDay"])
    chosen = {one.attrib["id"]: one for one in solved.iter("class")}
    meetings = [
        row
        for course in asked.find("courses").iter("course")  # type: ignore[union-attr]
        for one in course.iter("class")
        for row in rows_of(course.attrib["id"], one, chosen[one.attrib["id"]], term, monday, slot_min)
    ]
    enrolled = [
        (student.attrib["id"], one.attrib["id"], term) for one in chosen.values() for student in one.iter("student")
    ]
    people = [(one.attrib["id"], one.attrib["id"]) for one in asked.find("students").iter("student")]  # type: ignore[union-attr]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "meetings.csv", MEETINGS, meetings)
    write(folder / "enrolments.csv", ("xh", "kkh", "xnxq"), enrolled)
    write(folder / "students.csv", ("xh", "xm"), people)
    return folder


def rows_of(
    course: str, one: ET.Element, said: ET.Element, term: str, monday: date, slot_min: int
) -> Iterable[Sequence[str]]:
    """A row for each week and day of the chosen time; how long it is stands beside the times that were possible."""
    key = tuple(said.attrib[name] for name in ("days", "start", "weeks"))
    (length,) = {
        int(time.attrib["length"])
        for time in one.iter("time")
        if tuple(time.attrib[name] for name in ("days", "start", "weeks")) == key
    }
    first = int(said.attrib["start"]) * slot_min
    hours = clock(first), clock(first + length * slot_min)
    for week in places(said.attrib["weeks"]):
        for day in places(said.attrib["days"]):
            held = (monday + timedelta(weeks=week, days=day)).isoformat()
            id_, room = one.attrib["id"], said.attrib.get("room", "")
            yield id_, course, term, str(week + 1), str(day + 1), held, *hours, room


def places(bits: str) -> list[int]:
    return [place for place, bit in enumerate(bits) if bit == "1"]


def clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


if __name__ == "__main__":
    found, solved_by, code, first_day, to = sys.argv[1:]
    as_folder(Path(found), Path(solved_by), term=code, monday=date.fromisoformat(first_day), folder=Path(to))
