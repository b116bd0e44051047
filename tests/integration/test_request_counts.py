"""How often somebody has asked: the same in Redis and in a process that is on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import redis

from db.request_counts import Counted, RequestCounts, Window
from tests.fixtures_stores import Valkey
from web.limits import parsed
from web.request_counts import Counts, OwnCounts

pytestmark = pytest.mark.integration

Count = Callable[[list[Window]], list[Counted]]
MINUTE = 60_000


@pytest.fixture(params=["shared", "own"])
def count(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[Count]:
    """One who counts."""
    if request.param == "own":
        yield OwnCounts().count
        return
    with valkey.client() as client:
        yield RequestCounts(client).count


def test_a_window_takes_so_many_and_says_when_it_ends(count: Count) -> None:
    """Who is refused is told how long to wait, and others are not counted with him."""
    mine, other = Window("user:north:mei", 2, MINUTE), Window("user:north:bao", 2, MINUTE)
    found = [count([mine])[0] for _ in range(3)]
    assert [(one.count, one.is_full) for one in found] == [(1, False), (2, False), (3, True)]
    assert all(0 < one.left_ms <= MINUTE for one in found)
    assert not count([other])[0].is_full


def test_what_is_refused_by_one_window_is_not_counted_in_the_next(count: Count) -> None:
    """A script that asks for everything uses up its own minute, and no route's."""
    whole, route = Window("user:north:ada", 1, MINUTE), Window("user:north:ada:runs", 5, MINUTE)
    assert [one.count for one in count([whole, route])] == [1, 1]
    for _ in range(3):
        assert [one.is_full for one in count([whole, route])] == [True]
    assert count([route])[0].count == 2


def test_a_window_that_has_ended_begins_anew() -> None:
    """Otherwise who was refused once would be refused for ever."""
    at = [0.0]
    count = OwnCounts(lambda: at[0]).count
    window = Window("user:north:mei", 1, MINUTE)
    assert [count([window])[0].count for _ in range(2)] == [1, 2]
    at[0] += 60
    assert count([window])[0].count == 1


def test_a_count_without_an_end_gets_one(valkey: Valkey) -> None:
    """A key that somebody put back from a copy has no time to live: it would refuse its caller until somebody looks."""
    with valkey.client() as client:
        count = RequestCounts(client).count
        window = Window("user:north:sun", 1, MINUTE)
        assert count([window])[0].count == 1
        (key,) = client.keys("*user:north:sun")
        client.persist(key)
        assert 0 < count([window])[0].left_ms <= MINUTE
        assert 0 < client.pttl(key) <= MINUTE


def test_limits_are_read_as_they_are_written() -> None:
    """A limit that nobody can read would be none."""
    assert parsed("10/minute") == (10, MINUTE) and parsed("2/second") == (2, 1_000)
    with pytest.raises(ValueError, match="10 per minute"):
        parsed("10 per minute")


def test_far_from_a_limit_redis_is_asked_once_and_near_it_each_time(valkey: Valkey) -> None:
    """A round trip for each request would be paid by everybody; a limit that two processes each let through twice is none."""
    window = Window("user:north:lin", 10, MINUTE)
    at = [0.0]
    with valkey.client() as client:
        one, other = (Counts(RequestCounts(client), lambda: at[0]) for _ in range(2))
        assert one.count([window])[0].count == 1
        (key,) = client.keys("*user:north:lin")
        assert [one.count([window])[0].count for _ in range(4)] == [2, 3, 4, 5]
        assert int(client.get(key)) == 1, "they were counted here"
        assert one.count([window])[0].count == 6 and int(client.get(key)) == 6, "the half is reached: all are told"
        assert [other.count([window])[0].count for _ in range(5)] == [7, 8, 9, 10, 11]
        refused = one.count([window])[0]
        assert (refused.count, refused.is_full) == (12, True)
        before = int(client.get(key))
        assert one.count([window])[0].is_full and int(client.get(key)) == before, "who is over it is known to be"


def test_others_learn_within_a_tenth_of_a_second_what_was_counted_here(valkey: Valkey) -> None:
    """Somebody whose requests go to four processes would have four limits."""
    mine, bell = Window("user:north:wei", 100, MINUTE), Window("user:north:tom", 100, MINUTE)
    at = [0.0]
    with valkey.client() as client:
        one, other = (Counts(RequestCounts(client), lambda: at[0]) for _ in range(2))
        for _ in range(20):
            one.count([mine])
        at[0] += 0.1
        one.count([bell])  # whoever comes next tells
        assert other.count([mine])[0].count == 21


def test_what_could_not_be_told_is_told_when_redis_is_back(valkey: Valkey) -> None:
    """A restart of the cache must not give everybody a second minute."""
    window = Window("user:north:yan", 100, MINUTE)
    at = [0.0]
    with valkey.client() as client:
        shared = _Away(client)
        counts = Counts(shared, lambda: at[0])
        counts.count([window])
        shared.is_away = True
        at[0] += 0.1
        assert [counts.count([window])[0].count for _ in range(3)] == [2, 3, 4]
        shared.is_away = False
        at[0] += 1.1
        counts.count([window])
        at[0] += 0.1
        counts.count([window])
        (key,) = client.keys("*user:north:yan")
        assert int(client.get(key)) == 5


class _Away(RequestCounts):
    """Counts on a server that does not always answer."""

    is_away = False

    def count(self, windows: Sequence[Window], more: Sequence[int] = ()) -> list[Counted]:
        if self.is_away:
            raise redis.ConnectionError("away")
        return super().count(windows, more)
