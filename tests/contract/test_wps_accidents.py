"""What each accident on the wire means for the write it hit."""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
from dataclasses import replace
from functools import partial

import pytest

from ratelimit.memory_limiter import MemoryLimiter
from remote.wps.client import WpsClient
from remote.wps.errors import (
    GuardRefused,
    WpsNotSent,
    WpsUnknown,
)
from remote.wps.transport import Transport
from tests.contract.scripted_server import (
    Answer,
    ScriptedServer,
    endless,
    envelope,
    half_body,
    html,
    packed,
    raw,
    reply,
    reset,
    silence,
    token,
    trickled_body,
    trickled_headers,
)
from tests.contract.wps_rig import (
    BODY,
    BUDGET_S,
    ZONE,
    admitted,
    closed_port,
    create,
    created,
    make_transport,
    wait_until,
    within,
)

# --- what never left: certainly not applied


def test_a_refused_connection_was_not_sent(limiter: MemoryLimiter) -> None:
    """Nobody was there: the write may go out again at once."""
    transport = make_transport(f"http://127.0.0.1:{closed_port()}", limiter)
    with pytest.raises(WpsNotSent) as caught:
        create(WpsClient(transport, zone=ZONE), transport)
    assert caught.value.error_class == "network"
    transport.close()


def test_an_unknown_host_was_not_sent(limiter: MemoryLimiter) -> None:
    """A name that does not resolve ends within the budget too."""
    transport = make_transport("http://no-such-host.invalid", limiter)
    with pytest.raises(WpsNotSent), within(BUDGET_S):
        create(WpsClient(transport, zone=ZONE), transport)
    transport.close()


def test_a_connection_that_never_opens_was_not_sent(limiter: MemoryLimiter) -> None:
    """A full accept queue swallows the first packet: connecting must end with the budget."""
    with socket.socket() as full, socket.socket() as filler, socket.socket() as filler_2:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (filler, filler_2):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        transport = make_transport(f"http://127.0.0.1:{full.getsockname()[1]}", limiter)
        with pytest.raises(WpsNotSent) as caught, within(BUDGET_S):
            create(WpsClient(transport, zone=ZONE), transport)
        assert caught.value.error_class == "timeout"
        transport.close()


def test_a_guard_that_refuses_stops_the_call_on_an_open_connection(
    server: ScriptedServer, transport: Transport, client: WpsClient
) -> None:
    """The lease may have ended while the connection was opened: the last look is right before the first byte."""

    def guard() -> None:
        seen.append(server.connections)
        raise GuardRefused("lease too short")

    seen: list[int] = []
    with pytest.raises(GuardRefused):
        on = replace(admitted(transport), guard=guard, sent=partial(seen.append, -1))
        client.create_events(on, "c1", [BODY])
    assert seen == [server.connections] != [0]
    assert server.received == []
    server.script(created("e1"))
    assert [each.id for each in create(client, transport)] == ["e1"]


def test_a_guard_is_asked_once_and_passes(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """The guard also runs on a kept connection, where nothing is opened."""
    asked: list[int] = []
    for number in (1, 2):
        server.script(created("e1"))
        guard = partial(asked.append, number)
        client.create_events(replace(admitted(transport), guard=guard), "c1", [BODY])
    assert asked == [1, 2]
    assert {request.connection for request in server.received} == {server.connections}


def test_that_a_request_has_left_is_told_while_its_answer_is_waited_for(
    server: ScriptedServer, transport: Transport, client: WpsClient
) -> None:
    """The server answers when we know that it has been asked: on a new connection, and on a kept one."""
    for _ in range(2):
        left = threading.Event()

        def late(connection: socket.socket, closing: threading.Event, left: threading.Event = left) -> bool:
            return left.wait(BUDGET_S) and created("e1")(connection, closing)

        server.script(late)
        made = client.create_events(replace(admitted(transport), sent=left.set), "c1", [BODY])
        assert [each.id for each in made] == ["e1"]
    assert {request.connection for request in server.received} == {server.connections}


# --- what may have left: unknown


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (half_body(), "network"),
        (reset(), "network"),
        (raw(b""), "network"),
        (raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n"), "network"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: zero\r\n\r\n"), "network"),
        (silence(), "timeout"),
        (trickled_headers(every_s=0.05), "timeout"),
        (trickled_body(every_s=0.05), "timeout"),
        (endless(64 * 1024 * 1024), "server"),
        (packed(bytes(64 * 1024 * 1024)), "server"),
        (reply(200, b"junk", Content_Encoding="gzip"), "server"),
        (reply(200, b"x", Content_Encoding="br"), "server"),
        (html(200), "server"),
        (html(502), "server"),
        (reply(302, b"", Location="/elsewhere"), "server"),
        (reply(200, b""), "server"),
        (reply(200, b"[" * 100_000), "server"),
        (reply(200, b'{"code": "0", "data": {}}'), "server"),
        (reply(200, b'{"code": true}'), "server"),
        (envelope(500411034, status=200), "server"),
        (envelope(0, {"id": "e1"}, status=500), "server"),
    ],
    ids=[
        "half body",
        "reset",
        "closed without a word",
        "not HTTP",
        "bad length",
        "silence",
        "trickled headers",
        "trickled body",
        "64 MiB",
        "gzip bomb",
        "broken gzip",
        "unasked encoding",
        "HTML with 200",
        "HTML with 502",
        "redirect",
        "empty body",
        "nested too deep",
        "code as text",
        "code as boolean",
        "server code under 200",
        "success under 500",
    ],
)
def test_after_the_first_byte_every_accident_is_unknown(
    server: ScriptedServer, transport: Transport, client: WpsClient, answer: Answer, error_class: str
) -> None:
    """The write may have been applied: it is sent once, ends within the budget, and waits the long way."""
    server.script(answer)
    with pytest.raises(WpsUnknown) as caught, within(BUDGET_S):
        client.update_event(admitted(transport), "c1", "e1", BODY)
    assert not caught.value.envelope
    assert caught.value.error_class == error_class
    assert len(server.received) == 1
    # The next call is not disturbed by what is left of this one.
    server.script(created("e9"))
    assert [each.id for each in create(client, transport)] == ["e9"]


