"""Failing on purpose: exactly where, when and how it was asked for, and never otherwise."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from observability.failpoints import POINTS, FailedOnPurpose, arm, failpoint, parse
from tests.architecture import sources

_CALL = re.compile(r"failpoint\(([^)]*)\)")


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """No other test may fail because one of these forgot."""
    yield
    arm("")


def test_a_point_that_nobody_armed_does_nothing() -> None:
    """It stands in the way of every call to WPS of every customer."""
    started = time.thread_time()
    assert not any(failpoint("wps.before_send") for _ in range(100_000))
    assert time.thread_time() - started < 0.5


def test_the_nth_time_is_meant_and_no_other() -> None:
    """A crash that comes at another page than the test thinks proves nothing."""
    arm("db.before_complete:raise@2")
    failpoint("db.before_complete")
    failpoint("db.after_complete")
    with pytest.raises(FailedOnPurpose, match=r"db\.before_complete"):
        failpoint("db.before_complete")
    failpoint("db.before_complete")


def test_a_reply_may_be_dropped_and_a_thread_put_to_sleep() -> None:
    """Lost answers and slow processes are most of what happens in practice."""
    arm("wps.after_send:drop@1; lanes.after_intent:sleep:30")
    assert [failpoint("wps.after_send"), failpoint("wps.after_send")] == [True, False]
    started = time.monotonic()
    assert failpoint("lanes.after_intent") is False
    assert time.monotonic() - started >= 0.03


@pytest.mark.parametrize(("action", "number"), [("kill", signal.SIGKILL), ("stop", signal.SIGSTOP)])
def test_a_process_is_killed_or_stopped_in_the_middle_of_a_statement(action: str, number: signal.Signals) -> None:
    """No handler, no finally, no atexit may run: a power cut has none either."""
    code = (
        "from observability.failpoints import arm, failpoint\n"
        f"arm('run.after_stage:{action}')\n"
        "try:\n    failpoint('run.after_stage')\nfinally:\n    print('still here', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=sources.PROJECT, stdout=subprocess.PIPE, text=True)
    if number is signal.SIGSTOP:
        _until_stopped(process.pid)
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=60)[0] == "still here\n"
        return
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == -number


def _until_stopped(pid: int) -> None:
    give_up = time.monotonic() + 60
    while subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True).stdout[:1] != "T":
        assert time.monotonic() < give_up, "it never stopped"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("wps.befor_send:kill", "there is no failpoint"),
        ("wps.before_send", "has no action"),
        ("wps.before_send:explode", "is no action"),
        ("wps.before_send:kill:9", "is no action"),
        ("wps.before_send:kill@0", "whole number from 1"),
        ("wps.before_send:kill@", "whole number from 1"),
        ("wps.before_send:sleep", "is no action"),
        ("wps.before_send:sleep:soon", "is no action"),
        ("db.before_complete:drop", "no reply to drop"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(spec: str, words: str) -> None:
    """A test whose fault was mistyped would pass for ever."""
    with pytest.raises(ValueError, match=words):
        parse(spec)


def test_every_point_is_in_the_table_and_where_the_table_says() -> None:
    """The table is what people read when they write a test for a crash."""
    found: dict[str, set[str]] = {}
    for file in sources.python_files():
        name = str(file.relative_to(sources.PROJECT))
        if name.startswith(("tests/", "observability/")):
            continue
        for arguments in _CALL.findall(file.read_text(encoding="utf-8")):
            for point in re.findall(r'"([^"]+)"', arguments):
                found.setdefault(point, set()).add(name)
    assert found.keys() == POINTS.keys()
    for point, files in found.items():
        assert all(file.startswith(POINTS[point].where) for file in files), (point, files)
        assert POINTS[point].reached
