"""Whom the desk turns away is noted in memory and written down by a thread of the process: a refusal costs the hot path a lock.

a refusal ─▶ the note of (class, student, cause) ─ every two seconds ─▶ one transaction of at most 500 rows
the database away ─▶ noted on, up to `MOST`, and written when it is back
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db import check_in_refusals as rows
from db.check_in_refusals import Refusal
from db.engine import in_unit
from observability.log import get_logger

log = get_logger("check_in")

MOST: Final = 20_000
"""Notes that a process keeps for a school while the database is away; beyond that only the metric counts."""
_PAGE: Final = 500
_TURN_S: Final = 2.0

Key = tuple[str, str, str, str]


class Refusals:
    """What the desk of one school has refused since it was last written down. Safe for threads."""

    def __init__(self, engine: Engine, *, tenant: str) -> None:
        self._engine, self._tenant = engine, tenant
        self._noted: dict[Key, Refusal] = {}
        self._lock = threading.Lock()

    def note(
        self, term: str, session_id: str, code: str, cause: str, *, at_ms: int, outside_m: int | None = None
    ) -> None:
        """A student was turned away from a class."""
        self._keep([Refusal(term, session_id, code, cause, 1, at_ms, at_ms, outside_m)])

    def _keep(self, found: Sequence[Refusal]) -> None:
        with self._lock:
            for one in found:
                key = (one.term, one.session_id, one.code, one.cause)
                before = self._noted.get(key)
                if before is not None:
                    self._noted[key] = _together(before, one)
                elif len(self._noted) < MOST:
                    self._noted[key] = one

    def write(self) -> int:
        """Write down what was noted. Returns how many rows it was. Raises SQLAlchemyError, and keeps what it could not write."""
        with self._lock:
            taken, self._noted = [*self._noted.values()], {}
        written = 0
        try:
            while written < len(taken):
                part = taken[written : written + _PAGE]
                in_unit(self._engine, lambda tx, p=part: rows.add(tx, p, tenant=self._tenant))  # type: ignore[misc]
                written += len(part)
        except SQLAlchemyError:
            self._keep(taken[written:])
            raise
        return written


def _together(one: Refusal, other: Refusal) -> Refusal:
    """Both as one, whichever was noted first."""
    newest = max(one, other, key=lambda each: each.last_ms)
    return replace(newest, attempts=one.attempts + other.attempts, first_ms=min(one.first_ms, other.first_ms))


class Writer(threading.Thread):
    """Writes down what the desks of a process refuse, until told to stop. Nothing ends it."""

    def __init__(self, noted: Callable[[], Sequence[Refusals]], *, stopping: threading.Event) -> None:
        super().__init__(name="check-in-refusals", daemon=True)
        self._noted, self._stopping = noted, stopping

    def run(self) -> None:
        while not self._stopping.wait(_TURN_S):
            self.turn()
        self.turn()

    def turn(self) -> None:
        """Write once; a database that is away is asked again at the next turn."""
        for one in self._noted():
            try:
                one.write()
            except SQLAlchemyError as error:
                log.warning("check_in.refusals_not_written", reason=str(error)[:200])
