"""The project's own files, for tests about the whole."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
_NOT_OURS = {"var", "node_modules", "build", "dist", "__pycache__"}
_TEXT = {
    ".py",
    ".md",
    ".txt",
    ".in",
    ".toml",
    ".ini",
    ".cfg",
    ".lua",
    ".sql",
    ".sh",
    ".yml",
    ".yaml",
    ".json",
    ".csv",
    "",
}


def packages() -> list[str]:
    """The importable folders of the product, tests left out."""
    found = (folder.name for folder in PROJECT.iterdir() if (folder / "__init__.py").exists())
    return sorted(name for name in found if name != "tests")


def python_files(*folders: str) -> Iterator[Path]:
    """Every module in those folders; in all of the product when none is named."""
    for folder in folders or packages():
        yield from sorted((PROJECT / folder).rglob("*.py"))


def text_files() -> Iterator[Path]:
    """Every text file of the checkout: hidden folders and what is made at run time are left out, ``.ci`` is not."""
    for path in sorted(PROJECT.iterdir()):
        if path.is_file():
            if path.suffix in _TEXT and path.name != ".git":
                yield path
        elif path.name == ".ci" or not (path.name.startswith(".") or path.name in _NOT_OURS or path.suffix):
            yield from (p for p in sorted(path.rglob("*")) if p.is_file() and p.suffix in _TEXT and _is_ours(p))


def _is_ours(path: Path) -> bool:
    return not _NOT_OURS.intersection(path.relative_to(PROJECT).parts)


def tree(path: Path) -> ast.Module:
    """A module, parsed."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def place(path: Path, node: ast.expr | ast.stmt) -> str:
    """Where a node is, for a message."""
    return f"{path.relative_to(PROJECT)}:{node.lineno}"
