"""What leaves for Sentry: that something broke, where, and for whose request; nothing that anybody said."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import sentry_sdk
import structlog

from actors import context, job
from db import tasks
from db.engine import in_unit
from observability import log, sentry
from observability.tracing import Origin, continued, origin
from tests.integration.api_rig import HOME, Api, SignedNames
from tests.integration.drain_rig import TENANT, World
from web.app import create_app
from web.policy import needs_some
from web.routes import Feature
from web.schemas.base import In, Out

pytestmark = pytest.mark.integration

# On SQLite alone: nothing here is about the database.
ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@dataclass
class Receiver:
    """A server that takes what the SDK sends."""

    dsn: str = ""
    bodies: list[bytes] = field(default_factory=list)

    def events(self) -> list[dict[str, Any]]:
        """The events that have come so far."""
        sentry_sdk.flush(timeout=60)
        found = []
        for body in self.bodies:
            lines = body.split(b"\n")
            for head, said in zip(lines[1::2], lines[2::2], strict=False):
                if json.loads(head).get("type") == "event":
                    found.append(json.loads(said))
        return found

    def everything(self) -> str:
        """All bytes that have come, as text."""
        return b"\n".join(self.bodies).decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Sentry, told by this process."""
    got = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    got.dsn = f"http://public@127.0.0.1:{server.server_address[1]}/1"
    log.configure("INFO", pretty=False, service="web")
    sentry.start(got.dsn, service="web", release="7")
    yield got
    sentry_sdk.get_client().close(timeout=5)
    sentry_sdk.get_global_scope().set_client(None)
    sentry.start("", service="", release="")
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    server.shutdown()
    server.server_close()


PLANTED = {
    "header": "Planted-In-A-Header-1",
    "cookie": "Planted-In-A-Cookie-2",
    "body": "王小明的住址在东区三号楼",
    "query": "Planted-In-The-Query-3",
    "path": "Planted-In-The-Path-4",
    "local": "Planted-In-A-Local-5",
    "cause": "Planted-In-The-Cause-6",
    "agent": "Planted-In-The-Agent-7",
}

breaking = Feature("breaking", "of a test")


class Said(In):
    """Anything."""

    note: str


class Where(In):
    """Anything."""

    thing: str


class Nothing(Out):
    """Nothing."""


@breaking.post("/breaking/<thing>", needs_some("run.start"), data=Nothing)
def break_down(path: Where, body: Said) -> Nothing:
    """Fail with all that is known in the message."""
    local = PLANTED["local"]
    try:
        raise KeyError(PLANTED["cause"])
    except KeyError as error:
        raise ValueError(f"cannot do {body.note} with {path.thing} and {local}") from error


@ONE
def test_what_somebody_sent_does_not_leave_with_a_broken_request(api: Api, receiver: Receiver) -> None:
    """Sentry is somebody else's machine: a name in an exception's message is as bad there as a password."""
    client = create_app(api.deps, api.settings, SignedNames(), features=[breaking]).test_client()
    client.set_cookie("session", PLANTED["cookie"])
    token = api.person("ada").get("/api/v1/lanes").request.headers["Authorization"]
    answer = client.post(
        f"/api/v1/breaking/{PLANTED['path']}?why={PLANTED['query']}",
        json={"note": PLANTED["body"]},
        headers={"Authorization": token, "X-Secret": PLANTED["header"], "User-Agent": PLANTED["agent"],
                 "X-Request-ID": "desk-7"},
    )  # fmt: skip
    assert answer.status_code == 500
    (event,) = receiver.events()
    everything = receiver.everything()
    for where, secret in {**PLANTED, "token": token.partition(" ")[2]}.items():
        assert secret not in everything, where
        assert json.dumps(secret)[1:-1] not in everything, where
    assert [one["type"] for one in event["exception"]["values"]] == ["KeyError", "ValueError"]
    frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
    assert frames[-1]["function"] == "break_down", "where it broke is told"
    assert event["tags"]["request_id"] == "desk-7"
    assert (event["tags"]["tenant"], event["tags"]["service"]) == (HOME, "web")
    assert (event["tags"]["method"], event["tags"]["route"]) == ("POST", "/api/v1/breaking/<thing>")
    assert event["contexts"]["trace"]["trace_id"] == event["tags"]["trace_id"]
    assert event["release"] == "obsync@7"
    assert "ada" not in json.dumps([event.get("user"), event["tags"]])


@ONE
def test_a_broken_task_is_told_with_its_actor_and_the_request_it_came_by(here: World, receiver: Receiver) -> None:
    """The traceback of a worker alone does not say who waits for it."""
    secret = "13800138000 王小明"

    def broken(_deps: Any, task: Any) -> None:
        said = json.loads(task.payload)["note"]
        raise RuntimeError(f"no room for {said}")

    def put(tx: Any) -> str:
        mine = {
            "queue": "sync",
            "kind": "of a test",
            "target": "x",
            "payload": json.dumps({"note": secret}),
            "run_id": None,
        }
        return tasks.put_task(tx, tenant=TENANT, new_id=here.deps.new_id, **mine)  # type: ignore[arg-type]

    with continued(Origin("desk-8"), otherwise="-"):
        job_id, trace = in_unit(here.engine, put), (origin().trace or "")[3:35]
    context.bind(context.Context(here.deps, here.holdings, here.executor, lambda: 1))
    job.HANDLERS["of a test"] = broken
    try:
        job.run_task(job_id)
    finally:
        del job.HANDLERS["of a test"]
    (event,) = receiver.events()
    tags = event["tags"]
    assert (tags["actor"], tags["request_id"], tags["tenant"], tags["job_id"]) == (
        "of a test",
        "desk-8",
        TENANT,
        job_id,
    )
    assert tags["trace_id"] == trace
    for part in (secret, *secret.split()):
        assert part not in receiver.everything()
        assert json.dumps(part)[1:-1] not in receiver.everything()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_end_of_a_thread_is_told_and_an_expected_failure_is_not(receiver: Receiver) -> None:
    """A keeper that dies takes its process with it; a database that is away is no defect of ours."""

    def dies() -> None:
        raise RuntimeError("Planted-In-A-Thread")

    thread = threading.Thread(target=dies, name="keeper")
    thread.start()
    thread.join()
    log.get_logger("jobs").error("jobs.database", reason="away")
    logging.getLogger("dramatiq").error("Planted-In-A-Message")
    (event,) = receiver.events()
    assert event["exception"]["values"][0]["type"] == "RuntimeError"
    assert event["exception"]["values"][0]["mechanism"]["type"] == "threading"
    assert "Planted" not in receiver.everything()


def test_without_a_dsn_nothing_is_told() -> None:
    """A school that wants no such service has none."""
    handlers = list(logging.getLogger().handlers)
    sentry.start("", service="web", release="7")
    assert logging.getLogger().handlers == handlers
    assert not sentry_sdk.get_client().is_active()
