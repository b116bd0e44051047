"""`obsync up` over another campus: the simulator is turned over without a question, and the audit says by whom."""

from __future__ import annotations

import pytest

from tests.system.conftest import Make

pytestmark = pytest.mark.system


def test_another_campus_replaces_the_first_in_the_simulator(make_product: Make) -> None:
    """Whoever tries the product with a folder of their own must not have to answer for the one that was generated."""
    product = make_product()
    product.start("--once")
    assert product.wait_exit(120) == 0
    product.arguments = ("--colleges", "3", "--offerings", "20", "--students", "60", "--seed", "7")
    product.start("--once")
    assert product.wait_exit(120) == 0
    assert "confirmed by `obsync up`, because this WPS is a simulator" in product.said()
    (newest, *_) = product.obsync("runs", "--json").json["items"]
    assert newest["state"] == "succeeded"
    assert {one["answered_by"] for one in newest["questions"]} == {"up"}
    plan = product.plan()
    assert (plan["operations"], plan["items"]) == (0, [])
