"""The WPS client against the simulator: every call the product makes, and every fault the simulator knows."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest

from domain.calendars import EventBody, Page, calendar_name, marker_line
from remote.wps.client import WpsClient
from remote.wps.credentials import Credentials
from remote.wps.errors import (
    WpsAuth,
    WpsForbidden,
    WpsGone,
    WpsMisconfigured,
    WpsNotSent,
    WpsRejected,
    WpsThrottled,
    WpsUnknown,
)
from remote.wps.transport import Admitted, Transport
from tests.contract.simulator_process import running
from tests.contract.wps_rig import BODY, BUDGET_S, MARKER, ZONE, admitted, make_transport, memory_limiter, within

T = TypeVar("T")

PEOPLE = [{"ex_user_id": f"xh{number:03d}", "user_name": f"学生{number}", "status": "active"} for number in range(45)]


@dataclass(frozen=True)
class Simulator:
    """The running process and its desk."""

    url: str

    def ask(self, path: str, body: object = None) -> object:
        """One control call."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_sim/{path}", data=data)
        with urllib.request.urlopen(request, timeout=60) as answer:
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
    with running("--latency-ms", "1") as process:
        found = Simulator(f"http://127.0.0.1:{process.port}")
        found.ask("people", {"people": PEOPLE})
        yield found


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


def walk(page_of: Callable[[str | None], Page[T]]) -> list[T]:
    """All items of a list, page after page."""
    items: list[T] = []
    token: str | None = None
    while True:
        page = page_of(token)
        items += page.items
        token = page.next_token
        if token is None:
            return items


def bodies(count: int) -> list[EventBody]:
    """Events of one day each, all different."""
    return [
        EventBody(
            summary=f"高等数学 {number}",
            description=f"教师：王老师、李老师\n{marker_line(f'{number:a>20}'.replace('0', 'b').replace('1', 'c'))}",
            start_ms=BODY.start_ms + number * 3_600_000,
            end_ms=BODY.end_ms + number * 3_600_000,
            location=None if number % 3 == 0 else f"东上院{number}",
        )
        for number in range(2, count + 2)
    ]


# --- every call


def test_a_calendar_lives_and_dies(transport: Transport, client: WpsClient, calendar: str) -> None:
    """Create, read, rename, list, delete, delete again."""
    assert client.get_calendar(admitted(transport), calendar).name == "高等数学 ·abcdefg"
    client.update_calendar(admitted(transport), calendar, name="线性代数 ·abcdefg")
    assert client.get_calendar(admitted(transport), calendar).name == "线性代数 ·abcdefg"
    for _ in range(22):
        client.create_calendar(admitted(transport), name="x ·abcdefg")
    listed = {each.id for each in walk(lambda token: client.calendars_page(admitted(transport), token))}
    assert calendar in listed
    assert len(listed) >= 23
    client.delete_calendar(admitted(transport), calendar)
    client.delete_calendar(admitted(transport), calendar)
    with pytest.raises(WpsGone):
        client.update_calendar(admitted(transport), calendar, name="线性代数 ·abcdefg")


def test_events_come_back_as_they_were_sent(
    simulator: Simulator, transport: Transport, client: WpsClient, calendar: str
) -> None:
    """What is read must equal what was sent, or every plan would find a difference."""
    sent = bodies(100)
    created = client.create_events(admitted(transport), calendar, sent)
    assert sorted(each.body.content_hash() for each in created) == sorted(each.content_hash() for each in sent)
    assert {each.marker for each in created} == {each.marker for each in sent}
    window = {"from_ms": sent[0].start_ms - 1_000, "until_ms": sent[0].start_ms + 30 * 86_400_000}
    listed = walk(lambda token: client.events_page(admitted(transport), calendar, token=token, **window))
    assert {each.id: each.body for each in listed} == {each.id: each.body for each in created}
    assert {each.body for each in listed} == set(sent)
    one = client.get_event(admitted(transport), calendar, created[0].id)
    assert one == created[0]
    assert len(simulator.events(calendar)) == 100


def test_an_update_replaces_everything_and_may_be_repeated(
    simulator: Simulator, transport: Transport, client: WpsClient, calendar: str
) -> None:
    """A room that was taken away must not stay in the calendar."""
    [event] = client.create_events(admitted(transport), calendar, [BODY])
    changed = replace(BODY, location=None, start_ms=BODY.start_ms + 60_000)
    client.update_event(admitted(transport), calendar, event.id, changed)
    client.update_event(admitted(transport), calendar, event.id, changed)
    assert client.get_event(admitted(transport), calendar, event.id).body == changed
    client.delete_event(admitted(transport), calendar, event.id)
    client.delete_event(admitted(transport), calendar, event.id)
    assert simulator.events(calendar) == []
    with pytest.raises(WpsGone):
        client.update_event(admitted(transport), calendar, event.id, BODY)


def test_members_are_added_listed_and_removed(transport: Transport, client: WpsClient, calendar: str) -> None:
    """A lecture has more members than a page of the list."""
    numbers = [person["ex_user_id"] for person in PEOPLE]
    users = client.users_by_ex_ids(admitted(transport), [*numbers, "nobody"])
    assert sorted(each.ex_id for each in users) == numbers
    added = client.add_members(
        admitted(transport), calendar, [(each.id, "writer" if each.ex_id == "xh000" else "reader") for each in users]
    )
    listed = walk(lambda token: client.members_page(admitted(transport), calendar, token))
    ours = {each.permission_id: each for each in listed if each.role != "owner"}
    assert ours == {each.permission_id: each for each in added}
    assert sorted(each.role for each in ours.values()) == ["reader"] * 44 + ["writer"]
    client.remove_member(admitted(transport), calendar, added[0].permission_id)
    client.remove_member(admitted(transport), calendar, added[0].permission_id)
    left = walk(lambda token: client.members_page(admitted(transport), calendar, token))
    assert added[0].user_id not in {each.user_id for each in left}


