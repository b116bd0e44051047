"""What goes first, as WPS sees it: the order of the calls of a lane, and how many are ahead of an urgent one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from db import lanes
from db.engine import in_unit, reading
from db.lane_hints import LaneHints
from db.tables import jobs, sessions
from domain.tiers import FAR, MIDDLE, NEAR, NORMAL, TEACHES, TEACHES_THIS_WEEK, TODAY, URGENT
from tests.integration.campus_rig import free, rewrite
from tests.integration.drain_rig import LANE, World, calendar, event
from tests.integration.runs_rig import Rows, Runs, course, runs_of
from usecases.sync.planning import Planner

pytestmark = pytest.mark.integration

TODAY_IS = date(2024, 9, 4)  # a Wednesday of the term's first week
CALL_S = 0.150
"""A call to WPS as it is counted on; the simulator's are quicker."""


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    with runs_of(here, tmp_path) as made:
        yield made


def planner(main: Runs, today: date = TODAY_IS) -> Planner:
    return Planner(main.engine, "main", main.deps.secret, today=today)


def put(main: Runs, *, today: date = TODAY_IS, priority: str = NORMAL) -> None:
    """Plan everything as seen from a day."""
    for _, plans in planner(main, today).pages():
        planner(main, today).put(
            plans, import_no=1, run_id=None, new_id=main.deps.new_id, fence=free, priority=priority
        )


