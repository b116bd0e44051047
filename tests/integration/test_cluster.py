"""The installation as a whole: who lives, what waits, and what people tell processes and queues."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, select, update

from actors import context, job, queues
from bootstrap import addresses
from bootstrap.settings import Settings
from bootstrap.wiring import new_id
from db import paused_queues, tasks
from db.clock import now_ms
from db.engine import in_unit, make_engine, reading
from db.processes import Process, beat, counts_by_kind
from db.tables import audit, jobs, processes, throughput
from domain import cluster
from observability import activity, metrics
from tests.fixtures_stores import Valkey
from tests.integration.api_rig import HOME, MATHS, Api
from tests.integration.drain_rig import LANE, TENANT, World, calendar, event
from tests.integration.things_rig import lane, process
from usecases import schedules
from usecases.heartbeat import Heartbeat, put_away
from usecases.queues import PausedQueues
from usecases.sync.draining import drain_lanes
from workers.cli import main
from workers.cli.migrate import prepare_database

pytestmark = pytest.mark.integration


def until(true: Callable[[], object], what: Callable[[], str], *, within_s: float = 90) -> None:
    """Wait for something that another process does."""
    give_up = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up, what()
        time.sleep(0.05)


def rows(engine: Engine) -> list[Any]:
    with reading(engine) as tx:
        return list(tx.execute(select(processes).order_by(processes.c.id)))


def age(engine: Engine, process_id: str, ms: int) -> None:
    """The process has not been heard of for so long."""
    older = update(processes).where(processes.c.id == process_id).values(beat_ms=processes.c.beat_ms - ms)
    in_unit(engine, lambda tx: tx.execute(older))


# --- heartbeats ---------------------------------------------------------------------------------------------------------


def test_a_process_that_is_not_heard_of_is_shown_as_silent(api: Api) -> None:
    """Dead, frozen or cut off: whoever looks must not take it for one that works."""
    quiet, loud = process(api), process(api)
    age(api.engine, quiet, cluster.SILENT_MS + 60_000)
    with activity.doing("run.advance", "r1"):
        shown = api.person("zoe").get("/api/v1/cluster").get_json()["data"]
    assert {one["id"]: one["state"] for one in shown["processes"]} == {quiet: "silent", loud: "running"}
    one = next(one for one in shown["processes"] if one["id"] == loud)
    assert (one["kind"], one["host"], one["pid"], one["queues"]) == ("jobs", "host-1", 4711, ["sync", "tick"])


def test_a_beat_tells_what_its_process_does(database: Engine) -> None:
    """Who wants to stop a machine sees first what would be interrupted."""
    heart = Heartbeat(database, kind="jobs", version="7", new_id=new_id, doing=lambda: {"holds": ["t1/数学"]})
    with activity.doing("run.advance", "r1"):
        heart.beat()
    (row,) = rows(database)
    doing = json.loads(row.doing)
    assert (row.kind, row.version, row.state) == ("jobs", "7", "running")
    assert [(one["what"], one["id"]) for one in doing["now"]] == [("run.advance", "r1")]
    assert doing["holds"] == ["t1/数学"]
    assert doing["pool"][1] > 0


def test_counts_outlive_their_process_and_are_counted_once(database: Engine) -> None:
    """A sum that falls looks to Prometheus like a restart, and one counted twice like twice the load."""
    heart = Heartbeat(database, kind="web", version="", new_id=new_id)

    def total() -> float:
        with reading(database) as tx:
            found: float = counts_by_kind(tx, metrics.add_up)["web"]["obsync_lane_slices_total"]["of a test"]
        return found

    metrics.LANE_SLICES.add("of a test", by=3)
    heart.beat()
    before = total()
    age(database, heart.process.id, cluster.GONE_MS + 60_000)
    assert put_away(database) == 1
    assert put_away(database) == 0
    assert total() == before
    metrics.LANE_SLICES.add("of a test", by=2)
    heart.beat()  # it was only frozen
    heart.beat()
    assert total() == before + 2
    heart.stop()
    assert put_away(database) == 1
    assert total() == before + 2


# --- telling ------------------------------------------------------------------------------------------------------------


def test_a_platform_administrator_drains_and_pauses_and_it_is_written_down(api: Api) -> None:
    """A school's administrator does not stop what serves every school."""
    worker, ada, zoe = process(api), api.person("ada"), api.person("zoe")
    path = f"/api/v1/cluster/processes/{worker}/drain"
    assert ada.post(path).status_code == 403
    assert [zoe.post(path).get_json()["data"]["already"] for _ in range(2)] == [False, True]
    assert zoe.get("/api/v1/cluster").get_json()["data"]["processes"][0]["state"] == "draining"
    assert zoe.post("/api/v1/cluster/processes/nobody/drain").status_code == 404
    assert zoe.post("/api/v1/cluster/queues/no-such/pause").status_code == 404
    told = [zoe.post("/api/v1/cluster/queues/sync/pause").get_json()["data"] for _ in range(2)]
    assert [one["already"] for one in told] == [False, True]
    shown = {one["queue"]: one for one in zoe.get("/api/v1/cluster").get_json()["data"]["queues"]}
    assert (shown["sync"]["paused"], shown["sync"]["pausedBy"], shown["tick"]["paused"]) == (True, "user:zoe", False)
    ready = api.person(None).get("/readyz")
    assert (ready.status_code, ready.get_json()["data"]["parts"]["queues"]["reason"]) == (200, "sync is paused")
    assert zoe.post("/api/v1/cluster/queues/sync/resume").get_json()["data"]["already"] is False
    assert api.person(None).get("/readyz").get_json()["data"]["parts"]["queues"]["state"] == "ok"
    with reading(api.engine) as tx:
        mine = select(audit.c.action).where(audit.c.tenant_id == HOME, audit.c.actor == "user:zoe")
        acts = tx.execute(mine.order_by(audit.c.at_ms, audit.c.id)).scalars().all()
    assert acts == ["process.drain", "queue.pause", "queue.resume"]


