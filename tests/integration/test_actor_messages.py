"""Messages of queues: whatever stands in them, a worker does what rows say, each in the school of its row."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

import dramatiq
import pytest
from sqlalchemy import Connection, Engine, insert, select

import actors.attendance
import actors.exports
import actors.identity
import actors.lanes
import actors.plans
import actors.schedules
import actors.sync  # noqa: F401 (they register what is looked at here)
from actors import queues
from actors.context import Context, bind
from actors.job import HANDLERS, run_task
from db import tasks as rows
from db.engine import in_unit, reading, unit
from db.tables import metadata, tenants
from tests.integration.identity_rig import deps_of
from usecases.deps import Deps
from usecases.tasks import Task

pytestmark = pytest.mark.integration

ACTORS: Final = {
    "sync_task": "an id; school, kind and payload are those of its row",
    "drain_lane": "nothing; which lane it is, is asked of the database",
    "tick": "nothing; what is due, is asked of the database",
}
"""Every actor, and what it takes from a message. An actor that is not here does as it is told by whoever reaches Redis."""

KINDS: Final = {
    "attendance.recount": "the recount that the row names, of its school",
    "checkin": "the check-in of the row, in its school",
    "export.make": "the file that the row names, of its school",
    "run.advance": "the run that the row names, of its school",
    "schedule.slot": "the slot that the row names, of its school",
    "login.wps": "the state that the row names, of its school",
    "plan.make": "the plan that the row names, of its school",
}
"""Every kind of task."""

CRAFTED: Final[tuple[Any, ...]] = (
    "", "nobody's", "*", "%", "' OR 1=1 --", "x' UNION SELECT id FROM jobs --", "../../etc/passwd", "\x00", "0", "k" * 10_000,
    0, -1, 1.5, True, None, [], ["a"], {"$ne": ""}, b"\x80\x04K\x01.",
)  # fmt: skip


@pytest.fixture
def seen(database: Engine) -> Iterator[list[tuple[str, str, str]]]:
    """What a handler of kind `probe` was given: (school of the row, school and zone it works in)."""
    found: list[tuple[str, str, str]] = []
    lock = threading.Lock()

    def handle(deps: Deps, task: Task) -> None:
        with lock:
            found.append((task.tenant, deps.tenant, deps.zone.key))
        in_unit(deps.engine, lambda tx: rows.finish_task(tx, task))

    nothing = cast(Any, None)
    deps = replace(deps_of(database), tenant="t0", zone=ZoneInfo("Asia/Shanghai"))
    bind(Context(deps, holdings=nothing, executor=nothing, cap=lambda: 1))
    HANDLERS["probe"] = handle
    yield found
    del HANDLERS["probe"]


def ask(engine: Engine, tenant: str, target: str) -> str:
    """The id of a task of a school."""
    asked = {"queue": "sync", "kind": "probe", "target": target, "payload": "{}", "run_id": None}
    new_id = deps_of(engine).new_id
    return in_unit(engine, lambda tx: rows.put_task(tx, tenant=tenant, new_id=new_id, **asked))


def everything(engine: Engine) -> dict[str, list[Any]]:
    """Every row there is."""
    with reading(engine) as tx:
        return {one.name: [tuple(row) for row in tx.execute(select(one))] for one in metadata.sorted_tables}


def test_every_actor_and_every_kind_of_task_says_what_it_takes_from_a_message() -> None:
    """Nobody adds one without deciding whose word it takes."""
    broker = dramatiq.get_broker()
    ours = [broker.get_actor(name) for name in broker.get_declared_actors()]
    ours = [one for one in ours if one.fn.__module__.startswith("actors.")]
    assert {one.actor_name for one in ours} == set(ACTORS)
    assert {one.queue_name for one in ours} == set(queues.ALL)
    assert {kind for kind, does in HANDLERS.items() if does.__module__.startswith("actors.")} == set(KINDS)


def test_a_crafted_message_changes_nothing(database: Engine, seen: list[Any]) -> None:
    """Whoever reaches the queue can wake a worker, and nothing more."""
    ask(database, "t1", "there")
    before = everything(database)
    for said in CRAFTED:
        run_task(said)
    assert everything(database) == before
    assert seen == []


def test_each_task_is_done_in_the_school_of_its_row(database: Engine, seen: list[tuple[str, str, str]]) -> None:
    """A thread works for one school after the other: what it keeps of the last one would end in the next one's calendars."""
    zones = ("Asia/Shanghai", "Asia/Urumqi", "Europe/Berlin", "UTC")
    schools = [f"t{number}" for number in range(20)]
    with unit(database) as tx:
        _open(tx, {name: zones[number % 4] for number, name in enumerate(schools)})
    asked = [ask(database, schools[number % 20], f"x{number}") for number in range(100)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run_task, asked))
    assert len(seen) == 100
    assert {(theirs, given, zone) for theirs, given, zone in seen} == {
        (name, name, zones[number % 4]) for number, name in enumerate(schools)
    }


def _open(tx: Connection, zones: dict[str, str]) -> None:
    same = {"settings": "{}", "wps_app_id": "", "wps_app_key": "", "last_import_no": 0, "created_ms": 0}
    tx.execute(insert(tenants), [{"id": name, "zone": zone, **same} for name, zone in zones.items()])
