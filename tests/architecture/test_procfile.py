"""The Procfile is the list of processes of production; every queue has one that serves it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from actors import queues
from tests.architecture import sources
from workers import procfile
from workers.cli import main

PROCFILES = ("Procfile", "Procfile.dev")
WITHOUT_QUEUE = {"scheduler", "web", "checkins"}  # two only send, one reads a stream
MOST_QUEUES = 6  # each costs two threads and two polls in every process


def lines_of(name: str) -> dict[str, tuple[str, ...]]:
    return {line.name: line.argv for line in procfile.read(sources.PROJECT / name, {})}


def worker_kinds(name: str) -> list[str]:
    """What follows `obsync worker` in the lines of a Procfile."""
    return [argv[2] for argv in lines_of(name).values() if argv[:2] == ("obsync", "worker")]


@pytest.mark.parametrize(("name", "line"), [(name, line) for name in PROCFILES for line in lines_of(name)])
def test_every_line_is_a_command_that_exists(name: str, line: str, project: Path) -> None:
    """A renamed command would be found out at the next deployment."""
    argv = lines_of(name)[line]
    if argv[0] == "obsync":
        said = CliRunner().invoke(main, [*argv[1:], "--help"])
        assert said.exit_code == 0, said.output
        assert f"Usage: main {' '.join(argv[1:])} [OPTIONS]" in said.output
    else:
        assert argv[0] == "python"
        command = [sys.executable, *argv[1:], "--help"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PROCFILES)
def test_every_queue_is_served_by_exactly_one_kind_of_process(name: str) -> None:
    """A queue without a process is a promise nobody keeps; a process without a line never runs."""
    kinds = worker_kinds(name)
    served = [queue for kind in kinds if kind not in WITHOUT_QUEUE for queue in queues.BY_PROCESS[kind]]
    assert sorted(served) == sorted(queues.ALL)
    assert sorted(kinds) == sorted([*queues.BY_PROCESS, *WITHOUT_QUEUE])


def test_there_are_few_queues() -> None:
    """College lanes are rows, not queues: a thousand queues take two thousand threads."""
    assert len(queues.ALL) == len(set(queues.ALL)) <= MOST_QUEUES


def test_development_runs_what_production_runs_and_the_simulator() -> None:
    """What is tried at home is what is deployed."""
    production, development = lines_of("Procfile"), lines_of("Procfile.dev")
    assert set(development) - set(production) == {"simulator"}
    assert {name: development[name] for name in production} == production
