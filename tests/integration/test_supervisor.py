"""Processes under supervision: what dies comes back, what is stopped is told once, nothing outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workers.supervisor import DRAINED_WAIT_S, CannotStart, Event, Supervisor

NOTES_SIGTERM = """
import signal, sys, time
def told(number, frame):
    print("told", flush=True)
    time.sleep(0.3)
    sys.exit(0)
signal.signal(signal.SIGTERM, told)
print("ready", flush=True)
while True: time.sleep(60)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
WITH_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid, flush=True)
time.sleep(60)
"""


def until(condition: Callable[[], object], timeout_s: float = 10) -> None:
    """Waits for a condition, and fails when it never comes."""
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether that process runs; a zombie that nobody has reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class Watched:
    """A supervisor with everything it has reported so far."""

    def __init__(self, folder: Path, *, stop_wait_s: float = 5) -> None:
        self.supervisor = Supervisor(stop_wait_s=stop_wait_s)
        self.events: list[Event] = []
        self.folder = folder

    def run(self, name: str, code: str) -> None:
        argv = ["python", "-c", code]
        self.supervisor.add(name, argv, dict(os.environ), log_path=self.log(name))
        self.events += self.supervisor.start()

    def log(self, name: str) -> Path:
        return self.folder / "log" / f"{name}.log"

    def said(self, name: str, words: str) -> bool:
        self.poll()
        return words in self.log(name).read_text()

    def poll(self) -> list[Event]:
        self.events += self.supervisor.poll()
        return self.events

    def kinds(self, name: str) -> list[str]:
        return [event.kind for event in self.poll() if event.name == name]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path)
    yield found
    found.supervisor.stop()


def test_a_killed_process_is_started_again_and_it_is_said(watched: Watched) -> None:
    """kill -9 of a worker needs nobody: the supervisor notices, says so and starts another."""
    watched.run("lanes", NOTES_SIGTERM)
    first = watched.supervisor.running()["lanes"]
    os.kill(first, signal.SIGKILL)
    until(lambda: "restarted" in watched.kinds("lanes"))
    second = watched.supervisor.running()["lanes"]
    assert second != first
    assert is_alive(second)
    died = next(event for event in watched.events if event.kind == "died")
    assert died.returncode == -signal.SIGKILL
    assert "was ended by SIGKILL; starting it again in 0.2 s" in died.sentence
    assert died.sentence in watched.log("lanes").read_text()


def test_a_process_that_dies_at_once_is_started_ever_more_slowly(watched: Watched) -> None:
    """A worker that cannot boot must not use the machine up with attempts."""
    watched.run("broken", "raise SystemExit(3)")
    until(lambda: watched.kinds("broken").count("died") >= 3)
    waits = [event.wait_s for event in watched.events if event.kind == "died"]
    assert waits[:3] == [0.2, 0.4, 0.8]


def test_a_process_that_ended_as_it_was_told_is_not_wanted_back_at_once(watched: Watched) -> None:
    """Who drains a worker wants it gone for a moment, and to be told when another one comes."""
    watched.run("lanes", "raise SystemExit(0)")
    until(lambda: watched.kinds("lanes").count("died") == 1, timeout_s=60)
    (died,) = [event for event in watched.events if event.kind == "died"]
    assert (died.returncode, died.wait_s) == (0, DRAINED_WAIT_S)
    assert died.sentence.endswith("has finished and ended, as it was told to; starting another one in 30 s")
    assert watched.supervisor.running() == {}


def test_stop_sends_one_sigterm_and_waits_for_the_work_at_hand(watched: Watched) -> None:
    """A second SIGTERM makes a worker drop what it is doing; one lets it finish."""
    watched.run("lanes", NOTES_SIGTERM)
    until(lambda: watched.said("lanes", "ready"))
    stopped = watched.supervisor.stop()
    assert [(event.kind, event.returncode) for event in stopped] == [("stopped", 0)]
    assert watched.log("lanes").read_text().count("told") == 1
    assert watched.supervisor.running() == {}
    assert watched.supervisor.stop() == []


def test_a_deaf_process_is_killed_when_its_time_is_up(tmp_path: Path) -> None:
    """Ctrl-C ends, whatever a child thinks of it."""
    watched = Watched(tmp_path, stop_wait_s=0.3)
    watched.run("deaf", DEAF)
    until(lambda: watched.said("deaf", "ready"))
    pid = watched.supervisor.running()["deaf"]
    assert [event.kind for event in watched.supervisor.stop()] == ["killed"]
    assert not is_alive(pid)


def test_what_was_started_later_stops_first(watched: Watched) -> None:
    """Workers finish their calls while the stores under them still answer."""
    watched.run("store", NOTES_SIGTERM)
    watched.run("worker", NOTES_SIGTERM)
    until(lambda: watched.said("store", "ready") and watched.said("worker", "ready"))
    assert [event.name for event in watched.supervisor.stop()] == ["worker", "store"]


def test_what_a_dead_leader_leaves_behind_does_not_survive_it(watched: Watched) -> None:
    """Two generations of one worker must never run at the same time."""
    watched.run("jobs", WITH_CHILD)
    until(lambda: watched.said("jobs", "child"))
    grandchild = int(watched.log("jobs").read_text().rpartition("child ")[2].split()[0])
    assert is_alive(grandchild)
    os.kill(watched.supervisor.running()["jobs"], signal.SIGKILL)
    until(lambda: "died" in watched.kinds("jobs"))
    until(lambda: not is_alive(grandchild))


OWNER = """
import os, sys, time
from pathlib import Path
from workers.supervisor import Supervisor
supervisor = Supervisor()
supervisor.add("jobs", ["python", "-c", sys.argv[2]], dict(os.environ), log_path=Path(sys.argv[1]) / "jobs.log")
supervisor.start()
print(supervisor.running()["jobs"], flush=True)
while True:
    supervisor.poll()
    time.sleep(0.05)
"""


def test_children_and_grandchildren_die_with_a_killed_supervisor(tmp_path: Path, project: Path) -> None:
    """After kill -9 of `obsync up` nothing keeps sending: the next one finds a quiet machine."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), WITH_CHILD], stdout=subprocess.PIPE, text=True, cwd=project
    )
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    log = tmp_path / "jobs.log"
    until(lambda: log.exists() and "child" in log.read_text())
    grandchild = int(log.read_text().rpartition("child ")[2].split()[0])
    assert is_alive(child)
    assert is_alive(grandchild)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: not is_alive(child) and not is_alive(grandchild), timeout_s=5)


def test_every_line_of_a_child_is_in_its_log_with_time_and_name(watched: Watched) -> None:
    """Logs of several processes can be read together and still tell who spoke when."""
    watched.run("lanes", "import sys; print('到 out'); print('err', file=sys.stderr); import time; time.sleep(60)")
    until(lambda: watched.said("lanes", "err"))
    line = next(line for line in watched.log("lanes").read_text().splitlines() if line.endswith("err"))
    stamp, name, bar, words = line.split(" ", 3)
    assert stamp.endswith("Z")
    assert (name, bar, words) == ("lanes", "|", "err")


def test_a_missing_program_is_named_before_anything_runs(tmp_path: Path) -> None:
    """A restart cannot help where there is nothing to start."""
    supervisor = Supervisor()
    supervisor.add("web", ["no-such-program"], dict(os.environ), log_path=tmp_path / "web.log")
    with pytest.raises(CannotStart, match=r"web cannot be started: no-such-program.*make install"):
        supervisor.start()
    supervisor.stop()
    assert supervisor.running() == {}
