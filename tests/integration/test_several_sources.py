"""Several sources of one tenant: one import of all, none of which is ever deleted because another one is silent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from bench.mariadb import MariaDb
from bootstrap.settings import Settings
from bootstrap.wiring import new_id, wire
from db import quarantine, sync_runs
from db.clock import now_ms
from db.engine import in_unit, reading, unit
from db.tables import alarms as alarm_table
from db.tables import meetings, sessions
from db.tables import sources as source_table
from remote.sources.base import BadSource
from tests.fixtures_stores import Valkey
from tests.integration.academic_rig import academic
from tests.integration.campus_rig import MONDAY, TERM, write
from usecases import alarms, named_sources, tasks, tenants
from usecases.deps import Deps
from usecases.named_sources import Wanted
from usecases.sync import runs, sources

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000


@dataclass
class School:
    """A tenant with an undergraduate and a postgraduate office, each with a folder of its own."""

    deps: Deps
    folder: Path

    def publish(self, name: str, *numbers: str, **values: str) -> None:
        """What an office writes: one class of each of these offerings."""
        rows = [{**MONDAY, "kkh": one, "kcbh": one, "jc": str(at + 1), **values} for at, one in enumerate(numbers)]
        write(self.folder / name, "meetings", rows)
        taken = [{"xh": f"{name}1", "kkh": one, "xnxq": TERM} for one in numbers]
        write(self.folder / name, "enrolments", taken, ("xh", "kkh", "xnxq"))

    def add(self, name: str, address: str | None = None, **wanted: Any) -> None:
        named_sources.add(self.deps, name, Wanted(address or str(self.folder / name), **wanted), actor="ada")

    def read(self, kind: str = "import") -> dict[str, Any]:
        """A run over all sources, to its end or its question."""
        chosen = sources.last(self.deps)
        assert chosen is not None
        run_id, task_id = runs.begin(self.deps, kind=kind, source=chosen.address)
        while (run := self.look(run_id))["state"] in ("queued", "running"):
            task = tasks.claim(self.deps, task_id, claim=new_id())
            assert task is not None, run
            runs.advance(self.deps, task)
        return run

    def look(self, run_id: str) -> dict[str, Any]:
        with reading(self.deps.engine) as tx:
            row = sync_runs.get(tx, run_id, tenant=self.deps.tenant)
            assert row is not None
            return sync_runs.as_dict(tx, row, now=now_ms(tx))

    def classes(self) -> int:
        with reading(self.deps.engine) as tx:
            return len(tx.execute(select(sessions.c.id)).all())

    def numbers(self) -> dict[str, set[int]]:
        """Offering number → the sources whose rows count, in the newest staging."""
        with reading(self.deps.engine) as tx:
            rows = tx.execute(
                select(meetings.c.kkh, meetings.c.source_no, meetings.c.import_no)
                .where(meetings.c.held.is_(None))
                .order_by(meetings.c.import_no.desc())
            ).all()
        newest = rows[0].import_no
        found: dict[str, set[int]] = {}
        for row in rows:
            if row.import_no == newest:
                found.setdefault(row.kkh, set()).add(row.source_no)
        return found


@pytest.fixture
def school(database: Engine, valkey: Valkey, data_dir: Path, tmp_path: Path) -> Iterator[School]:
    environ = {
        "OBSYNC_DATA_DIR": str(data_dir),
        "OBSYNC_DATABASE_URL": database.url.render_as_string(hide_password=False),
        "OBSYNC_BROKER_URL": valkey.url,
    }
    settings = Settings.from_env(environ, make_secrets=True)
    with unit(database) as tx:
        tenants.seed(
            tx, tenant=settings.tenant, zone=settings.tenant_zone, app_id="", app_key="",
            encryption_keys=settings.encryption_keys,
        )  # fmt: skip
    made = wire(settings, ring=lambda _: None)
    yield School(made.deps, tmp_path / "offices")
    made.deps.engine.dispose()
    made.deps.remote.transport.close()


@pytest.fixture
def two(school: School) -> School:
    """Both offices have been read once."""
    (school.folder).mkdir()
    school.publish("ug", "U-1", "U-2", "U-3")
    school.publish("pg", "P-1", "P-2", room="202")
    school.add("ug")
    school.add("pg")
    assert school.read()["state"] == "succeeded"
    assert school.classes() == 5
    return school


def test_two_folders_and_a_database_become_one_timetable(two: School, mariadb: MariaDb) -> None:
    """A school whose continuing education keeps its own database has one calendar for everybody all the same."""
    with academic(mariadb) as third:
        third.insert("u_jw_kcb_cur", [{"kkh": "C-1", "xnxq": TERM, "rq": "2024/09/04", "st": "08:00", "ed": "08:45"}])
        two.add("ce", third.address)
        run = two.read()
        assert run["state"] == "succeeded"
        assert two.numbers() == {"U-1": {1}, "U-2": {1}, "U-3": {1}, "P-1": {2}, "P-2": {2}, "C-1": {3}}
        assert {one["source"]: one["outcome"] for one in run["report"]["sources"]} == dict.fromkeys(
            ("ug", "pg", "ce"), "read"
        )
        assert two.classes() == 6


def test_a_source_that_fails_keeps_what_it_said_last(two: School) -> None:
    """One office's disk must not cost its students their calendars, nor stop the other office's changes."""
    (two.folder / "pg" / "meetings.csv").unlink()
    two.publish("ug", "U-1", "U-2", "U-3", "U-4")
    run = two.read()
    assert run["state"] == "succeeded"
    assert two.numbers() == {"U-1": {1}, "U-2": {1}, "U-3": {1}, "U-4": {1}, "P-1": {2}, "P-2": {2}}
    told = next(one for one in run["report"]["sources"] if one["source"] == "pg")
    assert told["outcome"] == "kept" and "meetings.csv" in told["problem"] and told["remedy"]
    assert "pg kept" in run["stages"][0]["note"]
    two.publish("pg", "P-1", "P-2", "P-3")
    two.read()
    assert two.numbers()["P-3"] == {2}


def test_an_empty_source_deletes_nothing(two: School) -> None:
    """An export that broke off after its header is no decision to hold no classes."""
    two.publish("pg")
    run = two.read()
    assert run["state"] == "succeeded"
    assert two.numbers()["P-1"] == {2} and two.classes() == 5
    told = next(one for one in run["report"]["sources"] if one["source"] == "pg")
    assert told["outcome"] == "kept" and "sources disable pg" in told["remedy"]


def test_a_source_that_breaks_off_while_it_is_read_keeps_what_it_said_last(two: School) -> None:
    """What was read of it by then is not mixed with what it said before."""
    file = two.folder / "pg" / "meetings.csv"
    file.write_text(file.read_text(encoding="utf-8") + 'P-9,"never closed', encoding="utf-8")
    run = two.read()
    assert run["state"] == "succeeded"
    assert two.numbers() == {"U-1": {1}, "U-2": {1}, "U-3": {1}, "P-1": {2}, "P-2": {2}}


def test_nothing_can_be_read_and_nothing_changes(two: School) -> None:
    """Both at once is an outage of ours, perhaps: the run says so and fails."""
    for name in ("ug", "pg"):
        (two.folder / name / "meetings.csv").unlink()
    with pytest.raises(BadSource):
        two.read()
    assert two.classes() == 5


def test_a_source_that_is_switched_off_goes_only_when_somebody_confirms(two: School) -> None:
    """Its classes are somebody's calendar: the run asks, and names the source."""
    named_sources.switch(two.deps, "pg", on=False, actor="ada")
    run = two.read()
    assert run["state"] == "needs_confirmation"
    assert two.classes() == 5