def ranks(main: Runs) -> dict[str, set[tuple[int, int]]]:
    """Course → (tier, priority) of its open events."""
    with reading(main.engine) as tx:
        rows = tx.execute(
            select(jobs.c.payload, jobs.c.tier, jobs.c.priority).where(jobs.c.kind == "event", jobs.c.state == "queued")
        ).all()
    found: dict[str, set[tuple[int, int]]] = {}
    for row in rows:
        found.setdefault(row.payload.split('"')[3], set()).add((row.tier, row.priority // 3))
    return found


def courses() -> list[Rows]:
    """One course for each span; the teacherless one last of its kind."""
    return [
        course("far", weeks=[16]),
        course("middle", weeks=[5]),
        course("soon", weeks=[2]),
        [row | {"ghs": "t1"} for row in course("taught", weeks=[1])],
        [row | {"rq": TODAY_IS.isoformat()} for row in course("today", weeks=[1])],
    ]


def created(main: Runs) -> list[str]:
    """Courses in the order in which their events came into being."""
    names = {one["id"]: one["summary"] for one in main.here.calendars()}
    log = [one["path"].split("/")[3] for one in main.here.log("events/batch_create")]
    return [names[one].partition(" ")[0] for one in log]


def test_the_calls_of_a_lane_follow_the_tiers(main: Runs) -> None:
    """Students stand before tomorrow's door, not before that of week sixteen."""
    main.sync(main.source(*courses()), kind="import")
    put(main)
    main.drain()
    assert created(main) == ["课today", "课taught", "课soon", "课middle", "课far"]


def test_a_new_week_ranks_what_still_waits_anew(main: Runs) -> None:
    """What was far in September and still waits is near in December."""
    main.sync(main.source(*courses()), kind="import")
    put(main)
    assert ranks(main)["课far"] == {(FAR, TEACHES)} and ranks(main)["课middle"] == {(MIDDLE, TEACHES)}
    put(main, today=TODAY_IS + timedelta(weeks=4))
    assert ranks(main)["课middle"] == {(NEAR, TEACHES_THIS_WEEK)} and ranks(main)["课far"] == {(FAR, TEACHES)}
    put(main, today=TODAY_IS + timedelta(weeks=15))
    assert ranks(main)["课far"] == {(NEAR, TEACHES_THIS_WEEK)} and ranks(main)["课today"] == {(FAR, TEACHES)}


def test_a_class_is_as_near_as_where_it_was_and_where_it_goes(main: Runs) -> None:
    """Moved away from tomorrow is as urgent as moved to tomorrow: somebody would go there."""
    source = main.source(course("A", weeks=[16]), [row | {"rq": "2024-09-05"} for row in course("B", weeks=[1])])
    main.sync(source)
    zone = ZoneInfo("Asia/Shanghai")
    late = int(datetime(2024, 12, 20, 8, tzinfo=zone).timestamp()) * 1000
    soon = int(datetime(2024, 9, 5, 8, tzinfo=zone).timestamp()) * 1000

    def move(tx: object) -> None:
        with_times = update(sessions).values(event_hash=None)
        tx.execute(with_times.where(sessions.c.date == "2024-09-05").values(start_ms=late, end_ms=late + 1000))  # type: ignore[attr-defined]
        tx.execute(with_times.where(sessions.c.date != "2024-09-05").values(start_ms=soon, end_ms=soon + 1000))  # type: ignore[attr-defined]

    in_unit(main.engine, move)
    put(main)
    assert {tier for of_course in ranks(main).values() for tier, _ in of_course} == {TODAY}


def test_an_urgent_change_overtakes_a_queue_of_thousands(main: Runs) -> None:
    """A class that moves in an hour is seen in minutes while a whole term is being sent."""
    source = main.source(*[course(f"Q{n}", weeks=range(1, 21)) for n in range(100)], course("X", weeks=[1, 16]))
    main.sync(source, kind="import")
    only_x = {"课X"}
    for _, plans in planner(main).pages():
        mine = [one for one in plans if any(op.label.startswith(tuple(only_x)) for op in one.operations)]
        planner(main).put(mine, import_no=1, run_id=None, new_id=main.deps.new_id, fence=free)
    main.drain()
    put(main)
    assert main.lane_jobs("queued") > 2_000
    rewrite(
        source,
        "meetings",
        lambda rows: [r | ({"room": "909"} if (r["kkh"], r["jxz"]) == ("X", "16") else {}) for r in rows],
    )
    main.sync(source, kind="import")
    before = len(main.here.log("/v7/calendars"))
    for _, plans in planner(main).pages():
        mine = [
            one
            for one in plans
            if any(op.label.startswith("课X") and op.verb.value == "update" for op in one.operations)
        ]
        planner(main).put(mine, import_no=2, run_id=None, new_id=main.deps.new_id, fence=free, priority=URGENT)

    def done() -> bool:
        return any("/update" in one["path"] for one in main.here.log("/events/")[-200:])

    main.drain(until=done)
    calls = [one["path"] for one in main.here.log("/v7/calendars")[before:]]
    ahead = next(n for n, path in enumerate(calls) if path.endswith("/update"))
    assert ahead <= 2, calls[:5]
    assert ahead * CALL_S < 5 * 60


def test_a_normal_change_waits_for_what_is_nearer_only(main: Runs) -> None:
    """Seen within half an hour, however much of the term is still on its way."""
    full = [course(f"Q{n}", weeks=range(5, 17)) for n in range(60)]
    source = main.source(*full, course("X", weeks=[2]))
    main.sync(source, kind="import")
    put(main)
    main.drain()
    calls = [one["path"] for one in main.here.log("/v7/calendars")]
    ahead = next(n for n, path in enumerate(calls) if path.endswith("batch_create"))
    assert created(main)[0] == "课X" and len(calls) > 2 * len(full)
    assert ahead <= 2 and ahead * CALL_S < 30 * 60


def test_within_a_calendar_an_urgent_move_goes_before_a_long_list(here: World) -> None:
    """A list of a hundred classes of next month is no reason for today's to wait."""
    here.put(calendar(), event(0))
    here.drain()
    moved = replace(event(0, room="202"), tier=TODAY)
    here.put(*(replace(event(n), tier=MIDDLE) for n in range(1, 250)), moved, import_no=2)
    here.drain()
    paths = [one["path"].rpartition("/")[2] for one in here.log("/events/")]
    assert paths == ["batch_create", "update", "batch_create", "batch_create", "batch_create"]


def test_a_lane_with_urgent_work_goes_before_others(here: World) -> None:
    """Twenty colleges wait their turn; the one with today's class does not."""
    here.put(calendar("c1", lane="甲"), import_no=1)
    here.put(replace(calendar("c2", name="乙 ·abcdefg", lane="乙"), tier=TODAY), import_no=1)
    with reading(here.engine) as tx:
        assert lanes.urgent(tx) == [("t1", "乙")]
    hints = here.deps.hints
    assert isinstance(hints, LaneHints)
    hints.mark([("t1", "甲"), ("t1", "乙"), ("t1", LANE)])
    hints.hurry([("t1", "乙")])
    hints.hurry([("t1", "乙")])
    assert hints.claim(cap=9, hold_ms=60_000) == ("t1", "乙")
    hints.hurry([("t1", "乙")])
    assert hints.claim(cap=9, hold_ms=60_000) != ("t1", "乙"), "it is held"
