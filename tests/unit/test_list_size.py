"""How long the next list is: about a second of work, never near a time-out."""

from hypothesis import given
from hypothesis import strategies as st

from domain.list_size import SLOW_FLOOR, TARGET_MS, after_timeout, next_size
from domain.settlement import LIST_LIMIT

sizes = st.integers(1, LIST_LIMIT)


def settled(ms_per_item: float, fixed_ms: float, *, size: int, calls: int = 60) -> list[int]:
    """The sizes of full lists at a service that takes so long."""
    seen = []
    for _ in range(calls):
        size = next_size(size, items=size, took_ms=fixed_ms + ms_per_item * size)
        seen.append(size)
    return seen


def test_a_fast_service_gets_full_lists() -> None:
    """Every list that is shorter than it need be is another turn of the lane."""
    assert settled(2, 50, size=10)[-1] == LIST_LIMIT


def test_a_service_that_takes_40_ms_an_item_gets_lists_of_a_second() -> None:
    """From either side, and it stays there instead of swinging."""
    for start in (LIST_LIMIT, 1):
        seen = settled(40, 50, size=start)
        assert all(0.6 * TARGET_MS <= 50 + 40 * size <= 1.25 * TARGET_MS for size in seen[-20:])
        assert len(set(seen[-10:])) == 1


def test_one_call_that_takes_four_times_too_long_is_enough() -> None:
    """The budget of a call is five seconds: the next list may not try it again."""
    assert next_size(100, items=100, took_ms=4_000) == 25


def test_growth_is_gentle() -> None:
    """One fast answer is not a promise."""
    assert next_size(40, items=40, took_ms=1) == 50
    assert next_size(1, items=1, took_ms=1) == 3


def test_a_short_list_is_no_reason_to_grow() -> None:
    """Three items in 10 ms say nothing about fifty."""
    assert next_size(40, items=3, took_ms=10) == 40


def test_a_fixed_cost_does_not_drive_lists_down_to_one() -> None:
    """Where every call takes two seconds, one item at a time would be the slowest way of all."""
    assert min(settled(0, 2_000, size=100)) == SLOW_FLOOR


def test_a_time_out_halves_what_was_sent_down_to_one() -> None:
    """What was sent, not what might have been: the size may have been far above it."""
    assert after_timeout(100, items=30) == 15
    assert after_timeout(4, items=4) == 2
    assert after_timeout(1, items=1) == 1


@given(size=sizes, items=sizes, took_ms=st.floats(0, 1e6))
def test_every_answer_keeps_the_bounds_and_the_direction(size: int, items: int, took_ms: float) -> None:
    """Lists of none or of more than a hundred are refused; slow calls never make lists longer, fast ones never shorter."""
    found = next_size(size, items=min(items, size), took_ms=took_ms)
    assert 1 <= found <= LIST_LIMIT
    if took_ms > 1.25 * TARGET_MS:
        assert found <= size
    else:
        assert found >= size
    assert 1 <= after_timeout(size, items=items) <= size
