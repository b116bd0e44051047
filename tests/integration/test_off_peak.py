"""Far classes wait for off-peak hours: what is sent meanwhile, how the run stands, and what people may still say to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from db import holding, lanes
from db.clock import now_ms
from db.engine import in_unit, reading
from db.sync_runs import RunActive
from domain.off_peak import BadHours
from domain.runs import Command
from domain.tiers import MIDDLE
from tests.contract.wps_rig import wait_until
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Rows, Runs, course, runs_of
from usecases import off_peak
from usecases.sync import runs
from workers.cli.progress import outcome

pytestmark = pytest.mark.integration

FAR_WEEKS = 6


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    with runs_of(here, tmp_path) as made:
        yield made


def today(main: Runs) -> datetime:
    with reading(main.engine) as tx:
        return datetime.fromtimestamp(now_ms(tx) / 1000, ZoneInfo("Asia/Shanghai"))


def peak(main: Runs, **more: str) -> None:
    """Off-peak hours that begin some hours from now."""
    now = today(main)
    clocks = {"from": f"{now + timedelta(hours=3):%H}:00", "until": f"{now + timedelta(hours=4):%H}:00"}
    off_peak.change(main.deps, {**clocks, **more}, actor="a person")


def night(main: Runs) -> int:
    """The hours have come, and a keeper looks."""
    at = int((today(main).replace(minute=0, second=0) + timedelta(hours=3, minutes=5)).timestamp() * 1000)
    return off_peak.keep(main.deps, at_ms=at)


def near(main: Runs, name: str = "near") -> Rows:
    """A course whose one class is tomorrow."""
    return [{**row, "rq": f"{today(main) + timedelta(days=1):%Y-%m-%d}"} for row in course(name, weeks=[1])]


def far(name: str = "far", **more: Any) -> Rows:
    """A course whose classes are over."""
    return course(name, weeks=range(1, FAR_WEEKS + 1), **more)


def settle(main: Runs, run_id: str) -> dict[str, Any]:
    """Work until only held jobs are left of the run."""

    def stands() -> bool:
        main.drain()
        main.advance(run_id)
        return main.look(run_id)["held_until_ms"] is not None

    assert wait_until(stands, at_most_s=60), main.look(run_id)
    return main.look(run_id)


def due(main: Runs) -> list[tuple[str, str]]:
    with reading(main.engine) as tx:
        return lanes.due(tx)


def test_near_classes_are_sent_and_far_ones_wait_for_their_hours(main: Runs) -> None:
    """By day the limit is for this week; the run says until when the rest waits, and ends green when that is sent."""
    peak(main)
    run_id = main.begin(main.source(near(main), far()))
    run = settle(main, run_id)
    assert run["state"] == "running" and run["stages"][-1]["state"] == "running"
    assert (main.live("event"), main.lane_jobs("held"), main.lane_jobs("queued")) == (1, FAR_WEEKS + 1, 0)
    assert f"{FAR_WEEKS + 1} held until" in run["stages"][-1]["note"]
    assert f"{FAR_WEEKS} held until" in next(one["note"] for one in run["stages"] if one["step"] == "events")
    assert due(main) == []
    with reading(main.engine) as tx:
        assert sum(one["held"] for one in lanes.listing(tx, tenant="main")) == FAR_WEEKS + 1
    assert off_peak.keep(main.deps) == 0
    assert night(main) == FAR_WEEKS + 1
    assert due(main) != []
    ended = main.go_on(run_id)
    assert main.live("event") == FAR_WEEKS + 1
    assert ended["counts"]["event"] == {"planned": 7, "done": 7, "failed": 0, "superseded": 0}
    assert ended["held_until_ms"] is None


def test_a_run_that_only_waits_keeps_no_other_waiting(main: Runs) -> None:
    """The hourly run of ten o'clock must not stand behind classes that wait for the night."""
    peak(main)
    source = main.source(near(main), far())
    first = main.begin(source)
    settle(main, first)
    changed = main.source(near(main), far(), near(main, "new"))
    second = main.begin(changed)
    assert settle(main, second)["waits_for"] is None
    assert main.live("event") == 2
    # What both want belongs to the later one.
    assert main.look(first)["counts"]["event"]["superseded"] == FAR_WEEKS
    assert main.go_on(first)["state"] == "succeeded"
    night(main)
    assert main.go_on(second)["counts"]["event"]["done"] == FAR_WEEKS + 1
    assert main.live("event") == FAR_WEEKS + 2


