"""An academic database as a source, on a real MariaDB: what is read, in which order, and what is said when it cannot be."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from bench.mariadb import MariaDb
from db.tables import rolls, sessions
from remote.sources.academic_mysql import AcademicMysql
from remote.sources.base import BadSource, SourceRow, TimetableSource, pages
from remote.sources.registry import open_source
from simulator.campus import generate
from tests.integration.academic_rig import Academic, academic, with_user
from tests.integration.campus_rig import (
    TERM,
    aggregate,
    bring_in,
    count,
    open_entries,
    read_in,
    rewrite,
    timetable_of,
    with_tenant,
)

pytestmark = pytest.mark.integration

CLASS = {
    "kkh": "A-1", "xnxq": TERM, "jxz": 1, "zc": 1, "jc": 3, "lq": "一教", "room": "101", "ghs": "t1", "xms": "甲",
    "rq": "2024/09/02 00:00:00.000", "st": "10:00:00.000", "ed": "10:45:00.000", "kcmc": "代数", "zt": "add", "sj": "1",
}  # fmt: skip


@pytest.fixture
def registry(mariadb: MariaDb) -> Iterator[Academic]:
    """An empty academic database."""
    with academic(mariadb) as made:
        yield made


@pytest.fixture
def source(registry: Academic) -> Iterator[TimetableSource]:
    opened = open_source(registry.address)
    yield opened
    opened.close()


def read(source: TimetableSource, part: str = "meetings", *, size: int = 100) -> list[SourceRow]:
    return [row for page in pages(source, part, size=size) for row in page]


def refusal(source: TimetableSource) -> BadSource:
    with pytest.raises(BadSource) as bad:
        source.check()
    source.close()
    return bad.value


# --- the same timetable -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campus") / "campus"
    generate(folder, seed=11, colleges=5, offerings=30, students=70)
    return folder


def test_a_database_gives_the_same_timetable_as_a_folder(database: Engine, mariadb: MariaDb, campus: Path) -> None:
    """Sessions, rolls and offerings, with their ids: a school may go from files to the database and send nothing."""
    engine = with_tenant(database)
    report = bring_in(engine, campus)
    expected = timetable_of(engine)
    assert all(expected)
    with academic(mariadb, more=["kcbh", "kkxy"], charset="utf8mb4") as registry:
        registry.load(campus, more=["kcbh", "kkxy"])
        source = open_source(registry.address)
        number, again = read_in(engine, campus, run_id="database", source=source)
        aggregate(engine, number)
    assert again == report
    assert timetable_of(engine) == expected


def test_without_course_codes_on_the_timetable_everybody_keeps_their_classes(
    database: Engine, mariadb: MariaDb, campus: Path, tmp_path: Path
) -> None:
    """Enrolments name a course code that the timetable does not have: the offering number decides."""
    engine = with_tenant(database)
    with academic(mariadb, charset="utf8mb4") as registry:
        registry.load(campus)
        registry.run("UPDATE out_jw_kcb_xs SET kcbh = 'K-other'")
        number, _ = read_in(engine, campus, source=open_source(registry.address))
        aggregate(engine, number)
    found = timetable_of(engine)
    assert count(engine, rolls, rolls.c.kind == "student") > 100
    for part in ("meetings", "enrolments", "students", "teachers"):
        (tmp_path / f"{part}.csv").write_bytes((campus / f"{part}.csv").read_bytes())
    rewrite(tmp_path, "meetings", lambda rows: ({**row, "kcbh": "", "kkxy": ""} for row in rows))
    bring_in(engine, tmp_path, run_id="folder")
    assert timetable_of(engine) == found


def test_dates_and_times_as_schools_write_them_become_a_session(database: Engine, registry: Academic) -> None:
    """`2024/09/02 00:00:00.000` is a date, `10:00:00.000` a time."""
    engine = with_tenant(database)
    registry.insert("u_jw_kcb_cur", [CLASS, {**CLASS, "jc": 4, "st": "10:55:00.000", "ed": "11:40:00.000"}])
    registry.insert("u_jw_kcb_cur", [{**CLASS, "kkh": "A-2", "zt": "delete"}])
    number, report = read_in(engine, Path(), source=open_source(registry.address))
    assert aggregate(engine, number) == count(engine, sessions) == 1
    assert (report.staged, report.held) == (2, {"deleted": 1})
    assert open_entries(engine, "finding") == Counter({"unknown_teacher": 1})


# --- order and pages ----------------------------------------------------------------------------------------------------


def difficult_rows() -> list[dict[str, Any]]:
    """No key, keys that the collation calls equal, equal rows, and one key with more rows than a fetch."""
    rows: list[dict[str, Any]] = []
    for number in range(1500):
        rows.append({**CLASS, "kkh": f"A-{number % 700:03d}", "jxz": number % 20})
    rows += [
        {**CLASS, "kkh": kkh, "room": str(place)} for kkh in ("b-1", "B-1", "b-1 ", "é-1", "e-1") for place in range(9)
    ]
    rows += [{**CLASS, "kkh": None, "jxz": number} for number in range(30)] + [{**CLASS, "kkh": ""}] * 3
    rows += [{**CLASS, "kkh": "C-1", "jxz": number % 7, "room": str(number // 14)} for number in range(4200)]
    random.Random(5).shuffle(rows)
    return rows


def as_counted(rows: list[SourceRow]) -> Counter[tuple[tuple[str, str | None], ...]]:
    return Counter(tuple(sorted(row.values.items())) for row in rows)


def test_pages_of_any_size_from_any_row_are_one_reading(registry: Academic) -> None:
    """A crash resumes in the middle with a new connection; a row that is skipped is a class that vanishes."""
    rows = difficult_rows()
    registry.insert("u_jw_kcb_cur", rows)
    whole = read(open_source(registry.address), size=500)
    assert [row.line for row in whole] == list(range(1, len(rows) + 1))
    written = Counter((row["kkh"], str(row["jxz"]), row["room"]) for row in rows)
    assert Counter((row.values["kkh"], row.values["jxz"], row.values["room"]) for row in whole) == written
    assert read(open_source(registry.address), size=333) == whole
    for after in (*range(0, len(rows), 397), 29, 30, 33, len(rows) - 1, len(rows), len(rows) + 5):
        source = open_source(registry.address)
        assert source.rows("meetings", after=after, limit=7) == whole[after : after + 7]
        source.close()


def test_the_order_does_not_depend_on_how_the_rows_were_written(mariadb: MariaDb) -> None:
    """A school that fills the table anew every night must not renumber its rows."""
    readings = []
    for seed in (1, 2):
        with academic(mariadb) as registry:
            rows = difficult_rows()[:900]
            random.Random(seed).shuffle(rows)
            registry.insert("u_jw_kcb_cur", rows)
            readings.append(([row.values for row in read(open_source(registry.address))], registry))
    assert readings[0][0] == readings[1][0]


def test_a_connection_that_is_lost_between_pages_is_made_again(registry: Academic, source: TimetableSource) -> None:
    """Servers end idle connections; an import may pause for a busy database of ours."""
    registry.insert("u_jw_kcb_cur", difficult_rows()[:2500])
    whole = read(open_source(registry.address))
    found = source.rows("meetings", after=0, limit=1000)
    mine = f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{registry.name}' AND ID <> CONNECTION_ID()"
    with registry.engine.connect() as connection:
        killed = [connection.exec_driver_sql(f"KILL {row[0]}") for row in connection.exec_driver_sql(mine).all()]
    assert killed
    while page := source.rows("meetings", after=len(found), limit=1000):
        found += page
    assert found == whole


# --- what is read, and what is not ----------------------------------------------------------------------------------------


def test_people_and_enrolments_that_are_marked_as_deleted_are_not_there(
    registry: Academic, source: TimetableSource
) -> None:
    """A student who left keeps a row with zt = delete."""
    registry.insert("out_xsxx", [{"xh": "s1", "zt": "add"}, {"xh": "s2", "zt": " Delete "}, {"xh": "s3", "zt": None}])
    registry.insert("out_jsxx", [{"gh": "t1", "zt": "update"}, {"gh": "t2", "zt": "delete"}])
    takes = [{"xh": xh, "kkh": "A-1", "xnxq": TERM, "zt": zt} for xh, zt in (("s1", "add"), ("s3", "delete"))]
    registry.insert("out_jw_kcb_xs", takes)
    assert [row.values["xh"] for row in read(source, "students")] == ["s1", "s3"]
    assert [row.values["gh"] for row in read(source, "teachers")] == ["t1"]
    assert [row.values["xh"] for row in read(source, "enrolments")] == ["s1"]


def test_identity_and_telephone_numbers_are_never_read(registry: Academic, source: TimetableSource) -> None:
    """Rejected rows are kept word for word; these columns must not be among them."""
    registry.insert("out_xsxx", [{"xh": "s1", "xm": "丁", "xymc": "数学学院", "sfzh": "110101", "sjh": "138"}])
    assert [row.values for row in read(source, "students")] == [
        {"xh": "s1", "xm": "丁", "xymc": "数学学院", "xydm": None}
    ]  # fmt: skip


def test_one_term_may_be_picked_and_parts_left_out(registry: Academic) -> None:
    """Enrolments of ten years stand in one table; some schools have no table of teachers."""
    registry.insert("u_jw_kcb_cur", [CLASS, {**CLASS, "xnxq": "2023-2024-2"}])
    takes = [{"xh": "s1", "kkh": "A-1", "xnxq": term} for term in (TERM, "2023-2024-2")]
    registry.insert("out_jw_kcb_xs", takes)
    registry.run("DROP TABLE out_jsxx")
    source = open_source(f"{registry.address}&xnxq={TERM}&without=teachers,students")
    source.check()
    assert source.parts() == ("meetings", "enrolments")
    assert [len(read(source, part)) for part in source.parts()] == [1, 1]
    with pytest.raises(BadSource, match="without=meetings is not possible"):
        open_source(f"{registry.address}&without=meetings")


def test_nothing_is_ever_written(registry: Academic, source: TimetableSource) -> None:
    """`gx_zt` belongs to other programs of the school; even a mistake of ours could not write it."""
    registry.insert("u_jw_kcb_cur", [CLASS] * 3)
    before = registry.run("CHECKSUM TABLE u_jw_kcb_cur, out_xsxx, out_jsxx, out_jw_kcb_xs").all()
    source.check()
    source.fingerprint()
    for part in source.parts():
        read(source, part)
    assert registry.run("CHECKSUM TABLE u_jw_kcb_cur, out_xsxx, out_jsxx, out_jw_kcb_xs").all() == before
    assert registry.scalar("SELECT COUNT(*) FROM u_jw_kcb_cur WHERE gx_zt IS NULL") == 3
    assert isinstance(source, AcademicMysql)
    with pytest.raises(BadSource, match="READ ONLY"):
        source.all(sa.text("UPDATE u_jw_kcb_cur SET gx_zt = '1'"), table="u_jw_kcb_cur")


def test_columns_may_have_other_names(registry: Academic) -> None:
    """Every school calls some column differently, and has one without which nothing works."""
    registry.run(
        "ALTER TABLE u_jw_kcb_cur CHANGE kkh COURSE_NO VARCHAR(60), DROP COLUMN xnxq, ADD COLUMN dept VARCHAR(40)"
    )
    named = {name: value for name, value in CLASS.items() if name not in ("kkh", "xnxq")}
    registry.insert("u_jw_kcb_cur", [{**named, "COURSE_NO": f"A-{number}", "dept": "数学"} for number in range(3)])
    bad = refusal(open_source(registry.address))
    assert (bad.file, "column kkh is missing" in bad.problem) == ("u_jw_kcb_cur", True)
    mapping = {"meetings": {"kkh": "course_no", "xnxq": {"value": TERM}, "kkxy": "dept"}}
    source = open_source(registry.address, mapping)
    source.check()
    found = [(row.values["kkh"], row.values["xnxq"], row.values["kkxy"]) for row in read(source, size=2)]
    assert found == [(f"A-{number}", TERM, "数学") for number in range(3)]


# --- the fingerprint ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE u_jw_kcb_cur SET room = '102' WHERE kkh = 'A-1'",
        "UPDATE u_jw_kcb_cur SET room = IF(kkh = 'A-1', '2', '1')",
        "UPDATE u_jw_kcb_cur SET kcmc = UPPER(kcmc)",
        "UPDATE u_jw_kcb_cur SET lq = NULL, room = CONCAT(lq, room)",
        "DELETE FROM u_jw_kcb_cur WHERE kkh = 'A-2'",
        "INSERT INTO u_jw_kcb_cur SELECT * FROM u_jw_kcb_cur",
        "UPDATE out_jw_kcb_xs SET zt = 'delete'",
        "UPDATE out_xsxx SET xm = '戊'",
        "DELETE FROM out_jsxx",
    ],
)
def test_any_change_of_what_is_read_changes_the_fingerprint(
    registry: Academic, source: TimetableSource, change: str
) -> None:
    """Otherwise half of one state and half of another would be one timetable."""
    registry.insert(
        "u_jw_kcb_cur", [{**CLASS, "kcmc": "a", "room": str(place), "kkh": f"A-{place}"} for place in (1, 2)]
    )
    registry.insert("out_jw_kcb_xs", [{"xh": "s1", "kkh": "A-1", "xnxq": TERM, "zt": "add"}])
    registry.insert("out_xsxx", [{"xh": "s1", "xm": "丁"}])
    registry.insert("out_jsxx", [{"gh": "t1"}])
    before = source.fingerprint()
    assert source.fingerprint() == open_source(registry.address).fingerprint() == before
    assert len(before) <= 64
    registry.run(change)
    assert source.fingerprint() != before


def test_what_others_note_beside_the_rows_does_not_change_it(registry: Academic, source: TimetableSource) -> None:
    """Another program marks rows as processed all day long; that must not make an import begin again."""
    registry.insert("u_jw_kcb_cur", [CLASS] * 2)
    before = source.fingerprint()
    registry.run("UPDATE u_jw_kcb_cur SET gx_zt = '2', gx_sj = 'now' LIMIT 1")
    assert source.fingerprint() == before


# --- what cannot be read ------------------------------------------------------------------------------------------------


def test_a_missing_table_is_named_with_the_way_out(registry: Academic) -> None:
    """Without its table of enrolments a school would lose every reader in silence."""
    registry.run("DROP TABLE out_jw_kcb_xs")
    bad = refusal(open_source(registry.address))
    assert "table out_jw_kcb_xs is missing" in bad.problem
    assert f"GRANT SELECT ON {registry.name}.out_jw_kcb_xs" in bad.remedy and "without=enrolments" in bad.remedy


def test_a_missing_column_is_named_with_its_table(registry: Academic) -> None:
    """The view was changed; the message says which column and where it can be put right."""
    registry.run("ALTER TABLE out_xsxx DROP KEY k, DROP COLUMN xh")
    bad = refusal(open_source(registry.address))
    assert (bad.file, "column xh is missing" in bad.problem) == ("out_xsxx", True)
    assert "mapping of students" in bad.remedy


def test_a_table_that_vanishes_meanwhile_is_told(registry: Academic, source: TimetableSource) -> None:
    """The nightly job of the school drops and makes it anew."""
    source.check()
    registry.run("DROP TABLE u_jw_kcb_cur")
    for _ in range(2):
        with pytest.raises(BadSource, match="u_jw_kcb_cur"):
            source.rows("meetings", after=0, limit=9)


def test_a_password_is_in_no_message(registry: Academic) -> None:
    """Messages are stored with the run and read by everybody."""
    address = with_user(registry, password="s3cret", grants=f"SELECT ON {registry.name}.*")
    good = open_source(address)
    good.check()
    assert "reader:***@" in good.name
    good.close()
    told = [
        refusal(open_source(address.replace("s3cret", "s3cretly"))),
        refusal(open_source(address.replace(registry.name, "elsewhere"))),
        refusal(open_source(address.partition("?")[0] + "?unix_socket=/nowhere.sock")),
        refusal(open_source("mysql://reader:s3cret@127.0.0.1:1/jw")),
    ]
    assert ["refuses the user" in told[0].problem, "cannot be reached" in told[2].problem] == [True, True]
    assert "cannot be reached" in told[3].problem
    for address in ("mysql://reader:s3cret@h", "mysql://reader:s3cret@h/jw?tls=1", "mysql://reader:s3cret@h:x/jw"):
        with pytest.raises(BadSource) as bad:
            open_source(address)
        told.append(bad.value)
    assert not [one for one in told if "s3cret" in f"{one}{one.file}{one.remedy}"]
    assert all(one.remedy for one in told)


def test_a_table_that_the_user_may_not_read_is_named(registry: Academic) -> None:
    """The commonest state of a fresh account."""
    address = with_user(registry, password="p", grants=f"SELECT ON {registry.name}.out_xsxx")
    bad = refusal(open_source(address))
    assert "out_jsxx is missing" in bad.problem and "may not read it" in bad.problem
    assert "TO 'reader'" in bad.remedy
