"""While a list is in flight the next one is promised: what becomes of that promise when something comes between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from db.engine import reading
from db.tables import lanes, mirror
from remote.wps.client import WpsClient
from tests.integration.drain_rig import TENANT, TIMES, KilledHere, World, calendar, event
from usecases.deps import Deps
from usecases.sync import calling
from usecases.sync.work import Call

pytestmark = pytest.mark.integration

COURSES = ("c1", "c2", "c3")


@pytest.fixture
def lists(here: World) -> Iterator[World]:
    """Three live calendars of one lane, and a list of three events for each of them."""
    here.put(*(calendar(one, name=f"{one} ·abcdefg") for one in COURSES))
    here.drain()
    with Beside() as here.executor:
        here.put(*(event(n, one) for one in COURSES for n in range(3)), import_no=2)
        yield here


class Beside(ThreadPoolExecutor):
    """What is done beside a call, so that one can wait for its end."""

    def __init__(self) -> None:
        super().__init__(max_workers=2)
        self.begun: list[Future[Any]] = []

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.begun.append(super().submit(*args, **kwargs))
        return self.begun[-1]


class Meanwhile(WpsClient):
    """A client that does something when a list is answered and all is done beside it, before anybody hears of it."""

    then: Callable[[], object]

    beside: Beside

    def create_events(self, *args: Any, **kwargs: Any) -> Any:
        made = super().create_events(*args, **kwargs)
        wait(self.beside.begun)
        self.then()
        return made


def meanwhile(here: World, then: Callable[[], object]) -> Deps:
    """Deps with such a client."""
    client = Meanwhile(here.deps.remote.transport, zone=ZoneInfo("Asia/Shanghai"))
    client.then, client.beside = then, here.executor
    return replace(here.deps, remote=replace(here.deps.remote, client=client))


def in_doubt(here: World) -> set[str]:
    """Courses with an open intent."""
    with reading(here.engine) as tx:
        groups = select(mirror.c.group_id).where(mirror.c.tenant_id == TENANT, mirror.c.intent_verb.is_not(None))
        return {one.removeprefix("cal:") for one in tx.execute(groups).scalars()}


def parked(here: World) -> set[str]:
    """Courses whose calendar waits until something can be read off WPS."""
    with reading(here.engine) as tx:
        groups = select(mirror.c.group_id).where(mirror.c.tenant_id == TENANT, mirror.c.parked_until > 0)
        return {one.removeprefix("cal:") for one in tx.execute(groups).scalars()}


def lists_sent(here: World) -> int:
    """Lists of events that the simulator has seen."""
    return len(here.log("events/batch_create"))


def all_is_there(here: World) -> bool:
    """Whether each calendar has its three events, each once."""
    return all(here.say(one) == [(f"线性代数 {n}", "101") for n in range(3)] for one in COURSES)


def test_a_worker_that_dies_in_a_call_leaves_that_one_and_the_next_in_doubt(lists: World) -> None:
    """What was promised and never sent is settled like what was sent, and then sent once."""
    with pytest.raises(KilledHere):
        lists.slice(deps=lists.dying(after=True))
    assert lists_sent(lists) == 1
    assert len(in_doubt(lists)) == 2
    lists.drain()
    assert all_is_there(lists)


def test_what_came_of_a_call_is_written_while_the_next_one_is_in_flight(lists: World) -> None:
    """Nothing waits for the end of the slice: a worker that dies in its third call has two of them in its books."""
    seen: list[int] = []

    def die_in_the_third() -> None:
        seen.append(len(in_doubt(lists)))
        if len(seen) == 3:
            raise KilledHere

    with pytest.raises(KilledHere):
        lists.slice(deps=meanwhile(lists, die_in_the_third))
    assert seen == [2, 2, 1], "the one in flight and the next; the last has no next"
    assert sum(lists.job(f"evt:{one}-{n:03d}").state == "done" for one in COURSES for n in range(3)) == 6
    lists.drain()
    assert all_is_there(lists)
    assert lists_sent(lists) == 3


@pytest.mark.parametrize(("accident", "doubted"), [("throttle", 0), ("applied_reply_lost", 1)])
def test_after_a_failure_the_next_call_is_taken_back(lists: World, accident: str, doubted: int) -> None:
    """The lane may have to rest, and no calendar waits for a call that nobody makes."""
    lists.faults({"match": {"path": "events/batch_create"}, "times": 1, "do": accident})
    done = lists.slice()
    assert done.calls == (1 if doubted == 0 else 3)
    assert len(in_doubt(lists)) == len(parked(lists)) == doubted
    lists.drain()
    assert all_is_there(lists)


def test_a_worker_that_is_to_stop_takes_the_next_call_back(lists: World) -> None:
    """It has one call to wait for, not one after the other."""
    lists.slice(deps=meanwhile(lists, lists.deps.stopping.set))
    assert (lists_sent(lists), in_doubt(lists), parked(lists)) == (1, set(), set())
    assert lists.lane_row().owner is None
    lists.deps.stopping.clear()
    lists.drain()
    assert all_is_there(lists) and lists_sent(lists) == 3


def test_a_promise_that_has_grown_old_is_made_anew(lists: World) -> None:
    """The look after a doubt counts from the promise: a call that left long after it could land after the look."""
    lists.slice(deps=meanwhile(lists, lambda: time.sleep(1.2 * TIMES.guard_ms / 1000)))
    assert all_is_there(lists) and lists_sent(lists) == 3
    assert in_doubt(lists) == set()


def test_a_single_write_is_not_promised_while_another_call_is_in_flight(lists: World) -> None:
    """Its attempt would count, and what kills its worker in flight would be counted against it again and again."""
    lists.drain()
    lists.put(*(event(0, one, room="202") for one in COURSES), import_no=3)
    with pytest.raises(KilledHere):
        lists.slice(deps=lists.dying(after=True))
    attempts = sorted(lists.job(f"evt:{one}-000").attempts for one in COURSES)
    assert (attempts, len(in_doubt(lists))) == ([0, 0, 1], 1)


def test_a_lane_has_one_slot_of_the_limiter_whatever_it_has_promised(lists: World) -> None:
    """With two it would keep others from calling while it only waits."""
    seen: list[int] = []
    remote = lists.deps.remote
    lists.slice(deps=meanwhile(lists, lambda: seen.append(remote.limiter.state(remote.limiter_key).in_flight)))
    assert seen == [1, 1, 1]
    assert remote.limiter.state(remote.limiter_key).in_flight == 0


def test_the_most_urgent_calendar_has_every_second_call_as_long_as_it_has_something(here: World) -> None:
    """The tier decides which calendar is next; only the one in flight, and never the one before it, is passed over."""
    here.put(*(calendar(one, name=f"{one} ·abcdefg") for one in (*COURSES, "c4")))
    here.drain()
    near = [replace(event(n, "c1"), tier=0) for n in range(30)]
    far = [replace(event(n, one), tier=2) for one in ("c2", "c3", "c4") for n in range(6)]
    here.put(*near, *far, import_no=2)
    with here.engine.begin() as tx:
        tx.execute(update(lanes).where(lanes.c.tenant_id == TENANT).values(event_list=2))
    here.drain()
    of_c1 = here.id_of("c1")
    sent = [of_c1 in one["path"] for one in here.log("events/batch_create")]
    assert sent[:5] == [True, False, True, False, True]


def test_what_is_promised_does_not_go_into_a_block_that_another_lane_was_told_of(lists: World) -> None:
    """WPS has said when it will be asked again, and that is for all lanes."""
    transport = lists.deps.remote.transport

    def told() -> None:
        transport._tell_limiter(epoch=-1, retry_after_ms=300)

    lists.slice(deps=meanwhile(lists, told))
    assert (lists_sent(lists), in_doubt(lists), parked(lists)) == (1, set(), set())
    lists.drain()
    assert all_is_there(lists) and lists_sent(lists) == 3


def test_a_list_of_which_one_is_left_gets_its_attempt_back_when_it_is_taken_back(lists: World) -> None:
    """It counts as a single write from the promise on, and was never sent."""
    ahead: list[Call] = []

    def put_again(call: Call) -> Call:
        ahead.append(call)
        if len(ahead) == 2:  # chosen beside the first: two of its three are asked for anew before it is promised
            course = call.ref.group_id.removeprefix("cal:")
            lists.put(*(event(n, course, room="202") for n in (1, 2)), import_no=3)
        return call

    client = meanwhile(lists, lists.deps.stopping.set)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calling, "packed", lambda client, call: put_again(call))
        lists.slice(deps=client)
    course = ahead[1].ref.group_id.removeprefix("cal:")
    assert [lists.job(f"evt:{course}-{n:03d}").attempts for n in range(3)] == [0, 0, 0]
    assert (lists_sent(lists), in_doubt(lists)) == (1, set())
    lists.deps.stopping.clear()
    lists.drain()
    assert lists.say(course) == [("线性代数 0", "101"), ("线性代数 1", "202"), ("线性代数 2", "202")]
