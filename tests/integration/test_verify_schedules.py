"""Looks at WPS that begin by themselves: what they look at, what they put right, and what they leave to people."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from db import schedules as schedule_rows
from db import sync_runs
from db.engine import in_unit, reading
from db.tables import audit, runs, schedule_slots
from tests.integration.drain_rig import TENANT, World
from tests.integration.verify_rig import Term
from usecases import schedules
from usecases.schedules import RECOVERY
from usecases.sync import runs as run_cases

pytestmark = pytest.mark.integration


@pytest.fixture
def term(here: World) -> Term:
    """Two courses as a sync has left them in WPS, and the schedules that every tenant has."""
    made = Term(here)
    made.imported()
    made.course("c1", days=4)
    made.course("c2", days=2)
    made.sync()
    in_unit(here.engine, lambda tx: schedules.seed(tx, tenant=TENANT))
    return made


def look(term: Term, **scope: Any) -> dict[str, Any]:
    """A look as a schedule begins it, to its end."""
    run_id = run_cases.begin_look(term.here.deps, kind="verify", repairs=True, also=lambda *_: None, **scope)
    return term.go_on(run_id)


def repairs(term: Term) -> list[str]:
    """Ids of the repairs, oldest first."""
    with reading(term.here.engine) as tx:
        return list(tx.scalars(select(runs.c.id).where(runs.c.kind == "repair").order_by(runs.c.created_ms)))


def test_what_a_look_by_night_finds_is_put_right_by_itself_and_written_down(term: Term) -> None:
    """Nobody types `repair` at two in the morning, and somebody asks at eight what it did."""
    term.deletes("c1", 1)
    look(term, only="all")
    (repair,) = repairs(term)
    term.go_on(repair)
    assert term.open() == []
    assert term.verify()["report"]["discrepancies"] == 0
    with reading(term.here.engine) as tx:
        acts = tx.execute(select(audit).where(audit.c.thing == repair).order_by(audit.c.id)).all()
        row = sync_runs.get(tx, repair, tenant=TENANT)
    assert [one.action for one in acts] == ["repair.begin", "repair.end"] and row is not None
    assert row.trigger == "schedule" and json.loads(acts[1].after)["healed"] == 1


def test_a_clean_look_begins_nothing(term: Term) -> None:
    """A repair reads everything twice."""
    look(term, only="all")
    assert repairs(term) == []


def test_only_what_was_sent_to_since_the_last_look_is_looked_at(term: Term) -> None:
    """Within the hour for what changed, without reading twenty thousand calendars each hour."""
    assert look(term, only="touched")["report"]["calendars"] == 2
    assert look(term, only="touched")["report"]["calendars"] == 0
    term.course("c3", days=1)
    term.sync()
    assert look(term, only="touched")["report"]["calendars"] == 1


def test_a_look_field_by_field_sees_what_a_wrong_hash_hides(term: Term) -> None:
    """If what we wrote down as sent were wrong, every other look would agree with it."""
    term.changes("c1", 1, summary="别的课")
    assert look(term, only="all", fields=True)["report"]["discrepancies"] == 1
    (found,) = [one for one in term.rows() if one.what == "event_edited"]
    assert json.loads(found.ours)["differs"] == ["summary"]


def test_every_recovery_is_followed_by_one_look(term: Term) -> None:
    """An outage or a dead worker is when what we believe and what is true may have parted."""
    deps = term.here.deps
    assert not schedules.recovered(deps, "a new tenant is left alone for an hour")
    in_unit(deps.engine, lambda tx: schedule_rows.change(tx, tenant=TENANT, name=RECOVERY, since_ms=0))
    assert schedules.recovered(deps, "WPS answers again")
    schedules.recovered(deps, "lane 数学学院 was taken over")
    with reading(deps.engine) as tx:
        slots = tx.execute(select(schedule_slots).where(schedule_slots.c.name == RECOVERY)).all()
    assert 1 <= len(slots) <= 2 and slots[0].reason == "WPS answers again"
    in_unit(deps.engine, lambda tx: schedule_rows.change(tx, tenant=TENANT, name=RECOVERY, enabled=False))
    assert not schedules.recovered(deps, "WPS answers again")
