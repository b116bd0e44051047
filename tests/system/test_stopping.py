"""Stopping in the middle and starting again; two on one folder; two side by side."""

from __future__ import annotations

import signal

import pytest

from tests.system.conftest import Make
from tests.system.expectations import exactly_the_campus
from tests.system.product import Product
from workers.ports import claim_port

pytestmark = pytest.mark.system


def test_stopped_in_the_middle_the_same_run_goes_on_and_doubles_nothing(make_product: Make) -> None:
    """Ctrl-C, a shutdown of the machine, and a kill -9 of all: the same command again goes on where it was."""
    product = make_product("--latency-ms", "60", settings={"OBSYNC_WPS_RATE": "60", "OBSYNC_WPS_BURST": "8"})
    seen = set()
    for number, code in ((signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        product.start()
        seen.add(_in_the_middle(product))
        assert product.signal(number) == code
    product.start()
    seen.add(product.until_succeeded(90))
    assert len(seen) == 1, f"another run was begun: {seen}"
    assert product.said().count(f"going on with run {seen.pop()}") == 3
    exactly_the_campus(product)
    assert product.plan()["operations"] == 0


def _in_the_middle(product: Product) -> str:
    """Wait until more of the term is in WPS than before. Returns the id of the run."""
    port = product.port
    assert port
    before = int(product.simulator("state?counts=1")["calendars"])
    product.until(
        lambda: int(product.simulator("state?counts=1")["calendars"]) >= before + 8, 40, "eight more calendars"
    )
    run = product.newest_run()
    assert run is not None and run["state"] == "running"
    return str(run["id"])


def test_two_that_look_for_a_port_at_the_same_moment_get_two() -> None:
    """Between choosing a port and listening on it lie seconds, in which a second clone would choose the same one."""
    first, held = claim_port(0)
    second, also_held = claim_port(first)
    with held, also_held:
        assert second != first


def test_a_second_up_on_a_folder_is_refused_and_another_folder_runs_beside_it(make_product: Make) -> None:
    """Two supervisors on one database would fight; two clones on one machine are everyday life."""
    first = make_product()
    first.start()
    second = make_product()
    second.start()
    assert first.port != second.port
    refused = first.obsync("up", "--once")
    assert refused.code == 1
    assert f"already running on {first.data_dir}" in refused.err and "OBSYNC_DATA_DIR" in refused.err
    assert "Traceback" not in refused.err
    for product in (first, second):
        product.until_succeeded(60)
        exactly_the_campus(product)
