"""A hundred thousand histories of crashes and lost answers; each of them ends well. `make prove` plays a million."""

from __future__ import annotations

import pytest

from tests.simulation.history import play
from tests.simulation.prove import played

HISTORIES = 100_000
SHARES = 10


@pytest.mark.timeout(300)
@pytest.mark.parametrize("share", range(SHARES))
def test_nothing_is_lost_and_nothing_is_doubled(share: int) -> None:
    """Whatever dies, stands still or is not answered: one class in the timetable is one class in the calendar."""
    summary = played(range(share, HISTORIES, SHARES))
    print(summary.as_dict())
    told = [f"seed {one['seed']}: {one['broken']}\n  {one['replay']}" for one in summary.broken[:5]]
    assert not told, "\n".join(told)
    assert summary.histories == HISTORIES // SHARES
    assert summary.poorest["crashes"] >= 1
    assert summary.poorest["doubts"] >= 1
    assert summary.poorest["operations"] >= 4


def test_a_seed_is_a_history() -> None:
    """Without this nobody could find out what happened in the one that broke."""
    first: list[str] = []
    second: list[str] = []
    assert play(4711, first) == play(4711, second) == play(4711)
    assert first == second
    assert len(first) > 10
