"""What the WPS client sends, what it pays, and how it reads what the service says."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from domain.calendars import EventBody, RemoteEvent
from ratelimit.limiter import Limits
from ratelimit.memory_limiter import MemoryLimiter
from ratelimit.redis_limiter import RedisLimiter
from remote.wps.client import WpsClient
from remote.wps.errors import (
    WpsAuth,
    WpsError,
    WpsForbidden,
    WpsGone,
    WpsMisconfigured,
    WpsRejected,
    WpsUnknown,
)
from remote.wps.signing import signature
from remote.wps.transport import AdmissionSpent, Admitted, Parked, Transport
from tests.contract.scripted_server import (
    ScriptedServer,
    envelope,
    html,
    token,
)
from tests.contract.wps_rig import (
    APP,
    BODY,
    ZONE,
    admitted,
    closed_port,
    create,
    created,
    make_transport,
)

# --- what goes out


def test_a_list_write_sends_signed_compact_unicode_and_reads_ids(
    server: ScriptedServer, transport: Transport, client: WpsClient
) -> None:
    """The signature covers the bytes sent; times carry the tenant's offset; text stays readable."""
    server.script(created("e1"))
    assert create(client, transport) == [RemoteEvent("e1", BODY, cancelled=False)]
    [request] = server.received
    assert (request.method, request.target) == ("POST", "/v7/calendars/c1/events/batch_create")
    assert "高等数学".encode() in request.body
    assert b": " not in request.body
    [event] = json.loads(request.body)["events"]
    assert event["start_time"] == {"datetime": "2024-03-04T08:00:00+08:00"}
    assert event["locations"] == [{"name": "东上院101"}]
    assert request.headers["authorization"] == "Bearer token-1"
    assert "x-obsync-lane" not in request.headers
    expected = signature(
        app_key=APP.app_key,
        method="POST",
        target=request.target,
        content_type=request.headers["content-type"],
        date=request.headers["x-kso-date"],
        body=request.body,
    )
    assert request.headers["x-kso-authorization"] == f"KSO-1 AK123456:{expected}"


def test_the_query_is_signed_as_sent_and_ids_are_escaped(
    server: ScriptedServer, transport: Transport, client: WpsClient
) -> None:
    """Leaving the query out of the signature is answered with an HTML 403 in production."""
    server.script(envelope(0, {"items": [], "next_page_token": ""}))
    page = client.events_page(admitted(transport), "a/b c=", from_ms=0, until_ms=31 * 86_400_000, token="次 &+")
    assert page.items == []
    assert page.next_token is None
    [request] = server.received
    assert request.target == (
        "/v7/calendars/a%2Fb%20c%3D/events?start_time=1970-01-01T08%3A00%3A00%2B08%3A00"
        "&end_time=1970-02-01T08%3A00%3A00%2B08%3A00&page_size=100&page_token=%E6%AC%A1%20%26%2B"
    )
    expected = signature(
        app_key=APP.app_key,
        method="GET",
        target=request.target,
        content_type=request.headers["content-type"],
        date=request.headers["x-kso-date"],
        body=b"",
    )
    assert request.headers["x-kso-authorization"].endswith(f":{expected}")


def test_a_path_prefix_is_sent_but_not_signed(server: ScriptedServer, limiter: MemoryLimiter) -> None:
    """A private deployment lives under a prefix that its gateway takes away before it checks the signature."""
    transport = make_transport(server.url + "/openapi/", limiter)
    # The server answers token requests by itself only without the prefix: here both answers are scripted.
    server.script(token("t"), envelope(0, {"id": "c1", "summary": "x"}))
    WpsClient(transport, zone=ZONE).get_calendar(admitted(transport), "c1")
    request = server.received[-1]
    assert [each.target for each in server.received] == ["/openapi/oauth2/token", "/openapi/v7/calendars/c1"]
    signed = signature(
        app_key=APP.app_key,
        method="GET",
        target="/v7/calendars/c1",
        content_type=request.headers["content-type"],
        date=request.headers["x-kso-date"],
        body=b"",
    )
    assert request.headers["x-kso-authorization"].endswith(signed)
    transport.close()


@pytest.mark.parametrize("bad", ["", ".", ".."])
def test_an_id_that_would_change_the_path_is_refused(transport: Transport, client: WpsClient, bad: str) -> None:
    """`/v7/calendars/../delete` must not be a request we ever make."""
    with pytest.raises(ValueError, match="not an id"):
        client.delete_calendar(admitted(transport), bad)


