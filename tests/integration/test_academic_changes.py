"""What an academic database says has changed, and changes that come while it is being read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from bench.mariadb import MariaDb
from db.engine import reading
from db.tables import imports, rolls
from remote.sources.academic_mysql import AcademicMysql
from remote.sources.base import pages
from tests.integration.academic_rig import Academic, academic
from tests.integration.campus_rig import MONDAY, count
from tests.integration.change_rig import timetable
from tests.integration.change_runs_rig import Runs, notes, totals
from tests.integration.drain_rig import World

pytestmark = pytest.mark.integration

NUMBERS, WEEKS = 24, 18


@pytest.fixture
def registry(mariadb: MariaDb) -> Iterator[Academic]:
    with academic(mariadb) as one:
        yield one


def row(number: int, week: int, jc: int, **said: Any) -> dict[str, Any]:
    """A class as the school has it."""
    known = {name: value for name, value in MONDAY.items() if name not in ("kcbh", "kkxy")}
    hours = {3: ("10:00", "10:45"), 5: ("13:00", "13:45"), 7: ("15:00", "15:45")}[jc]
    month, day = divmod(1 + 7 * (week - 1), 28)
    where = {"kkh": f"K{number:03d}", "jxz": week, "jc": jc, "st": hours[0], "ed": hours[1], "ghs": "", "zt": "add"}
    return {**known, **where, "rq": f"2024-{9 + month:02d}-{day + 1:02d}", "sj": "2024-08-01 00:00:00.000", **said}


def meetings(registry: Academic, *rows: dict[str, Any]) -> None:
    registry.insert("u_jw_kcb_cur", list(rows))


def enrolment(number: int, student: str, **said: Any) -> dict[str, Any]:
    return {
        "kkh": f"K{number:03d}", "xh": student, "xnxq": MONDAY["xnxq"], "kcbh": "", "zt": "add",
        "sj": "2024-08-01 00:00:00.000", **said,
    }  # fmt: skip


def read(registry: Academic, since: str | None, part: str = "meetings") -> list[tuple[str | None, ...]]:
    found = AcademicMysql(registry.address).changes(since=since)
    assert found is not None
    try:
        rows = [one for page in pages(found, part, size=2) for one in page]
    finally:
        found.close()
    names = ("kkh", "jxz", "jc", "zt") if part == "meetings" else ("kkh", "xh")
    assert [one.line for one in rows] == list(range(1, len(rows) + 1))
    return [tuple(one.values.get(name) for name in names) for one in rows]


def test_a_number_of_which_a_row_was_changed_is_given_as_a_whole(registry: Academic) -> None:
    """The school overwrites a row in place: only the whole number says what it no longer has."""
    meetings(registry, *(row(number, week, 3) for number in (1, 2) for week in (1, 2)))
    source = AcademicMysql(registry.address)
    before = source.watermark()
    meetings(registry, row(3, 1, 3, sj="2024-08-02 00:00:00.000"))
    registry.run(
        "UPDATE u_jw_kcb_cur SET jc = 5, zt = 'update', sj = '2024-08-03 00:00:00.000' WHERE kkh='K001' AND jxz=2"
    )
    found = read(registry, "2024-08-02 00:00:00.000 #x")
    assert sorted(found, key=str) == [
        ("K001", "1", "3", "add"), ("K001", "2", "5", "update"), ("K003", "1", "3", "add"),
    ]  # fmt: skip
    assert source.watermark() != before and source.live
    source.close()


def test_within_one_instant_more_may_be_written(registry: Academic) -> None:
    """Times are of whole seconds at some schools; what comes later in the same one must not be lost."""
    meetings(registry, row(1, 1, 3, sj="2024-08-02 00:00:00"))
    source = AcademicMysql(registry.address)
    first = source.watermark()
    assert source.watermark() == first
    meetings(registry, row(2, 1, 3, sj="2024-08-02 00:00:00"))
    assert source.watermark() != first
    assert ("K002", "1", "3", "add") in read(registry, first)
    source.close()


def test_a_number_that_nobody_takes_any_more_is_said(registry: Academic) -> None:
    """The last student leaves: without a word of it the roll would keep them for the term."""
    meetings(registry, row(1, 1, 3))
    registry.insert("out_jw_kcb_xs", [enrolment(1, "s1"), enrolment(2, "s1"), enrolment(2, "s2")])
    registry.run("UPDATE out_jw_kcb_xs SET zt='delete', sj='2024-09-01 00:00:00.000' WHERE xh='s1'")
    assert sorted(read(registry, "2024-08-20 00:00:00", "enrolments"), key=str) == [("K001", None), ("K002", "s2")]


def test_a_database_that_does_not_say_when_is_read_as_a_whole(registry: Academic) -> None:
    """Some schools leave the column empty."""
    meetings(registry, row(1, 1, 3, sj=None))
    source = AcademicMysql(registry.address)
    assert source.watermark() is None and source.changes(since="2024-01-01") is None and not source.live
    source.close()


class Term:
    """A database that somebody works in while it is read."""

    def __init__(self, registry: Academic) -> None:
        self._registry = registry
        self._clock = 0
        meetings(registry, *(row(n, w, jc) for n in range(NUMBERS) for w in range(1, WEEKS) for jc in (3, 5)))
        registry.insert("out_jw_kcb_xs", [enrolment(n, f"s{k}") for n in range(NUMBERS) for k in range(3)])

    def change(self) -> None:
        """The next thing that somebody does: here and there in the order of reading, each of five kinds in turn."""
        self._clock += 1
        n, sj = self._clock, f"2024-08-02 00:{self._clock // 60:02d}:{self._clock % 60:02d}.000"
        number, week = f"K{(n * 7) % NUMBERS:03d}", 1 + n % (WEEKS - 1)
        where = f"WHERE kkh='{number}' AND jxz={week}"
        did = {
            0: f"UPDATE u_jw_kcb_cur SET room='N{n}', zt='update', sj='{sj}' {where}",
            1: f"UPDATE u_jw_kcb_cur SET zt='delete', sj='{sj}' {where} AND jc=3",
            2: f"UPDATE u_jw_kcb_cur SET jc=7, st='15:00', ed='15:45', zt='update', sj='{sj}' {where} AND jc=5",
            3: f"UPDATE out_jw_kcb_xs SET zt='delete', sj='{sj}' WHERE kkh='{number}' AND xh='s1'",
        }
        if n % 5 in did:
            self._registry.run(did[n % 5])
        else:
            meetings(self._registry, row(NUMBERS + n, week, 3, sj=sj))


def test_what_changes_at_each_page_of_a_full_run_is_there_in_the_end(
    here: World, registry: Academic, tmp_path: Path
) -> None:
    """Registrars do not stop working for us: no class may be lost, doubled or deleted because a page went by too early."""
    runs, term = Runs(here), Term(registry)

    @event.listens_for(here.engine, "commit")
    def somebody_works(_connection: Any) -> None:
        if busy:
            term.change()

    busy = True
    run_id = runs.begin(registry.address, "import")
    runs.until(run_id, lambda run: run["state"] == "succeeded", within_s=60)
    busy = False
    with reading(here.engine) as tx:
        staged = tx.execute(select(imports.c.rows_in)).scalar_one()
    assert staged >= NUMBERS * (WEEKS - 1) * 2
    run = runs.run(registry.address, "incremental", within_s=60)
    assert notes(run)["changes"] and "changes" in str(notes(run)["changes"])
    found = timetable(here.engine)
    assert count(here.engine, rolls, rolls.c.code == "s1") < NUMBERS
    runs.run(registry.address, "import", within_s=60)
    assert timetable(here.engine) == found
    assert runs.plan() == {}


def test_an_hour_in_which_nothing_changed_reads_nothing(here: World, registry: Academic) -> None:
    """The school's database is not ours to burden."""
    meetings(registry, row(1, 1, 3), row(2, 1, 3, sj="2024-07-01 00:00:00.000"))
    runs = Runs(here)
    runs.run(registry.address)
    run = runs.run(registry.address, "incremental")
    assert notes(run)["changes"] == "the source has not changed since import 1"
    registry.run("UPDATE u_jw_kcb_cur SET room='N', zt='update', sj='2024-08-09 00:00:00.000' WHERE kkh='K001'")
    run = runs.run(registry.address, "incremental")
    assert (notes(run)["changes"], notes(run)["touched"]) == (
        "1 changes, 0 rejected, 0 not to be used", "1 offerings touched",
    )  # fmt: skip
    assert totals(run)["updates"] == 1
    run = runs.run(registry.address, "incremental")
    assert notes(run)["changes"] == "the source has not changed since import 2"
