"""Whatever anybody sends, as each role: no 5xx, no answer that the document does not have, and most operations do their work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.settings import Settings
from tests.fixtures_stores import Valkey
from tests.fuzz.cases import SHARES, Tally, fuzz
from tests.integration import api_rig
from tests.integration.api_rig import Api

CASES = 1_050
"""On each of both databases."""


@pytest.fixture
def unlimited(settings: Settings, database_url: str, valkey: Valkey, data_dir: Path) -> Iterator[Api]:
    """The API for callers who ask without a pause; and nothing is logged, which costs as much as asking."""
    without = replace(settings, user_limit_per_min=10**6, ip_limit_per_min=10**6)
    logging.disable(logging.CRITICAL)
    with api_rig.api(without, database_url, valkey, data_dir / "campus") as made:
        yield made
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(1200)
def test_no_request_gets_an_answer_that_nobody_described(unlimited: Api) -> None:
    """The document is what clients are written from, and a 5xx is ours to mend, whoever sent what."""
    tally = Tally()
    for seed, (name, share) in enumerate(SHARES.items()):
        fuzz(unlimited, name, tally, cases=round(CASES * share), seed=seed)
    assert tally.failures == {}, "\n\n".join(f"{what}: {said}" for what, said in tally.failures.items())
    assert tally.cases >= 1_000
    assert tally.share >= 60, f"never reached: {sorted(tally.operations - tally.reached)}"
