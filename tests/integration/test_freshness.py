"""How fresh the timetable is said to be, while it is sent, when it is through, and for one person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db import freshness as rows
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import throughput
from db.upsert import insert_missing
from tests.integration.campus_rig import rewrite
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Runs, course, runs_of
from tests.integration.test_off_peak import far, near, night, peak, settle
from tests.integration.test_personal import settle as settle_personal
from tests.integration.test_personal import small
from usecases import freshness

pytestmark = pytest.mark.integration


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    with runs_of(here, tmp_path) as made:
        yield made


def tiers(main: Runs, user: str | None = None) -> dict[str, dict[str, Any]]:
    return {one["tier"]: one for one in freshness.shown(main.deps, user=user)["items"]}


def pace(main: Runs, run_id: str, *, per_minute: int, minutes: int = 10) -> None:
    """As if the lanes had been that fast for some minutes."""
    with reading(main.engine) as tx:
        now = now_ms(tx) // rows.SAMPLE_MS * rows.SAMPLE_MS
    key = {"tenant_id": "main", "run_id": run_id}
    made = [
        {**key, "at_ms": now - ago * 60_000, "closed": (minutes - ago) * per_minute} for ago in range(minutes, -1, -1)
    ]

    def work(tx: Any) -> None:
        tx.execute(throughput.delete())
        insert_missing(tx, throughput, made)

    in_unit(main.engine, work)


def planned(main: Runs, source: Path) -> str:
    """A run that has put everything, and of which nothing was sent yet."""
    run_id = main.begin(source)
    while main.look(run_id)["stage"] not in ("calendars", "events") or not main.lane_jobs("queued"):
        main.advance(run_id)
    return run_id


def test_nothing_is_promised_before_anything_was_sent(main: Runs) -> None:
    """An estimate without a single measurement would be a guess that people plan by."""
    run_id = planned(main, main.source(near(main), far()))
    found = tiers(main)
    assert [found[name]["percent"] for name in ("today", "far")] == [0, 0]
    assert found["far"]["synced_ms"] is None and found["far"]["eta_ms"] is None
    assert found["middle"]["percent"] == 100 and found["middle"]["eta_ms"] is None
    assert {one["tier"]: one["open"] for one in freshness.of_run(main.deps, run_id)}["far"] == 7


def test_a_promise_is_a_range_and_near_tiers_come_first(main: Runs) -> None:
    """What is near is sent first, so it is promised first; and each promise has two ends."""
    run_id = planned(main, main.source(near(main), far()))
    pace(main, run_id, per_minute=1)
    found = tiers(main)
    soon, late = found["today"]["eta_ms"], found["far"]["eta_ms"]
    assert 0 < soon[0] < soon[1] < late[1] and soon[0] < late[0]
    assert late[0] <= 10 * 60_000 <= late[1]  # ten jobs, one a minute


def test_a_tier_is_synced_when_all_that_a_whole_run_found_is_sent(main: Runs) -> None:
    """ "Synced at" is a time that somebody can rely on, and the next hour without changes renews it."""
    source = main.source(near(main), far())
    main.sync(source)
    first = tiers(main)
    assert {one["percent"] for one in first.values()} == {100}
    assert all(one["synced_ms"] is not None and one["eta_ms"] == [0, 0] for one in first.values())
    main.sync(source)
    assert all(tiers(main)[name]["synced_ms"] > one["synced_ms"] for name, one in first.items())
    assert freshness.shown(main.deps)["term_percent"] == 100


def test_held_tiers_are_promised_for_after_their_hour(main: Runs) -> None:
    """The near weeks are there; the rest is honest about the night."""
    peak(main)
    run_id = main.begin(main.source(near(main), far()))
    settle(main, run_id)
    pace(main, run_id, per_minute=60)
    found = tiers(main)
    assert found["near"]["synced_ms"] is not None and found["today"]["percent"] == 100
    assert found["far"]["synced_ms"] is None and found["far"]["held"] == 7
    with reading(main.engine) as tx:
        waits = found["far"]["held_until_ms"] - now_ms(tx)
    assert found["far"]["eta_ms"][0] >= waits > 0
    night(main)
    main.go_on(run_id)
    assert tiers(main)["far"]["synced_ms"] is not None


def test_a_person_is_told_of_their_own_calendars(main: Runs) -> None:
    """A colleague's waiting calendar is no news to me."""
    people = [{"xh": "mei", "xm": "梅", "xydm": "", "xymc": "数学学院"}]
    enrolled = [{"xh": "mei", "xnxq": "2024-2025-1", "kkh": "mine"}]
    main.sync(main.source(course("mine", weeks=[1, 2]), course("other"), students=people, enrolments=enrolled))
    with pytest.raises(freshness.UnknownPerson):
        freshness.shown(main.deps, user="nobody")
    mine = tiers(main, "mei")["far"]
    assert (mine["classes"], mine["percent"], tiers(main)["far"]["classes"]) == (2, 100, 22)
    assert mine["synced_ms"] is not None


def test_a_person_with_a_calendar_of_their_own_is_told_of_that(main: Runs) -> None:
    """In layout `personal` what waits for others in my course is not mine; what waits in my calendar is."""
    source = small(main)
    settle_personal(main, source)
    main.sync(source)
    mine = tiers(main, "s1")["far"]
    assert (mine["classes"], mine["percent"]) == (6, 100) and mine["synced_ms"] is not None
    rewrite(source, "meetings", lambda rows: [{**row, "room": "Z"} if row["kkh"] == "B" else row for row in rows])
    planned(main, source)
    found = {who: tiers(main, who)["far"]["percent"] for who in ("s1", "s2", "t1")}
    assert found == {"s1": 50, "s2": 100, "t1": 100}


def test_samples_are_taken_by_runs_that_wait_and_are_pruned(main: Runs) -> None:
    """An hour of them is enough to promise by."""
    run_id = main.begin(main.source(far()))
    old = {"tenant_id": "main", "at_ms": 1, "run_id": run_id, "closed": 0}
    in_unit(main.engine, lambda tx: insert_missing(tx, throughput, [old]))
    main.go_on(run_id)
    with reading(main.engine) as tx:
        taken = tx.execute(select(func.max(throughput.c.closed), func.min(throughput.c.at_ms))).one()
    assert taken[0] > 0 and taken[1] > 1
