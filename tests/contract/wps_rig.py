"""What the tests of the WPS client share: an app, an event, a transport, an admission."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from domain.calendars import EventBody, RemoteEvent, marker_line
from ratelimit.limiter import Limiter, Limits
from ratelimit.memory_limiter import MemoryLimiter
from remote.wps.client import WpsClient
from remote.wps.credentials import Credentials
from remote.wps.transport import Admitted, Transport
from tests.contract.scripted_server import (
    Answer,
    envelope,
)

APP = Credentials("AK123456", "sk-098765-secret")
ZONE = ZoneInfo("Asia/Shanghai")
MARKER = "abcdefghijklmnopqrst"
BODY = EventBody("高等数学", f"教师：王老师\n{marker_line(MARKER)}", 1_709_510_400_000, 1_709_516_100_000, "东上院101")
BUDGET_S = 1.0
SLACK_S = 4.0
"""What a loaded machine may take longer; a call without a deadline takes for ever."""


def memory_limiter() -> MemoryLimiter:
    """A budget that no test reaches."""
    limits = Limits(rate_per_s=100_000, burst=1_000, max_in_flight=1_000)
    return MemoryLimiter(limits=limits, clock_us=lambda: time.monotonic_ns() // 1_000)


def make_transport(url: str, limiter: Limiter, *, credentials: Credentials = APP, **more: object) -> Transport:
    return Transport(
        base_url=url,
        credentials=credentials,
        limiter=limiter,
        limiter_key="app",
        budget_s=BUDGET_S,
        clock=lambda: datetime.now(UTC),
        **more,  # type: ignore[arg-type]
    )


def admitted(transport: Transport, lane: str = "数学") -> Admitted:
    """An admission for one call."""
    answer = transport.admit(lane=lane)
    assert isinstance(answer, Admitted)
    return answer


def created(*ids: str) -> Answer:
    """A success of the list write with these ids, in this order."""
    items = [
        {
            "id": event_id,
            "summary": BODY.summary,
            "description": BODY.description,
            "start_time": {"datetime": "2024-03-04T08:00:00+08:00"},
            "end_time": {"datetime": "2024-03-04T01:35:00Z"},
            "locations": [{"name": BODY.location}],
            "status": "normal",
        }
        for event_id in ids
    ]
    return envelope(0, {"items": items})


def create(client: WpsClient, transport: Transport) -> list[RemoteEvent]:
    """The list write most tests use."""
    return client.create_events(admitted(transport), "c1", [BODY])


def closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


class within:
    """Fails when the block takes longer than the budget and a little."""

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s

    def __enter__(self) -> None:
        self._started_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        took_s = time.monotonic() - self._started_s
        assert took_s <= self._budget_s + SLACK_S, f"took {took_s:.2f} s"


def wait_until(true: Callable[[], bool], *, at_most_s: float = 60.0) -> bool:
    """Waits for something that another thread does."""
    until_s = time.monotonic() + at_most_s
    while not true():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.02)
    return True
