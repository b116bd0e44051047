"""How often somebody has asked: the same in Redis and in a process that is on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from db.request_counts import Counted, RequestCounts, Window
from tests.fixtures_stores import Valkey
from web.limits import OwnCounts, parsed

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