def test_the_lane_label_is_sent_only_when_asked(server: ScriptedServer, limiter: MemoryLimiter) -> None:
    """College names are nobody's business but the simulator's log."""
    server.script(envelope(0, {"id": "c1", "summary": "x"}))
    transport = make_transport(server.url, limiter, label_lanes=True)
    WpsClient(transport, zone=ZONE).get_calendar(admitted(transport, lane="数学 院"), "c1")
    assert server.received[0].headers["x-obsync-lane"] == "%E6%95%B0%E5%AD%A6%20%E9%99%A2"
    transport.close()


# --- paying


def test_one_admission_is_good_for_one_call(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """A call that reuses an admission would not be paid for."""
    server.script(envelope(0), envelope(0))
    on = admitted(transport)
    client.delete_event(on, "c1", "e1")
    with pytest.raises(AdmissionSpent):
        client.delete_event(on, "c1", "e2")
    returned = admitted(transport)
    transport.release(returned)
    with pytest.raises(AdmissionSpent):
        client.delete_event(returned, "c1", "e2")
    assert len(server.received) == 1


def test_a_call_without_a_lane_is_refused(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """One call at a time per lane cannot be promised for a call that has none."""
    with pytest.raises(ValueError, match="lane"):
        transport.admit(lane="")
    with pytest.raises(ValueError, match="lane"):
        client.delete_event(replace(admitted(transport), lane=""), "c1", "e1")
    assert server.received == []


def test_slots_come_back_by_release_and_with_the_next_admission(server: ScriptedServer) -> None:
    """The in-flight cap counts slots: one that never came back would starve every lane in the end."""
    limits = Limits(rate_per_s=100_000, burst=1_000, max_in_flight=1)
    limiter = MemoryLimiter(limits=limits, clock_us=lambda: time.monotonic_ns() // 1_000)
    transport = make_transport(server.url, limiter)
    first = admitted(transport)
    assert isinstance(transport.admit(lane="b"), Parked)
    second = transport.admit(lane="a", release=first.slot)
    assert isinstance(second, Admitted)
    transport.release(second)
    assert isinstance(transport.admit(lane="b"), Admitted)
    transport.close()


def test_while_the_limiter_is_away_nothing_starts(server: ScriptedServer) -> None:
    """Failing open would let every process call at full speed at once."""
    nobody = redis.Redis(host="127.0.0.1", port=closed_port(), retry=Retry(NoBackoff(), 0))
    limits = Limits(rate_per_s=10, burst=10, max_in_flight=10)
    transport = make_transport(server.url, RedisLimiter(nobody, limits=limits))
    assert transport.admit(lane="a") == Parked(wait_ms=1_000, reason="limiter_away")
    transport.release(Admitted(lane="a", slot="s", epoch=0, wait_ms=0))
    transport.close()


# --- answers in the service's own words


def test_a_list_write_that_is_answered_with_an_error_is_unknown_with_its_cause(
    server: ScriptedServer, transport: Transport, client: WpsClient
) -> None:
    """Partial success is not ruled out, but the call is over: the short wait will do."""
    server.script(envelope(400411301, status=400, msg="summary too long"))
    with pytest.raises(WpsUnknown) as caught:
        create(client, transport)
    assert caught.value.envelope
    assert isinstance(caught.value.cause, WpsRejected)
    assert caught.value.error_class == "bad_request"


@pytest.mark.parametrize(
    ("code", "exception"),
    [(400411350, WpsRejected), (404411305, WpsGone), (403000001, WpsForbidden), (401030001, WpsAuth)],
)
def test_a_single_write_is_refused_in_words(
    server: ScriptedServer, transport: Transport, client: WpsClient, code: int, exception: type[WpsError]
) -> None:
    """A definite no frees the intent."""
    server.script(envelope(code, status=403))
    with pytest.raises(exception):
        client.update_event(admitted(transport), "c1", "e1", BODY)


def test_what_is_already_so_is_done(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """Deletes and updates are repeated after a doubt: finding the work done is success."""
    server.script(
        envelope(404411305, status=404),
        envelope(404411503, status=404),
        envelope(400411517, status=400),
        envelope(400411340, status=400),
        envelope(0),
        envelope(400411340, status=400),
    )
    client.delete_event(admitted(transport), "c1", "e1")
    client.delete_calendar(admitted(transport), "c1")
    client.remove_member(admitted(transport), "c1", "p1")
    client.update_event(admitted(transport), "c1", "e1", BODY)
    client.update_event(admitted(transport), "c1", "e1", BODY)
    client.update_calendar(admitted(transport), "c1", name="高等数学 ·abcdefg")


def test_a_gateways_404_is_not_a_deletion(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """A wrong base address would otherwise report thousands of deletes as done."""
    server.script(html(404), html(403))
    with pytest.raises(WpsMisconfigured):
        client.delete_event(admitted(transport), "c1", "e1")
    with pytest.raises(WpsMisconfigured):
        client.delete_event(admitted(transport), "c1", "e1")


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"items": {}},
        {"items": [{"summary": "no id"}]},
        {"items": [{"id": 7, "start_time": {}, "end_time": {}}]},
        {
            "items": [
                {"id": "e1", "start_time": {"datetime": "2024-03-04T08:00:00"}, "end_time": {"date": "2024-03-04"}}
            ]
        },
        {"items": ["e1"]},
    ],
)
def test_a_success_without_what_it_must_say_is_unknown(
    server: ScriptedServer, transport: Transport, client: WpsClient, data: object
) -> None:
    """An event without its id could never be updated or deleted: it has to be looked up."""
    server.script(envelope(0, data))
    with pytest.raises(WpsUnknown) as caught:
        create(client, transport)
    assert caught.value.envelope


def test_foreign_events_can_be_read(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """Teachers may write to the calendar: their all-day entry must not stop the walk."""
    items = [
        {
            "id": "e1",
            "summary": "春游",
            "start_time": {"date": "2024-03-04"},
            "end_time": {"date": "2024-03-05", "datetime": None},
            "status": "cancelled",
            "locations": None,
        }
    ]
    server.script(envelope(0, {"items": items, "next_page_token": "next"}))
    page = client.events_page(admitted(transport), "c1", from_ms=0, until_ms=1_000, token=None)
    [event] = page.items
    assert event == RemoteEvent("e1", EventBody("春游", "", 1_709_481_600_000, 1_709_568_000_000, None), cancelled=True)
    assert event.marker is None
    assert page.next_token == "next"


def test_a_page_that_names_itself_is_no_page(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """A walk over it would never end."""
    server.script(envelope(0, {"items": [], "next_page_token": "again"}))
    with pytest.raises(WpsUnknown):
        client.calendars_page(admitted(transport), "again")


def test_lists_and_windows_have_their_limits(transport: Transport, client: WpsClient) -> None:
    """The service refuses what is larger; we do not pay for asking."""
    on = admitted(transport)
    for bodies in ([], [BODY] * 101):
        with pytest.raises(ValueError, match="1 to 100"):
            client.create_events(on, "c1", bodies)
    for until_ms in (0, 31 * 86_400_000 + 1):
        with pytest.raises(ValueError, match="31 days"):
            client.events_page(on, "c1", from_ms=0, until_ms=until_ms, token=None)
    with pytest.raises(WpsRejected, match="Unicode"):
        client.create_calendar(on, name="\ud800")


# --- what does not show


def test_secrets_do_not_show_in_errors(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """A server that echoes the request must not write our key into rows and logs."""
    server.script(envelope(400000003, status=400, msg=f"bad: Bearer token-1, key {APP.app_key}, t token-1"))
    with pytest.raises(WpsRejected) as caught:
        client.update_event(admitted(transport), "c1", "e1", BODY)
    shown = str(caught.value) + repr(caught.value) + caught.value.message
    assert APP.app_key not in shown
    assert "token-1" not in shown


def test_latency_follows_the_calls(server: ScriptedServer, transport: Transport, client: WpsClient) -> None:
    """The cap of active lanes and the size of lists are computed from it."""
    before_ms = transport.latency_ms
    for _ in range(40):
        server.script(envelope(0))
        client.delete_event(admitted(transport), "c1", "e1")
    assert 0 < transport.latency_ms < before_ms / 4


@pytest.mark.parametrize("bad", ["", "ftp://x", "http://", "http://x?y=1", "open.example"])
def test_a_bad_address_is_refused_at_start(limiter: MemoryLimiter, bad: str) -> None:
    """One clear message at boot instead of one failure per call."""
    with pytest.raises(ValueError, match="not a service address"):
        make_transport(bad, limiter)
