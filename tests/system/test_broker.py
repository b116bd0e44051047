"""The broker holds only doorbells, hints and the limiter: losing them, or the server itself, costs time and nothing else."""

from __future__ import annotations

import random
import time

import pytest
import redis

from bootstrap import addresses
from tests.system.conftest import Make
from tests.system.expectations import exactly_the_campus, never_two_calls_in_a_lane
from tests.system.product import Product

pytestmark = pytest.mark.system

FLUSHES = 20
LEAST_LANES = 3
LONGER_RUN = {"OBSYNC_WPS_RATE": "60", "OBSYNC_WPS_BURST": "8"}


def test_twenty_times_flushall_in_a_run_loses_nothing(make_product: Make) -> None:
    """An evicted, restarted or mistreated Redis must never be a reason to repair calendars by hand."""
    product = make_product("--latency-ms", "40", settings=LONGER_RUN)
    product.start()
    product.until(lambda: len(product.lanes_with_work()) >= LEAST_LANES, 60, "three lanes with work", every_s=0.02)
    broker = redis.Redis(unix_socket_path=str(addresses.socket_path(product.data_dir, "broker")), socket_timeout=5)
    for number in range(FLUSHES):
        _until_something_was_done(product)
        busy = product.lanes_with_work()
        assert len(busy) >= LEAST_LANES, f"only {busy} had work at flush {number + 1}"
        broker.flushall()
    broker.close()
    _is_whole(product)


def test_a_killed_broker_is_started_again_and_the_run_goes_on(make_product: Make) -> None:
    """The server dies with calls in flight, and again while the workers are still finding it back."""
    product = make_product("--latency-ms", "40", settings=LONGER_RUN)
    product.start()
    rng = random.Random(7)
    for _ in range(2):
        product.until(lambda: len(product.lanes_with_work()) >= LEAST_LANES, 60, "three lanes with work")
        time.sleep(rng.uniform(0.2, 0.6))
        product.kill("broker")
        assert product.is_syncing(), "the run was over before the kill"
    _is_whole(product)
    assert "valkey-broker" in product.said() and "is running again" in product.said()


def _until_something_was_done(product: Product) -> None:
    before = product.effects()
    product.until(lambda: product.effects() > before, 20, "some work of the lanes")


def _is_whole(product: Product) -> None:
    product.until_succeeded(90)
    exactly_the_campus(product)
    never_two_calls_in_a_lane(product.calls())
    assert product.plan()["operations"] == 0
