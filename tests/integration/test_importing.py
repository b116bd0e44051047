"""From a campus folder to sessions: where every row goes, and what crashes and newer imports do to it."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Table, and_, func, select, update

from db.engine import reading, unit
from db.imports import ImportOver
from db.tables import enrolments, imports, meetings, offerings, quarantine, rolls, sessions, users
from remote.sources.base import BadSource
from remote.sources.csv_folder import CsvFolder
from simulator.campus import generate
from tests.integration.campus_rig import (
    MONDAY,
    TERM,
    ZONE,
    aggregate,
    bring_in,
    contents,
    count,
    free,
    open_entries,
    read_in,
    rewrite,
    timetable_of,
    with_tenant,
    write,
)
from tests.system import checker
from usecases.sync import aggregating, importing

pytestmark = pytest.mark.integration


@pytest.fixture
def engine(database: Engine) -> Engine:
    """A migrated database with a tenant."""
    return with_tenant(database)


@pytest.fixture(scope="session")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small university with everything that real ones have."""
    folder = tmp_path_factory.mktemp("campus") / "campus"
    generate(folder, seed=11, colleges=5, offerings=30, students=70)
    return folder


@pytest.fixture
def copy(campus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(campus, tmp_path / "copy"))


# --- rows in = rows in sessions + rejected + held --------------------------------------------------------------------


def real(name: str) -> Callable[[pytest.FixtureRequest], Path]:
    def find(request: pytest.FixtureRequest) -> Path:
        shared: Path = request.getfixturevalue("shared_data")
        return shared / name

    return find


