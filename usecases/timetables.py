"""What somebody has on which day: asked by everybody at once when the bell is near, and the same for hours.

Answers are kept by each process under the number of the last complete import, because nothing but an import changes a
timetable. Which one that is the database is asked at most once a second, so that a new timetable is seen a second after its
import is complete; while one is being written nothing is kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar, cast

from cachetools import TTLCache
from sqlalchemy import Connection, Engine

from db import imports
from db.engine import reading

T = TypeVar("T")

ANSWERS: Final = 20_000
"""Kept by a process; a day of somebody is some two kilobytes."""
ANSWER_S: Final = 60.0
"""As long as an answer is kept at most: what is archived goes without an import."""
VERSION_S: Final = 1.0


class Timetables:
    """Answers of one process, of all tenants."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: TTLCache[Hashable, Any] = TTLCache(ANSWERS, ANSWER_S, timer=clock)
        self._versions: dict[str, tuple[float, int | None]] = {}

    def get(self, engine: Engine, key: tuple[Hashable, ...], make: Callable[[Connection], T], *, tenant: str) -> T:
        """The answer to `key`, made now where none is kept. Whoever gets it does not change it."""
        version = self._version(engine, tenant)
        whole = (tenant, version, *key)
        if version is not None:
            with self._lock:
                found = self._answers.get(whole)
            if found is not None:
                return cast(T, found)
        with reading(engine) as tx:
            made = make(tx)
        if version is not None:
            with self._lock:
                self._answers[whole] = made
        return made

    def _version(self, engine: Engine, tenant: str) -> int | None:
        """The number that answers are kept under; None while they change."""
        now = self._clock()
        known = self._versions.get(tenant)
        if known is not None and now - known[0] < VERSION_S:
            return known[1]
        # Before it is asked: of many who find it too old together, one asks.
        if known is not None:
            self._versions[tenant] = (now, known[1])
        with reading(engine) as tx:
            version = imports.version(tx, tenant=tenant)
        self._versions[tenant] = (now, version)
        return version
