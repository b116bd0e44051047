"""What every limiter promises, asked of the one in memory and the one on a real Valkey, on the same virtual clock."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from bench.limiter import worst_excess
from bench.valkey import connect, private_valkey
from ratelimit.limiter import CostTooLarge, LimiterState, Limits, Park, Start
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
def world_with(request: pytest.FixtureRequest) -> Callable[[Limits], World]:
    """Makes a world with the given limits; the tests below run once per kind of limiter."""
    clock = Clock()

    def memory(limits: Limits) -> World:
        limiter = MemoryLimiter(limits=limits, clock_us=clock)
        return World(limiter, clock, lambda: repr(limiter._buckets), lambda: limiter._buckets.clear())

    def on_redis(limits: Limits) -> World:
        server: redis.Redis = request.getfixturevalue("client")
        limiter = RedisLimiter(server, limits=limits, clock_us=clock)
        return World(
            limiter, clock, lambda: {key: server.dump(key) for key in sorted(server.keys())}, lambda: server.flushall()
        )

    return memory if request.param == "memory" else on_redis


@pytest.fixture
def world(world_with: Callable[[Limits], World]) -> World:
    return world_with(ROOMY)


# --- the limit ------------------------------------------------------------------------------------------------------


def test_no_window_ever_holds_more_starts_than_permitted(world: World) -> None:
    """WPS counts too: one window over its limit and the whole university is throttled."""
    world.warm()
    granted = world.hungry(40, seconds=3)
    world.clock.now_us += S  # a rest fills the bucket; a rush follows
    granted += world.hungry(40, seconds=1)
    assert worst_excess(starts_s(granted), rate_per_s=100, burst=10) <= 0


def test_hungry_callers_use_at_least_99_percent_of_the_rate(world: World) -> None:
    """A limit half used is a term that takes twice as long."""
    world.warm()
    world.hungry(30, seconds=1)
    assert len(world.hungry(30, seconds=10)) >= 0.99 * 100 * 10


def test_a_burst_starts_at_once_and_the_next_call_waits_for_its_token(world: World) -> None:
    """After a pause the saved calls are there, and the first one beyond them is told exactly when it may start."""
    world.warm()
    waits = [world.take().wait_ms for _ in range(12)]
    assert waits == [0] * 10 + [10, 20]


def test_equally_hungry_callers_get_equal_shares(world: World) -> None:
    """Reservations queue in the order of arrival, so no lane starves another."""
    world.warm()
    world.hungry(20, seconds=1)  # the saved burst goes to whoever asks first; fairness is about what follows
    shares = Counter(caller for _, caller in world.hungry(20, seconds=10))
    fair = shares.total() / 20
    assert len(shares) == 20
    assert all(abs(share - fair) <= 2 for share in shares.values())


def test_an_admission_under_contention_takes_one_question(world: World) -> None:
    """Polling would load Redis and favour whoever asks most often."""
    world.warm()
    answers = [world.limiter.acquire(KEY, hold_ms=1_000) for _ in range(35)]
    assert all(isinstance(answer, Start) for answer in answers)
    assert [answer.wait_ms for answer in answers] == sorted(answer.wait_ms for answer in answers)


def test_a_call_that_can_never_fit_is_refused_at_once(world: World) -> None:
    """To wait for it would be to wait for ever."""
    world.warm()
    before = world.snapshot()
    with pytest.raises(CostTooLarge, match="raise the burst"):
        world.limiter.acquire(KEY, hold_ms=1_000, cost=10.5)
    assert world.snapshot() == before


def test_a_dear_call_is_paid_in_full(world: World) -> None:
    """Cost is what the remote side counts, not the number of our requests."""
    world.warm()
    assert isinstance(world.limiter.acquire(KEY, hold_ms=1_000, cost=10), Start)
    assert world.take().wait_ms == 10


@pytest.mark.parametrize("wrong", [{"cost": 0}, {"cost": float("nan")}, {"hold_ms": 0}, {"max_wait_ms": -1}])
def test_a_request_that_makes_no_sense_is_an_error(world: World, wrong: dict[str, float]) -> None:
    """A cost of zero would be a call for free."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        world.limiter.acquire(KEY, **{"hold_ms": 1_000, **wrong})  # type: ignore[arg-type]


def test_keys_do_not_share_a_budget(world: World) -> None:
    """Two tenants have two WPS apps, each with its own limit."""
    world.warm()
    for _ in range(20):
        world.take()
    other = world.limiter.state("tenant-2")
    assert (other.in_flight, other.tokens) == (0, 0)


