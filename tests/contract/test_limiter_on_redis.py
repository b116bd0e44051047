"""What only the shared limiter can get wrong: its server, its script, its keys."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from bench.valkey import connect, private_valkey
from ratelimit.limiter import LimiterAway, Limits, Start
from ratelimit.redis_limiter import RedisLimiter
from tests.contract.limiter_world import KEY, ROOMY, Clock, S


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with private_valkey(tmp_path_factory.mktemp("v")) as socket_path:
        yield socket_path


@pytest.fixture
def client(valkey: Path) -> Iterator[redis.Redis]:
    with connect(valkey) as connected:
        connected.flushall()
        yield connected


def test_each_admission_is_one_command(client: redis.Redis) -> None:
    """Two trips per call would double the load on the broker; the released slot rides along."""
    limiter = RedisLimiter(client, limits=Limits(1_000, 100, 10))
    slot = limiter.acquire(KEY, hold_ms=1_000).slot  # type: ignore[union-attr]
    client.config_resetstat()
    admitted = 0
    for _ in range(50):
        answer = limiter.acquire(KEY, hold_ms=1_000, release=slot)
        slot = answer.slot if isinstance(answer, Start) else None
        admitted += isinstance(answer, Start)
        time.sleep(answer.wait_ms / 1_000)
    calls = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert admitted == 50
    assert calls / admitted <= 1.1
    assert limiter.state(KEY).in_flight == 1


def test_the_servers_clock_is_the_one_that_counts(client: redis.Redis) -> None:
    """Machines disagree about the time; a limit shared by them can follow only one clock."""
    limiter = RedisLimiter(client, limits=ROOMY)
    seconds, microseconds = client.time()
    limiter.acquire(KEY, hold_ms=1_000)
    last_us = float(client.hget("{obsync:limiter:tenant-1}:bucket", "last"))  # type: ignore[arg-type]
    assert 0 <= last_us - (seconds * S + microseconds) < S


def test_a_script_forgotten_by_the_server_is_loaded_again(client: redis.Redis) -> None:
    """A restart or SCRIPT FLUSH must not look like an outage."""
    limiter = RedisLimiter(client, limits=ROOMY)
    limiter.acquire(KEY, hold_ms=1_000)
    client.script_flush()
    assert isinstance(limiter.acquire(KEY, hold_ms=1_000), Start)
    client.flushall()
    assert isinstance(limiter.acquire(KEY, hold_ms=1_000), Start)


def test_a_question_that_is_repeated_after_a_lost_answer_pays_twice_and_starts_once(client: redis.Redis) -> None:
    """A client that repeats commands costs a call at most; it must never get one for free."""
    clock = Clock()
    limiter = RedisLimiter(client, limits=ROOMY, clock_us=clock)
    limiter.acquire(KEY, hold_ms=1_000)
    before = limiter.state(KEY).tokens
    asked = limiter._run
    arguments = (KEY, "acquire", ROOMY, 1.0, 1_000, 250, "same-slot", "", "")
    asked(*arguments)
    asked(*arguments)
    state = limiter.state(KEY)
    assert state.in_flight == 2
    assert state.tokens == pytest.approx(before - 2)


def test_slots_past_their_deadline_are_deleted_by_the_next_start(client: redis.Redis) -> None:
    """Crashed holders must not leave a set behind that grows for ever."""
    clock = Clock()
    limiter = RedisLimiter(client, limits=ROOMY, clock_us=clock)
    for _ in range(5):
        limiter.acquire(KEY, hold_ms=100)
    clock.now_us += S
    limiter.acquire(KEY, hold_ms=100)
    assert client.zcard("{obsync:limiter:tenant-1}:slots") == 1


def test_both_keys_live_in_one_slot_of_a_cluster(client: redis.Redis) -> None:
    """A script may only touch keys of one node."""
    RedisLimiter(client, limits=ROOMY, namespace="n").acquire("有 {odd} key", hold_ms=1_000)
    keys = [bytes(key) for key in client.scan_iter()]
    assert len(keys) == 2
    assert len({key[key.index(b"{") : key.index(b"}")] for key in keys}) == 1


def test_a_full_server_means_no_call_and_no_half_change(client: redis.Redis) -> None:
    """noeviction answers OOM: failing closed is right, half a change would not be."""
    limiter = RedisLimiter(client, limits=ROOMY)
    slot = limiter.acquire(KEY, hold_ms=60_000).slot  # type: ignore[union-attr]
    before = {key: client.dump(key) for key in client.scan_iter()}
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(LimiterAway, match="OutOfMemory"):
            limiter.acquire(KEY, hold_ms=1_000, release=slot)
    finally:
        client.config_set("maxmemory", "0")
    assert {key: client.dump(key) for key in client.scan_iter()} == before


def test_a_replica_means_no_call(tmp_path: Path) -> None:
    """After a failover the old master is a read-only replica: its numbers are somebody else's."""
    with private_valkey(tmp_path, "--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "yes") as socket_path:
        limiter = RedisLimiter(connect(socket_path), limits=ROOMY)
        with pytest.raises(LimiterAway):
            limiter.acquire(KEY, hold_ms=1_000)


def test_a_server_that_hangs_means_no_call(tmp_path: Path) -> None:
    """A time-out is not a connection error in this client, and is an outage all the same."""
    with private_valkey(tmp_path) as socket_path:
        patient, hasty = connect(socket_path), connect(socket_path, timeout_s=0.1)
        limiter = RedisLimiter(hasty, limits=ROOMY)
        limiter.acquire(KEY, hold_ms=1_000)
        patient.client_pause(500, all=True)
        with pytest.raises(LimiterAway, match="Timeout"):
            limiter.acquire(KEY, hold_ms=1_000)


def test_a_server_that_is_gone_means_no_call_and_coming_back_is_enough(tmp_path: Path) -> None:
    """Every operation fails closed, and nothing has to be restarted on our side afterwards."""
    with private_valkey(tmp_path) as socket_path:
        limiter = RedisLimiter(connect(socket_path), limits=ROOMY)
        slot = limiter.acquire(KEY, hold_ms=1_000).slot  # type: ignore[union-attr]
    for attempt in (
        lambda: limiter.acquire(KEY, hold_ms=1_000),
        lambda: limiter.release(KEY, slot),
        lambda: limiter.throttled(KEY, epoch=0, retry_after_ms=1_000),
        lambda: limiter.configure(KEY, ROOMY),
        lambda: limiter.state(KEY),
    ):
        with pytest.raises(LimiterAway):
            attempt()
    with private_valkey(tmp_path):
        assert isinstance(limiter.acquire(KEY, hold_ms=1_000), Start)
