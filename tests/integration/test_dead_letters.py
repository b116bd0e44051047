"""Putting dead letters again, giving them up and changing them: each once, whoever asks at the same time."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Connection, Engine, func, select

from db import audit
from db.clock import now_ms
from db.engine import in_unit, reading
from db.failure_lists import EVERYTHING, Which
from db.tables import jobs as job_rows
from tests.integration.dead_rig import TENANT, calendar, copies, die, event, job, states
from tests.integration.drain_rig import World
from usecases import dead_letters
from usecases.dead_letters import NotEditable
from usecases.deps import Deps

pytestmark = pytest.mark.integration

MANY = 1_200


@pytest.fixture
def deps(here: World) -> Deps:
    """What the command line has."""
    return dataclasses.replace(here.deps, tenant=TENANT)


@pytest.fixture
def engine(deps: Deps) -> Engine:
    return deps.engine


def test_put_again_twice_at_the_same_time_is_once(deps: Deps, engine: Engine) -> None:
    """Two admins wake up at the same alarm."""
    (first,) = die(engine, event(1))
    copies(engine, first, MANY - 1)
    together = Barrier(2)

    def again(_: int) -> int:
        together.wait()
        return dead_letters.put_again(deps, EVERYTHING, actor="cli:root")

    with ThreadPoolExecutor(2) as both:
        done = list(both.map(again, range(2)))
    assert sum(done) == MANY
    assert states(engine) == {"superseded": MANY, "queued": MANY}
    with reading(engine) as tx:
        asked = (job_rows.c.state == "queued", job_rows.c.lane.is_not(None))
        most = tx.execute(select(func.count()).where(*asked).group_by(job_rows.c.target)).scalars().all()
    assert set(most) == {1}
    assert dead_letters.put_again(deps, EVERYTHING, actor="cli:root") == 0


def test_a_dead_event_takes_its_dead_calendar_along(deps: Deps, engine: Engine) -> None:
    """Alone it would wait for a calendar that nobody makes."""
    (lost,) = die(engine, event(1))
    die(engine, calendar())
    assert dead_letters.put_again(deps, Which(job_ids=(lost,)), actor="cli:root") == 2
    assert states(engine) == {"superseded": 2, "queued": 2}


def test_what_was_put_again_asks_for_the_same(deps: Deps, engine: Engine) -> None:
    """A requeue is a `put`, with a first attempt of its own."""
    (lost,) = die(engine, event(1))
    before = job(engine, lost)
    dead_letters.put_again(deps, EVERYTHING, actor="cli:root")
    with reading(engine) as tx:
        after = tx.execute(select(job_rows).where(job_rows.c.open_key == before.target)).one()
    assert (after.payload, after.desired_hash, after.attempts) == (before.payload, before.desired_hash, 0)


def test_a_discarded_dead_letter_is_not_put_again(deps: Deps, engine: Engine) -> None:
    """Given up is given up, until a plan asks anew."""
    one, two = die(engine, event(1), event(2))
    assert dead_letters.discard(deps, Which(job_ids=(one,)), actor="cli:root") == 1
    assert dead_letters.put_again(deps, EVERYTHING, actor="cli:root") == 1
    assert (job(engine, one).state, job(engine, two).state) == ("cancelled", "superseded")


def test_acts_on_many_are_signed_once_with_what_was_meant(deps: Deps, engine: Engine) -> None:
    """Who put forty thousand calls on the lanes at three in the morning?"""
    die(engine, event(1), event(2))
    dead_letters.put_again(deps, Which(code="bad_request"), actor="cli:night")
    with reading(engine) as tx:
        (act,) = audit.listing(tx, tenant=TENANT)
    assert (act["actor"], act["action"], act["after"]) == ("cli:night", "failures.retry", {"put_again": 2})
    assert act["before"] == {"which": {"code": "bad_request"}}


def test_an_edited_dead_letter_asks_for_what_was_typed_and_is_signed(deps: Deps, engine: Engine) -> None:
    """The title that the filter rejects, said in other words until the registry mends it."""
    (lost,) = die(engine, event(1))
    before = job(engine, lost)
    told = dead_letters.edit(deps, lost, {"summary": "代数（暂名）"}, whole=False, actor="cli:root")
    after = job(engine, lost)
    assert told["after"]["summary"] == "代数（暂名）" and json.loads(after.payload) == told["after"]
    assert (after.state, after.rev) == ("dead", before.rev)
    assert after.desired_hash != before.desired_hash
    with reading(engine) as tx:
        (act,) = audit.listing(tx, tenant=TENANT, thing=lost)
    assert (act["actor"], act["action"]) == ("cli:root", "dead.edit")
    assert (act["before"]["summary"], act["after"]["summary"]) == ("课c1", "代数（暂名）")
    assert dead_letters.put_again(deps, EVERYTHING, actor="cli:root") == 1
    with reading(engine) as tx:
        payload = tx.execute(select(job_rows.c.payload).where(job_rows.c.state == "queued")).scalar_one()
    assert json.loads(payload)["summary"] == "代数（暂名）"


@pytest.mark.parametrize("changes", [{"title": "x"}, {"summary": ""}, {"start_ms": "today"}])
def test_an_edit_that_does_not_fit_changes_nothing(deps: Deps, engine: Engine, changes: dict[str, object]) -> None:
    """Bad input is refused with the reason, and not even the audit sees it."""
    (lost,) = die(engine, event(1))
    before = job(engine, lost)
    with pytest.raises(NotEditable, match=next(iter(changes))):
        dead_letters.edit(deps, lost, changes, whole=False, actor="cli:root")
    assert job(engine, lost) == before
    with reading(engine) as tx:
        assert audit.listing(tx, tenant=TENANT) == []


def test_only_dead_letters_are_edited(deps: Deps, engine: Engine) -> None:
    """What waits in a lane belongs to the plan; a deletion carries nothing."""
    (lost,) = die(engine, event(1))
    dead_letters.put_again(deps, EVERYTHING, actor="cli:root")
    with pytest.raises(NotEditable, match="no dead letter"):
        dead_letters.edit(deps, lost, {"summary": "x"}, whole=False, actor="cli:root")
    (deletion,) = die(engine, dataclasses.replace(event(2), payload="null", desired_hash=""))
    with pytest.raises(NotEditable, match="deletion"):
        dead_letters.edit(deps, deletion, {"summary": "x"}, whole=False, actor="cli:root")


def test_the_audit_tells_the_newest_first(engine: Engine, deps: Deps) -> None:
    """It is read from the top."""
    for number in range(3):

        def sign(tx: Connection, number: int = number) -> None:
            act = {"actor": "cli:a", "action": "x", "thing": f"t{number}", "after": {"数": number}}
            audit.write(tx, tenant=TENANT, new_id=deps.new_id, **act)

        in_unit(engine, sign)
        _until_the_clock_goes_on(engine)
    with reading(engine) as tx:
        found = audit.listing(tx, tenant=TENANT, limit=2)
    assert [one["after"] for one in found] == [{"数": 2}, {"数": 1}]


def _until_the_clock_goes_on(engine: Engine) -> None:
    with reading(engine) as tx:
        begun = now_ms(tx)
    while True:
        with reading(engine) as tx:
            if now_ms(tx) > begun:
                return