# --- parking --------------------------------------------------------------------------------------------------------


def park_for_rate(world: World) -> None:
    while isinstance(world.limiter.acquire(KEY, hold_ms=60_000), Start):
        pass


def park_for_block(world: World) -> None:
    world.limiter.throttled(KEY, epoch=99, retry_after_ms=5_000)


def fill_the_house(world: World) -> None:
    world.limiter.configure(KEY, Limits(100, 10, max_in_flight=2))
    world.take(hold_ms=60_000), world.take(hold_ms=60_000)


PARKED = [(park_for_rate, "rate"), (park_for_block, "blocked"), (fill_the_house, "in_flight")]


@pytest.mark.parametrize(("prepare", "reason"), PARKED, ids=[reason for _, reason in PARKED])
def test_a_park_leaves_the_state_byte_for_byte(world: World, prepare: Callable[[World], None], reason: str) -> None:
    """A parked lane comes back later; if asking cost something, a thousand parked lanes would eat the budget."""
    world.warm()
    prepare(world)
    world.clock.now_us += 1_234
    before = world.snapshot()
    answer = world.limiter.acquire(KEY, hold_ms=1_000, max_wait_ms=100)
    assert isinstance(answer, Park)
    assert (answer.reason, answer.wait_ms > 0) == (reason, True)
    assert world.snapshot() == before


@pytest.mark.parametrize(("prepare", "reason"), PARKED[:2], ids=["rate", "blocked"])
def test_a_slot_passed_along_is_released_even_if_the_caller_is_parked(
    world: World, prepare: Callable[[World], None], reason: str
) -> None:
    """The call it stood for is over whatever comes next; otherwise parked lanes would hold the house full."""
    world.warm()
    slot = world.take(hold_ms=600_000).slot
    prepare(world)
    held = world.limiter.state(KEY).in_flight
    answer = world.limiter.acquire(KEY, hold_ms=1_000, max_wait_ms=0, release=slot)
    assert isinstance(answer, Park)
    assert answer.reason == reason
    assert world.limiter.state(KEY).in_flight == held - 1


def test_the_wait_of_a_park_is_when_a_lone_caller_may_start(world: World) -> None:
    """The lane sleeps in the database until then: too short and it asks in vain, too long and the rate is wasted."""
    world.warm()
    park_for_rate(world)
    answer = world.limiter.acquire(KEY, hold_ms=1_000)
    assert isinstance(answer, Park)
    world.clock.now_us += answer.wait_ms * 1_000
    assert world.take(max_wait_ms=0).wait_ms == 0


# --- calls in flight ------------------------------------------------------------------------------------------------


def test_never_more_slots_than_the_cap(world_with: Callable[[Limits], World]) -> None:
    """WPS is slow some days: then the cap, not the rate, keeps us from piling calls on it."""
    world = world_with(Limits(rate_per_s=100, burst=10, max_in_flight=4))
    world.warm()
    granted = world.hungry(12, seconds=5, call_ms=150)
    changes = sorted([(at_us, 1) for at_us, _ in granted] + [(at_us + 150_000, -1) for at_us, _ in granted])
    flying = most = 0
    for _, change in changes:
        flying += change
        most = max(most, flying)
    assert most == 4


def test_a_crashed_holders_slot_comes_back_at_its_deadline_and_not_before(world: World) -> None:
    """A killed worker releases nothing; without a deadline each crash would shrink the house for good."""
    world.warm()
    world.limiter.configure(KEY, Limits(100, 10, max_in_flight=1))
    world.take(hold_ms=5_000)
    world.clock.now_us += 4_999_000
    assert isinstance(world.limiter.acquire(KEY, hold_ms=5_000), Park)
    world.clock.now_us += 1_000
    assert world.take(hold_ms=5_000).wait_ms == 0
    assert world.limiter.state(KEY).in_flight == 1


def test_a_slot_of_a_start_to_come_lasts_from_that_start(world: World) -> None:
    """A reservation 200 ms ahead must not lose 200 ms of its protection."""
    world.warm()
    world.limiter.acquire(KEY, hold_ms=1, cost=10)
    world.clock.now_us += 2_000
    start = world.take(hold_ms=1_000)
    world.clock.now_us += start.wait_ms * 1_000 + 999_000
    assert world.limiter.state(KEY).in_flight == 1
    world.clock.now_us += 1_000
    assert world.limiter.state(KEY).in_flight == 0


