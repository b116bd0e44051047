"""Typed teaching changes as people see them: import, decide, drain, and a look at what WPS holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import sessions
from tests.integration.drain_rig import World
from tests.integration.runs_rig import Rows, Runs, course, runs_of
from usecases import teaching_changes as cases
from usecases.change_checks import Said, Time
from usecases.sync import dry_runs

pytestmark = pytest.mark.integration

ZONE = ZoneInfo("Asia/Shanghai")
SUNDAY_MS = int(datetime(2024, 9, 1, tzinfo=ZONE).timestamp()) * 1000
ADA = Said("cli:ada", reason="教师出差", now_ms=SUNDAY_MS)
STAFF = [{"gh": code, "xm": name, "ssdwmc": "数学学院"} for code, name in (("t1", "甲"), ("t2", "乙"), ("t3", "丙"))]


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    here.simulator.desk("people", {"people": [{"ex_user_id": one["gh"], "user_name": one["xm"]} for one in STAFF]})
    with runs_of(here, tmp_path) as made:
        yield made


def taught(name: str, *weeks: int, teacher: str = "t1", **more: Any) -> Rows:
    """A course of one teacher, on Mondays from ten on."""
    names = {one["gh"]: one["xm"] for one in STAFF}
    return [one | {"ghs": teacher, "xms": names[teacher], **more} for one in course(name, weeks=weeks or (1, 2))]


@pytest.fixture
def source(main: Runs) -> Path:
    """Course A in weeks one and two, taught by t1; synced."""
    folder = main.source(taught("A"), teachers=STAFF)
    main.sync(folder)
    return folder


def classes(main: Runs, week: int | None = None) -> list[Any]:
    with reading(main.engine) as tx:
        where = () if week is None else (sessions.c.jxz == week,)
        return list(tx.execute(select(sessions).where(*where).order_by(sessions.c.start_ms, sessions.c.id)))


def a_class(main: Runs, week: int = 1) -> str:
    return str(classes(main, week)[0].id)


def carry_out(main: Runs, found: dict[str, Any]) -> dict[str, Any]:
    """The run of a decision, to its end."""
    run = main.go_on(found["run"])
    assert not main.lane_jobs("queued")
    return run


def events(main: Runs) -> dict[str, list[dict[str, Any]]]:
    """Calendar → its events that are there, by start."""
    return {
        one["summary"].partition(" ·")[0]: sorted(
            (event for event in one["events"] if event["status"] == "normal"),
            key=lambda event: (event["start_time"]["datetime"], event["summary"]),
        )
        for one in main.here.calendars()
    }


def shown(main: Runs, name: str = "课A") -> list[tuple[str, str, str]]:
    """(title, start, place) of the events of a course."""
    return [
        (one["summary"], one["start_time"]["datetime"][:16], (one["locations"] or [{"name": ""}])[0]["name"])
        for one in events(main)[name]
    ]


def said(main: Runs, place: int = 0, name: str = "课A") -> list[str]:
    """The lines of an event's description, without the marker."""
    return [line for line in events(main)[name][place]["description"].splitlines() if "⟦" not in line]


def nothing_to_do(main: Runs, source: Path) -> None:
    """Neither of what is known, nor of the source read anew."""
    assert dry_runs.of_timetable(main.deps, limit=5).rows == []
    assert dry_runs.of_source(main.deps, str(source), limit=5).rows == []


def test_a_moved_class_is_the_same_event_elsewhere(main: Runs, source: Path) -> None:
    """Whoever has a note on it, or a reminder, keeps it; the other class does not hear of it."""
    ids = {one["id"] for one in events(main)["课A"]}
    found = cases.move(main.deps, a_class(main), Time(date(2024, 9, 4), 14 * 3600), ADA, room="202")
    run = carry_out(main, found)
    assert (run["kind"], run["priority"], run["counts"]["event"]["done"]) == ("change", "urgent", 1)
    assert shown(main) == [("【调课】课A", "2024-09-04T14:00", "202"), ("课A", "2024-09-09T10:00", "一教101")]
    assert {one["id"] for one in events(main)["课A"]} == ids
    assert said(main)[1] == "调课：原 2024-09-02 10:00–10:45 · moved from 2024-09-02 10:00–10:45"
    assert "原因 reason：教师出差" in said(main)
    nothing_to_do(main, source)
