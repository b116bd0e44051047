"""Pause, resume and cancel, at every step of a run and over the death of whoever worked on it."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, select

from db import audit, jobs, lanes
from db import tasks as task_rows
from db.engine import in_unit, reading
from db.tables import imports, run_stages
from db.tables import jobs as job_table
from db.tasks import ClaimLost
from domain.runs import Command
from tests.integration.campus_rig import MONDAY, count
from tests.integration.drain_rig import KilledHere, World
from tests.integration.runs_rig import Runs, course, runs_of
from usecases import tasks
from usecases.sync.run_commands import Refused, UnknownRun

pytestmark = pytest.mark.integration

STEPS = ("import", "sessions", "guard", "accounts", "plan", "calendars", "members", "events", "report")
CLASSES = 40


@pytest.fixture
def main(here: World, tmp_path: Path) -> Iterator[Runs]:
    with runs_of(here, tmp_path) as made:
        yield made


class StopsAt(threading.Event):
    """A process that is told to stop as soon as the run is at a step."""

    def __init__(self, engine: Engine, run_id: str, step: str) -> None:
        super().__init__()
        self._engine, self._run_id, self._step = engine, run_id, step

    def is_set(self) -> bool:
        with reading(self._engine) as tx:
            mine = (run_stages.c.run_id == self._run_id, run_stages.c.step == self._step)
            return tx.execute(select(run_stages.c.state).where(*mine)).scalar_one() != "waiting"


class AfterOneCall(threading.Event):
    """A process that is told to stop while its first piece of work is under way."""

    def is_set(self) -> bool:
        was = super().is_set()
        self.set()
        return was


def one_call_in_each_lane(main: Runs) -> None:
    with reading(main.engine) as tx:
        due = lanes.due(tx)
    for tenant, lane in due:
        main.here.slice(lane, deps=dataclasses.replace(main.here.deps, stopping=AfterOneCall()), tenant=tenant)


def at(main: Runs, step: str) -> str:
    """A run that has begun a step and not ended it, without anybody at work on it."""
    folder = main.source(
        course("M0"),
        course("P0", "物理学院"),
        enrolments=[{"xh": "s1", "kkh": "M0", "xnxq": MONDAY["xnxq"]}],
    )
    main.here.simulator.desk("people", {"people": [{"ex_user_id": "s1", "user_name": "人"}]})
    run_id = main.begin(folder)
    stops = dataclasses.replace(main.deps, stopping=StopsAt(main.engine, run_id, step))
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        main.advance(run_id, deps=stops)
        if stops.stopping.is_set():
            return run_id
        if not main.due_task(run_id):
            one_call_in_each_lane(main)
            time.sleep(0.4)  # the run looks again at its lanes after this time
    raise AssertionError(f"the run never came to {step}")


def stopped_at(run: dict[str, object]) -> str:
    stages = run["stages"]
    assert isinstance(stages, list)
    return str(next((one["step"] for one in stages if one["state"] != "done"), STEPS[-1]))


@pytest.mark.parametrize("step", STEPS)
def test_a_paused_run_sends_nothing_and_goes_on_where_it_was(main: Runs, step: str) -> None:
    """WPS asks for quiet in the middle of a term's first sync: nothing may be lost by stopping, nor done twice."""
    run_id = at(main, step)
    main.tell(run_id, Command.PAUSE)
    paused = main.go_on(run_id, ends="paused")
    assert stopped_at(paused) in (step, *STEPS[STEPS.index(step) + 1 :][:1])
    before, counts = main.dump(), paused["counts"]
    assert main.lane_jobs("queued") == 0
    main.drain()
    main.advance(run_id)
    assert (main.dump(), main.look(run_id)["counts"]) == (before, counts)
    main.tell(run_id, Command.RESUME)
    ended = main.go_on(run_id)
    assert (main.live(), main.live("calendar")) == (CLASSES, 2)
    assert {len(events) for events in main.people_see().values()} == {20}
    assert ended["counts"]["event"] == {"planned": CLASSES, "done": CLASSES, "failed": 0, "superseded": 0}


@pytest.mark.parametrize("step", STEPS)
def test_a_cancelled_run_leaves_no_work_and_the_next_one_goes_on(main: Runs, step: str) -> None:
    """The wrong source was named: ending it must not cost what is there, and must not keep the right one waiting."""
    run_id = at(main, step)
    made = main.live()
    main.tell(run_id, Command.CANCEL)
    ended = main.go_on(run_id, ends="cancelled")
    assert ended["report"]["live"].get("event", 0) >= made == main.live()
    assert main.lane_jobs("queued", "paused", "blocked") == 0
    assert not [one for one in ended["stages"] if one["state"] == "running"]
    assert count(main.engine, imports, imports.c.state == "staging") == 0
    with pytest.raises(Refused, match="it has ended: cancelled"):
        main.tell(run_id, Command.RESUME)
    main.sync(main.source(course("M0"), course("P0", "物理学院")))
    assert main.live() == CLASSES
    assert {len(events) for events in main.people_see().values()} == {20}


