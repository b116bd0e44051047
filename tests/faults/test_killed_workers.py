"""SIGKILL of real processes at named points: the whole of a run, one death after the other, and nobody can tell in the end."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from db import lanes, sync_runs
from db.engine import in_unit, reading
from db.tables import jobs
from simulator.campus import generate
from simulator.people import read_folder
from tests.faults.checker import all_is_well
from tests.faults.processes import Processes, until
from tests.integration.drain_rig import TENANT, World
from tests.system import checker as timetable
from usecases import tasks
from usecases.sync import runs

pytestmark = pytest.mark.integration

UNTIL_THE_PLAN = (
    "jobs.after_claim",
    "import.after_page",
    "run.after_stage",
    "sessions.after_page",
    "broker.before_ack",
)
WHILE_PLANNING = ("plan.after_unit",)
# One college at a time, so that each point has something to die at, however slow the machine. What is sent first makes a
# calendar: whoever dies before that leaves a doubt which takes a walk of the list of calendars.
WHILE_SENDING = (
    ("lanes.after_claim", "lanes.after_intent", "walk.after_page", "settle.after_walk"),
    ("wps.before_send", "wps.after_send", "members.after_call"),
    ("wps.after_reply", "db.before_complete", "db.after_complete"),
    ("lanes.before_release", "broker.before_ack"),
)
WHILE_LOOKING = ("verify.after_page",)


@pytest.fixture
def campus(tmp_path: Path, here: World) -> Path:
    """A small university whose people have accounts."""
    folder = tmp_path / "campus"
    generate(folder, seed=4, colleges=4, offerings=16, students=40, weeks=4)
    people = [{"ex_user_id": code, "user_name": name or code} for code, name in read_folder(folder)]
    here.simulator.desk("people", {"people": people})
    return folder


@pytest.mark.timeout(230)
def test_a_run_survives_a_kill_at_every_point(here: World, processes: Processes, campus: Path) -> None:
    """Wherever a machine dies in the long way from a folder to a calendar, somebody else goes on, and WPS ends up with what
    the folder says: once each, nothing more, and the product's own book agrees."""
    here.simulator.desk("settings", {"latency_ms": 15})
    run_id, _ = runs.begin(here.deps, kind="full", source=str(campus))
    for point in UNTIL_THE_PLAN:
        _killed_at(here, processes, "jobs", point)
    here.drain(until=lambda: not _queued(here, "users"))
    for point in WHILE_PLANNING:
        _killed_at(here, processes, "jobs", point)
    _advance(here, run_id)
    assert _queued(here, "calendar") and _queued(here, "event")
    colleges = _lanes_with_work(here)
    assert len(colleges) == len(WHILE_SENDING), colleges
    _pause(here, colleges, paused=True)
    for college, points in zip(colleges, WHILE_SENDING, strict=True):
        _pause(here, [college], paused=False)
        for point in points:
            _killed_at(here, processes, "lanes", point)
    _to_the_end(here, run_id)
    looks_id = runs.begin_look(here.deps, kind="verify")
    until(lambda: _is_asked_to_look(here, looks_id), "nothing was to be looked at")
    for point in WHILE_LOOKING:
        _killed_at(here, processes, "lanes", point)
    assert _to_the_end(here, looks_id)["discrepancies"] == 0
    all_is_well(here)
    assert timetable.check(campus, here.simulator.desk("state")) == []
    with reading(here.engine) as tx:
        assert tx.execute(select(func.count()).select_from(jobs).where(jobs.c.state == "dead")).scalar_one() == 0


def _killed_at(here: World, processes: Processes, name: str, point: str) -> None:
    _hurry(here)
    worker = processes.start(name, failpoints=f"{point}:kill@1")
    assert worker.dies() == -signal.SIGKILL, f"{point}: {worker.said()[-2000:]}"


def _lanes_with_work(here: World) -> list[str]:
    with reading(here.engine) as tx:
        where = (jobs.c.lane.is_not(None), jobs.c.lane != "_", jobs.c.state == "queued")
        return list(tx.execute(select(jobs.c.lane).where(*where).distinct().order_by(jobs.c.lane)).scalars())


def _pause(here: World, names: Sequence[str], *, paused: bool) -> None:
    in_unit(here.engine, lambda tx: lanes.set_paused(tx, tenant=TENANT, names=names, paused=paused))


def _is_asked_to_look(here: World, run_id: str) -> bool:
    """Whether lanes are to look at calendars; before that, lane `_` reads the list of them all."""
    here.drain(until=lambda: not _queued(here, "walk"))
    _advance(here, run_id)
    return _queued(here, "verify") > 0


def _hurry(here: World) -> None:
    """A task of a dead worker is free when its time is over; these tests do not wait for that."""
    in_unit(here.engine, lambda tx: tx.execute(update(jobs).where(jobs.c.lane.is_(None)).values(run_at=0)))


def _queued(here: World, kind: str) -> int:
    with reading(here.engine) as tx:
        where = (jobs.c.kind == kind, jobs.c.state == "queued")
        return int(tx.execute(select(func.count()).select_from(jobs).where(*where)).scalar_one())


def _advance(here: World, run_id: str) -> str:
    """Do what a `jobs` worker would do; the state of the run after it."""
    _hurry(here)
    with reading(here.engine) as tx:
        task_id = tx.execute(select(jobs.c.id).where(jobs.c.target == run_id)).scalar_one()
    task = tasks.claim(here.deps, task_id, claim=here.deps.new_id())
    if task is not None:
        runs.advance(here.deps, task)
    with reading(here.engine) as tx:
        run = sync_runs.get(tx, run_id, tenant=here.deps.tenant)
        assert run is not None
        return str(run.state)


def _to_the_end(here: World, run_id: str) -> dict[str, Any]:
    """The report of the run, which succeeds."""

    def ended() -> bool:
        here.drain(until=lambda: not _lane_jobs(here) and not here.unsettled())
        return _advance(here, run_id) in sync_runs.ENDED

    until(ended, "the run did not end", within_s=90)
    assert here.unsettled() == []
    with reading(here.engine) as tx:
        run = sync_runs.get(tx, run_id, tenant=here.deps.tenant)
        assert run is not None and run.state == "succeeded", run
        report: dict[str, Any] = json.loads(run.report)
        return report


def _lane_jobs(here: World) -> int:
    with reading(here.engine) as tx:
        where = (jobs.c.lane.is_not(None), jobs.c.state == "queued")
        return int(tx.execute(select(func.count()).select_from(jobs).where(*where)).scalar_one())