def test_the_first_source_has_an_offering_that_two_name(two: School) -> None:
    """Two offices that both list a course: it is held once, as the first says, and people are told."""
    two.publish("pg", "P-1", "P-2", "U-1", room="909")
    two.read()
    assert two.numbers()["U-1"] == {1} and two.classes() == 5
    with reading(two.deps.engine) as tx:
        told = quarantine.listing(tx, tenant=two.deps.tenant, kind="finding", reason="two_sources", limit=9)
    assert [one["row"]["kkh"] for one in told] == ["U-1"] and "ug" in told[0]["sentence"]
    two.add("pg", rank=0)
    two.read()
    assert two.numbers()["U-1"] == {2}
    two.publish("pg", "P-1", "P-2")
    two.read()
    assert two.numbers()["U-1"] == {1}


def test_a_single_address_is_refused_where_there_are_several(two: School) -> None:
    """It would speak for the whole timetable, and delete what the others said."""
    with pytest.raises(BadSource, match="sources of its own"):
        runs.begin(two.deps, kind="import", source=str(two.folder / "ug"))


def test_what_was_synced_by_its_address_is_the_first_of_several(school: School) -> None:
    """Naming a second source must not make the first one's classes foreign."""
    school.folder.mkdir()
    school.publish("ug", "U-1", "U-2", "U-3")
    school.publish("pg", "P-1")
    run_id, task_id = runs.begin(school.deps, kind="import", source=str(school.folder / "ug"), remember=True)
    task = tasks.claim(school.deps, task_id, claim=new_id())
    assert task is not None
    runs.advance(school.deps, task)
    assert school.look(run_id)["state"] == "succeeded"
    school.add("pg")
    (school.folder / "ug" / "meetings.csv").unlink()
    assert school.read()["state"] == "succeeded"
    assert school.numbers() == {"U-1": {0}, "U-2": {0}, "U-3": {0}, "P-1": {1}}