@pytest.mark.parametrize("said", [Command.PAUSE, Command.CANCEL])
def test_a_call_whose_answer_was_lost_is_settled_all_the_same(main: Runs, said: Command) -> None:
    """What WPS has done stands in the mirror whether or not the run still wants it: else the next run does it twice."""
    run_id = at(main, "events")
    dying = main.here.dying(after=True)
    with pytest.raises(KilledHere):
        main.here.slice("数学学院", deps=dying, tenant="main")
    main.tell(run_id, said)
    main.go_on(run_id, ends="paused" if said is Command.PAUSE else "cancelled")
    main.drain()
    assert main.here.unsettled() == []
    if said is Command.PAUSE:
        main.tell(run_id, Command.RESUME)
        main.go_on(run_id)
    else:
        main.sync(main.source(course("M0"), course("P0", "物理学院")))
    assert {len(events) for events in main.people_see().values()} == {20}


def test_a_worker_that_had_the_run_writes_nothing_after_the_pause(main: Runs) -> None:
    """It may be frozen in the middle of a plan, and wake up an hour later with a page of puts in its hands."""
    run_id = at(main, "plan")
    with reading(main.engine) as tx:
        task_id = tx.execute(select(job_table.c.id).where(job_table.c.target == run_id)).scalars().all()[-1]
    frozen = tasks.claim(main.deps, task_id, claim="frozen")
    assert frozen is not None
    main.tell(run_id, Command.PAUSE)
    with pytest.raises(ClaimLost):
        in_unit(main.engine, lambda tx: task_rows.keep_task(tx, frozen, visibility_ms=1000))
    assert main.go_on(run_id, ends="paused")["state"] == "paused"


@pytest.mark.parametrize(
    ("said", "moved", "ends"), [(Command.PAUSE, "paused", "paused"), (Command.CANCEL, "cancelled", "cancelled")]
)
def test_a_command_whose_worker_died_in_the_middle_is_carried_out_by_the_next(
    main: Runs, said: Command, moved: str, ends: str
) -> None:
    """Fifty thousand jobs do not move in one transaction."""
    run_id = at(main, "events")
    waiting = main.lane_jobs("queued")
    assert waiting > 5
    main.tell(run_id, said)

    def first_unit(tx: Connection) -> int:
        return jobs.move_some(tx, tenant="main", run_id=run_id, before=("queued",), after=ends, limit=5)

    assert in_unit(main.engine, first_unit) == 5
    main.go_on(run_id, ends=ends)
    assert main.lane_jobs(ends) == waiting and main.lane_jobs("queued") == 0


def test_the_last_word_of_a_person_counts(main: Runs) -> None:
    """Paused by mistake and resumed before anybody acted on it; then cancelled while it was paused."""
    run_id = at(main, "plan")
    assert main.tell(run_id, Command.PAUSE) is not None
    assert main.tell(run_id, Command.PAUSE) is None
    main.tell(run_id, Command.RESUME)
    main.advance(run_id)
    assert main.look(run_id)["state"] == "running"
    main.tell(run_id, Command.PAUSE)
    main.go_on(run_id, ends="paused")
    main.tell(run_id, Command.CANCEL)
    main.go_on(run_id, ends="cancelled")
    with reading(main.engine) as tx:
        said = [row["action"] for row in audit.listing(tx, tenant="main", thing=run_id)]
    assert said == ["run.cancel", "run.pause", "run.resume", "run.pause"]


def test_an_unknown_run_is_named(main: Runs) -> None:
    """A slip in an id must not look like an order that was taken."""
    with pytest.raises(UnknownRun, match="there is no run nothing"):
        main.tell("nothing", Command.PAUSE)


def test_a_paused_run_of_a_dead_calendar_can_still_end(main: Runs) -> None:
    """Its events wait for a calendar that will not come: resumed, they must not wait for ever."""
    run_id = at(main, "calendars")
    main.tell(run_id, Command.PAUSE)
    main.go_on(run_id, ends="paused")
    refusal = {"status": 400, "code": 400001, "msg": "name not allowed"}
    rule = {"match": {"method": "POST", "path": "/calendars/create"}, "do": "status", "params": refusal}
    main.here.simulator.desk("faults", [rule])
    main.tell(run_id, Command.RESUME)
    assert main.go_on(run_id, ends="partially_succeeded")["counts"]["event"]["failed"] == CLASSES
