"""More load never suggests fewer processes, whatever the settings are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.peaks import Arrivals, Capacity, Load, per_minute, suggested

_POSITIVE = st.floats(0.1, 1e5)
_CAPACITIES = st.builds(
    Capacity, _POSITIVE, _POSITIVE, st.integers(1, 64), _POSITIVE, st.floats(1, 60), st.floats(0, 10), st.floats(1, 600)
)
_LOADS = st.builds(Load, st.floats(0, 1e6), st.integers(0, 10**7), st.integers(0, 10**4), st.floats(0, 1e4))
_CLASSES = st.lists(st.tuples(st.integers(-(10**7), 10**8), st.integers(0, 5_000)), max_size=20)
_CURVES = st.lists(st.integers(-60, 60), min_size=1, max_size=8, unique=True).map(
    lambda minutes: Arrivals.parse([f"{one}:{10 + number}" for number, one in enumerate(sorted(minutes))])
)


@given(_CAPACITIES, _LOADS, _LOADS)
def test_more_load_never_takes_fewer_processes(capacity: Capacity, one: Load, more: Load) -> None:
    """Every part of the load at least as large as before."""
    both = Load(
        one.highest_per_minute + more.highest_per_minute,
        one.waiting + more.waiting,
        one.lanes_due + more.lanes_due,
        one.wps_rate_per_s + more.wps_rate_per_s,
    )
    few, many = suggested(one, capacity), suggested(both, capacity)
    assert all(1 <= few[kind] <= many[kind] for kind in few)


@given(_CLASSES, _CLASSES, _CURVES)
def test_more_classes_never_make_a_minute_quieter(
    some: list[tuple[int, int]], others: list[tuple[int, int]], curve: Arrivals
) -> None:
    """And no student checks in more than once."""
    before = per_minute(some, curve, from_ms=0, minutes=180)
    after = per_minute([*some, *others], curve, from_ms=0, minutes=180)
    assert all(b <= a + 1e-6 for b, a in zip(before, after, strict=True))
    assert sum(before) <= sum(students for _, students in some) + 1e-6