def test_a_silent_source_raises_an_alarm_and_clears_it(two: School) -> None:
    """Nobody looks at a source that quietly stopped; the alarm does."""
    file = two.folder / "pg" / "meetings.csv"
    text = file.read_text(encoding="utf-8")
    file.unlink()
    long_ago = {"answered_ms": source_table.c.answered_ms - 25 * HOUR_MS}
    in_unit(two.deps.engine, lambda tx: tx.execute(update(source_table).values(**long_ago)))
    assert "no answer: pg" in named_sources.check_all(two.deps)
    named_sources.check_all(two.deps)
    (alarm,) = alarms.listing(two.deps)
    assert (alarm["cause"], alarm["subject"], alarm["open"]) == ("source_silent", "pg", True)
    assert "meetings.csv" in alarm["remedy"] and alarm["for_h"] >= 25
    listed = {one["name"]: one for one in named_sources.listing(two.deps)["items"]}
    assert listed["pg"]["alarms"] == [alarm["sentence"]] and listed["ug"]["alarms"] == []
    assert two.read()["report"]["alarms"] == [alarm["sentence"]]
    file.write_text(text, encoding="utf-8")
    named_sources.check_all(two.deps)
    assert alarms.listing(two.deps) == []
    with reading(two.deps.engine) as tx:
        (row,) = tx.execute(select(alarm_table)).all()
    assert row.cleared_ms is not None and row.since_ms < row.raised_ms <= row.cleared_ms


def test_passwords_are_stored_only_encrypted(school: School) -> None:
    """Whoever reads the table must not be able to read the academic database."""
    school.add("db", "mysql://reader:secret@nowhere/jw")
    with reading(school.deps.engine) as tx:
        (row,) = tx.execute(select(source_table)).all()
    assert "secret" not in f"{row.address}{row.sealed}" and "***" in row.address
    chosen = sources.named(school.deps)
    assert chosen is not None and chosen.members[0].address == "mysql://reader:secret@nowhere/jw"
