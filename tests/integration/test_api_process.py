"""The process `web` as it is deployed: Granian in front of the application, over real sockets."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bootstrap import addresses
from bootstrap.settings import Settings
from tests.fixtures_stores import Valkey
from tests.integration.api_rig import ALWAYS
from workers.cli.migrate import prepare_database
from workers.ports import claim_port

_PATIENCE_S = 60


@pytest.fixture
def served(settings: Settings, data_dir: Path, valkey: Valkey) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a running process. On SQLite alone: what is looked at here is in front of any SQL."""
    port, claim = claim_port(0)
    chosen = replace(
        settings,
        http_bind=f"127.0.0.1:{port}",
        web_threads=2,
        broker_url=valkey.url,
        cache_url=valkey.url_of(1),
        database_url=addresses.sqlite_url(data_dir / "obsync.db"),
    )
    prepare_database(chosen)
    command = [sys.executable, "-P", "-c", "from workers.cli import main; main()", "worker", "web"]
    with (data_dir / "web.log").open("wb") as log:
        process = subprocess.Popen(command, env=chosen.child_env(), stderr=log, stdout=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _await(address, process, data_dir / "web.log")
        yield address, process
    finally:
        claim.close()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        with suppress(httpx.TransportError):
            if httpx.get(f"{address}/healthz", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8"))


def test_a_served_application_keeps_its_promises(served: tuple[str, subprocess.Popen[bytes]], data_dir: Path) -> None:
    """Headers, envelopes and limits are the application's own, whatever stands in front; and a stop is clean."""
    address, process = served
    with httpx.Client(base_url=address, timeout=20) as client:
        ready = client.get("/readyz")
        assert ready.json()["data"]["parts"]["database"]["state"] == "ok"
        refused = client.post("/api/v1/sync/runs", json={"kind": "full"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "NOT_AUTHENTICATED")
        assert ALWAYS.items() <= dict(_named(refused)).items()
        assert client.get("/no/such").json()["error"]["code"] == "NO_SUCH_ADDRESS"
        assert client.request("TRACE", "/healthz").status_code == 405
        assert client.get("/healthz", headers={"X-Long": "x" * 100_000}).status_code in (400, 413, 431)
    _half_a_request(address)
    assert httpx.get(f"{address}/healthz", timeout=20).status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=90) == 0
    with sqlite3.connect(data_dir / "obsync.db") as database:
        states = database.execute("SELECT kind, state FROM processes").fetchall()
    assert states == [("web", "ended")], "who looks sees that it was told to end"


def _named(response: httpx.Response) -> Iterator[tuple[str, str]]:
    for name in ALWAYS:
        yield name, response.headers.get(name, "")


def _half_a_request(address: str) -> None:
    """A client that goes away in the middle of its body costs nothing."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"POST /api/v1/sync/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
