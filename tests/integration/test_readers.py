"""Exactly the right readers in every calendar: real class rosters, from a folder and from a competition's XML."""

from __future__ import annotations

import copy
import csv
import gzip
import os
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from simulator.campus import generate
from tests.conftest import PROJECT
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Runs, runs_of
from tests.system import checker, checker_itc2019

pytestmark = pytest.mark.integration

REAL = PROJECT.parent / "shared" / "data"
WHOLE = os.environ.get("OBSYNC_TEST_WHOLE_TERM") == "1"
CUT = 30  # classes, where the whole term is not asked for
MONDAY = date(2018, 8, 27)
TERM = "2018-2019-1"


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    """WPS without anything, in the zone that the checker reads all times in."""
    with runs_of(here, tmp_path) as made:
        yield made


def roster(name: str) -> Callable[[Path], Path]:
    """A real timetable with its rosters (a part of it, unless the whole is asked for); a generated one where it is absent."""

    def make(home: Path) -> Path:
        folder = home / name
        if (REAL / name).is_dir():
            return REAL / name if WHOLE else cut(REAL / name, folder)
        generate(folder, seed=11, colleges=2, offerings=CUT, students=200, weeks=6)
        return folder

    return make


def cut(campus: Path, folder: Path) -> Path:
    """The first classes of a campus, with everybody who takes them and one of twenty who do not."""
    folder.mkdir()
    kept: set[str] = set()
    takes: set[str] = set()

    def stays(part: str, row: dict[str, str]) -> bool:
        if part == "meetings" and len(kept) < CUT:
            kept.add(row["kkh"])
        if part == "enrolments" and row["kkh"] in kept:
            takes.add(row["xh"])
        return (
            row["xh"] in takes or zlib.crc32(row["xh"].encode()) % 20 == 0 if part == "students" else row["kkh"] in kept
        )

    for part in ("meetings", "enrolments", "students"):
        with gzip.open(campus / f"{part}.csv.gz", "rt", encoding="utf-8-sig", newline="") as source:
            reader = csv.DictReader(source)
            rows = [list(row.values()) for row in reader if stays(part, row)]
        checker_itc2019.write(folder / f"{part}.csv", reader.fieldnames or (), rows)
    return folder


def sync(main: Runs, source: str | Path, folder: Path) -> dict[str, Any]:
    """Sync a source that says what `folder` says. Returns what WPS holds then."""
    people = [
        {"ex_user_id": row[column], "user_name": row.get("xm") or row[column]}
        for part, column in (("students", "xh"), ("teachers", "gh"))
        for row in checker.rows_of(folder, part)
    ]
    main.here.simulator.desk("people", {"people": people})
    started = time.monotonic()
    run = main.sync(Path(str(source)), within_s=1200)
    dump: dict[str, Any] = main.here.simulator.desk("state")
    seats = sum(len(one["permissions"]) for one in dump["calendars"])
    took = time.monotonic() - started
    calls = len(main.here.log("/v7/"))
    print(f"{folder.name}: {run['report']['live']}, {seats} members, {calls} calls, {took:.1f} s")
    return dump


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("make", [roster("ist-tagus-2018-2019"), roster("mary-fal18")], ids=["ist-tagus", "mary-fal18"])
def test_every_calendar_has_exactly_the_people_of_its_roster(
    main: Runs, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    """A student too many reads where others are; one too few misses the exam."""
    folder = make(tmp_path)
    dump = sync(main, folder, folder)
    assert checker.check(folder, dump) == []
    assert sum(len(one["permissions"]) for one in dump["calendars"]) > CUT, "empty rosters prove nothing"
    again = main.sync(folder)
    assert again["counts"] == {}, "the second time there is nothing to send"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # about the checker, which asks no database
def test_the_checker_notices_a_missing_an_extra_and_a_wrong_role(main: Runs, tmp_path: Path) -> None:
    """A checker that cannot fail would make the test above worthless."""
    folder = roster("ist-tagus-2018-2019")(tmp_path)
    dump = sync(main, folder, folder)
    for spoil in (spoil_missing, spoil_extra, spoil_role):
        spoilt = copy.deepcopy(dump)
        said = spoil(spoilt)
        assert any(said in one for one in checker.check(folder, spoilt)), said


def a_reader(dump: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The permissions of a calendar that has a reader, and that reader's."""
    calendar = next(one for one in dump["calendars"] if any(p["role"] == "reader" for p in one["permissions"]))
    listed = calendar["permissions"]
    return listed, next(one for one in listed if one["role"] == "reader")


def spoil_missing(dump: dict[str, Any]) -> str:
    listed, reader = a_reader(dump)
    listed.remove(reader)
    return f"{reader['ex_user_id']} is not reader"


def spoil_extra(dump: dict[str, Any]) -> str:
    listed, reader = a_reader(dump)
    there = {one["user_id"] for one in listed}
    stranger = next(one for one in dump["users"] if one["id"] not in there)
    listed.append(reader | {"user_id": stranger["id"], "ex_user_id": stranger["ex_user_id"]})
    return f"{stranger['ex_user_id']} should not be reader"


def spoil_role(dump: dict[str, Any]) -> str:
    _, reader = a_reader(dump)
    reader["role"] = "writer"
    return f"{reader['ex_user_id']} should not be writer"


@pytest.mark.parametrize(
    "database_url", ["sqlite"], indirect=True
)  # about what the file says; rosters are seen to above
@pytest.mark.timeout(600)
def test_a_competition_timetable_comes_into_wps_with_its_students(main: Runs, tmp_path: Path) -> None:
    """The one source without names, teachers or dates; whoever reads it wrongly moves a whole term by an hour."""
    raw = REAL / "itc2019-raw"
    if not raw.is_dir():
        pytest.skip("the folder of real timetables is not beside this checkout")
    problem, solution = raw / "pu-cs-fal07.xml.gz", raw / "solution_pu-cs-fal07.xml.gz"
    folder = checker_itc2019.as_folder(problem, solution, term=TERM, monday=MONDAY, folder=tmp_path / "pu-cs-fal07")
    dump = sync(main, f"itc2019:{problem}?term={TERM}&monday={MONDAY}", folder)
    assert checker.check(folder, dump) == []
    assert len(dump["calendars"]) == 174
