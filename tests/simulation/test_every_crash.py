"""A full run that is killed, or stands still, at each of its steps: import, sessions, plan, lanes, report."""

from __future__ import annotations

import pytest

from tests.simulation.full_run import FIRST, Campus, Struck, carried_out

UNDISTURBED = carried_out(Campus())


def test_the_undisturbed_run_does_what_the_timetable_says() -> None:
    """Otherwise the comparison below would compare one mistake with another."""
    remote = UNDISTURBED.remote
    (calendar,) = remote.calendars
    assert remote.calendars[calendar] == "cal1·0"
    assert sorted(marker for marker, _, _ in remote.events[calendar].values()) == ["e10#0", "e12#0", "e13#0"]
    assert sorted(remote.members[calendar]) == ["u1", "u2"]
    assert UNDISTURBED.noted == {"cal1": {}}, "what is there was looked at, and is as it was sent"
    assert len(FIRST) == 2, "the second course came, and went with the second import"


@pytest.mark.parametrize("blow", ["kill", "freeze"])
def test_a_blow_at_every_step_ends_where_the_undisturbed_run_ends(blow: str) -> None:
    """Somebody would find a class missing, or twice, after a night in which a machine was restarted."""
    struck = 0
    for at in range(1, UNDISTURBED.steps + 1):
        log: list[str] = []
        campus = Struck(at, blow, log)
        carried_out(campus)
        struck += campus.crashes
        assert campus.fingerprint() == UNDISTURBED.fingerprint(), "\n".join([f"struck at step {at}", *log])
    assert struck > 60
