"""The access token, and what happens when the service says "too many"."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace

import pytest

from ratelimit.memory_limiter import MemoryLimiter
from remote.wps.client import WpsClient
from remote.wps.errors import (
    WpsAuth,
    WpsError,
    WpsMisconfigured,
    WpsNotSent,
    WpsThrottled,
    WpsUnknown,
)
from remote.wps.transport import Parked, Transport
from tests.contract.scripted_server import (
    Answer,
    ScriptedServer,
    envelope,
    html,
    reply,
    reset,
    silence,
    token,
)
from tests.contract.wps_rig import (
    APP,
    BUDGET_S,
    ZONE,
    admitted,
    create,
    make_transport,
    wait_until,
    within,
)

# --- throttles


def test_a_throttle_is_definite_and_everybody_is_told(
    server: ScriptedServer, limiter: MemoryLimiter, transport: Transport, client: WpsClient
) -> None:
    """Retry-After counts for all lanes at once, and the epoch makes one cut out of many reports."""
    server.script(envelope(429000001, status=429, Retry_After="7"))
    with pytest.raises(WpsThrottled) as caught:
        create(client, transport)
    assert caught.value.retry_after_ms == 7_000
    state = limiter.state("app")
    assert 6_000 < state.blocked_ms <= 7_000
    assert state.epoch == 1
    parked = transport.admit(lane="other")
    assert isinstance(parked, Parked)
    assert parked.reason == "blocked"


def test_throttles_without_a_time_wait_longer_each_time(server: ScriptedServer, limiter: MemoryLimiter) -> None:
    """1, 2, 4 s; calls that were in flight together count once, and a success starts again."""
    transport = make_transport(server.url, limiter)
    client = WpsClient(transport, zone=ZONE)
    first, same_epoch, second, good = (replace(admitted(transport), epoch=epoch) for epoch in (0, 0, 1, 2))
    after_success = replace(admitted(transport), epoch=2)
    waits: list[int] = []
    for on in (first, same_epoch, second, good, after_success):
        server.script(envelope(0) if on is good else envelope(400411031, status=400))
        try:
            client.delete_event(on, "c1", "e1")
        except WpsThrottled as error:
            waits.append(error.retry_after_ms)
    assert waits == [1_000, 1_000, 2_000, 1_000]
    transport.close()


def test_an_overload_with_retry_after_blocks_without_a_cut(
    server: ScriptedServer, limiter: MemoryLimiter, transport: Transport, client: WpsClient
) -> None:
    """A 503 says "not now", not "slower"; the write stays unknown."""
    before = limiter.state("app")
    server.script(reply(503, b"busy", Retry_After="3"))
    with pytest.raises(WpsUnknown):
        create(client, transport)
    state = limiter.state("app")
    assert 2_000 < state.blocked_ms <= 3_000
    assert state.epoch == before.epoch


# --- the token


def test_one_token_is_fetched_for_many_threads(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """Sixteen lanes start together: one token request, outside every lane's budget."""
    server.script(*[envelope(0) for _ in range(8)])
    ons = [admitted(transport) for _ in range(8)]
    threads = [threading.Thread(target=client.delete_event, args=(on, "c1", "e1")) for on in ons]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert server.tokens_given == 1
    assert {request.headers["authorization"] for request in server.received} == {"Bearer token-1"}
    assert len(server.received) == 8