def generated(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue("campus")
    return path


@pytest.mark.parametrize(
    "where",
    [generated, real("sjtu-2018-2019-3-summer"), real("ist-tagus-2018-2019")],
    ids=["generated", "sjtu-summer", "ist-tagus"],
)
def test_the_tables_say_what_an_independent_reading_of_the_folder_says(
    engine: Engine, request: pytest.FixtureRequest, where: Callable[[pytest.FixtureRequest], Path]
) -> None:
    """Every session with its time, rooms and teachers, every roll, and where each row went."""
    folder = where(request)
    report = bring_in(engine, folder)
    courses, counts = checker.read_campus(folder)
    assert (report.rows_in, report.staged) == (counts.rows_in, counts.rows_used)
    assert (report.rejected, sum(report.held.values())) == (counts.rejected.total(), counts.held.total())
    assert report.rows_in == report.staged + report.rejected + sum(report.held.values()) > 0
    assert sum(report.rejects.values()) == report.rejected == sum(open_entries(engine, "reject").values())
    expected = {(course.key, event) for course in courses for event in course.events}
    with reading(engine) as connection:
        assert connection.execute(select(func.sum(sessions.c.source_rows))).scalar_one() == report.staged
        assert connection.execute(select(imports.c.sessions)).scalar_one() == len(expected) == counts.sessions
        assert _events(connection) == expected
        assert _members(connection) == {
            (course.key, *member) for course in courses for member in course.members.items()
        }


def _offered() -> tuple[Any, ...]:
    return offerings.c.term, offerings.c.kkh, offerings.c.kcbh


def _same_offering(table: Table) -> Any:
    keys = ((table.c.tenant_id, offerings.c.tenant_id), (table.c.term, offerings.c.term))
    return and_(table.c.offering_id == offerings.c.id, *(one == other for one, other in keys))


def _events(connection: Connection) -> set[tuple[Any, ...]]:
    rows = connection.execute(select(*_offered(), offerings.c.name, sessions).join(sessions, _same_offering(sessions)))
    found = set()
    for row in rows:
        place = "、".join(sorted({building + room for _, building, room in json.loads(row.rooms)}))
        name = row.name or row.kcbh or row.kkh
        event = (row.start_ms // 60_000, row.end_ms // 60_000, name, place, frozenset(json.loads(row.teachers)))
        found.add(((row.term, row.kkh, row.kcbh), event))
    return found


def _members(connection: Connection) -> set[tuple[Any, ...]]:
    rows = connection.execute(
        select(*_offered(), rolls.c.kind, rolls.c.code)
        .join(rolls, _same_offering(rolls))
        .join(
            users,
            (users.c.tenant_id == rolls.c.tenant_id) & (users.c.kind == rolls.c.kind) & (users.c.code == rolls.c.code),
        )
        .where(users.c.listed)
    )
    role = {"teacher": "writer", "student": "reader"}
    return {((row.term, row.kkh, row.kcbh), row.code, role[row.kind]) for row in rows}


def test_dates_and_hours_from_term_and_period_table_give_the_same_sessions(engine: Engine, copy: Path) -> None:
    """A source without dates and times is as good, where first Monday, exchange days and clocks are known."""

    def clean(rows: list[dict[str, str]]) -> Iterator[dict[str, str]]:
        for row in rows:
            if row["kkh"] and row["rq"] != "2026-13-45" and row["st"] != "25:61" and row["st"] < row["ed"]:
                yield row

    rewrite(copy, "meetings", clean)
    bring_in(engine, copy)
    expected = timetable_of(engine)
    rewrite(copy, "meetings", lambda rows: ({**row, "rq": "", "st": "", "ed": ""} for row in rows))
    report = bring_in(engine, copy)
    assert report.staged > 500
    assert timetable_of(engine) == expected


_EXCERPT_ROWS = 4000


def _timeless_folder(request: pytest.FixtureRequest, name: str, folder: Path) -> Path:
    """A campus without times: the beginning of a real one, or the generated one with its times taken out."""
    if name == "generated":
        shutil.copytree(generated(request), folder)
        (folder / "periods.csv").unlink()
        rewrite(folder, "meetings", lambda rows: ({**row, "st": "", "ed": ""} for row in rows if row["zt"] == "add"))
        return folder
    real_rows = CsvFolder(real(name)(request)).rows("meetings", after=0, limit=_EXCERPT_ROWS)
    write(
        folder,
        "meetings",
        ({key: value or "" for key, value in row.values.items()} for row in real_rows),
        real_rows[0].values,
    )
    return folder


@pytest.mark.parametrize("name", ["generated", "ntut-109-1"])
def test_a_source_without_times_gives_one_entry_and_no_sessions(
    engine: Engine, request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    """A hundred thousand rows lack the same thing: a person needs to hear it once."""
    report = bring_in(engine, _timeless_folder(request, name, tmp_path / "timeless"))
    assert (report.staged, set(report.held)) == (0, {"no_period_table"})
    assert report.rows_in == report.rejected + report.held["no_period_table"]
    assert open_entries(engine, "held") == Counter({"no_period_table": 1})
    with reading(engine) as connection:
        sentence = connection.execute(select(quarantine.c.sentence).where(quarantine.c.kind == "held")).scalar_one()
    assert f"有 {report.held['no_period_table']} 行" in sentence
    assert count(engine, sessions) == count(engine, offerings) == 0


# --- again, and after crashes ---------------------------------------------------------------------------------------


class Lost(Exception):
    """The job belongs to somebody else."""


class DiesAt:
    """A fence that lets so many units through and then refuses."""

    def __init__(self, units: int) -> None:
        self.left = units

    def __call__(self, _connection: Connection) -> None:
        if self.left == 0:
            raise Lost
        self.left -= 1


def test_the_same_folder_again_changes_nothing_but_numbers(engine: Engine, campus: Path) -> None:
    """The planner compares with what is there: new ids would delete and create a whole university."""
    first = bring_in(engine, campus)
    before = [*timetable_of(engine), contents(engine, quarantine), contents(engine, users)]
    assert all(before)
    second = bring_in(engine, campus, run_id="another")
    assert second == first
    assert [*timetable_of(engine), contents(engine, quarantine), contents(engine, users)] == before
    assert count(engine, quarantine, quarantine.c.first_import == 1, quarantine.c.last_import == 2) == len(before[3])


def test_an_import_killed_in_any_unit_goes_on_to_the_same_end(engine: Engine, campus: Path) -> None:
    """A worker may die before every commit; whoever takes over opens the source anew."""
    bring_in(engine, campus)
    expected = [*timetable_of(engine), contents(engine, quarantine)]
    deaths = 0
    while True:
        try:
            number, report = read_in(engine, campus, run_id="mortal", fence=DiesAt(deaths))
            break
        except Lost:
            deaths += 1
    assert deaths > 6
    assert number == 2, "every attempt must have gone on with the same import"
    assert report.rows_in == report.staged + report.rejected + sum(report.held.values())
    assert _aggregate_dying(engine, number) > 3
    assert [*timetable_of(engine), contents(engine, quarantine)] == expected


def _aggregate_dying(engine: Engine, number: int) -> int:
    """Aggregate with a death in every unit of every step; returns how many."""
    deaths, units, cursor = 0, 0, None
    while True:
        try:
            done = aggregating.step(
                engine, tenant="main", import_no=number, cursor=cursor, zone=ZONE, fence=DiesAt(units)
            )  # fmt: skip
        except Lost:
            deaths, units = deaths + 1, units + 1
            continue
        if done.finished:
            return deaths
        units, cursor = 0, done.cursor


def test_each_unit_of_judging_may_be_the_last_before_a_crash(engine: Engine, campus: Path) -> None:
    """Findings, clearing and discarding are repeatable, and the import is complete only at the very end."""
    source = CsvFolder(campus)
    number = importing.begin(engine, tenant="main", run_id="run", source=source, fence=free)
    while not importing.step(engine, tenant="main", import_no=number, source=source, zone=ZONE, fence=free).finished:
        pass
    units = 0
    while True:
        try:
            report = importing.complete(engine, tenant="main", import_no=number, fence=DiesAt(units))
            break
        except Lost:
            units += 1
            with reading(engine) as connection:
                assert importing.latest_complete(connection, "main") is None
    assert units > 4
    assert sum(report.findings.values()) == sum(open_entries(engine, "finding").values()) > 0
    assert importing.complete(engine, tenant="main", import_no=number, fence=free) == report


def test_a_source_that_changed_between_crash_and_resume_is_read_from_the_top(engine: Engine, copy: Path) -> None:
    """Half of one file and half of another is no timetable."""
    with pytest.raises(Lost):
        read_in(engine, copy, fence=DiesAt(8))
    rewrite(copy, "meetings", lambda rows: rows[1:])
    number, report = read_in(engine, copy)
    assert number == 2
    assert report.rows_in == checker.read_campus(copy)[1].rows_in
    assert count(engine, imports, imports.c.state == "failed") == 1
    assert count(engine, meetings, meetings.c.import_no == 1) == 0


def test_a_source_that_changes_while_it_is_read_is_refused(engine: Engine, copy: Path) -> None:
    """Somebody exports into the folder that we are reading."""
    source = CsvFolder(copy)
    number = importing.begin(engine, tenant="main", run_id="run", source=source, fence=free)
    importing.step(engine, tenant="main", import_no=number, source=source, zone=ZONE, fence=free)
    rewrite(copy, "enrolments", lambda rows: rows[1:])
    with pytest.raises(BadSource, match="changed while"):
        for _ in range(100):
            importing.step(engine, tenant="main", import_no=number, source=source, zone=ZONE, fence=free)


def test_courses_keep_the_ids_their_sessions_once_had(engine: Engine, copy: Path) -> None:
    """Another id is another event: an update of the product must not make a term's events anew."""
    bring_in(engine, copy)
    with reading(engine) as tx:
        made = {(one.id, one.offering_id) for one in tx.execute(select(sessions.c.id, sessions.c.offering_id))}
    assert all(id_.startswith(offering_id[:6]) and len(id_) == 26 for id_, offering_id in made)
    former = min(offering_id for _, offering_id in made)
    with unit(engine) as tx:
        of_it = update(sessions).where(sessions.c.offering_id == former)
        tx.execute(of_it.values(id=func.substr(sessions.c.id, 7)))
    bring_in(engine, copy, run_id="again")
    with reading(engine) as tx:
        again = {(one.id, one.offering_id) for one in tx.execute(select(sessions.c.id, sessions.c.offering_id))}
    assert again == {(id_[6:] if offering_id == former else id_, offering_id) for id_, offering_id in made}


def test_an_older_import_cannot_overwrite_a_newer_one(engine: Engine, copy: Path) -> None:
    """A run that hung for an hour wakes up and goes on with its aggregation."""
    old, _ = read_in(engine, copy, run_id="old")
    rewrite(copy, "meetings", lambda rows: rows[: len(rows) // 2])
    new, _ = read_in(engine, copy, run_id="new")
    aggregate(engine, new)
    before = timetable_of(engine)
    for cursor in (None, "sweep"):
        with pytest.raises(ImportOver):
            aggregate(engine, old, cursor=cursor)
    assert timetable_of(engine) == before


def test_an_import_overtaken_while_reading_ends(engine: Engine, copy: Path) -> None:
    """Its staging is removed by the newer one, so it must not become the latest with half its rows."""
    source = CsvFolder(copy)
    slow = importing.begin(engine, tenant="main", run_id="slow", source=source, fence=free)
    importing.step(engine, tenant="main", import_no=slow, source=source, zone=ZONE, fence=free)
    fast, _ = read_in(engine, copy, run_id="fast")
    with pytest.raises(ImportOver):
        importing.step(engine, tenant="main", import_no=slow, source=source, zone=ZONE, fence=free)
    with pytest.raises(ImportOver):
        importing.complete(engine, tenant="main", import_no=slow, fence=free)
    with reading(engine) as connection:
        assert importing.latest_complete(connection, "main") == fast


def test_staging_is_kept_of_the_last_two_complete_imports_only(engine: Engine, tmp_path: Path) -> None:
    """Otherwise the database grows by a university a day."""
    folder = tmp_path / "campus"
    write(folder, "meetings", [{**MONDAY, "kkh": f"A-{number}"} for number in range(600)])
    takes = [{"xh": f"s{number}", "kkh": f"A-{number % 3}", "xnxq": TERM} for number in range(1700)]
    write(folder, "enrolments", takes)
    for number in range(1, 4):
        read_in(engine, folder, run_id=str(number))
    for table in (meetings, enrolments):
        with reading(engine) as connection:
            assert set(connection.scalars(select(table.c.import_no).distinct())) == {2, 3}
    assert (count(engine, meetings), count(engine, enrolments)) == (1200, 3400)
