"""Guessing is slow, and nobody is locked out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.lockout import FORGET_MS, FREE, Attempts, try_now, wait_ms


@given(st.lists(st.integers(0, 3_600_000), max_size=60))
def test_whenever_somebody_tries_a_later_try_is_let_through(gaps: list[int]) -> None:
    """A wait that never ends would let anybody lock anybody out."""
    seen, now = Attempts(), 0
    for gap in gaps:
        now += gap
        seen = try_now(seen, now_ms=now) or seen
        assert seen.next_ms - now <= 15 * 60_000
    assert try_now(seen, now_ms=seen.next_ms) is not None


def test_the_first_tries_are_free_and_the_count_ends_with_a_quiet_day() -> None:
    """People mistype, and next week they mistype again."""
    seen = Attempts()
    for _ in range(FREE - 1):
        found = try_now(seen, now_ms=0)
        assert found is not None and found.next_ms == 0
        seen = found
    assert [wait_ms(n) for n in (FREE, FREE + 1, FREE + 2, 500)] == [2_000, 4_000, 8_000, 900_000]
    later = try_now(Attempts(500, 0, 0), now_ms=FORGET_MS + 1)
    assert later is not None and later.failures == 1
