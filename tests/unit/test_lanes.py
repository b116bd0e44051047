"""Who may work a lane, for how long, and when a call of it may start."""

from __future__ import annotations

import pytest

from domain.lanes import LaneRow, OnClaim, Times, active_cap, may_send, on_claim, slice_is_over

NOW = 1_000_000
TIMES = Times(budget_ms=5_000, lease_ms=8_000, late_ms=60_000, lag_ms=3_000)


@pytest.mark.parametrize(
    ("owner", "lease_until", "not_before", "paused", "found"),
    [
        (None, 0, 0, False, OnClaim.TAKE),
        (None, NOW - 9, NOW, False, OnClaim.TAKE),
        (None, NOW + 9, 0, False, OnClaim.TAKE),  # released before its lease was over
        (None, 0, NOW + 1, False, OnClaim.REFUSE),
        (None, 0, 0, True, OnClaim.REFUSE),
        ("a", NOW + 1, 0, False, OnClaim.REFUSE),
        ("a", NOW, 0, False, OnClaim.REFUSE),  # the last millisecond still belongs to the owner
        ("a", NOW - 1, 0, False, OnClaim.TAKE_OVER),
        ("a", NOW - 1, NOW + 9, False, OnClaim.TAKE_OVER),
        ("a", NOW - 1, 0, True, OnClaim.REFUSE),
    ],
)
def test_a_claim_takes_takes_over_or_is_refused(
    owner: str | None, lease_until: int, not_before: int, paused: bool, found: OnClaim
) -> None:
    """An owner that is not NULL has never given the lane back: its last call may still be under way."""
    lane = LaneRow(owner, 7, lease_until, not_before, paused)
    assert on_claim(lane, now=NOW) is found


def test_after_a_take_over_the_old_owners_last_call_is_over() -> None:
    """A call started with the last of the lease ends within its budget: the rest is longer than that."""
    assert TIMES.takeover_ms == 5_500
    assert Times(budget_ms=333, lease_ms=999, late_ms=0, lag_ms=0).takeover_ms == 367


def test_the_settlement_wait_covers_everything_that_can_delay_a_request() -> None:
    """Half a second short of the sum was enough for a duplicate in a simulation."""
    assert TIMES.settle_ms == 500 + 5_000 + 60_000 + 3_000


@pytest.mark.parametrize(
    ("since", "left", "sent"),
    [(0, 8_000, True), (500, 5_000, True), (500.1, 8_000, False), (0, 4_999, False), (0, -1, False)],
)
def test_a_call_goes_out_only_fresh_and_within_the_lease(since: float, left: float, sent: bool) -> None:
    """Later than the guard allows, it could land after somebody had looked for it and found nothing."""
    assert may_send(since_commit_ms=since, lease_left_ms=left, times=TIMES) is sent


@pytest.mark.parametrize(
    ("calls", "elapsed", "over"), [(0, 0, False), (11, 1_999, False), (12, 0, True), (0, 2_000, True)]
)
def test_a_slice_is_two_seconds_or_twelve_calls(calls: int, elapsed: float, over: bool) -> None:
    """Long enough to be worth the claim, short enough that a small college is not kept waiting."""
    assert slice_is_over(calls=calls, elapsed_ms=elapsed) is over


@pytest.mark.parametrize(("rate", "latency", "cap"), [(50, 150, 14), (1, 0, 2), (10, 1_000, 17), (0.2, 20, 3)])
def test_the_cap_is_what_the_rate_can_feed(rate: float, latency: float, cap: int) -> None:
    """Rate × latency calls are in flight at full speed; half as many again and two to spare keep it full."""
    assert active_cap(rate_per_s=rate, latency_ms=latency) == cap
