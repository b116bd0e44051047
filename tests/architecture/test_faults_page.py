"""The page about faults is true: what it names exists, and nothing that a sync must survive is left out."""

from __future__ import annotations

import ast
import re
from dataclasses import fields

from bootstrap.settings import Settings
from db.engine import CHECKPOINT_PAGES
from domain.lanes import Times
from domain.settlement import LIST_LIMIT
from tests.architecture import sources

PAGE = sources.PROJECT / "docs" / "flows" / "faults.md"
_SPANS = ((1, 16), (18, 32), (36, 48), (50, 53), (55, 55))
SHOWN = {number for first, last in _SPANS for number in range(first, last + 1)}
_TEST = re.compile(r"`(test_\w+)`")


def rows() -> list[tuple[int, str]]:
    """(number, rest) of the rows of both tables."""
    found = re.findall(r"^\| (\d+) \|(.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [(int(number), rest) for number, rest in found]


def names_of_tests() -> set[str]:
    """Every test of the project, by name."""
    return {
        node.name
        for file in (sources.PROJECT / "tests").rglob("test_*.py")
        for node in ast.walk(sources.tree(file))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_test_that_is_named_exists() -> None:
    """A renamed test would leave a promise that nobody keeps."""
    named = set(_TEST.findall(PAGE.read_text(encoding="utf-8")))
    assert len(named) > 50
    assert sorted(named - names_of_tests()) == []


def test_every_fault_of_a_sync_is_shown_by_a_test() -> None:
    """A row without a test is a hope."""
    shown = {number for number, rest in rows() if _TEST.search(rest)}
    assert shown >= SHOWN, sorted(SHOWN - shown)


def test_what_is_not_shown_has_its_reason() -> None:
    """Whoever relies on the table must see its holes."""
    text = PAGE.read_text(encoding="utf-8").partition("## What is not")[2]
    reasons = re.findall(r"^\| (\d+) \|[^|]+\|([^|]+)\|$", text, re.MULTILINE)
    assert {int(number) for number, _ in reasons} == {17, 49, 54}
    assert all(len(reason) > 30 for _, reason in reasons)


def test_the_bounds_of_the_exceptions_are_those_of_the_code() -> None:
    """A registrar plans by these numbers; a default that moves must move them."""
    page = (PAGE.parent / "settlement.md").read_text(encoding="utf-8")
    default = {field.name: field.default for field in fields(Settings)}
    guard_s = Times(0, 0, 0, 0).guard_ms / 1000
    assert f"({default['wps_timeout_s']:g} s, and up to {guard_s:g} s before it)" in page
    assert f"request ({default['wps_late_s']:g} s)" in page and f"lag ({default['wps_list_lag_s']:g} s)" in page
    wait_s = sum(float(default[name]) for name in ("wps_timeout_s", "wps_late_s", "wps_list_lag_s")) + guard_s
    assert f"within the wait (about {round(wait_s, -1):g} s)" in page
    assert page.count(f"at most {LIST_LIMIT} events or one calendar") == 2
    assert f"some {round(CHECKPOINT_PAGES * 4096 / 1e6, -1):.0f} MB of log" in page