def test_a_web_process_is_not_drained_from_inside(api: Api) -> None:
    """It would be started again at once, and nobody would be told."""
    web = Heartbeat(api.engine, kind="web", version="", new_id=new_id)
    web.beat()
    refused = api.person("zoe").post(f"/api/v1/cluster/processes/{web.process.id}/drain")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "DRAIN_REFUSED"), refused.get_json()


def test_lanes_are_shown_with_what_waits_and_a_range(api: Api) -> None:
    """A promise is a range, and without anything sent of late there is none."""
    lane(api, "own")
    row = {"tenant_id": HOME, "lane": MATHS, "kind": "event", "group_id": "cal:1", "term": "t", "payload": "{}"}
    row |= {"desired_hash": "h", "schema_ver": 1, "rev": 1, "import_no": 1, "tier": 0, "priority": 0, "state": "queued"}
    row |= {"run_at": 1, "attempts": 0, "created_ms": 1}
    many = [{**row, "id": f"j{n}", "target": f"e{n}", "open_key": f"e{n}"} for n in range(3)]
    in_unit(api.engine, lambda tx: tx.execute(jobs.insert(), many))
    zoe = api.person("zoe")
    (one,) = zoe.get("/api/v1/cluster").get_json()["data"]["lanes"]
    assert (one["tenant"], one["lane"], one["pending"], one["owner"], one["etaMs"]) == (HOME, MATHS, 3, None, None)

    def works(tx: Any) -> None:
        doing = {"holds": [f"{HOME}/{MATHS}"], "lanes": {f"{HOME}/{MATHS}": 40}}
        worker = Process("lanes-1", "lanes", "host-2", 7, "", ("lanes",), 1)
        beat(tx, worker, state="running", doing=doing, counts={})
        samples = [
            {"tenant_id": HOME, "run_id": "r", "at_ms": now_ms(tx) - 60_000 * n, "closed": 1000 - 40 * n}
            for n in range(5)
        ]
        tx.execute(throughput.insert(), samples)

    in_unit(api.engine, works)
    (one,) = zoe.get("/api/v1/cluster").get_json()["data"]["lanes"]
    assert (one["owner"], one["perMin"]) == ("lanes@host-2:7", 40)
    assert 0 <= one["etaMs"][0] < one["etaMs"][1]


# --- obeying ------------------------------------------------------------------------------------------------------------