def test_a_waiter_that_dies_costs_one_slot_and_one_call(world: World) -> None:
    """It reserved, and never started: nobody else notices more than that."""
    world.warm()
    for _ in range(10):
        world.take(hold_ms=1_000)
    world.take(hold_ms=1_000)  # waits 10 ms, and is killed meanwhile
    assert world.take().wait_ms == 20
    world.clock.now_us += 2 * S
    assert world.limiter.state(KEY).in_flight == 0


def test_releasing_twice_or_late_frees_nobody_elses_slot(world: World) -> None:
    """A zombie that wakes up after its deadline must not push a third call into the house."""
    world.warm()
    old = world.take(hold_ms=100).slot
    world.clock.now_us += S
    world.take(hold_ms=60_000)
    world.limiter.release(KEY, old)
    world.limiter.release(KEY, old)
    assert world.limiter.state(KEY).in_flight == 1


def test_a_slot_that_is_passed_on_counts_once(world: World) -> None:
    """Who pays for the next call while one is in flight has one call in flight, also where there is no slot to spare."""
    world.warm()
    world.limiter.configure(KEY, Limits(100, 10, max_in_flight=1))
    first = world.take(hold_ms=60_000)
    for _ in range(3):
        following = world.limiter.acquire(KEY, hold_ms=60_000, max_wait_ms=0, pass_on=first.slot)
        assert isinstance(following, Start)
        assert world.limiter.state(KEY).in_flight == 1
        first = following
    assert isinstance(world.limiter.acquire(KEY, hold_ms=1_000), Park)


@pytest.mark.parametrize("park", [park_for_rate, park_for_block])
def test_a_park_keeps_the_slot_that_was_to_be_passed_on(world: World, park: Callable[[World], None]) -> None:
    """Its call is still in flight: without a next one nothing takes its place."""
    world.warm()
    mine = world.take(hold_ms=60_000)
    park(world)
    before = world.snapshot()
    assert isinstance(world.limiter.acquire(KEY, hold_ms=1_000, max_wait_ms=0, pass_on=mine.slot), Park)
    assert world.snapshot() == before


def test_a_slot_past_its_deadline_makes_no_room_when_it_is_passed_on(world: World) -> None:
    """It was counted as free already; passed on it would be free twice."""
    world.warm()
    world.limiter.configure(KEY, Limits(100, 10, max_in_flight=1))
    old = world.take(hold_ms=100).slot
    world.clock.now_us += S
    world.take(hold_ms=60_000)
    assert isinstance(world.limiter.acquire(KEY, hold_ms=1_000, pass_on=old), Park)


def test_a_full_house_says_to_look_again_soon(world: World) -> None:
    """The deadline is the worst case; a slot is free after one call, and the wait says so."""
    world.warm()
    fill_the_house(world)
    answer = world.limiter.acquire(KEY, hold_ms=1_000)
    assert answer == Park(wait_ms=100, epoch=0, reason="in_flight")


# --- throttling -----------------------------------------------------------------------------------------------------


def test_nothing_starts_before_the_end_of_the_block(world: World) -> None:
    """Retry-After is for everyone who shares the app's limit, not only for the lane that heard it."""
    world.warm()
    until_us = world.clock.now_us + 3 * S
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=3_000)
    granted = world.hungry(20, seconds=5)
    assert min(at_us for at_us, _ in granted) >= until_us
    assert worst_excess(starts_s(granted), rate_per_s=100, burst=10) <= 0


def test_a_short_block_is_waited_for_instead_of_parked(world: World) -> None:
    """A block that ends within the caller's patience is only a wait."""
    world.warm()
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=100)
    assert 100 < world.take().wait_ms <= 250


def test_a_block_saves_nothing_up(world: World) -> None:
    """A bucket that filled during the block would greet WPS with a burst the moment it forgave us."""
    world.warm()
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=3_000)
    world.clock.now_us += 3 * S
    assert world.limiter.state(KEY).tokens == 0


def test_twenty_throttles_of_one_epoch_cut_the_rate_once(world: World) -> None:
    """Twenty calls that were in the air together are one piece of news."""
    world.warm()
    epoch = world.take().epoch
    for _ in range(20):
        world.limiter.throttled(KEY, epoch=epoch, retry_after_ms=1_000)
    state = world.limiter.state(KEY)
    assert state.rate_per_s == pytest.approx(70)
    assert state.epoch == epoch + 1


def test_a_stale_throttle_blocks_but_does_not_cut(world: World) -> None:
    """A refusal of a call from before the last cut says nothing about the rate since."""
    world.warm()
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=0)
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=2_000)
    state = world.limiter.state(KEY)
    assert state.rate_per_s == pytest.approx(70)
    assert (state.epoch, state.blocked_ms) == (1, 2_000)


