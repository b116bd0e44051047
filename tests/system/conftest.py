"""Products for system tests. All of them are stopped when their test ends, however it ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.system.product", "tests.system.expectations", "tests.system.whole_term")

from tests.system.product import QUICK, SMALL_CAMPUS, Product  # noqa: E402 (after the call above)

Make = Callable[..., Product]


@pytest.fixture(scope="session")
def machine_environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The machine's own variables without settings of ours; compiled modules are kept for the session."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OBSYNC_")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    environ["PYTHONPYCACHEPREFIX"] = str(tmp_path_factory.mktemp("pyc"))
    return environ


@pytest.fixture(scope="module")
def make_product(machine_environ: dict[str, str]) -> Iterator[Make]:
    """Makes installations in folders of their own, with short paths and quick clocks; not started."""
    folder = Path(tempfile.mkdtemp(prefix="obs-"))
    made: list[Product] = []

    def make(*arguments: str, campus: Path | None = None, **settings: str) -> Product:
        what = ("--campus", str(campus)) if campus is not None else SMALL_CAMPUS
        speed = ("--latency-ms", "5", "--rate", "5000")
        environ = {**machine_environ, **QUICK, **settings}
        product = Product(folder / str(len(made)), environ, arguments=(*what, *speed, *arguments))
        made.append(product)
        return product

    yield make
    for product in made:
        product.stop()
    shutil.rmtree(folder, ignore_errors=True)
