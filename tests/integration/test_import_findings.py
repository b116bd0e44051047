"""What an import tells people, what it makes of people, terms and colleges, and what disappears with it."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update

from db import people, timetable
from db.engine import reading, unit
from db.imports import ImportOver
from db.tables import enrolments, imports, offerings, quarantine, rolls, sessions, terms, users
from domain.terms import FROZEN, Term
from domain.timetable import Person
from remote.sources.base import BadSource
from remote.sources.csv_folder import CsvFolder
from tests.integration.campus_rig import (
    COLUMNS,
    MONDAY,
    TERM,
    ZONE,
    aggregate,
    bring_in,
    contents,
    count,
    free,
    open_entries,
    timetable_of,
    with_tenant,
    write,
)
from usecases.sync import importing

pytestmark = pytest.mark.integration


@pytest.fixture
def engine(database: Engine) -> Engine:
    """A migrated database with a tenant."""
    return with_tenant(database)


# --- what people see ------------------------------------------------------------------------------------------------


def test_a_wrong_column_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    """One clear message before anything is written."""
    folder = tmp_path / "campus"
    write(folder, "meetings", [MONDAY])
    bring_in(engine, folder)
    before = [*timetable_of(engine), contents(engine, imports, but=set())]
    text = (folder / "meetings.csv").read_text()
    (folder / "meetings.csv").write_text(text.replace("kkh,", "course,", 1))
    with pytest.raises(BadSource, match="column kkh is missing"):
        bring_in(engine, folder, run_id="next")
    assert [*timetable_of(engine), contents(engine, imports, but=set())] == before


@pytest.mark.parametrize("rows", [[], [{**MONDAY, "kkh": ""}, {**MONDAY, "rq": "never"}]], ids=["none", "all rejected"])
def test_a_file_without_a_usable_row_fails_and_keeps_the_sessions(
    engine: Engine, tmp_path: Path, rows: list[dict[str, str]]
) -> None:
    """An empty export is an outage, not a wish to delete the university."""
    folder = tmp_path / "campus"
    write(folder, "meetings", [MONDAY])
    bring_in(engine, folder)
    before = timetable_of(engine)
    write(folder, "meetings", rows)
    with pytest.raises(BadSource, match=f"none of its {len(rows)} rows can be used"):
        bring_in(engine, folder, run_id="next")
    importing.fail(engine, tenant="main", import_no=2, error="no usable row")
    assert timetable_of(engine) == before
    assert count(engine, imports, imports.c.state == "failed", imports.c.error == "no usable row") == 1
    with reading(engine) as connection:
        assert importing.latest_complete(connection, "main") == 1


def test_equal_bad_rows_are_entries_of_their_own_and_clear_when_clean(engine: Engine, tmp_path: Path) -> None:
    """As many entries as rejected rows; a row added on top of the file renames none; a clean file leaves none."""
    folder = tmp_path / "campus"
    bad = [{**MONDAY, "kkh": ""}] * 7 + [{**MONDAY, "rq": "2024-02-30"}] * 2
    write(folder, "meetings", [MONDAY, *bad, MONDAY, MONDAY])
    report = bring_in(engine, folder)
    assert report.rejects == {"no_kkh": 7, "unreadable_date": 2, "duplicate": 2}
    assert (report.rejected, report.staged) == (11, 1)
    rejects = quarantine.c.kind == "reject"
    before = contents(engine, quarantine, rejects, but={"line", "last_import"})
    write(folder, "meetings", [{**MONDAY, "jc": "4", "st": "10:55", "ed": "11:40"}, MONDAY, *bad, MONDAY, MONDAY])
    bring_in(engine, folder, run_id="second")
    assert contents(engine, quarantine, rejects, but={"line", "last_import"}) == before
    write(folder, "meetings", [MONDAY, bad[0]])
    bring_in(engine, folder, run_id="third")
    assert open_entries(engine, "reject") == Counter({"no_kkh": 1})
    write(folder, "meetings", [MONDAY, *bad])
    bring_in(engine, folder, run_id="fourth")
    assert open_entries(engine, "reject") == Counter({"no_kkh": 7, "unreadable_date": 2})
    assert count(engine, quarantine, quarantine.c.kind == "reject", quarantine.c.first_import == 4) == 8


def test_an_entry_tells_file_line_row_reason_and_what_is_wrong(engine: Engine, tmp_path: Path) -> None:
    """A person finds the row in the file and knows what to do."""
    write(tmp_path / "campus", "meetings", [MONDAY, {**MONDAY, "kkh": "", "kcmc": "几何"}])
    bring_in(engine, tmp_path / "campus")
    with reading(engine) as connection:
        entry = connection.execute(select(quarantine).where(quarantine.c.kind == "reject")).one()
    assert (entry.file, entry.line, entry.reason, entry.sentence) == (
        "meetings.csv",
        3,
        "no_kkh",
        "缺少开课号 · no kkh",
    )
    assert json.loads(entry.row)["kcmc"] == "几何"


def test_duplicates_are_found_across_pages_and_only_when_every_column_agrees(engine: Engine, tmp_path: Path) -> None:
    """A repeated record counts once; a row that differs in a remark is another row of the same class."""
    rows = [{**MONDAY, "kkh": f"A-{number}"} for number in range(600)]
    write(tmp_path / "campus", "meetings", [*rows, rows[0], {**rows[1], "note": "x"}], (*COLUMNS, "note"))
    report = bring_in(engine, tmp_path / "campus")
    assert (report.rejects, report.staged) == ({"duplicate": 1}, 601)
    with reading(engine) as connection:
        assert connection.execute(select(func.count(), func.sum(sessions.c.source_rows))).one() == (600, 601)


FOLLOWING = {**MONDAY, "jc": "4", "st": "10:55", "ed": "11:40"}
B = {**MONDAY, "kkh": "B-1", "kcbh": "B", "kcmc": "几何"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{**MONDAY, "ghs": "", "xms": ""}, {**FOLLOWING, "ghs": "", "xms": ""}], {"no_teacher": 1}),
        ([{**MONDAY, "kcmc": ""}], {"blank_name": 1}),
        ([{**MONDAY, "ghs": "t9", "xms": "丁"}], {"unknown_teacher": 1}),
        ([MONDAY, {**MONDAY, "room": "202"}], {"two_rooms": 1}),
        ([MONDAY, {**B, "room": "202"}], {"teacher_clash": 1}),
        ([MONDAY, {**B, "ghs": "t2", "xms": "乙"}], {"shared_room": 1}),
        ([MONDAY, {**MONDAY, "rq": "2024-09-09", "jxz": "2"}, B, {**B, "rq": "2024-09-09", "jxz": "2"}],
         {"shared_room": 1, "teacher_clash": 1}),
        ([MONDAY, {**B, "st": "10:35", "ed": "11:20"}], {}),
        ([MONDAY, {**B, "st": "10:34", "ed": "11:20"}], {"shared_room": 1, "teacher_clash": 1}),
        ([MONDAY, {**B, "zt": "delete"}], {}),
    ],
)  # fmt: skip
def test_odd_rows_go_on_and_are_told_once(
    engine: Engine, tmp_path: Path, rows: list[dict[str, str]], expected: dict[str, int]
) -> None:
    """Findings are for people; the class takes place all the same."""
    folder = tmp_path / "campus"
    write(folder, "meetings", rows)
    write(folder, "teachers", [{"gh": "t1", "xm": "甲"}, {"gh": "t2", "xm": "乙"}])
    report = bring_in(engine, folder)
    assert report.findings == expected == open_entries(engine, "finding")
    assert report.staged == sum(row["zt"] == "add" for row in rows)
    write(folder, "meetings", [MONDAY])
    bring_in(engine, folder, run_id="mended")
    assert not open_entries(engine, "finding")


def test_a_clash_names_the_classes(engine: Engine, tmp_path: Path) -> None:
    """Who shall move? The sentence says between what."""
    write(tmp_path / "campus", "meetings", [MONDAY, {**B, "ghs": "t2", "xms": "乙"}])
    bring_in(engine, tmp_path / "campus")
    with reading(engine) as connection:
        query = select(quarantine.c.sentence).where(quarantine.c.reason == "shared_room")
        sentence = connection.execute(query).scalar_one()
    assert "2024-09-02（周一）10:00" in sentence
    assert "代数（A-1）" in sentence and "几何（B-1）" in sentence


# --- people ---------------------------------------------------------------------------------------------------------


def test_people_of_rows_and_rolls_become_users_and_unknown_ones_are_told(engine: Engine, tmp_path: Path) -> None:
    """Nobody is left off a roll because a people file lags behind."""
    folder = tmp_path / "campus"
    write(folder, "meetings", [{**MONDAY, "ghs": "t1,t9", "xms": "甲,丁"}, {**MONDAY, "kcbh": "A2", "ghs": "t1"}])
    write(folder, "teachers", [{"gh": "t1", "xm": "甲", "ssdwdm": "07", "ssdwmc": "数学学院"}])
    write(folder, "students", [{"xh": "s1", "xm": "小一", "xymc": "文学院"}])
    takes = [{"xh": code, "kkh": kkh, "xnxq": TERM} for code, kkh in (("s1", "A-1"), ("s9", "A-1"), ("s1", "Z-9"))]
    write(folder, "enrolments", takes)
    report = bring_in(engine, folder)
    assert report.findings["unknown_teacher"] == report.findings["unknown_student"] == 1
    with reading(engine) as connection:
        found = {(row.kind, row.code): (row.name, row.college, row.listed) for row in connection.execute(select(users))}
        on_rolls = {(row.kcbh, row.kind, row.code) for row in connection.execute(
            select(offerings.c.kcbh, rolls.c.kind, rolls.c.code).join(rolls, rolls.c.offering_id == offerings.c.id)
        )}  # fmt: skip
    assert found == {
        ("teacher", "t1"): ("甲", "数学学院", True),
        ("teacher", "t9"): ("丁", "", False),
        ("student", "s1"): ("小一", "文学院", True),
        ("student", "s9"): ("", "", False),
    }
    everyone = {("student", "s1"), ("student", "s9"), ("teacher", "t1")}
    assert on_rolls == {("A", *one) for one in everyone} | {("A2", *one) for one in everyone} | {("A", "teacher", "t9")}


def test_an_enrolment_with_a_course_code_counts_for_that_course_only(engine: Engine, tmp_path: Path) -> None:
    """Offering numbers are shared by up to 181 courses."""
    folder = tmp_path / "campus"
    write(folder, "meetings", [MONDAY, {**MONDAY, "kcbh": "A2"}])
    write(folder, "enrolments", [{"xh": "s1", "kkh": "A-1", "kcbh": "A2", "xnxq": TERM}])
    bring_in(engine, folder)
    query = select(offerings.c.kcbh).join(rolls, rolls.c.offering_id == offerings.c.id).where(rolls.c.code == "s1")
    with reading(engine) as connection:
        assert connection.scalars(query).all() == ["A2"]


def test_a_wps_account_outlives_imports_and_who_leaves_is_no_longer_listed(engine: Engine, tmp_path: Path) -> None:
    """Looking up 50,000 accounts again after each import would take the night."""
    folder = tmp_path / "campus"
    write(folder, "meetings", [MONDAY])
    write(folder, "students", [{"xh": "s1", "xm": "小一"}, {"xh": "s2", "xm": "小二"}])
    bring_in(engine, folder)
    with unit(engine) as connection:
        connection.execute(
            update(users).where(users.c.kind == "student").values(wps_id="w-" + users.c.code, checked_ms=7)
        )
    write(folder, "students", [{"xh": "s1", "xm": "小壹"}])
    write(folder, "enrolments", [{"xh": "s2", "kkh": "A-1", "xnxq": TERM}])
    report = bring_in(engine, folder, run_id="next")
    with reading(engine) as connection:
        rows = connection.execute(select(users).where(users.c.kind == "student").order_by(users.c.code)).all()
    assert [(row.code, row.name, row.listed, row.wps_id, row.checked_ms) for row in rows] == [
        ("s1", "小壹", True, "w-s1", 7),
        ("s2", "小二", False, "w-s2", 7),
    ]
    assert report.findings["unknown_student"] == 1


def test_rolls_of_an_incomplete_import_are_never_seen(engine: Engine, tmp_path: Path) -> None:
    """Members are read from the rolls at send time: half an enrolment file must not reach WPS."""
    folder = tmp_path / "campus"
    write(folder, "meetings", [MONDAY])
    write(folder, "enrolments", [{"xh": "s1", "kkh": "A-1", "xnxq": TERM}])
    bring_in(engine, folder)
    before = timetable_of(engine)
    write(folder, "enrolments", [{"xh": "s2", "kkh": "A-1", "xnxq": TERM}])
    source = CsvFolder(folder)
    number = importing.begin(engine, tenant="main", run_id="next", source=source, fence=free)
    while not importing.step(engine, tenant="main", import_no=number, source=source, zone=ZONE, fence=free).finished:
        pass
    assert count(engine, enrolments, enrolments.c.import_no == number) == 1
    assert timetable_of(engine) == before
    with pytest.raises(ImportOver):
        aggregate(engine, number)
    assert timetable_of(engine) == before


# --- terms, lanes and what disappears -------------------------------------------------------------------------------


def test_what_the_source_no_longer_has_is_removed(engine: Engine, tmp_path: Path) -> None:
    """A cancelled class leaves the calendars; a student who left the section leaves its roll."""
    folder = tmp_path / "campus"
    write(folder, "meetings", [MONDAY, {**MONDAY, "jxz": "2", "rq": "2024-09-09"}, B])
    write(folder, "enrolments", [{"xh": code, "kkh": "A-1", "xnxq": TERM} for code in ("s1", "s2")])
    bring_in(engine, folder)
    assert (count(engine, sessions), count(engine, offerings), count(engine, rolls)) == (3, 2, 4)
    write(folder, "meetings", [MONDAY, {**B, "zt": "delete"}])
    write(folder, "enrolments", [{"xh": "s1", "kkh": "A-1", "xnxq": TERM}])
    report = bring_in(engine, folder, run_id="next")
    assert report.held == {"deleted": 1}
    assert (count(engine, sessions), count(engine, offerings), count(engine, rolls)) == (1, 1, 2)


def test_more_rows_than_one_page_disappear_too(engine: Engine, tmp_path: Path) -> None:
    """Removal goes page by page, to the end."""
    folder = tmp_path / "campus"
    write(folder, "meetings", [MONDAY, *({**MONDAY, "kkh": f"C-{number}"} for number in range(1300))])
    bring_in(engine, folder)
    assert count(engine, sessions) == 1301
    write(folder, "meetings", [MONDAY])
    bring_in(engine, folder, run_id="next")
    assert (count(engine, sessions), count(engine, offerings), count(engine, rolls)) == (1, 1, 1)


def test_a_frozen_term_keeps_its_sessions_and_its_rows_wait(engine: Engine, tmp_path: Path) -> None:
    """Marks are being given: whatever the source does to that term, calendars stay."""
    folder = tmp_path / "campus"
    other = {**B, "xnxq": "2024-2025-2", "rq": "2025-02-17"}
    write(folder, "meetings", [MONDAY, other])
    bring_in(engine, folder)
    with unit(engine) as connection:
        connection.execute(update(terms).where(terms.c.xnxq == TERM).values(status=FROZEN))
    write(folder, "meetings", [{**MONDAY, "room": "999"}, {**other, "room": "999"}])
    write(folder, "terms", [{"xnxq": TERM, "first_monday": "2024-09-02", "status": "open"}])
    report = bring_in(engine, folder, run_id="next")
    assert (report.staged, report.held) == (1, {"frozen_term": 1})
    with reading(engine) as connection:
        rooms = {row.term: json.loads(row.rooms) for row in connection.execute(select(sessions))}
    assert rooms == {TERM: [["", "一教", "101"]], "2024-2025-2": [["", "一教", "999"]]}


def test_the_college_of_an_offering_is_that_of_most_rows_else_of_its_first_teacher(
    engine: Engine, tmp_path: Path
) -> None:
    """It names the lane; a lane chosen earlier stays."""
    folder = tmp_path / "campus"
    write(folder, "meetings", [MONDAY, {**FOLLOWING, "kkxy": ""}, {**B, "kkxy": "", "ghs": "t2,t1"}])
    write(folder, "teachers", [{"gh": "t1", "ssdwmc": "数学学院"}, {"gh": "t2", "ssdwmc": "物理学院"}])
    bring_in(engine, folder)
    with unit(engine) as connection:
        connection.execute(update(offerings).where(offerings.c.kkh == "B-1").values(lane="物理学院"))
    write(folder, "meetings", [MONDAY, {**B, "kkxy": "化学学院"}])
    bring_in(engine, folder, run_id="next")
    with reading(engine) as connection:
        rows = connection.execute(select(offerings).order_by(offerings.c.kkh)).all()
    assert [(row.college, row.lane) for row in rows] == [("数学学院", None), ("化学学院", "物理学院")]


def test_an_offering_longer_than_a_page_is_aggregated_whole(engine: Engine, tmp_path: Path) -> None:
    """Cut in two, its sessions would be wrong at the cut."""
    rows = [
        {**MONDAY, "jxz": str(1 + number // 70), "zc": str(1 + number // 10 % 7), "jc": str(number % 10), "rq": "",
         "st": f"{8 + number % 10:02d}:00", "ed": f"{8 + number % 10:02d}:50", "room": str(place)}
        for number in range(1300)
        for place in (1, 2)
    ]  # fmt: skip
    folder = tmp_path / "campus"
    write(folder, "meetings", [*rows, B, {**B, "kkh": "0-0"}])
    write(folder, "terms", [{"xnxq": TERM, "first_monday": "2024-09-02"}])
    report = bring_in(engine, folder)
    assert report.staged == 2602
    with reading(engine) as connection:
        assert connection.execute(select(func.sum(sessions.c.source_rows))).scalar_one() == 2602
    assert count(engine, sessions) == 130 + 2


def test_terms_are_merged_with_what_people_decided(engine: Engine) -> None:
    """The same file comes every night, whatever was archived meanwhile."""
    with unit(engine) as connection:
        timetable.save_terms(connection, [Term(TERM, status=FROZEN)], tenant="main")
        timetable.save_terms(connection, [replace(Term(TERM), weeks=18)], tenant="main")
        timetable.add_terms(connection, [TERM, "2025-2026-1"], tenant="main")
        found = timetable.load_terms(connection, "main")
    assert found == {TERM: Term(TERM, weeks=18, status=FROZEN), "2025-2026-1": Term("2025-2026-1")}


def test_a_person_on_two_lines_is_one_user(engine: Engine) -> None:
    """People files repeat people; the last line counts."""
    with unit(engine) as connection:
        twice = [Person("s1", "old", ""), Person("s1", "new", "文学院")]
        people.save_listed(connection, twice, tenant="main", kind="student", import_no=1)
        assert people.known(connection, ["s1"], tenant="main", kind="student")["s1"].name == "new"
