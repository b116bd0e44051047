"""Due lanes in Redis, on a real Valkey: hints may be lost or wrong, but must be fair and must not run over."""

from __future__ import annotations

import time

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from db.lane_hints import BOOST_MS, LaneHints

pytestmark = pytest.mark.integration

A, B, C = ("t1", "数学"), ("t1", "物理"), ("t2", "数学")
HOLD_MS = 60_000


@pytest.fixture
def hints(redis_client: redis.Redis) -> LaneHints:
    return LaneHints(redis_client)


def claim(hints: LaneHints, *, cap: int = 10, hold_ms: int = HOLD_MS) -> tuple[str, str] | None:
    return hints.claim(cap=cap, hold_ms=hold_ms)


def mark_in_turn(hints: LaneHints, *lanes: tuple[str, str]) -> None:
    """Marks with at least a millisecond of the server's clock between them: the order is by time."""
    for lane in lanes:
        hints.mark([lane])
        time.sleep(0.003)


def test_the_lane_that_has_waited_longest_goes_first(hints: LaneHints) -> None:
    """A small college must not starve beside a large one; marking again does not lose the place in the queue."""
    mark_in_turn(hints, B, A, C, B)
    assert [claim(hints) for _ in range(4)] == [B, A, C, None]


def test_a_lane_is_given_to_one_drain_at_a_time(hints: LaneHints) -> None:
    """The database would refuse the second one; asking it costs a transaction."""
    hints.mark([A])
    assert claim(hints) == A
    hints.mark([A])
    assert claim(hints) is None


def test_no_more_lanes_are_drained_than_the_cap(hints: LaneHints) -> None:
    """Beyond it they would only wait for the limiter, each on a thread of its own."""
    mark_in_turn(hints, A, B, C)
    assert claim(hints, cap=2) == A
    assert claim(hints, cap=2) == B
    assert claim(hints, cap=2) is None
    hints.release(A, again=False)
    assert claim(hints, cap=2) == C


def test_the_lane_of_a_dead_drain_comes_back(hints: LaneHints) -> None:
    """Nobody releases for a killed worker, and its place under the cap must not be lost with it."""
    hints.mark([A])
    assert claim(hints, cap=1, hold_ms=30) == A
    assert claim(hints, cap=1) is None
    time.sleep(0.05)
    assert claim(hints, cap=1) == A


def test_a_drain_that_is_alive_keeps_its_lane(hints: LaneHints) -> None:
    """The keeper says so for all lanes of its process."""
    hints.mark([A])
    assert claim(hints, hold_ms=30) == A
    hints.hold([A], hold_ms=HOLD_MS)
    time.sleep(0.05)
    assert claim(hints) is None


def test_a_lane_marked_while_it_is_held_comes_back_when_it_is_released(hints: LaneHints) -> None:
    """New work that arrives at the end of a slice must not wait for the next look into the database."""
    hints.mark([A])
    assert claim(hints) == A
    hints.mark([A])
    hints.release(A, again=False)
    assert claim(hints) == A
    hints.release(A, again=False)
    assert claim(hints) is None, "once marked, once back"


def test_a_lane_with_more_to_do_goes_to_the_end_of_the_queue(hints: LaneHints) -> None:
    """A slice each, in turn."""
    mark_in_turn(hints, A, B)
    assert claim(hints) == A
    hints.release(A, again=True)
    assert [claim(hints), claim(hints)] == [B, A]


def test_whether_others_wait_is_known(hints: LaneHints) -> None:
    """A drain yields only to somebody."""
    assert not hints.others_wait()
    hints.mark([A, B])
    assert claim(hints) is not None
    assert hints.others_wait()
    assert claim(hints) is not None
    assert not hints.others_wait()


def test_an_urgent_lane_goes_before_others_but_not_before_one_that_has_waited_for_long(
    hints: LaneHints, redis_client: redis.Redis
) -> None:
    """A college with urgent changes all day may make the others wait, and must not starve them."""
    mark_in_turn(hints, A, B, C)
    ((long_ago, since), *_) = redis_client.zrange("{obsync:lanes}:ready", 0, 0, withscores=True)
    redis_client.zadd("{obsync:lanes}:ready", {long_ago: since - BOOST_MS - 5_000})
    hints.hurry([C])
    hints.hurry([C])
    assert [claim(hints) for _ in range(4)] == [A, C, B, None]


def test_an_emptied_redis_costs_nothing_but_a_new_mark(hints: LaneHints, redis_client: redis.Redis) -> None:
    """FLUSHALL at any moment: the script is loaded again, the lanes are marked again."""
    mark_in_turn(hints, A, B)
    assert claim(hints) == A
    redis_client.flushall()
    redis_client.script_flush()
    assert claim(hints) is None
    hints.hold([A], hold_ms=HOLD_MS)
    hints.release(A, again=False)
    hints.mark([A, B])
    assert {claim(hints), claim(hints)} == {A, B}


def test_without_redis_there_is_nothing_to_claim_and_nothing_breaks() -> None:
    """The database still knows what is due; a worker only waits."""
    hints = LaneHints(redis.Redis(unix_socket_path="/nonexistent/redis.sock", retry=Retry(NoBackoff(), 0)))
    hints.mark([A])
    hints.hold([A], hold_ms=HOLD_MS)
    assert claim(hints) is None
    assert not hints.others_wait()
    hints.release(A, again=True)


def test_names_of_any_kind_come_back_as_they_were(hints: LaneHints) -> None:
    """Lanes are named by people."""
    for lane in (("t1", "_"), ("租户", "外国语学院（国际教育）:1"), ("t1", "a b%/{}")):
        hints.mark([lane])
        assert claim(hints) == lane


def test_marking_and_holding_nothing_is_no_call(hints: LaneHints) -> None:
    """Most seconds have nothing due."""
    hints.mark([])
    hints.hold([], hold_ms=HOLD_MS)
    assert claim(hints) is None