def test_an_expired_token_is_replaced(simulator: Simulator, transport: Transport, client: WpsClient) -> None:
    """Their clock decides when a token ends, not ours."""
    client.calendars_page(admitted(transport), None)
    simulator.ask("clock", {"advance_s": 7_300})
    outcomes = []
    for _ in range(2):
        try:
            client.calendars_page(admitted(transport), None)
            outcomes.append("done")
        except WpsAuth as error:
            outcomes.append(type(error).__name__)
    assert outcomes == ["WpsAuth", "done"]


def test_a_wrong_key_is_a_misconfiguration(simulator: Simulator) -> None:
    """One clear message, not a thousand refusals."""
    transport = make_transport(simulator.url, memory_limiter(), credentials=Credentials("sim-app", "another-key"))
    with pytest.raises(WpsMisconfigured):
        WpsClient(transport, zone=ZONE).calendars_page(admitted(transport), None)
    transport.close()


def test_bad_data_alone_is_rejected_and_in_a_list_unknown(
    simulator: Simulator, transport: Transport, client: WpsClient, calendar: str
) -> None:
    """The poisoned item of a list is found by halving, after looking."""
    [event] = client.create_events(admitted(transport), calendar, [BODY])
    backwards = replace(BODY, end_ms=BODY.start_ms - 1)
    with pytest.raises(WpsRejected):
        client.update_event(admitted(transport), calendar, event.id, backwards)
    with pytest.raises(WpsUnknown) as caught:
        client.create_events(admitted(transport), calendar, [BODY, backwards])
    assert caught.value.envelope
    assert isinstance(caught.value.cause, WpsRejected)


def test_the_lane_is_written_in_their_log(simulator: Simulator, transport: Transport, client: WpsClient) -> None:
    """The proof that a lane makes one call at a time is read from outside."""
    client.calendars_page(admitted(transport, lane="数学学院"), None)
    log = simulator.ask("log")
    assert isinstance(log, list)
    assert "数学学院" in json.dumps(log, ensure_ascii=False) or "%E6%95%B0%E5%AD%A6" in json.dumps(log)


# --- every fault


@pytest.mark.parametrize(
    ("do", "params", "expected", "applied"),
    [
        ("applied_reply_lost", {}, WpsUnknown, True),
        ("applied_reply_lost", {"reset": True}, WpsUnknown, True),
        ("refused_connection_drop", {}, WpsUnknown, False),
        ("error_500_applied", {}, WpsUnknown, True),
        ("error_500_not_applied", {}, WpsUnknown, False),
        ("throttle", {"retry_after_s": 2}, WpsThrottled, False),
        ("slow", {"delay_s": 1.5}, WpsUnknown, True),
        ("html_403", {}, WpsUnknown, False),
        ("half_body", {}, WpsUnknown, True),
    ],
)
def test_a_fault_in_a_list_write_is_told_apart(
    simulator: Simulator,
    transport: Transport,
    client: WpsClient,
    calendar: str,
    do: str,
    params: dict[str, object],
    expected: type[Exception],
    applied: bool,
) -> None:
    """From our side "applied" and "not applied" look the same: only the throttle is certain."""
    simulator.fault(do, "/events/batch_create", **params)
    with pytest.raises(expected) as caught, within(BUDGET_S):
        client.create_events(admitted(transport), calendar, [BODY])
    assert not isinstance(caught.value, WpsNotSent)
    if isinstance(caught.value, WpsUnknown):
        assert not caught.value.envelope
    deadline_s = time.monotonic() + 30
    while applied and not simulator.events(calendar) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert [find_id(event) for event in simulator.events(calendar)] == ([MARKER] if applied else [])


def find_id(event: dict[str, object]) -> str:
    """The marker in a dumped event."""
    return str(event["description"]).rpartition("⟦ob:")[2].removesuffix("⟧")


def test_a_gateway_that_refuses_the_signature_is_a_misconfiguration(
    simulator: Simulator, transport: Transport, client: WpsClient, calendar: str
) -> None:
    """An HTML 403 says nothing about the item."""
    simulator.fault("html_403", "/update")
    with pytest.raises(WpsMisconfigured):
        client.update_calendar(admitted(transport), calendar, name="x ·abcdefg")
    simulator.fault("status", "/update", status=403, code=403000001)
    with pytest.raises(WpsForbidden):
        client.update_calendar(admitted(transport), calendar, name="x ·abcdefg")


def test_many_threads_share_connections(simulator: Simulator, transport: Transport, client: WpsClient) -> None:
    """Sixteen lanes in one process: nobody gets another's answer."""
    calendars = [client.create_calendar(admitted(transport), name=f"课程{number} ·abcdefg") for number in range(8)]
    wrong: list[str] = []

    def read(calendar_id: str, name: str) -> None:
        for _ in range(10):
            answer = transport.admit(lane=name)
            assert isinstance(answer, Admitted)
            if client.get_calendar(answer, calendar_id).name != name:
                wrong.append(name)

    threads = [threading.Thread(target=read, args=(each.id, each.name)) for each in calendars]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert wrong == []
