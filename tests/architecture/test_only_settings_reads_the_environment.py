"""One module reads the environment, so one page lists every setting."""

from __future__ import annotations

import ast

import pytest

from tests.architecture import sources

READER = "bootstrap/settings.py"
READERS_OF_THEIR_OWN = {"bench", "simulator"}  # separate programs with separate options
_NAMES = {"environ", "environb", "getenv", "getenvb"}


def reads(tree: ast.Module) -> list[ast.expr | ast.stmt]:
    """The places of a module that look at the environment."""
    found: list[ast.expr | ast.stmt] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _NAMES and ast.unparse(node.value) == "os":
            found.append(node)
        if isinstance(node, ast.ImportFrom) and node.module == "os" and _NAMES & {alias.name for alias in node.names}:
            found.append(node)
    return found


def test_only_settings_reads_the_environment() -> None:
    """A second reader is a setting that nobody checks, documents or passes on to the other processes."""
    files = sources.python_files(*(set(sources.packages()) - READERS_OF_THEIR_OWN))
    found = {str(path.relative_to(sources.PROJECT)): reads(sources.tree(path)) for path in files}
    assert found.pop(READER), "the reader itself was not recognised"
    assert {name: [node.lineno for node in nodes] for name, nodes in found.items() if nodes} == {}


@pytest.mark.parametrize("code", ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ"])
def test_every_way_to_read_is_recognised(code: str) -> None:
    """The test above is worth what this one shows."""
    assert reads(ast.parse(code))
