"""kill -9 of workers at any moment of a run: it ends `succeeded` without help, with exactly one of everything."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import Make
from tests.system.expectations import by_lane, exactly_the_campus, never_two_calls_in_a_lane
from tests.system.product import Product

if TYPE_CHECKING:
    from bench.mariadb import MariaDb

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SEED = int(os.environ.get("OBSYNC_TEST_SEED", "1"))
# Slow enough that a kill meets calls in flight, and some of them long ones; all within the call budget.
SLOW = ("--latency-ms", "60")
LONG_CALLS = [{"match": {"method": "POST"}, "rate": 0.1, "do": "slow", "params": {"delay_s": 0.5}}]
# Long enough that the wait after a lost lease is seen: the keeper alone takes a second or two to come by.
LONGER = {"OBSYNC_WPS_TIMEOUT_S": "2.5", "OBSYNC_LANE_LEASE_S": "4"}
IN_FLIGHT_S = 0.1  # how long after its sender was killed a request may still arrive
CLOCKS_S = 0.05  # between the clock of the database and that of the simulator


@dataclass(frozen=True)
class Orphan:
    """A lane whose owner was killed: until when its lease ran."""

    lane: str
    killed_at: float
    lease_until: float


def test_killed_workers_leave_one_of_everything_and_one_call_at_a_time(make_product: Make) -> None:
    """Machines die in the middle of things. Nobody may have to clean up after them, and WPS must not see it."""
    product = make_product(*SLOW, settings=LONGER)
    product.start()
    orphans = _killing(product, random.Random(SEED), rounds=(("jobs", "lanes"), ("jobs",), ("lanes",)))
    assert orphans, "no kill met a worker that held a lane: this run proves nothing about taking over"
    _is_whole(product, orphans)


def test_a_killed_worker_leaves_one_of_everything_on_mariadb_too(make_product: Make, database_on_mariadb: str) -> None:
    """Fences and leases rest on row locks, which are another matter on a server than on SQLite."""
    product = make_product(*SLOW, settings={"OBSYNC_DATABASE_URL": database_on_mariadb})
    product.start()
    orphans = _killing(product, random.Random(SEED), rounds=(("jobs", "lanes"),))
    _is_whole(product, orphans)


def _killing(product: Product, rng: random.Random, *, rounds: tuple[tuple[str, ...], ...]) -> list[Orphan]:
    """In each round waits until lanes are worked, and a random while, then kills. Returns the lanes that lost owners."""
    product.until_stage("calendars")
    product.simulator("faults", LONG_CALLS)
    orphans = []
    for names in rounds:
        product.until(lambda: len(_owned(product)) >= 2, 60, "two lanes to be worked", every_s=0.02)
        time.sleep(rng.uniform(0, 0.25))
        for name in names:
            product.kill(name)
        assert product.is_syncing(), f"the run was over before the kill of {names}"
        if "lanes" in names:
            now = time.time()
            orphans += [Orphan(lane, now, until) for lane, until in _owned(product)]
    return orphans


def _owned(product: Product) -> list[tuple[str, float]]:
    """Lanes with an owner, and the end of their lease in seconds since 1970."""
    rows = product.query("SELECT lane, lease_until FROM lanes WHERE owner IS NOT NULL")
    return [(row["lane"], row["lease_until"] / 1000) for row in rows]


def _is_whole(product: Product, orphans: list[Orphan]) -> None:
    product.until_succeeded(120)
    exactly_the_campus(product)
    calls = product.calls()
    never_two_calls_in_a_lane(calls)
    lanes, wait_s = by_lane(calls), 1.1 * float(product.environ["OBSYNC_WPS_TIMEOUT_S"])
    for orphan in orphans:
        later = [call["start"] for call in lanes[orphan.lane] if call["start"] > orphan.killed_at + IN_FLIGHT_S]
        may_start = orphan.lease_until + wait_s
        assert not later or later[0] >= may_start - CLOCKS_S, (
            f"{orphan.lane} made a call {may_start - later[0]:.3f} s before the lost lease and the wait after it were over"
        )
    assert product.plan()["operations"] == 0


@pytest.fixture
def database_on_mariadb(mariadb: MariaDb) -> Iterator[str]:
    """The address of an empty database of its own; the product makes the tables."""
    name = f"s_{uuid.uuid4().hex[:12]}"
    mariadb.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    yield mariadb.url(name)
