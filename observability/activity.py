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


_MINUTE_S = 60
_sent: dict[tuple[str, str], dict[int, int]] = {}


def sent(tenant: str, lane: str, jobs: int) -> None:
    """A call of the lane was made for so many jobs."""
    second = int(time.monotonic())
    with _lock:
        by_second = _sent.setdefault((tenant, lane), {})
        by_second[second] = by_second.get(second, 0) + jobs


def lanes_per_min() -> dict[str, int]:
    """``tenant/lane`` → jobs that this process has sent for it within the last minute; lanes without any are left out."""
    oldest = int(time.monotonic()) - _MINUTE_S
    with _lock:
        for lane, by_second in list(_sent.items()):
            for second in [one for one in by_second if one < oldest]:
                del by_second[second]
            if not by_second:
                del _sent[lane]
        return {f"{tenant}/{lane}": sum(by_second.values()) for (tenant, lane), by_second in _sent.items()}