def test_nothing_is_begun_of_a_queue_that_is_paused(here: World) -> None:
    """Kept in the database: what happens to Redis meanwhile lets nothing go."""
    here.put(calendar(), event(1))
    paused = PausedQueues(here.engine)
    in_unit(here.engine, lambda tx: [paused_queues.pause(tx, one, actor="zoe") for one in (queues.LANES, queues.SYNC)])
    mine = {"queue": "sync", "kind": "of a test", "target": "x", "payload": "{}", "run_id": None}
    job_id = in_unit(here.engine, lambda tx: tasks.put_task(tx, tenant=TENANT, new_id=new_id, **mine))  # type: ignore[arg-type]
    done: list[str] = []
    deps = replace(here.deps, paused=paused)
    context.bind(context.Context(deps, here.holdings, here.executor, lambda: 10))
    job.HANDLERS["of a test"] = lambda _deps, task: done.append(task.id)
    try:
        paused.refresh()
        job.run_task(job_id)
        here.deps.hints.mark([(TENANT, LANE)])
        assert drain_lanes(deps, here.holdings, here.executor, cap=lambda: 10) == 0
        assert (done, here.log("/calendars")) == ([], [])
        in_unit(here.engine, lambda tx: [paused_queues.resume(tx, one) for one in queues.ALL])
        paused.refresh()
        job.run_task(job_id)
        assert drain_lanes(deps, here.holdings, here.executor, cap=lambda: 10) > 0
        assert done == [job_id]
    finally:
        del job.HANDLERS["of a test"]


@pytest.fixture
def worker(settings: Settings, data_dir: Path, valkey: Valkey) -> Iterator[tuple[Settings, subprocess.Popen[bytes]]]:
    """A `jobs` process. On SQLite alone: what is looked at is the process."""
    chosen = replace(
        settings,
        broker_url=valkey.url,
        cache_url=valkey.url_of(1),
        database_url=addresses.sqlite_url(data_dir / "obsync.db"),
    )
    prepare_database(chosen)
    command = [sys.executable, "-P", "-c", "from workers.cli import main; main()", "worker", "jobs"]
    with (data_dir / "jobs.log").open("wb") as log:
        running = subprocess.Popen(command, env=chosen.child_env(), stderr=log, stdout=log, start_new_session=True)
    try:
        yield chosen, running
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()


def test_a_worker_obeys_pauses_within_seconds_and_ends_when_it_is_drained(
    worker: tuple[Settings, subprocess.Popen[bytes]], data_dir: Path, valkey: Valkey
) -> None:
    """A deployment takes a machine out of service without losing a step, and its supervisor sees a clean end."""
    settings, running = worker
    engine = make_engine(settings.database_url)
    environ = settings.child_env()

    def said() -> str:
        return (data_dir / "jobs.log").read_text(encoding="utf-8")[-3000:]

    def obsync(*words: str) -> Any:
        done = CliRunner().invoke(main, [*words, "--json"], env=environ)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout.strip().splitlines()[-1])

    assert obsync("cluster", "pause", "sync") == {"queue": "sync", "paused": True, "already": False}
    until(lambda: rows(engine), said)
    (shown,) = obsync("cluster")["items"]
    assert (shown["kind"], shown["pid"], shown["state"]) == ("jobs", running.pid, "running")
    mine = {"queue": "sync", "kind": schedules.KIND, "target": "none", "payload": "{}", "run_id": None}
    job_id = in_unit(engine, lambda tx: tasks.put_task(tx, tenant=settings.tenant, new_id=new_id, **mine))  # type: ignore[arg-type]

    def attempts() -> int:
        with reading(engine) as tx:
            return int(tx.execute(select(jobs.c.attempts).where(jobs.c.id == job_id)).scalar_one())

    valkey.client().flushall()
    beats = rows(engine)[0].beat_ms
    until(lambda: rows(engine)[0].beat_ms > beats + 2 * cluster.BEAT_MS, said)
    assert attempts() == 0, "a flushed Redis lets nothing go"
    obsync("cluster", "resume", "sync")
    until(lambda: attempts() > 0, said)
    assert obsync("cluster", "drain", shown["id"])["already"] is False
    assert running.wait(timeout=90) == 0, said()
    (row,) = rows(engine)
    assert row.state == "ended"
    assert obsync("cluster")["items"] == []
    engine.dispose()
