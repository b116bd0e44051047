"""Every statement of every test names the school whose rows it means, or the test fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.tenant_statements import Watch

WHOLE_INSTALLATION: Final = {
    "db/lag.py:oldest_due_ms": "processes serve all schools; only times are read",
    "db/lag.py:of_all": "the same of depths and rates; of tasks only counts and times are read",
    "db/lanes.py:due": "threads serve the lanes of all schools; each is claimed by its tenant and name",
    "db/lanes.py:urgent": "the same, for those that go first",
    "db/tasks.py:due_tasks": "workers serve the tasks of all schools; a bell rings for an id alone",
    "db/tasks.py:school_of": "what a bell brings is an id; this finds the school that everything after it names",
}
"""Functions of the product whose statements are about every school at once, each with its reason. At most ten."""

WATCH: Final = Watch(WHOLE_INSTALLATION)


def pytest_configure() -> None:
    WATCH.listen()


@pytest.fixture(autouse=True)
def every_statement_names_its_school() -> Iterator[None]:
    """What strays in a thread that outlives its test is told by the next one."""
    yield
    stray = WATCH.taken()
    assert stray == {}, f"statements that do not say which school they mean: {stray}"