@pytest.mark.parametrize("answer", [endless(64 * 1024 * 1024), packed(bytes(64 * 1024 * 1024))], ids=["64 MiB", "bomb"])
def test_a_huge_answer_is_not_taken_into_memory(
    server: ScriptedServer, transport: Transport, client: WpsClient, answer: Answer
) -> None:
    """A worker runs many lanes in little memory: the cap must hold before the bytes are unpacked, not after."""
    server.script(envelope(0), answer)
    client.delete_event(admitted(transport), "c1", "e1")
    tracemalloc.start()
    try:
        with pytest.raises(WpsUnknown, match="2 MiB"):
            client.delete_event(admitted(transport), "c1", "e1")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 12 * 1024 * 1024


def test_a_late_answer_does_not_reach_the_next_call(
    server: ScriptedServer, transport: Transport, client: WpsClient
) -> None:
    """An answer that comes after the budget belongs to nobody: its connection must not be used again."""

    def late(connection: socket.socket, closing: threading.Event) -> bool:
        closing.wait(BUDGET_S + 0.2)
        return created("late")(connection, closing)

    server.script(late, created("right"))
    with pytest.raises(WpsUnknown):
        create(client, transport)
    time.sleep(0.3)  # until the late answer lies in its socket
    assert [each.id for each in create(client, transport)] == ["right"]
    assert server.received[0].connection != server.received[1].connection


def test_a_connection_closed_while_idle_is_not_used_again(
    server: ScriptedServer, transport: Transport, client: WpsClient
) -> None:
    """Sending into a connection the server has given up would make an unknown out of nothing."""
    whole = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"code": 0}'
    server.script(raw(whole, keep=False), created("e1"))
    client.delete_event(admitted(transport), "c1", "e0")
    assert wait_until(lambda: server.connections >= 1)
    time.sleep(0.05)  # until the end of the connection has arrived
    assert [each.id for each in create(client, transport)] == ["e1"]
    assert server.received[0].connection != server.received[1].connection


def test_the_size_of_the_request_does_not_matter_to_the_deadline(limiter: MemoryLimiter) -> None:
    """A peer that stops reading in the middle of a large body must not hold the lane."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        port = listener.getsockname()[1]
        taken: list[socket.socket] = []
        thread = threading.Thread(target=lambda: serve_token_only(listener, taken), daemon=True)
        thread.start()
        transport = make_transport(f"http://127.0.0.1:{port}", limiter)
        large = replace(BODY, description="長" * 400_000)
        with pytest.raises(WpsUnknown) as caught, within(BUDGET_S):
            WpsClient(transport, zone=ZONE).create_events(admitted(transport), "c1", [large] * 20)
        assert caught.value.error_class == "timeout"
        transport.close()
        thread.join(timeout=5)
        for connection in taken:
            connection.close()


def serve_token_only(listener: socket.socket, taken: list[socket.socket]) -> None:
    """Answers the first request and reads nothing after it."""
    connection, _ = listener.accept()
    taken.append(connection)
    connection.recv(4_096)
    token("t")(connection, threading.Event())
