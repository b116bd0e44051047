"""The page about security is true: what it names exists, and nothing that somebody may try is left out."""

from __future__ import annotations

import re

from tests.architecture import sources
from tests.architecture.test_faults_page import names_of_tests

PAGE = sources.PROJECT / "docs" / "flows" / "security.md"
SHOWN = {*range(1, 12), 13, 19, 20, *range(23, 32)}
_TEST = re.compile(r"`(test_\w+)`")
_PINNED = re.compile(r"^[\w.\[\],-]+==\S+(?: ; .+)? \\$")


def test_every_test_that_is_named_exists() -> None:
    """A renamed test would leave a promise that nobody keeps."""
    named = set(_TEST.findall(PAGE.read_text(encoding="utf-8")))
    assert len(named) > 40
    assert sorted(named - names_of_tests()) == []


def test_everything_that_may_be_tried_is_shown_by_a_test() -> None:
    """A row without a test is a hope."""
    rows = re.findall(r"^\| (\d+) \|(.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {int(number) for number, rest in rows if _TEST.search(rest)} == SHOWN


def test_every_package_is_pinned_by_its_files() -> None:
    """What was tried is what is installed: a version, and the digests of its files, for each package of both locks."""
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = (sources.PROJECT / name).read_text(encoding="utf-8").splitlines()
        packages = [number for number, line in enumerate(lines) if line and line[0] not in " #"]
        assert len(packages) > 20
        assert [lines[at] for at in packages if not _PINNED.match(lines[at])] == []
        assert [lines[at] for at in packages if not lines[at + 1].startswith("    --hash=sha256:")] == []
