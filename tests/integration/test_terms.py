"""Terms on the command line: what they lack, what they refuse, and what a sync makes of what was set."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from bootstrap.settings import Settings
from bootstrap.wiring import new_id
from db import jobs, mirror, sync_runs
from db import terms as term_rows
from db.engine import in_unit, reading
from db.jobs import Put
from db.mirror import IntentRow
from db.tables import jobs as job_table
from db.tables import sessions
from domain.settlement import Verb
from remote.sources.base import BadSource
from tests.integration.campus_rig import MONDAY, TERM, bring_in, count, open_entries, with_tenant, write
from tests.integration.drain_rig import World
from tests.unit.test_itc2019 import place
from usecases import terms
from usecases.deps import Deps
from usecases.sync import runs
from usecases.terms import TermRefused, UnknownTerm
from workers.cli import main
from workers.cli.migrate import prepare_database

pytestmark = pytest.mark.integration


@pytest.fixture
def deps(here: World) -> Deps:
    """What a use case is given."""
    with_tenant(here.engine)
    return dataclasses.replace(here.deps, tenant="main")


def without_hours(**more: str) -> dict[str, str]:
    return {**MONDAY, "st": "", "ed": "", "rq": "", **more}


def missing(deps: Deps, code: str = TERM) -> dict[str, int]:
    return {lack["what"]: lack["rows_waiting"] for lack in terms.one(deps, code)["missing"]}


def a_file(folder: Path, text: str) -> Path:
    file = folder / "clock.csv"
    file.write_text(text, encoding="utf-8")
    return file


# --- what is set is used ------------------------------------------------------------------------------------------------


def test_what_rows_wait_for_is_named_and_once_it_is_set_the_next_sync_uses_it(deps: Deps, tmp_path: Path) -> None:
    """Most registries publish week, weekday and period: without Monday and clock there is no class at all."""
    write(tmp_path / "c", "meetings", [without_hours(), without_hours(jc="4")])
    bring_in(deps.engine, tmp_path / "c", run_id="1")
    assert missing(deps) == {"first_monday": 2, "periods": 0}
    assert open_entries(deps.engine, "held") == {"no_first_monday": 1}
    terms.change(deps, TERM, first_monday=date(2024, 9, 2), weeks=18)
    bring_in(deps.engine, tmp_path / "c", run_id="2")
    assert missing(deps) == {"periods": 2}
    terms.load_periods(deps, TERM, a_file(tmp_path, "jc,st,ed\n3,10:00,10:45\n4,10:55,11:40\n"))
    bring_in(deps.engine, tmp_path / "c", run_id="3")
    found = terms.one(deps, TERM)
    assert found["missing"] == []
    assert (found["offerings"], found["sessions"], found["periods"]) == (1, 1, 2)
    with reading(deps.engine) as tx:
        one = tx.execute(select(sessions)).one()
    assert (one.date, one.end_ms - one.start_ms) == ("2024-09-02", 100 * 60_000)


def test_a_clock_that_changes_inside_a_term_moves_the_classes_after_it(deps: Deps, tmp_path: Path) -> None:
    """Summer and winter hours: in October the afternoon begins half an hour earlier, at every campus but one."""
    rows = [without_hours(jc="7", jxz=week, kkh=kkh, xq=campus) for week in ("4", "6") for kkh, campus in
            (("A-1", "东区"), ("B-1", "西区"))]  # fmt: skip
    write(tmp_path / "c", "meetings", rows, columns=[*MONDAY, "xq"])
    terms.change(deps, TERM, first_monday=date(2024, 9, 2))
    clock = "jc,st,ed,xq,from\n7,14:30,15:15,,\n7,14:00,14:45,,2024-10-01\n7,14:30,15:15,西区,\n"
    assert terms.load_periods(deps, TERM, a_file(tmp_path, clock)) == 3
    bring_in(deps.engine, tmp_path / "c")
    with reading(deps.engine) as tx:
        rooms = {row.offering_id: 0 for row in tx.execute(select(sessions.c.offering_id))}
        at = sorted((row.date, row.start_ms // 60_000 % 1440) for row in tx.execute(select(sessions)))
    half_past_two, two = 6 * 60 + 30, 6 * 60  # UTC
    assert len(rooms) == 2
    assert at == [("2024-09-23", half_past_two)] * 2 + [("2024-10-07", two), ("2024-10-07", half_past_two)]


@pytest.fixture
def without_clock(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Path]:
    """A campus folder of a school that publishes no hours: a real one, cut to some hundred rows, else one like it."""

    def make() -> Path:
        project: Path = request.getfixturevalue("project")
        real = project.parent / "shared" / "data" / "ntut-109-1" / "meetings.csv.gz"
        folder = tmp_path / "campus"
        if real.is_file():
            with gzip.open(real, "rt", encoding="utf-8-sig", newline="") as file:
                rows = list(islice(csv.DictReader(file), 400))
            write(folder, "meetings", rows, columns=list(rows[0]))
        else:
            rows = [without_hours(kkh=f"N-{n}", room=str(n), jxz=str(week), jc=jc, rq=f"2024-09-{2 + 7 * week:02d}")
                    for n in range(40) for week in range(1, 4) for jc in ("3", "4")]  # fmt: skip
            write(folder, "meetings", rows)
        return folder

    return make


def test_a_school_without_hours_syncs_with_a_clock_and_is_one_finding_without(
    deps: Deps, without_clock: Callable[[], Path], tmp_path: Path
) -> None:
    """A thousand sentences about a thousand rows would hide the one thing there is to do."""
    folder = without_clock()
    report = bring_in(deps.engine, folder, run_id="1")
    assert (count(deps.engine, sessions), report.staged) == (0, 0)
    assert open_entries(deps.engine, "held") == {"no_period_table": 1}
    code = terms.listing(deps)["items"][0]["code"]
    assert missing(deps, code)["periods"] == report.held["no_period_table"]
    hours = "".join(f"{jc},{7 + jc:02d}:10,{8 + jc:02d}:00\n" for jc in range(1, 15))
    terms.load_periods(deps, code, a_file(tmp_path, "jc,st,ed\n" + hours))
    report = bring_in(deps.engine, folder, run_id="2")
    assert report.held == {}
    assert open_entries(deps.engine, "held") == {}
    assert count(deps.engine, sessions) > 50
    assert missing(deps, code).keys() <= {"first_monday"}, "its rows have dates"


def test_what_a_person_set_outlives_a_source_that_says_nothing_of_it(deps: Deps, tmp_path: Path) -> None:
    """A terms file with empty columns must not take the first Monday away every night."""
    terms.change(deps, TERM, first_monday=date(2024, 9, 2), weeks=18)
    write(tmp_path / "c", "meetings", [without_hours(st="10:00", ed="10:45")])
    write(tmp_path / "c", "terms", [{"xnxq": TERM, "first_monday": "", "weeks": ""}])
    bring_in(deps.engine, tmp_path / "c")
    found = terms.one(deps, TERM)
    assert (found["first_monday"], found["weeks"], found["sessions"]) == ("2024-09-02", 18, 1)


# --- what is refused ----------------------------------------------------------------------------------------------------

BAD_CLOCKS = {
    "a line without hours": ("jc,st,ed\n1,08:00,08:45\n2,,\n", "line 3"),
    "an end before its start": ("jc,st,ed\n1,09:00,08:45\n", "line 2"),
    "a period twice": ("jc,st,ed,xq\n1,08:00,08:45,东\n1,08:10,08:55,东\n", "line 3"),
    "another term's": ("jc,st,ed,xnxq\n1,08:00,08:45,2020-2021-1\n", "2020-2021-1"),
    "no clock at all": ("jc,st,ed\n", "no periods"),
    "a column missing": ("jc,st\n1,08:00\n", "ed"),
}


@pytest.mark.parametrize(("text", "named"), BAD_CLOCKS.values(), ids=BAD_CLOCKS)
def test_a_bad_file_of_periods_names_its_line_and_changes_nothing(
    deps: Deps, tmp_path: Path, text: str, named: str
) -> None:
    """Half a clock would move half the classes of the school by an hour."""
    terms.load_periods(deps, TERM, a_file(tmp_path, "jc,st,ed\n1,08:00,08:45\n"))
    with pytest.raises(BadSource, match=named):
        terms.load_periods(deps, TERM, a_file(tmp_path, text))
    with pytest.raises(BadSource, match=named):
        terms.load_periods(deps, "2031-2032-1", a_file(tmp_path, text))
    assert [(one["period"], one["start"]) for one in terms.periods(deps, TERM)] == [(1, "08:00")]
    assert [one["code"] for one in terms.listing(deps)["items"]] == [TERM]


@pytest.mark.parametrize("code", ["", "2024/2025", "x" * 21, "2024 1"])
def test_a_code_that_is_none_makes_no_term(deps: Deps, tmp_path: Path, code: str) -> None:
    """A term with a typing error in it stays in every list for ever."""
    with pytest.raises(TermRefused, match="2024-2025-1"):
        terms.change(deps, code, first_monday=date(2024, 9, 2))
    with pytest.raises(TermRefused):
        terms.load_periods(deps, code, a_file(tmp_path, "jc,st,ed\n1,08:00,08:45\n"))
    assert terms.listing(deps)["items"] == []


def test_a_first_monday_that_is_a_tuesday_is_refused_with_the_right_one(deps: Deps) -> None:
    """Every class of the term would be a day late."""
    with pytest.raises(TermRefused, match="2024-09-02"):
        terms.change(deps, TERM, first_monday=date(2024, 9, 3), weeks=18)
    with pytest.raises(UnknownTerm):
        terms.change(deps, TERM, status="frozen")
    assert terms.listing(deps)["items"] == []


@pytest.mark.parametrize("status", ["frozen", "archived"])
def test_a_run_that_names_a_closed_term_is_refused_and_a_whole_import_holds_its_rows(
    deps: Deps, tmp_path: Path, status: str
) -> None:
    """Who asks for a frozen term by name has to be told; the nightly run over everything goes on without it."""
    write(tmp_path / "c", "meetings", [MONDAY, {**MONDAY, "kkh": "B-1", "xnxq": "2023-2024-2"}])
    bring_in(deps.engine, tmp_path / "c", run_id="1")
    in_unit(deps.engine, lambda tx: term_rows.change(tx, tenant="main", term=TERM, status=status))
    with reading(deps.engine) as tx:
        with pytest.raises(TermRefused, match=f"{TERM} is {status}"):
            terms.refuse_closed(tx, tenant="main", term=TERM)
        with pytest.raises(TermRefused):
            terms.refuse_closed(tx, tenant="main", term=TERM, may_be_new=True)
        with pytest.raises(UnknownTerm, match="2030"):
            terms.refuse_closed(tx, tenant="main", term="2030-2031-1")
        terms.refuse_closed(tx, tenant="main", term="2030-2031-1", may_be_new=True)
        terms.refuse_closed(tx, tenant="main", term="2023-2024-2")
    write(tmp_path / "c", "meetings", [{**MONDAY, "room": "999"}, {**MONDAY, "kkh": "B-1", "xnxq": "2023-2024-2"}])
    assert bring_in(deps.engine, tmp_path / "c", run_id="2").held == {"frozen_term": 1}
    with reading(deps.engine) as tx:
        rooms = {row.term: json.loads(row.rooms)[0][2] for row in tx.execute(select(sessions))}
    assert rooms == {TERM: "101", "2023-2024-2": "101"}


def test_a_source_that_is_all_about_a_closed_term_is_refused_before_anything_is_written(
    deps: Deps, tmp_path: Path
) -> None:
    """It would speak for all open terms, and have nothing of them: every class of the school would be deleted."""
    place(tmp_path)
    source = f"itc2019:{tmp_path}?term={TERM}&monday=2024-09-02"
    terms.change(deps, TERM, first_monday=date(2024, 9, 2), status="frozen")
    with pytest.raises(TermRefused, match="frozen"):
        runs.begin(deps, kind="import", source=source)
    with reading(deps.engine) as tx:
        assert sync_runs.newest(tx, tenant="main") == []
    terms.change(deps, TERM, status="open")
    runs.begin(deps, kind="import", source=source)


# --- archives -----------------------------------------------------------------------------------------------------------


def put_one(deps: Deps) -> Put:
    one = Put("event", "evt:1", "cal:1", TERM, "_", "{}", "h", 0, 2, marker="m")
    in_unit(deps.engine, lambda tx: jobs.put(tx, [one], tenant="main", import_no=1, run_id=None, new_id=new_id))
    return one


def test_a_term_is_not_archived_while_it_may_change_or_anything_of_it_is_not_over(deps: Deps) -> None:
    """What still waits for its turn would be sent to a term that nobody looks after any more, or never be."""
    terms.change(deps, TERM, first_monday=date(2024, 9, 2))
    with pytest.raises(TermRefused, match=r"open.*Freeze it"):
        terms.change(deps, TERM, status="archived")
    terms.change(deps, TERM, status="frozen")
    put_one(deps)
    with pytest.raises(TermRefused, match="1 jobs"):
        terms.change(deps, TERM, status="archived")
    with reading(deps.engine) as tx:
        row = tx.execute(select(job_table)).one()
    in_unit(
        deps.engine, lambda tx: jobs.bury(tx, tenant=deps.tenant, job_id=row.id, rev=row.rev, code="x", message="x")
    )
    with pytest.raises(TermRefused, match=r"1 dead letters.*obsync dead"):
        terms.change(deps, TERM, status="archived")
    in_unit(deps.engine, lambda tx: tx.execute(job_table.delete()))
    intent = [IntentRow("evt:1", Verb.CREATE, "h", 1)]
    in_unit(deps.engine, lambda tx: mirror.write_intents(tx, intent, tenant="main", term=TERM, now=1))
    with pytest.raises(TermRefused, match="1 writes are not settled"):
        terms.change(deps, TERM, status="archived")
    in_unit(deps.engine, lambda tx: mirror.clear_intents(tx, ["evt:1"], tenant="main", term=TERM))
    assert terms.change(deps, TERM, status="archived")["status"] == "archived"
    assert terms.change(deps, TERM, status="frozen")["status"] == "frozen", "nothing was removed yet"


# --- the command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def obsync(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, Any]]]:
    """The command on embedded defaults, answering (exit code, JSON). SQLite only: the use cases run on both above."""
    monkeypatch.setenv("OBSYNC_DATA_DIR", str(settings.data_dir))
    with_secrets = Settings.from_env({"OBSYNC_DATA_DIR": str(settings.data_dir)}, make_secrets=True)
    prepare_database(with_secrets)

    def run(*arguments: str) -> tuple[int, Any]:
        done = CliRunner().invoke(main, ["terms", *arguments, "--json"], catch_exceptions=False)
        return done.exit_code, json.load(io.StringIO(done.stdout)) if done.stdout else None

    yield run


def test_the_command_answers_with_one_object_and_says_what_to_do(
    obsync: Callable[..., tuple[int, Any]], tmp_path: Path
) -> None:
    """It is used at three in the morning, by people and by scripts."""
    assert obsync() == (0, {"items": []})
    code, said = obsync("set", TERM, "--first-monday", "2024-09-02", "--weeks", "18")
    assert (code, said["first_monday"], said["status"]) == (0, "2024-09-02", "open")
    code, said = obsync("set", "2025-2026-1", "--first-monday", "2025-09-02")
    assert (code, said["remedy"]) == (1, "The Monday of that week is 2025-09-01.")
    code, said = obsync("periods", TERM, "--load", str(a_file(tmp_path, "jc,st,ed\n1,08:00,08:45\n")))
    assert (code, said) == (0, {"term": TERM, "loaded": 1})
    code, said = obsync("periods", TERM, "--load", str(a_file(tmp_path, "jc,st,ed\nx,08:00,08:45\n")))
    assert code == 1
    assert "line 2" in said["error"]
    assert [one["start"] for one in obsync("periods", TERM)[1]["items"]] == ["08:00"]
    code, said = obsync("archive", TERM)
    assert (code, "--status frozen" in said["remedy"]) == (1, True)
    assert obsync("archive", "2031-2032-1")[0] == 2
    assert obsync("set", TERM, "--status", "frozen")[0] == 0
    code, said = obsync("archive", TERM)
    assert (code, said["state"], said["term"]["status"]) == (0, "succeeded", "archived")
    assert said["term"]["removed"] == {"staging": 0, "history": 0, "rosters": 0, "counters": 0}
    code, said = obsync("set", TERM, "--status", "open")
    assert (code, "removed" in said["error"]) == (1, True)
    assert CliRunner().invoke(main, ["terms"]).exit_code == 0
