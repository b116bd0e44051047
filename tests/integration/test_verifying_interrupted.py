"""Verify and repair when things come in between: throttles, new wishes, deaths, refusals."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import jobs, verifications
from domain.plans import calendar_target
from tests.contract.wps_rig import wait_until
from tests.integration.drain_rig import TIMES, World, lost
from tests.integration.verify_rig import Term
from usecases.lanes import Holdings
from usecases.sync.draining import drain_slice

pytestmark = pytest.mark.integration


@pytest.fixture
def term(here: World) -> Term:
    """A course over thirteen weeks (three windows), as a sync has left it in WPS."""
    made = Term(here)
    made.imported()
    made.course("c1", days=13)
    made.sync()
    return made


def test_a_walk_that_was_throttled_goes_on_where_it_was(term: Term) -> None:
    """With a narrow rate a walk that always begins anew would never come to its end."""
    here = term.here
    run_id = term.begin()
    before = len(here.log("/events"))
    here.faults({"match": {"method": "GET", "path": "/events"}, "nth": [2], "do": "throttle"})
    here.drain(until=lambda: kept_walk(term) is not None)
    run = term.go_on(run_id)
    assert run["report"]["events"] == 13
    assert len(here.log("/events")) - before == 3 + 1  # three windows, and the one refused
    assert term.rows() == []
    assert kept_walk(term) is None


def test_a_walk_begins_anew_when_something_was_sent_meanwhile(term: Term) -> None:
    """Half of what it saw would be of before the change, and the change would be reported as somebody's mischief."""
    here = term.here
    run_id = term.begin()
    here.faults({"match": {"method": "GET", "path": "/events"}, "nth": [3], "do": "throttle"})
    here.drain(until=lambda: kept_walk(term) is not None)
    term.move("c1", 0, room="303")
    term.sync()
    run = term.go_on(run_id)
    assert (run["report"]["events"], term.rows()) == (13, [])


def test_a_target_in_doubt_is_settled_before_its_calendar_is_looked_at(term: Term) -> None:
    """Two answers to one question, at the same time, would both be acted on."""
    here = term.here
    here.faults(lost("/update$", times=1))
    term.move("c1", 0, room="303")
    term.sync(drain=False)
    run_id = term.begin()
    here.slice()
    assert here.unsettled()
    run = term.go_on(run_id)
    assert (run["report"]["discrepancies"], term.rows()) == (0, [])


def test_a_former_owner_of_the_lane_writes_down_nothing(term: Term) -> None:
    """A frozen worker that wakes up has seen yesterday's calendar."""
    here = term.here
    term.deletes("c1", 1)
    run_id = term.begin()
    before = here.claim(within_s=30)
    assert before is not None
    here.holdings.forget(before)
    other = Holdings(here.engine, TIMES, here.deps.new_id)
    # Taken over when the lease is over, and claimed after the rest.
    assert wait_until(lambda: other.claim(before.held.tenant, before.held.lane) is not None)
    drain_slice(here.deps, here.holdings, before, here.executor)
    assert term.rows() == []
    assert term.here.lane_row().owner is not None
    with reading(here.engine) as tx:
        assert tx.execute(select(jobs.c.state).where(jobs.c.kind == "verify")).scalar_one() == "queued"
    assert run_id


def test_what_a_repair_could_not_do_stays_open_and_the_next_one_does_it(term: Term) -> None:
    """A repair that failed may not look like one that worked, nor need another command to go on."""
    here = term.here
    term.changes("c1", 2, summary="改了")
    term.verify()
    refuse = {"status": 400, "code": 400_000_003, "applied": False}
    here.faults({"match": {"method": "POST", "path": "/update$"}, "do": "status", "params": refuse})
    run = term.repair(ends="partially_succeeded")
    assert run["report"]["discrepancies"] == 1
    assert term.open() == [("event_edited", "repairing")]
    here.faults()
    term.verify()
    assert term.open() == [("event_edited", "repairing")]
    term.repair()
    assert (term.open(), term.plan()) == ([], {})
    assert term.event_at("c1", 2)["summary"] == "课c1"


def test_a_lost_answer_during_a_repair_leaves_one_event(term: Term) -> None:
    """A repair is a write like any other."""
    before = term.everything()
    term.deletes("c1", 3)
    term.verify()
    term.here.faults(lost("/events/batch_create$", times=1))
    term.repair()
    assert (term.everything(), term.open(), term.plan()) == (before, [], {})


def test_an_unreadable_calendar_ends_as_a_dead_letter(term: Term) -> None:
    """The run says that it has not seen everything, rather than waiting for ever."""
    refuse = {"status": 403, "code": 403_000_001, "applied": False}
    term.here.faults({"match": {"method": "GET", "path": "/events"}, "do": "status", "params": refuse})
    run_id = term.begin()
    run = term.go_on(run_id, ends="partially_succeeded")
    assert run["counts"]["verify"]["failed"] == 1
    assert term.rows() == []


def kept_walk(term: Term) -> str | None:
    with reading(term.here.engine) as tx:
        where = verifications.c.target == calendar_target("c1")
        return tx.execute(select(verifications.c.walk).where(where)).scalar_one_or_none()
