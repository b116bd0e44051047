"""`pickle` that refuses: whoever calls it with bytes gets an exception, and what was asked is written down.

Each way in is replaced, in `pickle` and wherever somebody has imported it from there. Of the standard library alone: every
Python that the suite starts imports it first.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ALLOWED: Final = {
    "multiprocessing": "hands a function and its arguments to a child over a pipe that nobody else has",
}
"""Packages that may unpickle, each with the reason. Others that the suite has (execnet and so xdist, Hypothesis, Schemathesis)
have formats of their own."""
BOOK: Final = "REFUSED_UNPICKLING"
"""The variable that names the file in which each refusal is a line. A product that catches the exception is told of all the
same."""
_WAYS: Final = ("load", "loads", "_load", "_loads", "Unpickler", "_Unpickler")


class Unpickling(pickle.UnpicklingError):
    """Somebody makes objects out of bytes, and with them calls."""


def refuse() -> None:
    """From now on, in this process: also for who has imported a way in before. Twice is once."""
    if getattr(pickle, "is_refused", False):
        return
    guards: dict[int, Any] = {}
    for way in _WAYS:
        real = getattr(pickle, way)
        guards[id(real)] = _class(way, real) if isinstance(real, type) else _function(way, real)
    for module in [one for one in sys.modules.values() if _package(vars(one)) not in ALLOWED]:
        for name, value in list(vars(module).items()):
            if id(value) in guards:
                setattr(module, name, guards[id(value)])
    pickle.is_refused = True  # type: ignore[attr-defined]


def _check(way: str) -> None:
    """Raise unless whoever calls the caller of this may."""
    there = sys._getframe(2).f_globals
    if _package(there) in ALLOWED:
        return
    said = f"{there.get('__name__')} calls pickle.{way}"
    if book := os.environ.get(BOOK):
        with Path(book).open("a", encoding="utf-8") as file:
            print(said, file=file)
    raise Unpickling(said)


def _package(there: dict[str, Any]) -> str:
    return str(there.get("__name__")).partition(".")[0]


def _function(way: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        _check(way)
        return real(*args, **kwargs)

    return guarded


def _class(way: str, real: Any) -> type:
    def begin(self: Any, *args: Any, **kwargs: Any) -> None:
        _check(way)
        real.__init__(self, *args, **kwargs)

    return type(real.__name__, (real,), {"__init__": begin, "__module__": "pickle"})
