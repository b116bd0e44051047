"""Old and new code on one database: rows of the other's writing, and doorbells for actors that one of them does not have."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis
from sqlalchemy import update

from actors import attendance, identity, plans, schedules, sync  # noqa: F401 (kinds are known once these are imported)
from actors.job import HANDLERS
from bootstrap.broker import NAMESPACE
from bootstrap.wiring import new_id
from db import lanes
from db import tasks as task_rows
from db.engine import in_unit, reading
from db.jobs import SCHEMA_VER, Put
from db.tables import jobs
from domain.check_ins import decode
from domain.ids import key_of, marker_of
from tests.faults.checker import all_is_well
from tests.faults.processes import Processes, until
from tests.fixtures_stores import Valkey
from tests.integration.drain_rig import FIRST_MS, LANE, SECRET, TENANT, TERM, World, calendar, event
from usecases import tasks

pytestmark = pytest.mark.integration

# What version 1 wrote, word for word. Never change these lines: rows like them may wait in a database somewhere.
GOLDEN_V1 = {
    "attendance.recount": "{}",
    "calendar": '{"name": "线性代数 ·abcdefg"}',
    "checkin": (
        '{"record": "{\\"tenant\\":\\"t1\\",\\"term\\":\\"2024-2025-1\\",\\"session_id\\":\\"c1-1\\",\\"code\\":\\"S1\\",'
        '\\"client_id\\":\\"k1\\",\\"at_ms\\":1725235200000,\\"status\\":\\"NORMAL\\",\\"timing\\":\\"NORMAL\\",'
        '\\"way\\":\\"location\\",\\"rule_version\\":1,\\"reasons\\":\\"\\"}", "receipt": "v1.e30.c2ln"}'
    ),
    "event": (
        '{"summary": "线性代数", "description": "教师：鲍老师", "start_ms": 1725235200000, "end_ms": 1725240900000,'
        ' "location": "东上院101"}'
    ),
    "export.make": "{}",
    "login.wps": '{"state": "s1"}',
    "members": '{"offering": "c1", "roll": "some"}',
    "plan.make": "{}",
    "run.advance": "{}",
    "schedule.slot": '{"name": "full-sync", "slot_ms": 1725235200000, "asked": false}',
    "users": '{"codes": ["S1"]}',
    "verify": '{"repair": false, "from_ms": 1725235200000, "until_ms": 1725240900000}',
    "walk": "{}",
}


def test_there_is_a_golden_payload_of_every_kind() -> None:
    """A kind that is not kept here could change under the rows that wait for it."""
    assert SCHEMA_VER == 1, "keep the payloads of the version before, and add those of this one"
    assert set(HANDLERS) <= set(GOLDEN_V1)


def test_a_check_in_of_version_one_is_still_read() -> None:
    """One that the database refused waits as a dead letter for weeks."""
    kept = json.loads(GOLDEN_V1["checkin"])
    found = decode(kept["record"], kept["receipt"])
    assert (found.code, found.session_id, found.receipt) == ("S1", "c1-1", "v1.e30.c2ln")


def test_rows_of_version_one_are_still_carried_out(here: World) -> None:
    """A deployment finds a full queue."""
    here.enrol([("student", "S1")], "c1")
    key = {"tenant": TENANT, "term": TERM}
    marker = marker_of(SECRET, tenant=TENANT, target="evt:old", generation=0)

    def one(kind: str, target: str, group: str, **more: Any) -> Put:
        return Put(kind, target, group, key["term"], LANE, GOLDEN_V1[kind], more.pop("hash", "h"), 0, 0, **more)

    name = json.loads(GOLDEN_V1["calendar"])["name"]
    here.put(
        one("calendar", "cal:c1", "cal:c1", hash=key_of(name), name=name),
        one("event", "evt:old", "cal:c1", marker=marker),
        one("members", "mem:c1", "cal:c1"),
    )
    here.drain()
    (made,) = here.events()
    assert (made["summary"], made["locations"][0]["name"]) == ("线性代数", "东上院101")
    assert made["start_time"]["datetime"] == "2024-09-02T08:00:00+08:00"
    assert json.loads(GOLDEN_V1["event"])["start_ms"] == FIRST_MS
    assert here.readers() == {"S1": "reader"}
    here.put(one("verify", "ver:c1", "cal:c1"), one("users", "usr:1", "usr:1"))
    here.drain()
    assert {here.job(target).state for target in ("ver:c1", "usr:1")} == {"done"}


def test_old_code_leaves_the_rows_of_new_code_alone(here: World) -> None:
    """Half of the machines are new already: what they have put waits for one of them, untried and unharmed, and keeps nobody
    else waiting."""
    here.put(calendar(), event(1), event(2))
    newer = (jobs.c.target == event(2).target,)
    in_unit(here.engine, lambda tx: tx.execute(update(jobs).where(*newer).values(schema_ver=SCHEMA_VER + 1)))
    here.drain(until=lambda: here.job(event(1).target).state == "done")
    row = here.job(event(2).target)
    assert (row.state, row.attempts, row.last_error) == ("queued", 0, None)
    assert here.slice().calls == 0
    with reading(here.engine) as tx:
        assert (TENANT, LANE) not in lanes.due(tx), "its lane would be claimed for ever, for nothing"
    in_unit(here.engine, lambda tx: tx.execute(update(jobs).where(*newer).values(schema_ver=SCHEMA_VER)))
    here.drain()
    all_is_well(here)
    assert len(here.events()) == 2


def test_old_code_leaves_the_tasks_of_new_code_alone(here: World) -> None:
    """A task tried by code that does not know it would be a dead letter before the deployment is over."""
    made = {}
    for kind, version in (
        ("run.advance", SCHEMA_VER + 1),
        ("report.of.next.year", SCHEMA_VER),
        ("run.advance", SCHEMA_VER),
    ):
        asked: dict[str, Any] = {
            "queue": "sync",
            "kind": kind,
            "target": f"{kind}:{version}",
            "payload": "{}",
            "run_id": None,
        }
        made[kind, version] = in_unit(
            here.engine,
            lambda tx, asked=asked: task_rows.put_task(tx, tenant=TENANT, new_id=new_id, **asked),  # type: ignore[misc]
        )
    newer = (jobs.c.target == f"run.advance:{SCHEMA_VER + 1}",)
    in_unit(here.engine, lambda tx: tx.execute(update(jobs).where(*newer).values(schema_ver=SCHEMA_VER + 1)))
    mine = made["run.advance", SCHEMA_VER]
    assert tasks.due_tasks(here.deps, kinds=HANDLERS) == [(mine, "sync")]
    claimed = [tasks.claim(here.deps, job_id, claim="me", kinds=HANDLERS) for job_id in made.values()]
    assert [task is not None for task in claimed] == [job_id == mine for job_id in made.values()]
    others = (jobs.c.id != mine,)
    with reading(here.engine) as tx:
        assert {row.attempts for row in tx.execute(jobs.select().where(*others))} == {0}


def test_a_doorbell_for_an_actor_that_is_not_there_is_dropped(
    here: World, processes: Processes, valkey: Valkey
) -> None:
    """A renamed actor, a bell of next year's code, and one that nobody can read: the worker goes on with its work."""
    client = valkey.client()
    for n, message in enumerate(
        (_bell("ring_of_next_year"), _bell("drain_lane", args=["too", "many"]), b"not even JSON")
    ):
        _send(client, f"m{n}", message)
    worker = processes.start("lanes")
    worker.started()
    _send(client, "m9", b"\xff not even text")
    here.put(calendar(), event(1))
    until(here.at_rest, worker.said)
    until(lambda: here.lane_row().owner is None, "the lane was not given back")
    assert client.llen(f"{NAMESPACE}:lanes") == 0
    client.close()
    all_is_well(here)
    if not worker.is_alive():
        assert worker.dies() == 70, worker.said()


def _bell(actor: str, **more: Any) -> bytes:
    now = round(time.time() * 1000)
    message = {"queue_name": "lanes", "actor_name": actor, "args": [], "kwargs": {}, "options": {}, "message_id": actor}
    return json.dumps({**message, "message_timestamp": now, **more}).encode()


def _send(client: redis.Redis, message_id: str, message: bytes) -> None:
    client.hset(f"{NAMESPACE}:lanes.msgs", message_id, message)
    client.rpush(f"{NAMESPACE}:lanes", message_id)
