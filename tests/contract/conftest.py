"""One scripted server, limiter, transport and client per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ratelimit.memory_limiter import MemoryLimiter
from remote.wps.client import WpsClient
from remote.wps.transport import Transport
from tests.contract.scripted_server import (
    ScriptedServer,
)
from tests.contract.wps_rig import (
    ZONE,
    make_transport,
    memory_limiter,
)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def limiter() -> MemoryLimiter:
    return memory_limiter()


@pytest.fixture
def transport(server: ScriptedServer, limiter: MemoryLimiter) -> Iterator[Transport]:
    made = make_transport(server.url, limiter)
    yield made
    made.close()


@pytest.fixture
def client(transport: Transport) -> WpsClient:
    return WpsClient(transport, zone=ZONE)