def test_a_refused_token_is_dropped_once(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """The call is not repeated by itself; the next one brings a new token."""
    server.script(envelope(401030001, status=401), envelope(0), envelope(0))
    with pytest.raises(WpsAuth):
        client.delete_event(admitted(transport), "c1", "e1")
    client.delete_event(admitted(transport), "c1", "e1")
    client.delete_event(admitted(transport), "c1", "e1")
    assert [request.headers["authorization"] for request in server.received] == [
        "Bearer token-1",
        "Bearer token-2",
        "Bearer token-2",
    ]


def test_a_late_refusal_of_an_old_token_leaves_the_new_one(
    server: ScriptedServer, transport: Transport, client: WpsClient
) -> None:
    """Calls in flight with the old token fail one after the other: only the first failure costs a token."""
    gate = threading.Event()

    def slow_refusal(connection: socket.socket, closing: threading.Event) -> bool:
        gate.wait(5)
        return envelope(401030001, status=401)(connection, closing)

    failed: list[WpsError] = []

    def slow() -> None:
        try:
            client.delete_event(slow_on, "c1", "slow")
        except WpsAuth as error:
            failed.append(error)

    slow_on = admitted(transport)
    server.script(slow_refusal)
    thread = threading.Thread(target=slow)
    thread.start()
    assert wait_until(lambda: len(server.received) == 1)
    server.script(envelope(401030001, status=401), envelope(0), envelope(0))
    with pytest.raises(WpsAuth):
        client.delete_event(admitted(transport), "c1", "e1")
    client.delete_event(admitted(transport), "c1", "e1")
    gate.set()
    thread.join(timeout=5)
    assert len(failed) == 1
    client.delete_event(admitted(transport), "c1", "e1")
    assert server.tokens_given == 2


def test_a_token_is_renewed_early_and_a_failed_renewal_does_no_harm(
    server: ScriptedServer, limiter: MemoryLimiter
) -> None:
    """A quarter of an hour before its end the token is still good: trouble at the token service stops nobody."""
    now_s = [1_000.0]
    transport = make_transport(server.url, limiter, monotonic=lambda: now_s[0])
    client = WpsClient(transport, zone=ZONE)

    def used() -> str:
        server.script(envelope(0))
        client.delete_event(admitted(transport), "c1", "e1")
        return server.received[-1].headers["authorization"]

    assert used() == "Bearer token-1"
    now_s[0] += 7_200 - 901
    assert used() == "Bearer token-1"
    now_s[0] += 2
    server.script_token(html(502))
    assert used() == "Bearer token-1"
    assert used() == "Bearer token-1"
    assert server.tokens_given == 2
    now_s[0] += 31
    assert used() == "Bearer token-3"
    transport.close()


def test_wrong_credentials_are_a_misconfiguration(
    server: ScriptedServer, transport: Transport, client: WpsClient
) -> None:
    """Twenty thousand dead letters would say less than one sentence about the key; and the key is not in it."""
    said = f"client_secret={APP.app_key} is wrong"
    server.script_token(envelope(40100008, status=401, msg=said))
    with pytest.raises(WpsMisconfigured) as caught:
        create(client, transport)
    assert APP.app_key not in str(caught.value) + repr(caught.value) + caught.value.message
    assert server.received == []


@pytest.mark.parametrize(
    "answer",
    [
        silence(),
        reset(),
        html(502),
        envelope(0),
        token("two words"),
        token("t", expires_in=0),
        envelope(50300007, status=503),
    ],
    ids=["silence", "reset", "HTML 502", "no token", "unsendable token", "no life", "temporarily unavailable"],
)
def test_without_a_token_nothing_is_sent(
    server: ScriptedServer, transport: Transport, client: WpsClient, answer: Answer
) -> None:
    """The token's own failure leaves no doubt about the write, and shares its budget."""
    server.script_token(answer)
    with pytest.raises(WpsNotSent), within(BUDGET_S):
        create(client, transport)
    assert server.received == []


def test_a_throttled_token_slows_everybody(
    server: ScriptedServer, limiter: MemoryLimiter, transport: Transport, client: WpsClient
) -> None:
    """The token endpoint belongs to the same app: asking faster does not help."""
    server.script_token(envelope(429000001, status=429, Retry_After="5"))
    with pytest.raises(WpsThrottled) as caught:
        create(client, transport)
    assert caught.value.retry_after_ms == 5_000
    assert limiter.state("app").blocked_ms > 4_000
