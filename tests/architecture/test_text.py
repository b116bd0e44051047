"""What the files of the project may not say."""

from __future__ import annotations

import re

import pytest

from tests.architecture import sources

# Written in two halves, so that this file does not find itself.
FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.])/(?:wo" r"rk|ro" r"ot|ho" r"me/\w+|Us" r"ers/\w+)/"),
    "the address of a package registry": re.compile(
        r"(?:py" r"pi\.org|python" r"hosted|npm" r"js\.(?:org|com)|deb" r"ian\.org)"
    ),
    "work that was put off": re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b|raise NotImpl" r"ementedError"),
}  # fmt: skip


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_says(what: str) -> None:
    """A machine's path breaks on the next machine; an unfinished note is read as a promise."""
    found = [
        f"{path.relative_to(sources.PROJECT)}:{number}"
        for path in sources.text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []


def test_the_files_that_matter_are_looked_at() -> None:
    """A search over nothing finds nothing."""
    seen = {str(path.relative_to(sources.PROJECT)) for path in sources.text_files()}
    assert {"Makefile", "Procfile", "pyproject.toml", ".ci/run", "bootstrap/settings.py"} <= seen
    assert not any(name.startswith((".venv/", "var/")) for name in seen)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a path of somebody's machine", "cd /ro" "ot/x"),
        ("the address of a package registry", "https://py" "pi.org/simple"),
        ("work that was put off", "# TO" "DO: later"),
    ],
)  # fmt: skip
def test_the_search_would_find(what: str, line: str) -> None:
    """The patterns above are worth what this shows."""
    assert FORBIDDEN[what].search(line)