def test_cuts_stop_at_a_fifth_of_the_configured_rate(world: World) -> None:
    """However angry the other side is, the queue still moves, and the way back is short."""
    world.warm()
    for epoch in range(20):
        world.limiter.throttled(KEY, epoch=epoch, retry_after_ms=0)
    assert world.limiter.state(KEY).rate_per_s == pytest.approx(20)


@pytest.mark.parametrize(("rate_per_s", "lowest"), [(3.0, 1.0), (0.5, 0.5)])
def test_slow_limits_are_not_cut_below_one_a_second(
    world_with: Callable[[Limits], World], rate_per_s: float, lowest: float
) -> None:
    """A fifth of three a second would be a standstill; a limit below one a second is its own floor."""
    world = world_with(Limits(rate_per_s, burst=1, max_in_flight=10))
    for epoch in range(20):
        world.limiter.throttled(KEY, epoch=epoch, retry_after_ms=0)
    assert world.limiter.state(KEY).rate_per_s == pytest.approx(lowest)


def test_a_longer_block_is_not_shortened_by_a_later_answer(world: World) -> None:
    """Answers overtake each other; the strictest one heard counts."""
    world.warm()
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=5_000)
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=1_000)
    assert world.limiter.state(KEY).blocked_ms == 5_000


def test_no_block_is_longer_than_a_quarter_of_an_hour(world: World) -> None:
    """A wrong header of theirs must not stop a university for a day."""
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=86_400_000)
    assert world.limiter.state(KEY).blocked_ms == 15 * 60 * 1_000
    with pytest.raises(ValueError, match="retry_after_ms"):
        world.limiter.throttled(KEY, epoch=0, retry_after_ms=-1)


def test_after_quiet_the_rate_returns_monotonously_within_ten_seconds(world: World) -> None:
    """A throttle costs seconds, not the rest of the night."""
    world.warm()
    for epoch in range(10):
        world.limiter.throttled(KEY, epoch=epoch, retry_after_ms=0)
    rates = []
    for _ in range(100):
        rates.append(world.limiter.state(KEY).rate_per_s)
        world.clock.now_us += S // 10
    assert rates == sorted(rates)
    assert world.limiter.state(KEY).rate_per_s == 100


def test_asking_often_does_not_speed_up_the_recovery(world: World) -> None:
    """The tokens are the area under a curve of time; how many look at it must not matter."""
    world.warm()
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=0)
    world.hungry(50, seconds=2)
    assert world.limiter.state(KEY).rate_per_s == pytest.approx(70 + 100 / 8, rel=1e-6)


# --- settings, loss of memory, clocks -------------------------------------------------------------------------------


def test_a_missing_memory_starts_empty_and_at_the_lowest_rate(world: World) -> None:
    """After a failover nobody knows what was just spent; a full bucket would be a second burst."""
    state = world.limiter.state(KEY)
    assert state == LimiterState(20, 100, 0, 10, 0, 1_000, 0, 0)
    assert world.take().wait_ms == 50


def test_without_throttles_a_new_bucket_is_at_full_rate_within_ten_seconds(world: World) -> None:
    """Ten seconds of caution are cheap, minutes are not."""
    world.take()
    world.clock.now_us += 10 * S
    assert world.limiter.state(KEY).rate_per_s == 100


def test_a_new_bucket_whose_first_caller_is_parked_still_begins_to_fill(world_with: Callable[[Limits], World]) -> None:
    """With a slow limit the first wait is longer than anyone waits: the birth must be kept or nobody ever starts."""
    world = world_with(Limits(rate_per_s=2, burst=2, max_in_flight=5))
    answer = world.limiter.acquire(KEY, hold_ms=1_000)
    assert isinstance(answer, Park)
    world.clock.now_us += answer.wait_ms * 1_000
    assert world.take(max_wait_ms=0).wait_ms == 0


def test_looking_at_the_state_changes_nothing(world: World) -> None:
    """A dashboard that is open must not warm a limiter up."""
    before = world.snapshot()
    world.limiter.state(KEY)
    assert world.snapshot() == before
    world.warm()
    before = world.snapshot()
    world.clock.now_us += S
    world.limiter.state(KEY)
    assert world.snapshot() == before


def test_losing_the_memory_again_and_again_stays_near_the_lowest_rate(world: World) -> None:
    """Flushes of the broker are harmless elsewhere; here they must not become a way around the limit.

    Each life lasts 0.5 s and may hand out 0.25 s ahead, at 20 to 26 a second.
    """
    world.warm()
    granted = []
    for _ in range(10):
        world.forget()
        granted += world.hungry(30, seconds=0.5)
    assert worst_excess(starts_s(granted), rate_per_s=100, burst=10) <= 0
    assert 100 <= len(granted) <= 10 * (0.5 + 0.25) * 26


