"""Fixtures of the whole suite. The stores are in `fixtures_stores`."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import dramatiq
import hypothesis
import pytest
from dramatiq.brokers.stub import StubBroker

from bootstrap.broker import middleware
from bootstrap.settings import Settings

# An actor looks up the broker while its module is imported, and without one makes a default that waits for a server.
dramatiq.set_broker(StubBroker(middleware=middleware()))

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

pytest_plugins = ["tests.fixtures_stores", "tests.fixtures_tenants", "tests.fixtures_unpickling"]

# Most of what there is are modules and tests, which stay: looking through them all for garbage took a fifth of the suite.
gc.set_threshold(50_000, 5, 5)

PROJECT = Path(__file__).resolve().parent.parent


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real timetables; a test that reads it says what it does without."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real timetables is not beside this checkout")
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder of its own."""
    folder = tmp_path / "var"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(data_dir: Path) -> Iterator[Settings]:
    """Embedded defaults in a folder of their own, with the short waits of a simulator."""
    environ = {"OBSYNC_DATA_DIR": str(data_dir), "OBSYNC_WPS_LATE_S": "3", "OBSYNC_WPS_LIST_LAG_S": "1"}
    yield Settings.from_env(environ)
