"""Nothing of the suite's processes makes objects out of bytes, or the test fails during which one tried.

The sources do not bring `pickle` in (see `tests/architecture/test_secure_sources.py`); a library might use it, with bytes that
came from a queue, a cache or a cookie.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).parent / "unpickling"
sys.path.append(str(FOLDER))

import refusal  # noqa: E402 (the same module as in processes that the suite starts)

__all__ = ["FOLDER", "refusal", "taken"]


def taken() -> list[str]:
    """What was refused since the last look, in this process and in those that it has started."""
    book = Path(os.environ[refusal.BOOK])
    if not book.exists():
        return []
    found = book.read_text(encoding="utf-8").splitlines()
    book.unlink()
    return found


def pytest_configure() -> None:
    os.environ[refusal.BOOK] = str(Path(tempfile.mkdtemp(prefix="obp-")) / "refused")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH"))))
    refusal.refuse()


def pytest_unconfigure() -> None:
    Path(os.environ[refusal.BOOK]).unlink(missing_ok=True)
    Path(os.environ[refusal.BOOK]).parent.rmdir()


@pytest.fixture(autouse=True)
def nothing_is_unpickled() -> Iterator[None]:
    """What a process that outlives its test does is told by the next one."""
    yield
    found = taken()
    assert found == [], f"objects are made out of bytes: {found}"
