"""Keeps processes running: starts them, starts again what died, and ends them with one signal each.

    added --start()--> running --exit--> waiting (0.2 s, doubled to 5 s) --poll()--> running
                          \\--stop()--> SIGTERM to the leader --exit or 10 s, then SIGKILL--> stopped

Every child leads its own session, so a Ctrl-C at the terminal reaches only the supervisor, and the one SIGTERM of
`stop` is the only one a leader sees: a second one makes Dramatiq drop its running jobs. What a dead leader leaves in
its group is killed before it is started again, or two generations of a worker would run. If the supervisor itself is
killed, `workers.watchdog` ends the children.

Nothing here sleeps on its own: the owner calls `poll` a few times a second.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from workers import watchdog
from workers.process_log import ProcessLog

FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 5.0
STEADY_S: Final = 10.0  # a process that lived this long is not in a crash loop
DRAINED_WAIT_S: Final = 30.0  # one that ended by itself was told to: nobody wants it back in the same moment
STOP_WAIT_S: Final = 10.0
_POLL_S: Final = 0.02

Kind = Literal["started", "died", "restarted", "stopped", "killed"]


class CannotStart(Exception):
    """A program that cannot be executed at all; no restart would help."""

    def __init__(self, name: str, program: str, why: str) -> None:
        super().__init__(f"{name} cannot be started: {program}: {why}. Run `make install` and try again.")
        self.name = name


@dataclass(frozen=True)
class Event:
    """What happened to a child. `returncode` is negative for a signal; `wait_s` is the time until the next start."""

    kind: Kind
    name: str
    pid: int
    returncode: int | None = None
    wait_s: float | None = None

    @property
    def sentence(self) -> str:
        """For a person."""
        who = f"{self.name} (process {self.pid})"
        if self.kind == "died" and self.returncode == 0:
            return f"{who} has finished and ended, as it was told to; starting another one in {self.wait_s:.0f} s"
        if self.kind == "died":
            return f"{who} {ended_how(self.returncode)}; starting it again in {self.wait_s:.1f} s"
        if self.kind == "killed":
            return f"{who} did not stop in time and was killed"
        if self.kind == "stopped":
            return f"{self.name} stopped"
        verb = "is running again" if self.kind == "restarted" else "started"
        return f"{self.name} {verb} as process {self.pid}"


def ended_how(returncode: int | None) -> str:
    """A return code in words."""
    if returncode is None:
        return "ended"
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"was ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by signal {-returncode}"


@dataclass
class _Child:
    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: ProcessLog
    wave: int | None = None  # which start() started it; None before
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    wait_s: float = FIRST_WAIT_S
    start_at: float | None = None  # when it is due again after a death


class Supervisor:
    """Owns child processes. Not thread-safe: one thread adds, starts, polls and stops."""

    def __init__(self, *, stop_wait_s: float = STOP_WAIT_S) -> None:
        self._children: dict[str, _Child] = {}
        self._waves = 0
        self._stopping = False
        self._stop_wait_s = stop_wait_s
        self._watchdog: subprocess.Popen[bytes] | None = None

    def add(self, name: str, argv: Sequence[str], env: Mapping[str, str], *, log_path: Path) -> None:
        """Registers a process; the next `start` starts it. `env` is its whole environment."""
        if name in self._children:
            raise ValueError(f"{name} was already added")
        self._children[name] = _Child(name=name, argv=list(argv), env=dict(env), log=ProcessLog(name, log_path))

    def start(self) -> list[Event]:
        """Starts what was added since the last call. What starts together stops together, later starts first.

        Raises CannotStart where a program is missing; what was started before stays, for `stop` to end.
        """
        self._waves += 1
        events = []
        for child in self._children.values():
            if child.wave is None:
                child.wave = self._waves
                self._spawn(child)
                events.append(Event("started", child.name, _pid(child)))
        return events

    def poll(self) -> list[Event]:
        """Notices deaths and starts again what is due. Returns at once."""
        if self._stopping:
            return []
        self._keep_watchdog()
        events: list[Event] = []
        for child in self._children.values():
            events += self._poll_one(child, time.monotonic())
        return events

    def _poll_one(self, child: _Child, now: float) -> list[Event]:
        if child.process is not None:
            return [self._died(child, now)] if _has_ended(child.process) else []
        if child.start_at is None or now < child.start_at:
            return []
        try:
            self._spawn(child)
        except CannotStart as error:
            child.log.note(str(error))
            self._back_off(child, now)
            return []
        return [Event("restarted", child.name, _pid(child))]

    def _died(self, child: _Child, now: float) -> Event:
        pid, returncode = _pid(child), self._reap(child)
        if now - child.started_at >= STEADY_S:
            child.wait_s = FIRST_WAIT_S
        wait_s = DRAINED_WAIT_S if returncode == 0 else child.wait_s
        event = Event("died", child.name, pid, returncode, wait_s)
        child.log.note(event.sentence)
        self._back_off(child, now)
        if returncode == 0:
            child.start_at, child.wait_s = now + wait_s, FIRST_WAIT_S
        return event

    def _back_off(self, child: _Child, now: float) -> None:
        child.start_at = now + child.wait_s
        child.wait_s = min(child.wait_s * 2, LONGEST_WAIT_S)

    def stop(self) -> list[Event]:
        """One SIGTERM to each leader, wave by wave; SIGKILL after ten seconds. Nothing is running afterwards."""
        if self._stopping:
            return []
        self._stopping = True
        events: list[Event] = []
        waves = {child.wave for child in self._children.values() if child.wave is not None}
        for wave in sorted(waves, reverse=True):
            events += self._stop_wave([child for child in self._children.values() if child.wave == wave])
        self._close_watchdog()
        for child in self._children.values():
            child.log.close()
        return events

    def _stop_wave(self, children: list[_Child]) -> list[Event]:
        living = [child for child in children if child.process is not None]
        for child in living:
            os.kill(_pid(child), signal.SIGTERM)  # not terminate(): that would reap, and free the number too early
        give_up = time.monotonic() + self._stop_wait_s
        events: list[Event] = []
        while living:
            late = time.monotonic() > give_up
            for child in list(living):
                event = self._stopped(child, late=late)
                if event is not None:
                    events.append(event)
                    living.remove(child)
            if living:
                time.sleep(_POLL_S)
        return events

    def _stopped(self, child: _Child, *, late: bool) -> Event | None:
        process = child.process
        if process is None or not (late or _has_ended(process)):
            return None
        killed = not _has_ended(process)
        if killed:
            os.kill(process.pid, signal.SIGKILL)
        pid, returncode = _pid(child), self._reap(child)
        return Event("killed" if killed else "stopped", child.name, pid, returncode)

    def running(self) -> dict[str, int]:
        """The process id of every child that has not been seen to end."""
        return {child.name: _pid(child) for child in self._children.values() if child.process is not None}

    def _spawn(self, child: _Child) -> None:
        self._keep_watchdog()
        program = _program(child.name, child.argv[0], child.env)
        try:
            process = subprocess.Popen(  # noqa: S603  # the Procfile is part of the product
                [program, *child.argv[1:]],
                env=dict(child.env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CannotStart(child.name, program, error.strerror or type(error).__name__) from error
        child.process, child.started_at, child.start_at = process, time.monotonic(), None
        self._tell_watchdog(f"+{process.pid}\n")
        if process.stdout is not None:
            child.log.copy(process.stdout)

    def _reap(self, child: _Child) -> int:
        """Kills what is left of the group while its dead leader still holds the number, then takes the exit code."""
        process = child.process
        if process is None:
            raise ValueError(f"{child.name} is not running")
        _wait_without_reaping(process)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        returncode = process.wait()
        self._tell_watchdog(f"-{process.pid}\n")
        child.process = None
        return returncode

    def _keep_watchdog(self) -> None:
        """Starts the watchdog, again if somebody ended it, and tells it the children there are."""
        if self._watchdog is not None and self._watchdog.poll() is None:
            return
        self._close_watchdog()
        self._watchdog = subprocess.Popen(  # noqa: S603  # our own file
            [sys.executable, "-I", "-S", str(Path(watchdog.__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for pid in self.running().values():
            self._tell_watchdog(f"+{pid}\n")

    def _tell_watchdog(self, line: str) -> None:
        pipe = self._watchdog_pipe()
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # it died; the next poll starts another and tells it all
                pipe.write(line.encode("ascii"))
                pipe.flush()

    def _watchdog_pipe(self) -> IO[bytes] | None:
        return self._watchdog.stdin if self._watchdog is not None else None

    def _close_watchdog(self) -> None:
        pipe = self._watchdog_pipe()
        if self._watchdog is None or pipe is None:
            return
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
        self._watchdog.wait()
        self._watchdog = None


def _pid(child: _Child) -> int:
    return child.process.pid if child.process is not None else 0


def _program(name: str, command: str, env: Mapping[str, str]) -> str:
    """`command` found on PATH, with the folder of this interpreter in front: nobody has to activate the environment."""
    if command in {"python", "python3"}:
        return sys.executable
    path = os.pathsep.join((str(Path(sys.executable).parent), env.get("PATH", os.defpath)))
    found = shutil.which(command, path=path)
    if found is None:
        raise CannotStart(name, command, "there is no such program")
    return found


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the leader is dead, without taking its exit code: until then nobody else can get its number."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _wait_without_reaping(process: subprocess.Popen[bytes]) -> None:
    while not _has_ended(process):  # only after a SIGKILL, so not for long
        time.sleep(_POLL_S)
