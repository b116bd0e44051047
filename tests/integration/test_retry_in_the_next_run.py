"""What died in one run is tried again in the next, and a run with anything dead in it is not green."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from db import jobs, mirror
from db import tasks as task_rows
from db.engine import in_unit, reading
from db.failure_lists import EVERYTHING
from db.jobs import Put
from db.mirror import SentRow
from db.tables import AnyRow
from db.tables import failures as failure_rows
from db.tables import jobs as job_rows
from db.tables import mirror as mirror_rows
from tests.integration.drain_rig import World
from tests.integration.run_rig import Registry, planned, registry
from usecases import dead_letters, failures, tasks
from usecases.sync.planning import Planner, tally

pytestmark = pytest.mark.integration

FOUR = ("代数", "几何", "分析", "概率")  # one of four may go without anybody being asked


@pytest.fixture
def school(here: World, tmp_path: Path) -> Registry:
    """A registry that has published nothing yet."""
    return registry(here, tmp_path / "campus")


def refusing(path: str, *, code: int = 400411023, said: str = "text not allowed") -> dict[str, Any]:
    """The service does not accept the content."""
    return {
        "match": {"method": "POST", "path": path},
        "do": "status",
        "params": {"status": 400, "code": code, "msg": said},
    }


def ended(school: Registry) -> list[tuple[str, bool, str | None]]:
    """(kind, whether it is dead, how it ended) of every failure."""
    with reading(school.deps.engine) as tx:
        rows = tx.execute(select(failure_rows).order_by(failure_rows.c.kind, failure_rows.c.died_ms))
        return [(row.kind, bool(row.dead), row.ended) for row in rows]


def events_of(school: Registry, run_id: str) -> list[AnyRow]:
    with reading(school.deps.engine) as tx:
        mine = (job_rows.c.run_id == run_id, job_rows.c.kind == "event", job_rows.c.state == "queued")
        return list(tx.execute(select(job_rows).where(*mine)))


def queued(school: Registry, kind: str) -> bool:
    with reading(school.deps.engine) as tx:
        waiting = select(job_rows.c.id).where(job_rows.c.kind == kind, job_rows.c.state == "queued")
        return tx.execute(waiting).first() is not None


def dead(school: Registry) -> int:
    return dead_letters.count(school.deps, EVERYTHING)


def to_send(school: Registry) -> int:
    planner = Planner(school.deps.engine, school.deps.tenant, school.deps.secret)
    return sum(sum(tally(plans).values()) for _, plans in planner.pages())


def test_a_poisoned_event_is_put_again_by_the_next_run(school: Registry) -> None:
    """The source has not changed, so nobody but the plan remembers that a class is missing."""
    school.publish("代数", "几何")
    school.here.faults(refusing("events/batch_create"))
    first = school.sync()
    assert (first["state"], first["counts"]["event"]["failed"], dead(school)) == ("partially_succeeded", 2, 2)
    school.here.faults()
    second = school.sync()
    assert (second["state"], planned(second), second["counts"]["event"]["done"]) == ("succeeded", 2, 2)
    assert ended(school) == [("event", False, "again")] * 2
    assert sum(len(one["events"]) for one in school.here.calendars()) == 2
    assert planned(school.sync()) == 0, "nothing failed, so nothing is put again"


@pytest.mark.parametrize(
    ("kind", "path", "failed"),
    [
        ("calendar", "/v7/calendars/create", 6),
        ("members", "permissions/batch_create", 2),
        ("users", "by_ex_user_ids", 1),
    ],
)
def test_every_kind_that_fails_makes_the_run_partial_and_is_tried_again(
    school: Registry, kind: str, path: str, failed: int
) -> None:
    """A run whose readers are missing looked green while nobody saw the timetable."""
    school.publish("代数", "几何")
    rule = refusing(path)
    rule["match"].pop("method")
    school.here.faults(rule)
    first = school.sync()
    assert first["state"] == "partially_succeeded"
    assert sum(one["failed"] for one in first["counts"].values()) == failed, (
        "what waits for a dead calendar failed with it"
    )
    assert {one["kind"] for one in first["report"]["failures"]} == {kind}
    school.here.faults()
    assert school.sync()["state"] == "succeeded"
    assert dead(school) == 0
    assert planned(school.sync()) == 0
    assert [len(one["permissions"]) for one in school.here.calendars()] == [4, 4]


def test_a_dead_change_is_closed_when_the_source_takes_it_back(school: Registry) -> None:
    """The mirror agrees with the source again, and yet a dead letter would wait for a person for ever."""
    school.publish("代数")
    assert school.sync()["state"] == "succeeded"
    school.publish("代数（改）")
    school.here.faults(refusing("/update"))
    assert school.sync()["state"] == "partially_succeeded"
    assert dead(school) > 0
    school.publish("代数")
    calls = len(school.here.log("/update"))
    again = school.sync()
    assert (again["state"], dead(school)) == ("succeeded", 0)
    assert len(school.here.log("/update")) == calls, "what is there already needs no call"
    assert to_send(school) == 0


def test_a_dead_letter_that_nobody_wants_any_more_is_closed_by_the_next_plan(school: Registry) -> None:
    """The course was dropped: an admin must not be asked to mend an event that should not be."""
    school.publish(*FOUR)
    school.here.faults(refusing("events/batch_create"))
    school.sync()
    school.here.faults()
    school.publish(*FOUR[:3])
    run = school.sync()
    assert (run["state"], dead(school)) == ("succeeded", 0)
    assert sorted(how or "" for kind, _, how in ended(school) if kind == "event") == [
        "again",
        "again",
        "again",
        "unwanted",
    ]
    assert [len(one["events"]) for one in school.here.calendars()] == [1, 1, 1]


def test_what_waited_for_a_calendar_that_nobody_wants_waits_for_nothing(school: Registry) -> None:
    """Blocked jobs keep the key of their target: left behind, they would be in the way of a course that comes back."""
    school.publish(*FOUR)
    school.here.faults(refusing("/v7/calendars/create"))
    school.sync()
    school.publish(*FOUR[:3])
    school.here.faults()
    assert school.sync()["state"] == "succeeded"
    with reading(school.deps.engine) as tx:
        left = tx.execute(
            select(job_rows.c.target).where(job_rows.c.open_key.is_not(None), job_rows.c.lane.is_not(None))
        ).all()
    assert left == []
    school.publish(*FOUR)
    assert school.sync()["state"] == "succeeded"
    assert len(school.here.calendars()) == 4


def test_what_another_run_took_over_and_could_not_do_leaves_neither_green(school: Registry) -> None:
    """A repair may ask for the same event while a sync waits for it: the class is missing, whoever counts it."""
    school.publish("代数")
    run_id, task_id = school.begin()
    school.here.faults(refusing("events/batch_create"))
    while not (mine := events_of(school, run_id)):
        school.advance(task_id)
        school.here.drain(until=lambda: not queued(school, "users"))
    (one,) = mine
    other = Put("event", one.target, one.group_id, one.term, one.lane, one.payload, one.desired_hash, 0, 2)
    new_id = school.deps.new_id
    in_unit(
        school.deps.engine,
        lambda tx: jobs.put(tx, [other], tenant="main", import_no=1, run_id="a repair", new_id=new_id),
    )
    school.drain()
    while school.look(run_id)["state"] == "running":
        school.advance(task_id)
    run = school.look(run_id)
    assert (run["counts"]["event"]["superseded"], run["counts"]["event"]["failed"]) == (1, 0)
    assert run["state"] == "partially_succeeded"
    assert "another run took over" in str(failures.cause_of(run))


def test_a_task_that_broke_each_time_ends_its_run_and_is_replaced_by_the_next(school: Registry) -> None:
    """A run that hangs as running for ever hides that nothing is synced any more."""
    school.publish("代数")
    run_id, task_id = school.begin()
    for _ in range(5):
        task = tasks.claim(school.deps, task_id, claim=school.deps.new_id())
        assert task is not None
        in_unit(
            school.deps.engine, lambda tx, task=task: task_rows.defer_task(tx, task, wait_ms=0, reason="KeyError: 'x'")
        )
    assert tasks.claim(school.deps, task_id, claim="the sixth") is None
    assert school.look(run_id)["state"] == "failed"
    (one,) = failures.families(school.deps)
    assert (one["kind"], one["class"], one["command"]) == ("run.advance", "task", "obsync sync")
    assert school.sync()["state"] == "succeeded"
    assert failures.families(school.deps) == []


def test_the_report_of_a_run_names_cause_count_remedy_and_command(school: Registry) -> None:
    """It is what somebody reads at three in the morning, before anything else."""
    school.publish("代数", "几何")
    school.here.faults(refusing("events/batch_create", said="text is not allowed 17"))
    run = school.sync()
    (one,) = run["report"]["failures"]
    assert (one["code"], one["left"], one["people"], one["kind"], one["verb"]) == (400411023, 2, 4, "event", "create")
    assert one["command"] == "obsync sync" and "敏感词" in one["cause"] and one["remedy"]
    assert one["lanes"] == [{"lane": "数学学院", "count": 2}]
    cause = failures.cause_of(run)
    assert cause is not None and cause.startswith("2 events: ")
    assert failures.cause_of({**run, "state": "succeeded"}) is None


def test_a_copy_of_a_calendar_that_could_not_be_deleted_is_tried_again(school: Registry) -> None:
    """No course has it, so no course's plan would remember that a second calendar stands beside the right one."""
    school.publish("代数")
    school.sync()
    made = school.here.simulator.ok("POST", "/v7/calendars/create", {"summary": "代数 ·copycop"})
    with reading(school.deps.engine) as tx:
        there = tx.execute(select(mirror_rows).where(mirror_rows.c.kind == "calendar")).one()
    copy = Put("calendar", "sur:copy", "sur:copy", there.term, there.lane, jobs.GONE, "", 0, 0)

    def put(tx: Connection) -> None:
        jobs.put(tx, [copy], tenant="main", import_no=1, run_id=None, new_id=school.deps.new_id)
        sent = SentRow(copy.target, made["id"], "surplus", None, None, 1)
        mirror.write_sent(tx, [sent], tenant="main", term=there.term)

    in_unit(school.deps.engine, put)
    school.here.faults(refusing("/delete$"))
    school.drain()
    assert (dead(school), len(school.here.calendars())) == (1, 2)
    school.here.faults()
    assert school.sync()["state"] == "succeeded"
    assert (dead(school), len(school.here.calendars())) == (0, 1)
    assert planned(school.sync()) == 0
