"""Tests of faults use the small world of the drain: a real simulator, a database of each kind, a real Valkey."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from observability import failpoints
from tests.faults.processes import Processes, Zygote
from tests.fixtures_stores import Valkey
from tests.integration.conftest import here, simulator
from tests.integration.drain_rig import World

__all__ = ["here", "simulator"]  # pytest finds fixtures by name in this module

pytest.register_assert_rewrite("tests.faults.checker")


@pytest.fixture
def arm() -> Iterator[Callable[[str], None]]:
    """Failpoints of this process, for what needs no process of its own; disarmed at the end."""
    yield failpoints.arm
    failpoints.arm("")


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Where the worker processes come from."""
    with contextlib.closing(Zygote()) as made:
        yield made


@pytest.fixture
def processes(zygote: Zygote, here: World, valkey: Valkey, data_dir: Path) -> Iterator[Processes]:
    """Worker processes beside the world; those still alive at the end are killed."""
    with contextlib.closing(Processes(zygote, here, broker_url=valkey.url, data_dir=data_dir)) as made:
        yield made
