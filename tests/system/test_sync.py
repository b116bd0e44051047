"""One command brings a term into WPS: a generated one, and a real one where it is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system import whole_term
from tests.system.at_the_door import demo_people_come_in
from tests.system.conftest import Make
from tests.system.product import Product

pytestmark = pytest.mark.system

SUMMER = "sjtu-2018-2019-3-summer"


@pytest.fixture(scope="module", params=["generated", SUMMER])
def synced(request: pytest.FixtureRequest, make_shared_product: Make) -> Product:
    """A product that has synced its campus and keeps serving."""
    campus = None if request.param == "generated" else request.getfixturevalue("shared_data") / request.param
    product = make_shared_product(campus=campus)
    request.addfinalizer(product.stop)
    product.start()
    product.until_succeeded(90)
    return product


def test_every_session_is_in_wps_once_and_every_row_is_accounted_for(synced: Product, tmp_path: Path) -> None:
    """The main job: right calendars, times, rooms, teachers and members, and nothing dropped in silence."""
    whole_term.is_true_in_wps(synced, tmp_path)


def test_after_a_sync_there_is_nothing_left_to_plan(synced: Product) -> None:
    """A plan that always finds something would send the whole term again every night."""
    whole_term.plans_nothing_more(synced)


def test_one_changed_row_is_planned_as_the_operations_of_its_session(synced: Product, tmp_path: Path) -> None:
    """Whoever mends one row may not disturb anybody else's calendar."""
    whole_term.plans_just_the_change(synced, tmp_path)


def test_the_checker_notices_one_moved_event(synced: Product, tmp_path: Path) -> None:
    """A checker that cannot fail would make all the other tests here worthless."""
    whole_term.moved_event_is_noticed(synced, tmp_path)


def test_a_fresh_installation_lets_its_demo_people_in(synced: Product) -> None:
    """Whoever tries the product has somebody to be: what is printed opens the API, as far as the role goes."""
    begun = demo_people_come_in(synced)
    assert begun in {row["id"] for row in synced.query("SELECT id FROM runs WHERE state = 'succeeded'")}