def test_an_urgent_run_sends_what_was_held(main: Runs) -> None:
    """Whoever says urgent does not wait for the night."""
    peak(main)
    first = main.begin(main.source(far()))
    settle(main, first)
    main.sync(main.source(far(room="777"), name="changed"), priority="urgent")
    assert main.live("event") == FAR_WEEKS
    assert (main.lane_jobs("held"), main.lane_jobs("queued")) == (0, 0)
    assert all("777" in place for _, _, place in main.people_see()[next(iter(main.people_see()))])
    main.go_on(first)


def test_a_class_that_has_come_near_takes_its_held_calendar_along(main: Runs) -> None:
    """A calendar is held with its far classes; tomorrow's class cannot go without it."""
    peak(main)
    first = main.begin(main.source(far("a")))
    settle(main, first)
    second = main.begin(main.source([*far("a"), *near(main, "a")], name="changed"))
    settle(main, second)
    assert (main.live("calendar"), main.live("event")) == (1, 1)
    main.go_on(first)
    night(main)
    main.go_on(second)
    assert main.live("event") == FAR_WEEKS + 1


@pytest.mark.parametrize("by_day", [True, False])
def test_pause_and_resume_keep_held_what_has_to_wait(main: Runs, by_day: bool) -> None:
    """A run that is resumed in the morning does not send by day what was waiting for the night."""
    peak(main)
    run_id = main.begin(main.source(near(main), far()))
    settle(main, run_id)
    main.tell(run_id, Command.PAUSE)
    main.go_on(run_id, ends="paused")
    assert (main.lane_jobs("paused"), main.lane_jobs("held")) == (FAR_WEEKS + 1, 0)
    assert night(main) == 0  # a paused run is the person's
    if not by_day:
        off_peak.change(main.deps, None, actor="a person")
    main.tell(run_id, Command.RESUME)
    main.advance(run_id)
    assert (main.lane_jobs("held") == 0) is not by_day
    off_peak.change(main.deps, None, actor="a person")
    off_peak.keep(main.deps)
    main.go_on(run_id)
    assert main.live("event") == FAR_WEEKS + 1


def test_cancelling_closes_what_is_held(main: Runs) -> None:
    """Nothing of a cancelled run comes up at night."""
    peak(main)
    run_id = main.begin(main.source(near(main), far()))
    settle(main, run_id)
    main.tell(run_id, Command.CANCEL)
    main.go_on(run_id, ends="cancelled")
    assert (main.lane_jobs("held"), main.lane_jobs("cancelled")) == (0, FAR_WEEKS + 1)
    assert night(main) == 0 and main.live("event") == 1


def test_whoever_must_be_alone_is_told_which_run_stands_aside_and_until_when(main: Runs) -> None:
    """An undo behind it would wait for the night; the message has to say that nothing hangs, and what ends it."""
    done = main.sync(main.source(near(main)))
    peak(main)
    run_id = main.begin(main.source(near(main), far()))
    run = settle(main, run_id)
    with pytest.raises(RunActive, match="off-peak") as refused:
        runs.begin_undo(main.deps, done["id"], actor="a person")
    assert (refused.value.run_id, refused.value.held) == (run_id, True)
    assert "what is near" in outcome(run) and "[red]" not in outcome(run)
    main.tell(run_id, Command.CANCEL)
    main.go_on(run_id, ends="cancelled")
    runs.begin_undo(main.deps, done["id"], actor="a person")


def test_when_the_hours_end_what_is_not_through_is_held_again(main: Runs) -> None:
    """Whichever keeper dies over it, the next one holds the rest; and it is done once, so that a retry by hand may go."""
    run_id = main.begin(main.source(near(main), far()))
    while main.look(run_id)["stage"] != "calendars" or not main.lane_jobs("queued"):
        main.advance(run_id)
    queued = main.lane_jobs("queued")
    peak(main)
    # One page, and then its keeper dies.
    assert in_unit(main.engine, lambda tx: holding.hold(tx, tenant="main", from_tier=MIDDLE, limit=3)) == 3
    assert off_peak.keep(main.deps) == FAR_WEEKS + 1 - 3
    assert (main.lane_jobs("held"), main.lane_jobs("queued")) == (FAR_WEEKS + 1, queued - FAR_WEEKS - 1)
    assert off_peak.keep(main.deps) == 0
    settle(main, run_id)
    off_peak.change(main.deps, None, actor="a person")
    assert off_peak.keep(main.deps) == FAR_WEEKS + 1
    main.go_on(run_id)


def test_hours_that_cannot_be_kept_change_nothing(main: Runs) -> None:
    """A slip of the finger is refused, not read as some other time."""
    peak(main)
    before = off_peak.shown(main.deps)
    with pytest.raises(BadHours):
        off_peak.change(main.deps, {"from": "22:00", "until": "26:00"}, actor="a person")
    assert off_peak.shown(main.deps) == before
