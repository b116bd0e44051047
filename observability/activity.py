"""What the threads of this process are working on: told with each heartbeat, so that people see it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_doing: dict[int, dict[str, Any]] = {}


@contextmanager
def doing(what: str, thing: str) -> Iterator[None]:
    """Within it this thread is at `what` (a kind of task) of `thing` (an id)."""
    one = {"what": what, "id": thing, "since_ms": time.time_ns() // 1_000_000}
    with _lock:
        _doing[id(one)] = one
    try:
        yield
    finally:
        with _lock:
            _doing.pop(id(one), None)


def now() -> list[dict[str, Any]]:
    """All of it, what has taken longest first: `what`, `id`, `since_ms` by this process's clock."""
    with _lock:
        return sorted((dict(one) for one in _doing.values()), key=lambda one: int(one["since_ms"]))
