"""What refuses to unpickle is worth what it refuses."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import dramatiq.encoder
import pytest
import rich.style

from tests.fixtures_unpickling import refusal, taken

CRAFTED = b"cbuiltins\nprint\n(S'called'\ntR."
"""Calls `print`, as it might call anything."""


class Own(pickle.Unpickler):
    """As libraries make one."""


@pytest.mark.parametrize(
    "unpack",
    [
        lambda: pickle.loads(CRAFTED), lambda: pickle.load(io.BytesIO(CRAFTED)), lambda: pickle._loads(CRAFTED),
        lambda: pickle.Unpickler(io.BytesIO(CRAFTED)), lambda: pickle._Unpickler(io.BytesIO(CRAFTED)),
        lambda: Own(io.BytesIO(CRAFTED)), lambda: rich.style.loads(CRAFTED),
        lambda: dramatiq.encoder.PickleEncoder().decode(CRAFTED),
    ],
)  # fmt: skip
def test_whoever_unpacks_bytes_is_refused_and_told_of(
    unpack: Callable[[], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """By whichever door: functions and classes, imported before or after, by us or by a library that we call."""
    with pytest.raises(refusal.Unpickling):
        unpack()
    assert len(taken()) == 1 and "called" not in capsys.readouterr().out


def test_a_process_that_is_started_refuses_as_well() -> None:
    """Workers are processes of their own; what they catch and log is told all the same."""
    code = f"import pickle\ntry: pickle.loads({CRAFTED!r})\nexcept Exception: pass"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert taken() == ["__main__ calls pickle.loads"] and ended.stdout == ""


def test_processes_of_the_suite_itself_may_talk() -> None:
    """The exception that is listed, and one is enough."""
    assert list(refusal.ALLOWED) == ["multiprocessing"]
    ours: Connection
    ours, theirs = get_context("spawn").Pipe()
    theirs.send(("a", 1))
    assert ours.recv() == ("a", 1) and taken() == []
