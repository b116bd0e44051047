"""The limiter on random histories: the limit holds in each of them, and both implementations answer the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.limiter import worst_excess
from bench.valkey import connect, private_valkey
from ratelimit.limiter import CostTooLarge, Limiter, Limits, Park, Start
from ratelimit.memory_limiter import MemoryLimiter
from ratelimit.redis_limiter import RedisLimiter
from ratelimit.retry_after import parse_retry_after

KEY = "k"
BEGIN_US = 1_800_000_000_000_000
CAP = 6
NOW = datetime(2026, 3, 2, 8, 0, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Step:
    """`after_us` later, one operation; epochs count back from the newest the history has seen."""

    after_us: int
    operation: str
    cost: float = 1.0
    max_wait_ms: int = 250
    hold_ms: int = 1_000
    release: bool = False
    pass_on: bool = False
    epochs_back: int = 0
    retry_after_ms: int = 0
    limits: Limits | None = None
    failed: bool = False


limits = st.builds(
    Limits,
    rate_per_s=st.sampled_from([0.3, 1.0, 7.5, 50.0, 200.0, 999.0]),
    burst=st.sampled_from([1.0, 2.5, 10.0, 40.0]),
    max_in_flight=st.sampled_from([CAP, 1_000]),
)
pause_us = st.one_of(st.just(0), st.integers(0, 20_000), st.integers(0, 3_000_000), st.integers(0, 30_000_000))
pause_or_jump_back_us = st.one_of(pause_us, pause_us, st.integers(-5_000_000, -1))
asking = st.builds(
    Step,
    after_us=st.one_of(st.just(0), st.integers(0, 20_000)),
    operation=st.just("acquire"),
    cost=st.sampled_from([1.0, 1.0, 1.0, 2.5]),
    max_wait_ms=st.sampled_from([0, 250, 250, 2_000]),
    hold_ms=st.integers(1, 3_000),
    release=st.booleans(),
    pass_on=st.booleans(),
)
complaining = st.builds(
    Step,
    after_us=pause_us,
    operation=st.just("throttled"),
    epochs_back=st.integers(0, 2),
    retry_after_ms=st.sampled_from([0, 50, 1_000, 4_000]),
)
adjusting = st.builds(Step, after_us=pause_us, operation=st.just("configure"), limits=limits)
resting = st.builds(Step, after_us=pause_us, operation=st.just("state"))
jumping = st.builds(Step, after_us=pause_or_jump_back_us, operation=st.just("state"))

# Enough of them in a row that the breaker opens, and stray ones that must not be heard.
failing = st.builds(Step, after_us=st.integers(0, 2_000), operation=st.just("call"), failed=st.just(True))
calling = st.builds(Step, after_us=pause_us, operation=st.just("call"), failed=st.booleans())
straying = st.builds(Step, after_us=pause_us, operation=st.just("report"), failed=st.booleans())
deciding = st.builds(Step, after_us=pause_us, operation=st.sampled_from(["hold", "close"]))
outage = st.lists(failing, min_size=8, max_size=14)
trouble = st.lists(
    st.one_of(
        outage,
        st.lists(calling, max_size=4),
        st.lists(asking, max_size=6),
        st.builds(lambda s: [s], straying | straying | deciding | complaining | jumping),
    ),
    max_size=12,
)

# Rushes of questions are what a limit is for: most steps come as a handful of them in a row.
rush = st.lists(asking, min_size=1, max_size=30)
forwards = st.lists(
    st.one_of(rush, rush, rush, st.builds(lambda s: [s], complaining | adjusting | resting)), max_size=14
)
anyhow = st.lists(st.one_of(rush, st.builds(lambda s: [s], complaining | adjusting | resting | jumping)), max_size=10)


def flat(groups: Sequence[Sequence[Step]]) -> list[Step]:
    return [step for group in groups for step in group]


class Player:
    """Carries out the steps of a history on one limiter and a clock of its own."""

    def __init__(self) -> None:
        self.now_us = BEGIN_US
        self.newest_epoch = 0
        self.last_slot: str | None = None
        self.starts: list[Start] = []

    def clock_us(self) -> int:
        return self.now_us

    def play(self, limiter: Limiter, step: Step) -> object:
        self.now_us += step.after_us
        if step.operation == "acquire":
            return self._acquire(limiter, step)
        if step.operation == "call":
            return self._call(limiter, step)
        if step.operation == "report":
            return self._report(limiter, self.starts[-3:][0], step.failed) if self.starts else None
        if step.operation == "hold":
            return limiter.hold_open(KEY, why="an admin")
        if step.operation == "close":
            return limiter.close_breaker(KEY)
        if step.operation == "throttled":
            epoch = self.newest_epoch - step.epochs_back
            limiter.throttled(KEY, epoch=epoch, retry_after_ms=step.retry_after_ms)
            return None
        if step.limits is not None:
            limiter.configure(KEY, step.limits)
            return None
        return limiter.state(KEY)

    def _acquire(self, limiter: Limiter, step: Step) -> object:
        released = self.last_slot if step.release else None
        passed_on = self.last_slot if step.pass_on else None
        try:
            answer = limiter.acquire(
                KEY,
                hold_ms=step.hold_ms,
                max_wait_ms=step.max_wait_ms,
                cost=step.cost,
                release=released,
                pass_on=passed_on,
            )
        except CostTooLarge:
            return "cost"
        self.newest_epoch = max(self.newest_epoch, answer.epoch)
        if isinstance(answer, Start):
            self.last_slot = answer.slot
            self.starts.append(answer)
        return answer

    def _call(self, limiter: Limiter, step: Step) -> object:
        """Asked for, made and told about."""
        answer = self._acquire(limiter, step)
        if not isinstance(answer, Start):
            return answer
        change = self._report(limiter, answer, step.failed)
        limiter.release(KEY, answer.slot)
        return told(answer), change

    def _report(self, limiter: Limiter, on: Start, failed: bool) -> object:
        return limiter.report(KEY, slot=on.slot, trip=on.trip, failed=failed, why=f"failure {failed}")


@given(first=limits, history=forwards)
@settings(max_examples=250, deadline=None)
def test_no_history_breaks_the_limit(first: Limits, history: list[list[Step]]) -> None:
    """Cuts, blocks, new settings, costs and rushes in any order: no window has more than the largest limit allows."""
    player = Player()
    limiter = MemoryLimiter(limits=first, clock_us=player.clock_us)
    given_limits = [first, *(step.limits for step in flat(history) if step.limits)]
    starts_s = []
    for step in flat(history):
        answer = player.play(limiter, step)
        if isinstance(answer, Start):
            starts_s.append((player.now_us - BEGIN_US + answer.wait_ms * 1_000) / 1e6)
    rate_per_s = max(one.rate_per_s for one in given_limits)
    burst = max(one.burst for one in given_limits)
    assert worst_excess(starts_s, rate_per_s=rate_per_s, burst=burst) <= 1e-6


@given(first=limits, history=forwards)
@settings(max_examples=150, deadline=None)
def test_in_every_history_each_answer_keeps_its_word(first: Limits, history: list[list[Step]]) -> None:
    """Waits as asked, no start in a block, nobody overtakes, slots within the cap, parks that change nothing."""
    player = Player()
    limiter = MemoryLimiter(limits=first, clock_us=player.clock_us)
    caps = [first.max_in_flight]
    latest_us = 0
    for step in flat(history):
        before = limiter.state(KEY)
        kept = repr(limiter._buckets)
        born = KEY in limiter._buckets
        asked_us = player.now_us
        answer = player.play(limiter, step)
        state = limiter.state(KEY)
        caps.extend([step.limits.max_in_flight] if step.limits else [])
        assert state.in_flight <= max(caps)
        assert state.tokens <= state.burst
        if isinstance(answer, Start):
            assert 0 <= answer.wait_ms <= step.max_wait_ms
            assert asked_us + before.blocked_ms * 1_000 <= player.now_us + answer.wait_ms * 1_000 + 1_000
            assert state.in_flight <= state.max_in_flight
            start_us = player.now_us + answer.wait_ms * 1_000
            assert start_us > latest_us - 1_000  # waits are rounded up to whole milliseconds
            latest_us = max(latest_us, start_us)
        elif isinstance(answer, Park):
            assert answer.wait_ms > 0
            if born and not step.release:
                assert repr(limiter._buckets) == kept


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with private_valkey(tmp_path_factory.mktemp("v")) as socket_path:
        yield socket_path


@pytest.fixture(scope="module")
def client(valkey: Path) -> Iterator[redis.Redis]:
    with connect(valkey) as connected:
        yield connected


@given(first=limits, history=anyhow)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_redis_answer_the_same(client: redis.Redis, first: Limits, history: list[list[Step]]) -> None:
    """Tests of everything else run on the one in memory; they prove something only as long as the two agree."""
    client.flushall()
    here, there = Player(), Player()
    memory = MemoryLimiter(limits=first, clock_us=here.clock_us)
    shared = RedisLimiter(client, limits=first, clock_us=there.clock_us)
    for step in flat(history):
        assert told(there.play(shared, step)) == told(here.play(memory, step))
        assert shared.state(KEY) == memory.state(KEY)


@given(first=limits, history=trouble)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_redis_agree_on_every_outage(client: redis.Redis, first: Limits, history: list[list[Step]]) -> None:
    """Failures, probes, strays, admins and clocks in any order: the two breakers never differ."""
    client.flushall()
    here, there = Player(), Player()
    memory = MemoryLimiter(limits=first, clock_us=here.clock_us)
    shared = RedisLimiter(client, limits=first, clock_us=there.clock_us)
    for step in flat(history):
        assert told(there.play(shared, step)) == told(here.play(memory, step))
        assert shared.breaker(KEY) == memory.breaker(KEY)


@given(first=limits, history=trouble)
@settings(max_examples=150, deadline=None)
def test_an_open_breaker_lets_one_probe_out_and_only_when_it_is_due(first: Limits, history: list[list[Step]]) -> None:
    """In no history do two probes overlap, or one go out before its pause is over, or any while an admin says no."""
    player = Player()
    limiter = MemoryLimiter(limits=first, clock_us=player.clock_us)
    for step in flat(history):
        player.now_us += step.after_us
        before, asked = limiter.breaker(KEY), len(player.starts)
        player.play(limiter, replace(step, after_us=0))
        if before.state == "closed" or len(player.starts) == asked:
            continue
        assert (before.state, before.held, before.next_probe_ms) == ("half_open", False, 0)
        assert not before.probing or step.release  # the probe before was given back by this very question


def told(answer: object) -> object:
    """What both must agree on: everything but the name of the slot."""
    if isinstance(answer, Start):
        return ("start", answer.wait_ms, answer.epoch, answer.trip, answer.doubted)
    return answer


@given(value=st.none() | st.text(), date_header=st.none() | st.text(), now=st.datetimes())
def test_retry_after_never_raises_and_stays_in_bounds(
    value: str | None, date_header: str | None, now: datetime
) -> None:
    """The header comes from a stranger, at the worst moment there is."""
    wait_ms = parse_retry_after(value, now=now, date_header=date_header)
    assert wait_ms is None or 1_000 <= wait_ms <= 900_000


@given(
    value=st.from_regex(
        r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,5} \d{1,3}:\d\d:\d\d( [A-Z+-]\w{0,5})?", fullmatch=True
    )
)
def test_a_retry_after_that_looks_like_a_date_never_raises(value: str) -> None:
    """Almost-dates reach further into the parser than noise does."""
    wait_ms = parse_retry_after(value, now=NOW, date_header=value)
    assert wait_ms is None or 1_000 <= wait_ms <= 900_000