def test_configuring_the_same_again_changes_nothing(world: World) -> None:
    """Every process configures at boot; a restart in the middle of a cut must not undo it."""
    world.warm()
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=1_000)
    world.clock.now_us += S
    before = world.snapshot()
    world.limiter.configure(KEY, ROOMY)
    assert world.snapshot() == before


def test_a_lower_limit_counts_at_once(world: World) -> None:
    """An operator who turns the rate down does so because WPS is complaining now."""
    world.warm()
    world.limiter.configure(KEY, Limits(10, 2, 3))
    state = world.limiter.state(KEY)
    assert (state.rate_per_s, state.max_rate_per_s, state.tokens, state.burst, state.max_in_flight) == (10, 10, 2, 2, 3)


def test_a_higher_limit_is_grown_into_within_ten_seconds(world: World) -> None:
    """A jump would be judged by WPS before we know whether it is welcome."""
    world.warm()
    world.limiter.configure(KEY, Limits(400, 40, 1_000))
    assert world.limiter.state(KEY).rate_per_s == pytest.approx(100)
    world.clock.now_us += 10 * S
    assert world.limiter.state(KEY).rate_per_s == 400


def test_changing_limits_never_crowds_a_window(world: World) -> None:
    """Starts that are granted and still to come must not be overtaken by a faster curve."""
    world.warm()
    granted = []
    for turn in range(12):
        world.limiter.configure(KEY, Limits([20.0, 200.0, 60.0][turn % 3], [5.0, 10.0][turn % 2], 1_000))
        granted += world.hungry(60, seconds=0.7)
        if turn % 4 == 3:
            world.limiter.throttled(KEY, epoch=turn // 4, retry_after_ms=200)
    assert worst_excess(starts_s(granted), rate_per_s=200, burst=10) <= 0


def test_nobody_overtakes_after_the_limit_is_raised(world_with: Callable[[Limits], World]) -> None:
    """Who asked first starts first: a steeper curve counts only behind the starts that are granted already."""
    world = world_with(Limits(20, 10, 1_000))
    world.warm()
    last = [world.take(max_wait_ms=2_000).wait_ms for _ in range(50)][-1]
    assert last == 2_000
    world.limiter.configure(KEY, Limits(1_000, 10, 1_000))
    assert world.take(max_wait_ms=3_000).wait_ms > last


def test_a_clock_set_back_neither_hands_out_nor_stalls(world: World) -> None:
    """A failover can land on a server whose clock is an hour behind: no negative waits, and no hour of waiting."""
    world.warm()
    for _ in range(20):
        world.take(hold_ms=500)
    world.clock.now_us -= 3_600 * S
    assert world.take().wait_ms == 110
    world.clock.now_us += S
    state = world.limiter.state(KEY)
    assert (state.in_flight, state.blocked_ms) == (1, 0)
    assert state.tokens == 10


def test_a_clock_set_back_keeps_the_rest_of_a_block(world: World) -> None:
    """What was left of the block is still to be served, neither more nor less."""
    world.warm()
    world.limiter.throttled(KEY, epoch=0, retry_after_ms=4_000)
    world.clock.now_us -= 3_600 * S
    assert world.limiter.state(KEY).blocked_ms == 4_000
    assert isinstance(world.limiter.acquire(KEY, hold_ms=1_000), Park)
    world.clock.now_us += 3_900_000
    assert 100 <= world.take().wait_ms <= 250


def test_a_clock_set_forward_gives_at_most_a_burst(world: World) -> None:
    """A jump of an hour is an hour's tokens on paper; the bucket holds ten."""
    world.warm()
    for _ in range(30):
        world.take(hold_ms=1)
    world.clock.now_us += 3_600 * S
    assert sum(1 for _ in range(30) if world.take(hold_ms=1).wait_ms == 0) == 10


def test_threads_together_get_no_more_than_one_would(world: World) -> None:
    """Sixteen threads of a worker ask at once; each token is given to one of them."""
    world.warm()
    answers: list[Start | Park] = []
    lock = threading.Lock()

    def ask() -> None:
        for _ in range(10):
            answer = world.limiter.acquire(KEY, hold_ms=1_000, max_wait_ms=5)
            with lock:
                answers.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert sum(isinstance(answer, Start) for answer in answers) == 10
