"""One request can be followed: from its line in the web's log through rows and workers to the calls that came of it."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import select, update

from actors import context, job, sync
from bootstrap.settings import Settings
from db import sync_runs
from db.check_in_stream import Entry
from db.engine import in_unit, reading
from db.tables import audit, jobs, runs, tenants
from domain.check_ins import CheckIn
from domain.tenancy import Role, Scope
from observability import log, tracing
from tests.fixtures_stores import Valkey
from tests.integration.api_bell_rig import bell
from tests.integration.api_rig import HOME, Api
from tests.integration.campus_rig import TERM
from tests.integration.drain_rig import World
from tests.integration.run_rig import registry
from usecases.tasks import claim
from web.app import create_app
from web.site import NAME
from workers.batcher import Batcher

pytestmark = pytest.mark.integration

REQUEST, TRACE = "desk-4711", "4bf92f3577b34da6a3ce929d0e0e4736"


class EverybodyIsAda:
    """The administrator of the school `main`."""

    def scope_of(self, authorization_header: str | None, api_key: str | None) -> Scope:
        return Scope.of("main", "ada", [Role.ADMIN])


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """The log of everything in this process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    log.configure("DEBUG", pretty=False, out=out, service="test")
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(written: io.StringIO, event: str) -> list[dict[str, Any]]:
    """The records of one event."""
    found = (json.loads(line) for line in written.getvalue().splitlines() if f'"event": "{event}"' in line)
    return [one for one in found if one["event"] == event]


# On SQLite alone: what is followed here are values in columns that both databases have.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_one_request_is_followed_from_the_web_to_the_last_call(
    here: World, settings: Settings, valkey: Valkey, tmp_path: Path, written: io.StringIO
) -> None:
    """Somebody says "my sync does nothing, request desk-4711": that one word finds all that was done for it."""
    campus = registry(here, tmp_path / "campus")
    campus.publish("代数")
    assert campus.sync()["state"] == "succeeded"
    campus.publish("代数", "几何")
    before = len(here.log())
    in_unit(
        here.engine, lambda tx: tx.execute(update(tenants).values(settings=json.dumps({"source": str(campus.folder)})))
    )
    rung: list[str] = []
    deps = replace(campus.deps, ring=rung.append)
    chosen = replace(settings, broker_url=valkey.url, cache_url=valkey.url_of(1), tenant="main")
    client = create_app(deps, chosen, EverybodyIsAda()).test_client()
    headers = {"X-Request-ID": REQUEST, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-API-Key": "x"}
    response = client.post("/api/v1/sync/courses", json={"scope": {"terms": [TERM]}}, headers=headers)
    assert response.status_code == 202, response.get_json()
    run_id = response.get_json()["data"]["id"]

    context.bind(context.Context(deps, here.holdings, here.executor, lambda: 10))
    assert sync.runs.KIND in job.HANDLERS
    give_up = time.monotonic() + 120
    while campus.look(run_id)["state"] not in sync_runs.ENDED:
        assert time.monotonic() < give_up, campus.look(run_id)
        job.run_task(rung[0])
        campus.drain()
        time.sleep(0.02)

    (answered,) = lines(written, "request")
    assert (answered["request_id"], answered["trace_id"]) == (REQUEST, TRACE)
    assert (answered["tenant"], answered["user"], answered["service"]) == ("main", "ada", "test")
    assert answered["took_ms"] >= 0
    (ended,) = [one for one in lines(written, "run.ended") if one["run_id"] == run_id]
    assert (ended["request_id"], ended["trace_id"], ended["actor"]) == (REQUEST, TRACE, "run.advance")
    calls = [one for one in lines(written, "wps.call") if one["run_id"] == run_id]
    assert calls
    assert {(one["request_id"], one["trace_id"], one["run_id"]) for one in calls} == {(REQUEST, TRACE, run_id)}
    assert len({one["span_id"] for one in [answered, *calls]}) > 1, "each has a span of its own"
    seen = {one["request"] for one in here.log()[before:] if one["lane"]}
    assert seen == {REQUEST}, "the simulator was told"
    with reading(here.engine) as tx:
        acts = tx.execute(select(audit.c.request).where(audit.c.thing == run_id)).scalars().all()
        row = tx.execute(select(runs.c.request, runs.c.trace).where(runs.c.id == run_id)).one()
    assert set(acts) == {REQUEST}
    assert (row.request, row.trace[3:35]) == (REQUEST, TRACE)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_work_that_no_request_asked_for_is_followed_by_its_own_id(here: World, written: io.StringIO) -> None:
    """What a schedule starts breaks too, and has to be found."""
    from db import tasks

    campus = registry(here, here.deps.data_dir)
    mine = {"queue": "sync", "kind": "of a test", "target": "x", "payload": "{}", "run_id": None}
    job_id = in_unit(
        here.engine,
        lambda tx: tasks.put_task(tx, tenant="main", new_id=here.deps.new_id, **mine),  # type: ignore[arg-type]
    )

    def broken(_deps: Any, _task: Any) -> None:
        raise ValueError("broken")

    context.bind(context.Context(campus.deps, here.holdings, here.executor, lambda: 1))
    job.HANDLERS["of a test"] = broken
    try:
        job.run_task(job_id)
    finally:
        del job.HANDLERS["of a test"]
    (said,) = lines(written, "jobs.broke")
    assert (said["request_id"], said["actor"], said["error"]) == (job_id, "of a test", "ValueError")
    assert claim(campus.deps, job_id, claim="c", kinds=["of a test"]) is None, "it waits for its next try"


@pytest.mark.parametrize(
    "said",
    [None, "", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-00f067aa0ba902b7-01"],
)  # fmt: skip
def test_a_trace_that_is_none_is_not_taken_over(said: str | None) -> None:
    """What comes from outside goes into rows and headers: only what has the standard's form does."""
    found = tracing.new_ids(said)["trace_id"]
    assert (len(found), found != TRACE) == (32, True)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_check_in_is_followed_through_the_stream_to_the_writer_and_its_dead_letter(
    api: Api, written: io.StringIO
) -> None:
    """ "I have a receipt, and am absent": the request id of the receipt's answer finds what the writer did with it."""
    here, mei = bell(api), api.person("mei")
    headers = {"X_Request_ID": REQUEST, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    assert mei.post("/api/v1/checkin", here.asked(), **headers).status_code == 201
    here.drain()
    (said,) = lines(written, "checkin.written")
    assert (said["request_id"], said["trace_id"], said["session"]) == (REQUEST, TRACE, here.session_ids[0])
    origin = f"{REQUEST} 00-{TRACE}-00f067aa0ba902b7-01"
    bad = CheckIn(HOME, TERM, "s", "mei", "k", "r", 1, "NORMAL", "NORMAL", "location", 0, origin=origin)
    entry = Entry(0, "1-1", "", bad)
    stream = api.app.extensions[NAME].stream
    Batcher(api.engine, stream, tenant=HOME, new_id=api.deps.new_id)._bury([(entry, "too long")])
    (died,) = lines(written, "checkins.dead_letter")
    with reading(api.engine) as tx:
        row = tx.execute(select(jobs.c.request, jobs.c.trace).where(jobs.c.kind == "checkin")).one()
    assert (died["request_id"], died["trace_id"]) == (row.request, row.trace[3:35]) == (REQUEST, TRACE)


@pytest.mark.parametrize("said", [None, "", "a b c", "desk-4711 nonsense", "x" * 500])
def test_an_origin_that_cannot_be_read_is_none(said: str | None) -> None:
    """A record of a version that wrote nothing there, or of somebody who reached the stream."""
    assert tracing.read(said).trace is None
