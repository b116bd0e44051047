"""A whole autumn term of a real university: 190,722 rows. Too long for every day, so it is asked for by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system import whole_term
from tests.system.conftest import Make

WANTED = "OBSYNC_TEST_WHOLE_TERM"
TERM = "sjtu-2018-2019-1"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.environ.get(WANTED) != "1", reason=f"a whole term takes many minutes; set {WANTED}=1"),
]


@pytest.mark.timeout(3600)
def test_a_real_autumn_term_comes_into_wps_and_nothing_is_left_to_plan(
    make_product: Make, shared_data: Path, tmp_path: Path
) -> None:
    """What holds for a small campus may fail at size: repeated names, shared numbers, pages, time."""
    product = make_product(campus=shared_data / TERM)
    product.start()
    product.until_succeeded(3000)
    whole_term.is_true_in_wps(product, tmp_path)
    whole_term.plans_nothing_more(product)
    whole_term.moved_event_is_noticed(product, tmp_path)
