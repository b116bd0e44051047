"""The world of the drain's tests: one simulator for the session, everything else fresh for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from bootstrap.settings import Settings
from tests.contract.simulator_process import Simulator, running
from tests.fixtures_stores import Valkey
from tests.integration import api_rig
from tests.integration.api_rig import Api
from tests.integration.drain_rig import World, world


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """A running simulator; `here` empties it."""
    with running() as one:
        yield one


@pytest.fixture
def here(simulator: Simulator, database: Engine, valkey: Valkey, data_dir: Path) -> Iterator[World]:
    """Simulator, database, Valkey and a worker with short times."""
    with world(simulator, database, valkey, data_dir) as made:
        yield made


@pytest.fixture
def api(settings: Settings, database_url: str, valkey: Valkey, data_dir: Path) -> Iterator[Api]:
    """The API over two schools, on both databases."""
    with api_rig.api(settings, database_url, valkey, data_dir / "campus") as made:
        yield made
