"""Times are rows: periodiq knows one, and the code some more, which are the defaults of rows."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache

import pytest

from actors.schedules import tick
from tests.architecture import sources
from usecases.schedules import NAME

_CRON = re.compile(r"(?<!\S)(?:[\d*][\d*/,-]* +){4}[\d*A-Z][\d*/,A-Z-]*(?!\S)")
TICK = ("actors/schedules.py", "* * * * *")
_DEFAULT_TIMES = ("0 * * * *", "30 3 * * *", "*/15 * * * *", "40 * * * *", "15 2 * * *", "15 3 * * 0")
DEFAULTS = [("usecases/schedules.py", text) for text in _DEFAULT_TIMES]
MAY_KNOW_PERIODIQ = {"actors/schedules.py", "bootstrap/broker.py", "workers/scheduler.py"}


def cron_texts(tree: ast.Module) -> list[str]:
    """String constants that are a cron text and nothing else."""
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [value for value in constants if isinstance(value, str) and _CRON.fullmatch(value)]


def imports(tree: ast.Module) -> set[str]:
    """The packages a module imports."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@cache
def modules() -> Mapping[str, tuple[list[str], set[str]]]:
    """The cron texts of each module and what it imports."""
    found = {}
    for path in sources.python_files():
        tree = sources.tree(path)
        found[path.relative_to(sources.PROJECT).as_posix()] = (cron_texts(tree), imports(tree))
    return found


def test_the_only_cron_texts_are_the_tick_and_the_defaults_of_rows() -> None:
    """A second time in the code is one that no college can change, and that is not caught up when it was missed."""
    found = [(name, text) for name, (texts, _) in modules().items() for text in texts]
    assert sorted(found) == sorted([TICK, *DEFAULTS])


@pytest.mark.parametrize("text", ["* * * * *", "*/5 7-22 * * 1-5", "0 0 1,15 * SUN"])
def test_a_cron_text_would_be_found(text: str) -> None:
    """The test above is worth what this one shows."""
    assert cron_texts(ast.parse(f"x = {text!r}")) == [text]


def test_periodiq_schedules_the_tick_and_nothing_else() -> None:
    """It drops messages that waited, and knows nothing of what it missed."""
    assert {name for name, (_, imported) in modules().items() if "periodiq" in imported} == MAY_KNOW_PERIODIQ
    periodic = [name for name, actor in tick.broker.actors.items() if "periodic" in actor.options]
    assert periodic == ["tick"]
    assert NAME not in tick.broker.actors
