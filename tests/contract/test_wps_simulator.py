"""The WPS client against the simulator: every call the product makes, and every fault the simulator knows."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from domain.calendars import EventBody, Page, calendar_name, marker_line
from remote.wps.client import WpsClient
from remote.wps.credentials import Credentials
from remote.wps.errors import (
    WpsForbidden,
    WpsGone,
    WpsMisconfigured,
    WpsNotSent,
    WpsRejected,
    WpsThrottled,
    WpsUnknown,
)
from remote.wps.transport import Admitted, Transport
from tests.contract.wps_rig import BODY, BUDGET_S, MARKER, ZONE, admitted, make_transport, memory_limiter, within

PROJECT = Path(__file__).resolve().parents[2]
PEOPLE = [{"ex_user_id": f"xh{number:03d}", "user_name": f"学生{number}", "status": "active"} for number in range(45)]


@dataclass(frozen=True)
class Simulator:
    """The running process and its desk."""

    url: str

    def ask(self, path: str, body: object = None) -> object:
        """One control call."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_sim/{path}", data=data)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def fault(self, do: str, path: str, **params: object) -> None:
        """The next call to `path` meets this fault."""
        self.ask("faults", [{"match": {"path": path}, "do": do, "times": 1, "params": params}])

    def events(self, calendar_id: str) -> list[dict[str, object]]:
        """What the simulator holds, seen from outside."""
        state = self.ask("state?users=0")
        assert isinstance(state, dict)
        [found] = [each for each in state["calendars"] if each["id"] == calendar_id]
        return [event for event in found["events"] if event["status"] == "normal"]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--latency-ms", "1"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        running = Simulator(f"http://127.0.0.1:{ready['port']}")
        running.ask("people", {"people": PEOPLE})
        yield running
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def transport(simulator: Simulator) -> Iterator[Transport]:
    simulator.ask("faults", [])
    made = make_transport(
        simulator.url, memory_limiter(), credentials=Credentials("sim-app", "sim-key"), label_lanes=True
    )
    yield made
    made.close()


@pytest.fixture
def client(transport: Transport) -> WpsClient:
    return WpsClient(transport, zone=ZONE)


@pytest.fixture
def calendar(transport: Transport, client: WpsClient) -> str:
    """The id of a new calendar."""
    return client.create_calendar(admitted(transport), name=calendar_name("高等数学", "abcdefg")).id


def walk[T](page_of: Callable[[str | None], Page[T]]) -> list[T]:
    return []
