"""A run and its source: what it stores of it, what it reads, and by which rule classes are made."""

import base64
import dataclasses
import secrets
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from bench.mariadb import MariaDb
from db import sync_runs
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import enrolments, imports, offerings, rolls, sessions, users
from db.tables import runs as run_table
from db.tables import tenants as tenant_table
from remote.sources.base import BadSource
from remote.sources.registry import open_source
from tests.integration.academic_rig import academic, with_user
from tests.integration.campus_rig import MONDAY, TERM, aggregate, count, read_in, with_tenant, write
from tests.integration.drain_rig import World
from tests.unit.test_itc2019 import place
from usecases import tasks, tenants
from usecases.deps import Deps
from usecases.sync import runs, sources

pytestmark = pytest.mark.integration

PASSWORD = "s3cret-w0rd"


@pytest.fixture
def deps(here: World) -> Deps:
    """What a worker has, with a key to encrypt with."""
    with_tenant(here.deps.engine)
    key = base64.b64encode(bytes(32)).decode()
    return dataclasses.replace(here.deps, tenant="main", encryption_keys=f"k:{key}")


def carry_out(deps: Deps, run_id: str, task_id: str) -> str:
    """Work on a run as a worker would; the state it ends in."""
    task = tasks.claim(deps, task_id, claim=secrets.token_hex(16))
    assert task is not None
    runs.advance(deps, task)
    with reading(deps.engine) as tx:
        row = sync_runs.get(tx, run_id, tenant=deps.tenant)
        assert row is not None
        return f"{row.state} {row.error or ''}".strip()


def everything_stored(engine: Engine) -> str:
    with reading(engine) as tx:
        texts = [
            *tx.scalars(select(run_table.c.scope)),
            *tx.scalars(select(tenant_table.c.settings)),
            *tx.scalars(select(imports.c.source)),
        ]
    return "".join(map(str, texts))


def test_a_run_over_a_database_reads_it_and_never_stores_its_password(deps: Deps, mariadb: MariaDb) -> None:
    """The tables are copied, listed and looked at by people who may not read the registry's database."""
    with academic(mariadb) as registry:
        row = {name: value for name, value in MONDAY.items() if name not in ("kcbh", "kkxy")}
        registry.insert("u_jw_kcb_cur", [row, {**row, "jc": "4", "st": "10:55", "ed": "11:40"}])
        address = with_user(registry, password=PASSWORD, grants=f"SELECT ON {registry.name}.*")
        run_id, task_id = runs.begin(deps, kind="import", source=address, remember=True)
        assert carry_out(deps, run_id, task_id) == "succeeded"
        assert count(deps.engine, sessions) == 1
        known = sources.last(deps)
        assert known is not None and known.address == address and PASSWORD not in repr(known)
    stored = everything_stored(deps.engine)
    assert PASSWORD not in stored and "reader:***@" in stored
    with reading(deps.engine) as tx:
        found = sync_runs.get(tx, run_id, tenant=deps.tenant)
        assert found is not None
        shown = sync_runs.as_dict(tx, found, now=now_ms(tx))
    assert "sealed" not in shown["scope"] and "***" in shown["scope"]["source"]
    other = dataclasses.replace(deps, encryption_keys=f"k:{base64.b64encode(bytes([7] * 32)).decode()}")
    with pytest.raises(BadSource, match="password cannot be read"):
        sources.last(other)


def test_a_mapping_stays_with_its_source(deps: Deps, tmp_path: Path) -> None:
    """`obsync sync` without arguments does the same again; another folder is read under its own names."""
    renamed = {"kkh": "no", **{name: name for name in MONDAY if name != "kkh"}}
    write(tmp_path / "one", "meetings", [{renamed[name]: value for name, value in MONDAY.items()}], renamed.values())
    write(tmp_path / "two", "meetings", [MONDAY])
    mapping = {"meetings": {"kkh": "no"}}
    first = runs.begin(deps, kind="import", source=str(tmp_path / "one"), mapping=mapping, remember=True)
    assert carry_out(deps, *first) == "succeeded"
    assert sources.choose(deps, str(tmp_path / "one"), None).mapping == mapping
    assert sources.choose(deps, str(tmp_path / "two"), None).mapping == {}
    assert carry_out(deps, *runs.begin(deps, kind="import", source=str(tmp_path / "one"))) == "succeeded"
    in_unit(deps.engine, lambda tx: sources.remember(tx, deps, sources.choose(deps, str(tmp_path / "two"), None)))
    with pytest.raises(BadSource, match="column kkh is missing"):
        runs.begin(deps, kind="import", source=str(tmp_path / "one"))


def test_the_rule_of_a_tenant_makes_its_classes(deps: Deps, tmp_path: Path) -> None:
    """Three periods with a free hour between are two classes by one rule and a morning by the other."""
    hours = ((1, "08:00", "08:45"), (2, "08:55", "09:40"), (4, "10:55", "11:40"))
    write(tmp_path / "c", "meetings", [{**MONDAY, "jc": str(jc), "st": st, "ed": ed} for jc, st, ed in hours])
    for settings, expected in (({}, 2), ({"rule": "half-day"}, 1), ({}, 1), ({"rule": "consecutive"}, 2)):
        started = runs.begin(deps, kind="import", source=str(tmp_path / "c"), settings=settings)
        assert carry_out(deps, *started) == "succeeded"
        assert count(deps.engine, sessions) == expected
    in_unit(deps.engine, lambda tx: tenants.change_settings(tx, tenant=deps.tenant, rule="weekly"))
    ended = carry_out(deps, *runs.begin(deps, kind="import", source=str(tmp_path / "c")))
    assert ended == "failed the setting rule is 'weekly'; it may be consecutive or half-day"


def test_a_source_that_cannot_be_opened_changes_no_setting(deps: Deps, tmp_path: Path) -> None:
    """A mistyped address must not become the one that is synced tomorrow."""
    before = everything_stored(deps.engine)
    with pytest.raises(BadSource):
        runs.begin(deps, kind="full", source=str(tmp_path / "x"), remember=True, settings={"rule": "half-day"})
    assert everything_stored(deps.engine) == before


def test_a_competition_term_has_its_sections_and_their_students(
    database: Engine, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """From XML to sessions and rolls; the made one stands in where the published one is not at hand."""
    engine = with_tenant(database)
    number, report = read_in(
        engine, tmp_path, source=open_source(f"itc2019:{place(tmp_path)}?term={TERM}&monday=2020-09-07")
    )
    assert aggregate(engine, number) == report.staged == 8
    assert [count(engine, table) for table in (offerings, rolls, users)] == [3, 3, 2]
    published = request.getfixturevalue("shared_data") / "itc2019-raw" / "pu-cs-fal07.xml.gz"
    source = open_source(f"itc2019:{published}?monday=2007-08-20")
    number, report = read_in(engine, tmp_path, run_id="published", source=source)
    assert aggregate(engine, number) == report.staged == report.rows_in == 3054
    with reading(engine) as tx:
        names = tx.execute(select(func.count()).where(offerings.c.term == "pu-cs-fal07")).scalar_one()
    assert names == 174
    assert count(engine, rolls, rolls.c.term == "pu-cs-fal07", rolls.c.kind == "student") == 3141
    assert count(engine, enrolments, enrolments.c.import_no == number) == 3141
    assert count(engine, users, users.c.listed) == 2002
