"""The breaker in front of the limiter, asked of the one in memory and the one on a real Valkey, on the same clock."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from bench.limiter import worst_excess
from bench.valkey import connect, private_valkey
from ratelimit.breaker import FIRST_PAUSE_US, LONGEST_PAUSE_US, TRIP_LEAST, TRIP_STREAK, WINDOW_US
from ratelimit.limiter import Limiter, Park, Start
from ratelimit.memory_limiter import MemoryLimiter
from ratelimit.redis_limiter import RedisLimiter
from tests.contract.limiter_world import KEY, ROOMY, Clock, S, World, starts_s


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with private_valkey(tmp_path_factory.mktemp("v")) as socket_path:
        yield socket_path


@pytest.fixture
def client(valkey: Path) -> Iterator[redis.Redis]:
    with connect(valkey) as connected:
        connected.flushall()
        yield connected


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> World:
    """A warm limiter whose breaker has never opened."""
    clock = Clock()
    if request.param == "memory":
        memory = MemoryLimiter(limits=ROOMY, clock_us=clock)
        made = World(memory, clock, lambda: repr((memory._buckets, memory._breakers)), lambda: memory._buckets.clear())
    else:
        server: redis.Redis = request.getfixturevalue("client")
        shared = RedisLimiter(server, limits=ROOMY, clock_us=clock)
        made = World(shared, clock, lambda: {k: server.dump(k) for k in sorted(server.keys())}, server.flushall)
    made.warm()
    return made


def fail(world: World, on: Start, why: str = "server: 503") -> object:
    """The call of this admission came to nothing."""
    world.limiter.release(KEY, on.slot)
    return world.limiter.report(KEY, slot=on.slot, trip=on.trip, failed=True, why=why)


def succeed(world: World, on: Start) -> object:
    """The call of this admission was answered."""
    change = world.limiter.report(KEY, slot=on.slot, trip=on.trip, failed=False)
    world.limiter.release(KEY, on.slot)
    return change


def outage(world: World) -> None:
    """Calls fail until the breaker opens."""
    for _ in range(TRIP_STREAK):
        fail(world, world.take())


def parked(world: World) -> Park:
    """What a caller is told that cannot start."""
    answer = world.limiter.acquire(KEY, hold_ms=1_000)
    assert isinstance(answer, Park), answer
    return answer


def test_ten_failures_in_a_row_open_it_and_one_caller_is_told(world: World) -> None:
    """Twenty lanes that go on asking a dead service leave twenty writes in doubt every few seconds."""
    changes = [fail(world, world.take()) for _ in range(TRIP_STREAK)]
    assert changes == [None] * (TRIP_STREAK - 1) + ["opened"]
    state = world.limiter.breaker(KEY)
    assert (state.state, state.failures, state.why, state.trip) == ("open", TRIP_STREAK, "server: 503", 1)
    told = parked(world)
    assert (told.reason, told.wait_ms) == ("down", FIRST_PAUSE_US // 1_000)


def test_one_answer_between_them_keeps_it_closed(world: World) -> None:
    """A poisoned item that breaks its own calls is not an outage as long as others get through."""
    for _ in range(3):
        for _ in range(TRIP_STREAK - 1):
            fail(world, world.take())
        good = world.take()
        assert good.doubted
        succeed(world, good)
        world.clock.now_us += WINDOW_US
    assert world.limiter.breaker(KEY).state == "closed"
    assert not world.take().doubted


def test_half_of_many_calls_failing_opens_it_and_a_fifth_does_not(world: World) -> None:
    """A service that answers every other call is down for whoever has to settle the rest."""
    for number in range(5 * TRIP_LEAST):
        on = world.take()
        fail(world, on) if number % 5 == 0 else succeed(world, on)
        world.clock.now_us += 20_000
    assert world.limiter.breaker(KEY).state == "closed"
    world.clock.now_us += WINDOW_US
    changes = []
    for number in range(2 * TRIP_LEAST):
        on = world.take()
        changes.append(fail(world, on) if number % 2 == 0 else succeed(world, on))
        if "opened" in changes:
            break
        world.clock.now_us += 20_000
    assert changes.count("opened") == 1
    assert len(changes) >= 2 * TRIP_LEAST - 1


def test_while_all_is_well_nothing_is_counted_nor_reported(world: World) -> None:
    """The breaker may not cost the calls anything while nothing is wrong: no key, no write, no second round trip."""
    for _ in range(50):
        on = world.take()
        assert not on.doubted
        world.limiter.release(KEY, on.slot)
        world.clock.now_us += 10_000
    assert "breaker" not in str(world.snapshot()) or "streak=0" in str(world.snapshot())


def test_a_caller_that_is_turned_away_changes_nothing(world: World) -> None:
    """A thousand lanes look while it is open: none of them may cost a token, a slot or the probe."""
    outage(world)
    before = world.snapshot()
    parked(world)
    assert world.snapshot() == before


def test_after_the_pause_exactly_one_call_goes_out(world: World) -> None:
    """The service comes back to one question, not to all colleges at once."""
    outage(world)
    world.clock.now_us += FIRST_PAUSE_US
    assert world.limiter.breaker(KEY).state == "half_open"
    answers: list[Start | Park] = []

    def ask() -> None:
        answers.append(world.limiter.acquire(KEY, hold_ms=1_000))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    probes = [one for one in answers if isinstance(one, Start)]
    assert len(probes) == 1
    assert {one.reason for one in answers if isinstance(one, Park)} == {"down"}
    assert world.limiter.breaker(KEY).probing
    assert probes[0].doubted


def test_a_probe_that_is_answered_closes_it(world: World) -> None:
    """Then everybody goes on, under the limit as ever."""
    outage(world)
    world.clock.now_us += FIRST_PAUSE_US
    assert succeed(world, world.take()) == "closed"
    state = world.limiter.breaker(KEY)
    assert (state.state, state.failures, state.for_ms) == ("closed", 0, 0)
    assert not world.take().doubted


def test_each_probe_that_fails_doubles_the_pause_up_to_half_a_minute(world: World) -> None:
    """A service that struggles is not helped by being asked every second; one that is back is not kept waiting long."""
    outage(world)
    pauses_us = []
    for _ in range(8):
        wait_us = parked(world).wait_ms * 1_000
        pauses_us.append(wait_us)
        world.clock.now_us += wait_us
        assert fail(world, world.take()) == "still open"
    assert pauses_us[:6] == [FIRST_PAUSE_US << n for n in range(5)] + [LONGEST_PAUSE_US]
    assert max(pauses_us) == LONGEST_PAUSE_US


def test_closing_for_a_moment_does_not_make_the_pause_short_again(world: World) -> None:
    """A service that answers one call and breaks at the next is the same outage."""
    outage(world)
    world.clock.now_us += FIRST_PAUSE_US
    succeed(world, world.take())
    outage(world)
    assert parked(world).wait_ms == 2 * FIRST_PAUSE_US // 1_000
    world.clock.now_us += 2 * FIRST_PAUSE_US
    succeed(world, world.take())
    world.clock.now_us += 3_600 * S
    outage(world)
    assert parked(world).wait_ms == FIRST_PAUSE_US // 1_000


def test_a_probe_whose_holder_died_is_given_to_another_after_its_deadline(world: World) -> None:
    """A worker killed with the probe in its hands must not close the service for good."""
    outage(world)
    world.clock.now_us += FIRST_PAUSE_US
    world.take(hold_ms=1_000)
    world.clock.now_us += 900_000
    assert parked(world).reason == "down"
    world.clock.now_us += 200_000
    assert world.take().doubted


def test_a_probe_that_was_given_back_unused_is_free_at_once(world: World) -> None:
    """Its jobs were put again, or its guard said no: that says nothing about the service."""
    outage(world)
    world.clock.now_us += FIRST_PAUSE_US
    first = world.take()
    world.limiter.release(KEY, first.slot)
    second = world.take()
    third = world.limiter.acquire(KEY, hold_ms=1_000, release=second.slot)
    assert isinstance(third, Start)


def test_news_of_calls_that_began_before_is_not_heard(world: World) -> None:
    """A call that hung for five seconds says nothing about the service that has just answered a probe."""
    early = [world.take() for _ in range(2 * TRIP_STREAK)]
    outage(world)
    assert fail(world, early[0]) is None
    assert succeed(world, early[1]) is None
    assert world.limiter.breaker(KEY).state == "open"
    world.clock.now_us += FIRST_PAUSE_US
    succeed(world, world.take())
    for one in early[2:]:
        assert fail(world, one) is None
    state = world.limiter.breaker(KEY)
    assert (state.state, state.failures) == ("closed", 0)


def test_an_admin_keeps_it_open_and_closes_it(world: World) -> None:
    """Before planned work at WPS nobody should have to watch a thousand calls fail."""
    world.limiter.hold_open(KEY, why="maintenance")
    world.clock.now_us += 3_600 * S
    assert parked(world).reason == "down"
    state = world.limiter.breaker(KEY)
    assert (state.state, state.held, state.why, state.for_ms) == ("open", True, "maintenance", 3_600_000)
    world.limiter.close_breaker(KEY)
    assert world.limiter.breaker(KEY).state == "closed"
    world.take()


def test_after_an_outage_the_limit_holds_as_ever(world: World) -> None:
    """Twenty thousand jobs wait for the end of an outage: WPS may not be greeted by a rush beyond the limit."""
    outage(world)
    world.clock.now_us += 3_600 * S
    probe = world.take()
    began_us = world.clock.now_us
    assert parked(world).reason == "down"
    succeed(world, probe)
    granted = [(began_us, 0), *world.hungry(200, seconds=3)]
    assert len(granted) > 3 * 100
    assert worst_excess(starts_s(granted), rate_per_s=100, burst=10) <= 0


def test_a_lost_memory_is_closed(world: World) -> None:
    """Redis lost everything: the limiter begins at its lowest rate, and ten failures are found out anew."""
    outage(world)
    if isinstance(world.limiter, MemoryLimiter):
        world.limiter._breakers.clear()
    world.forget()
    assert world.limiter.breaker(KEY).state == "closed"
    world.take()


def test_a_clock_set_back_makes_no_pause_longer(world: World) -> None:
    """A failover to a server whose clock is an hour behind must not be an hour more of outage."""
    outage(world)
    world.clock.now_us -= 3_600 * S
    assert parked(world).wait_ms <= FIRST_PAUSE_US // 1_000
    world.clock.now_us += FIRST_PAUSE_US
    assert succeed(world, world.take()) == "closed"


def test_two_apps_have_two_breakers(world: World) -> None:
    """One university's WPS being down says nothing about another's."""
    outage(world)
    other: Limiter = world.limiter
    assert other.breaker("tenant-2").state == "closed"
