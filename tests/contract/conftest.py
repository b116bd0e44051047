"""One scripted server, limiter, transport and client per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ratelimit.memory_limiter import MemoryLimiter
from remote.wps.client import WpsClient
from remote.wps.transport import Transport
from tests.contract.openapi_contract import Seen, the_contract
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
    """Whatever it answers: what the client asks must keep the OpenAPI document, if there is one."""
    with ScriptedServer() as running:
        yield running
    contract = the_contract()
    if contract is not None:
        # One test puts the service behind the path of a private installation.
        asked = [
            Seen(each.method, each.target.removeprefix("/openapi"), each.headers, each.body)
            for each in (*running.received, *running.token_requests)
        ]
        found = [text for each in asked for text in contract.request(each)]
        assert not found, "against the OpenAPI document:\n" + "\n".join(found)


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
