"""What is shown of processes and promised of lanes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain import cluster
from domain.freshness import Range, Sample


def test_only_who_should_beat_is_silent() -> None:
    """One that has ended owes no heartbeat."""
    assert cluster.shown_state(cluster.RUNNING, age_ms=cluster.SILENT_MS) == cluster.RUNNING
    assert cluster.shown_state(cluster.DRAINING, age_ms=cluster.SILENT_MS + 1) == cluster.SILENT
    assert cluster.shown_state(cluster.ENDED, age_ms=cluster.SILENT_MS + 1) == cluster.ENDED


def test_a_sum_of_counts_never_goes() -> None:
    """It stands for processes that nobody else remembers."""
    assert not cluster.is_over(cluster.GONE, age_ms=10 * cluster.GONE_MS)
    assert cluster.is_over(cluster.ENDED, age_ms=0)
    assert cluster.is_over(cluster.RUNNING, age_ms=cluster.GONE_MS + 1)


@given(pending=st.integers(1, 10_000), others=st.integers(0, 100_000), per_min=st.integers(1, 600))
def test_a_lane_is_promised_a_range(pending: int, others: int, per_min: int) -> None:
    """From being the only one that is sent, to being the last."""
    samples = [Sample(at * 60_000, at * per_min) for at in range(11)]
    found = cluster.lane_eta(samples, pending, of_all=pending + others, now_ms=600_000)
    assert found is not None
    assert 0 <= found.soonest_ms <= pending / per_min * 60_000 <= found.latest_ms
    more = cluster.lane_eta(samples, pending, of_all=pending + others + 1_000, now_ms=600_000)
    assert more is not None
    assert more.latest_ms >= found.latest_ms


def test_nothing_is_promised_of_a_standstill() -> None:
    """But that nothing is left takes no time."""
    assert cluster.lane_eta([], 5, of_all=5, now_ms=0) is None
    assert cluster.lane_eta([], 0, of_all=5, now_ms=0) == Range(0, 0)
