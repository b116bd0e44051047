"""Statements that are spelled once: they answer as their expressions do, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, bindparam, select, update

from bootstrap.wiring import new_id
from db import jobs
from db.engine import in_unit, reading
from db.jobs import Put
from db.spelled import Spelled
from db.tables import jobs as table

pytestmark = pytest.mark.integration

TENANT = "t1"
MINE = table.c.tenant_id == bindparam("b_tenant")
LISTED = table.c.target.in_(bindparam("b_targets", expanding=True))


def put(engine: Engine, *targets: str) -> None:
    """Queued events."""
    puts = [Put("event", one, "cal:1", "2024", "数学", "{}", "h", 0, 2) for one in sorted(targets)]
    in_unit(engine, lambda tx: jobs.put(tx, puts, tenant=TENANT, import_no=1, run_id=None, new_id=new_id))


@pytest.mark.parametrize("listed", [["evt:%s", "evt:?"], ["evt:'; --", "没有"], [], ["evt:%s"] * 3])
def test_it_finds_what_the_expression_finds(database: Engine, listed: list[str]) -> None:
    """Whatever stands in a list stays a value, also what drivers write places with."""
    put(database, "evt:%s", "evt:?", "evt:'; --", "evt:数学")
    asked = select(table.c.target).where(MINE, LISTED, table.c.target.like("evt:%")).order_by(table.c.target)
    values = {"b_tenant": TENANT, "b_targets": listed}
    spelled = Spelled(asked, listed="b_targets")
    with reading(database) as tx:
        for _ in range(2):  # spelled, and remembered
            assert spelled.run(tx, values).scalars().all() == tx.execute(asked, values).scalars().all()


def test_it_writes_what_it_is_given_and_counts_the_rows(database: Engine) -> None:
    """None is written as none, and another school's rows stay as they are."""
    put(database, "evt:1", "evt:2", "evt:3")
    change = Spelled(update(table).where(MINE, LISTED).values(run_id=bindparam("b_run")), listed="b_targets")
    listed = ["evt:1", "evt:2", "evt:9"]
    for run, tenant, rows in (("r1", TENANT, 2), ("r2", "t2", 0), (None, TENANT, 2)):
        said = {"b_tenant": tenant, "b_targets": listed, "b_run": run}
        assert in_unit(database, lambda tx, said=said: change.run(tx, said).rowcount) == rows  # type: ignore[misc]
    with reading(database) as tx:
        asked = select(table.c.run_id).where(table.c.tenant_id == TENANT)
        assert set(tx.execute(asked).scalars()) == {None}


def test_a_list_without_a_name_is_refused(database: Engine) -> None:
    """Its places would be missing, and each database would say so in its own way."""
    with reading(database) as tx, pytest.raises(ValueError, match="only lists that are named"):
        Spelled(select(table.c.id).where(MINE, LISTED)).run(tx, {"b_tenant": TENANT, "b_targets": ["evt:1"]})


def test_a_value_that_is_missing_is_an_error(database: Engine) -> None:
    """And not NULL, which equals nothing."""
    with reading(database) as tx, pytest.raises(KeyError):
        Spelled(select(table.c.id).where(MINE)).run(tx, {})
