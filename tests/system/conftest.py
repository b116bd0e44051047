"""Products for system tests. All of them are stopped when their test (or module) ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

pytest.register_assert_rewrite("tests.system.product", "tests.system.expectations", "tests.system.whole_term")

from tests.system.product import QUICK, SMALL_CAMPUS, Product  # noqa: E402 (after the call above)


class Make(Protocol):
    """Makes an installation in a folder of its own, with quick clocks; not started."""

    def __call__(
        self, *arguments: str, campus: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> Product: ...


@pytest.fixture(scope="session")
def machine_environ(pytestconfig: pytest.Config) -> dict[str, str]:
    """The machine's own variables without settings of ours. Compiled modules are kept from run to run, because these
    tests start some hundred interpreters."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OBSYNC_")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if pytestconfig.cache is not None:
        environ["PYTHONPYCACHEPREFIX"] = str(pytestconfig.cache.mkdir("compiled"))
    return environ


@contextlib.contextmanager
def _makes(machine_environ: Mapping[str, str]) -> Iterator[Make]:
    folder = Path(tempfile.mkdtemp(prefix="obs-"))  # short: sockets are made below it
    made: list[Product] = []

    def make(*arguments: str, campus: Path | None = None, settings: Mapping[str, str] | None = None) -> Product:
        what = ("--campus", str(campus)) if campus is not None else SMALL_CAMPUS
        speed = ("--latency-ms", "5", "--rate", "5000")
        environ = {**machine_environ, **QUICK, **(settings or {})}
        product = Product(folder / str(len(made)), environ, arguments=(*what, *speed, *arguments))
        made.append(product)
        return product

    try:
        yield make
    finally:
        for product in made:
            product.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_product(machine_environ: dict[str, str]) -> Iterator[Make]:
    """For the products of one test."""
    with _makes(machine_environ) as make:
        yield make


@pytest.fixture(scope="module")
def make_shared_product(machine_environ: dict[str, str]) -> Iterator[Make]:
    """For a product that several tests of a module look at."""
    with _makes(machine_environ) as make:
        yield make
