"""Folders are layers, and imports point down."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture import sources


def test_imports_point_down(project: Path) -> None:
    """A rule that imports the network cannot be simulated; a simulator that shares the client's code proves nothing."""
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_folder_is_under_the_contract_and_the_type_checker(project: Path) -> None:
    """A new folder that nobody listed would be free to import anything, unchecked."""
    contract = configparser.ConfigParser()
    contract.read(project / ".importlinter")
    checked = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["packages"]
    assert sorted(contract["importlinter"]["root_packages"].split()) == sources.packages()
    assert sorted(checked) == sources.packages()
