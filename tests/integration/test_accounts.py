"""Looking people up: everybody without an account is asked for, however many they are."""

from __future__ import annotations

import dataclasses
import json
import secrets

import pytest
from sqlalchemy import insert, select

from db import sync_runs
from db import tasks as task_rows
from db.engine import in_unit, reading
from db.tables import jobs as job_table
from db.tables import users
from tests.integration.campus_rig import with_tenant
from tests.integration.drain_rig import World
from usecases import tasks
from usecases.deps import Deps
from usecases.sync import runs
from usecases.sync.stages import users as stage

pytestmark = pytest.mark.integration

PEOPLE = 11


@pytest.fixture
def deps(here: World) -> Deps:
    """Eleven people without an account, one with; and a run that has come to its stage of looking them up."""
    engine = with_tenant(here.engine)
    deps = dataclasses.replace(here.deps, tenant="main")
    key = {"tenant_id": "main", "name": "", "college": "", "listed": True, "import_no": 1}
    people = [{**key, "kind": "student", "code": f"s{n:02d}", "wps_id": None} for n in range(PEOPLE)]
    people.append({**key, "kind": "student", "code": "known", "wps_id": "w"})
    in_unit(engine, lambda tx: tx.execute(insert(users), people))
    stages = (("users", "accounts"), ("finish", "report"))
    in_unit(
        engine,
        lambda tx: sync_runs.begin(
            tx, tenant="main", run_id="run", kind="full", scope={}, mutex="timetable", stages=stages
        ),
    )
    in_unit(engine, lambda tx: sync_runs.change_run(tx, "run", tenant="main", import_no=1))
    return deps


def asked_for(deps: Deps) -> list[list[str]]:
    with reading(deps.engine) as tx:
        found = tx.execute(select(job_table.c.payload).where(job_table.c.kind == "users").order_by(job_table.c.id))
        return sorted(json.loads(one)["codes"] for one in found.scalars())


def go_on(deps: Deps) -> None:
    """What a worker does until the run waits for the lanes."""
    task_id = in_unit(
        deps.engine,
        lambda tx: task_rows.put_task(
            tx, tenant="main", queue=runs.QUEUE, kind=runs.KIND, target="run", payload="{}", run_id="run",
            new_id=deps.new_id,
        ),
    )  # fmt: skip
    task = tasks.claim(deps, task_id, claim=secrets.token_hex(16))
    assert task is not None
    runs.advance(deps, task)


def test_everybody_is_asked_for_page_by_page(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty thousand first-years are not read into memory at once, and the last of them is not forgotten."""
    monkeypatch.setattr(stage, "_PAGE", 4)
    monkeypatch.setattr(stage, "USERS_PER_CALL", 2)
    go_on(deps)
    assert [code for codes in asked_for(deps) for code in codes] == [f"s{n:02d}" for n in range(PEOPLE)]
    with reading(deps.engine) as tx:
        (row, _) = sync_runs.stages_of(tx, "run")
    assert (row.cursor, row.total) == ("asked", 6)


def test_a_run_that_died_while_it_asked_goes_on_after_the_page_it_had_stored(deps: Deps) -> None:
    """Nobody is asked for twice: each look-up is a call that others wait for."""
    in_unit(
        deps.engine,
        lambda tx: sync_runs.change_stage(tx, "run", 0, state="running", cursor="after:s07", total=4),
    )
    go_on(deps)
    assert asked_for(deps) == [["s08", "s09", "s10"]]
