"""The sessions that this process takes check-ins for: their rules, windows and fences, in memory.

read ahead for the next two hours ─▶ looked at again every second and a half ─▶ what was said about a session counts then
the database away ─▶ what was read in the last quarter of an hour
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from db import rosters
from db.engine import reading
from db.tables import AnyRow
from domain import verdicts
from domain.geofence import Fence
from domain.verdicts import Rules, Window
from observability.log import get_logger
from usecases import check_in_rules
from usecases import rosters as roster_work

log = get_logger("check_in")

FRESH_S: Final = 3.0  # how old what is known of a session may be
STALE_S: Final = 900.0  # … while the database is away
_TURN_S: Final = 1.5
_AHEAD_S: Final = 20.0
_FENCE_S: Final = 30.0
_AGAIN_S: Final = 1.0  # how long a database that failed is not asked again
_NOWHERE_S: Final = 3.0
_NOWHERE_MOST: Final = 10_000
_CHUNK: Final = 200
_HOUR_MS: Final = 3_600_000
_BACK_MS, _AHEAD_MS = 3 * _HOUR_MS, 2 * _HOUR_MS


class Unreadable(Exception):
    """The database is away, and what was known of the session is too old."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a verdict needs to know of a session, as of `read_s`."""

    row: AnyRow
    rules: Rules
    window: Window
    fence: Fence | None
    read_s: float
    fence_read_s: float


class Book:
    """Used by any thread of the process. `clock_s` is monotonic."""

    def __init__(self, engine: Engine, *, tenant: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._tenant, self._clock_s = engine, tenant, clock_s
        self._known: dict[str, Known] = {}
        self._nowhere: dict[str, float] = {}
        self._reading = threading.Lock()
        self._away_until_s = float("-inf")
        self._ahead_s = float("-inf")
        self._tended = False

    def find(self, session_id: str) -> Known | None:
        """What is known of a session, None where there is none. Reads the database where it is too old, one thread at a time.

        Raises Unreadable.
        """
        known, now = self._known.get(session_id), self._clock_s()
        if known is not None and now - known.read_s <= FRESH_S:
            return known
        if self._nowhere.get(session_id, 0.0) > now:
            return None
        stale = known is not None and now - known.read_s <= STALE_S
        if stale and (now < self._away_until_s or self._tended):
            return known  # somebody looks after it, or nobody can
        # Who has something to go on does not wait for the one who reads.
        if not self._reading.acquire(blocking=not stale):
            return known
        try:
            return self._read(session_id, known if stale else None)
        finally:
            self._reading.release()

    def peek(self, session_id: str) -> Known | None:
        """What is known of a session at this moment, however old; asks nobody."""
        return self._known.get(session_id)

    def forget(self, session_id: str) -> None:
        """Read a session again before it is used the next time."""
        self._known.pop(session_id, None)
        self._nowhere.pop(session_id, None)

    def _read(self, session_id: str, stale: Known | None) -> Known | None:
        again = self._known.get(session_id)  # others may have read it meanwhile
        if again is not None and self._clock_s() - again.read_s <= FRESH_S:
            return again
        try:
            if roster_work.make_one(self._engine, session_id, tenant=self._tenant) is None:
                self._remember_nowhere(session_id)
                return None
            self._look([session_id])
        except SQLAlchemyError as error:
            self._away_until_s = self._clock_s() + _AGAIN_S
            if stale is None:
                raise Unreadable(session_id) from error
            return stale
        return self._known.get(session_id)

    def _remember_nowhere(self, session_id: str) -> None:
        self._known.pop(session_id, None)
        if len(self._nowhere) >= _NOWHERE_MOST:
            self._nowhere.clear()
        self._nowhere[session_id] = self._clock_s() + _NOWHERE_S

    # --- looking after it ---------------------------------------------------------------------------------------------

    def turn(self, now_ms: int) -> None:
        """Look at all sessions that are known, and from time to time at what comes next. Raises SQLAlchemyError."""
        now = self._clock_s()
        wanted: Iterable[str] = [*self._known]
        if now - self._ahead_s > _AHEAD_S:
            with reading(self._engine) as tx:
                ahead = rosters.between(tx, now_ms - _BACK_MS, now_ms + _AHEAD_MS, tenant=self._tenant)
            # Of the others, those that somebody asks for are read when they ask.
            wanted = [row.session_id for row in ahead]
            self._known = {one: self._known[one] for one in wanted if one in self._known}
            self._ahead_s = now
        listed = list(wanted)
        for at in range(0, len(listed), _CHUNK):
            self._look(listed[at : at + _CHUNK])
        self._tended = True

    def _look(self, session_ids: Sequence[str]) -> None:
        with reading(self._engine) as tx:
            now = self._clock_s()  # before the rows are read
            rows = rosters.of_ids(tx, session_ids, tenant=self._tenant)
            rules = check_in_rules.of_courses(tx, {row.course_id for row in rows}, tenant=self._tenant)
            found = {row.session_id: self._seen(row, rules[row.course_id], now) for row in rows}
            self._add_fences(tx, found, now)
        for session_id in session_ids:
            held = self._known.get(session_id)
            if held is not None and held.read_s > now:
                continue  # read again meanwhile, because somebody had said something about it
            if session_id in found:
                self._known[session_id] = found[session_id]
            else:
                self._known.pop(session_id, None)

    def _seen(self, row: AnyRow, rules: Rules, now: float) -> Known:
        said = {"opened_ms": row.opened_ms, "extended_ms": row.extended_ms, "ended_ms": row.ended_ms}
        made = verdicts.window(rules, start_ms=row.start_ms, **said)
        before = self._known.get(row.session_id)
        same = before is not None and (before.row.version, before.rules) == (row.version, rules)
        if before is None or not same or now - before.fence_read_s > _FENCE_S:
            return Known(row, rules, made, None, now, float("-inf"))
        return Known(row, rules, made, before.fence, now, before.fence_read_s)

    def _add_fences(self, tx: Connection, found: dict[str, Known], now: float) -> None:
        lacking = [one for one in found.values() if one.fence_read_s == float("-inf")]
        rooms = rosters.rooms_of_all(tx, [one.row.session_id for one in lacking], tenant=self._tenant)
        fences = check_in_rules.fences_of(
            tx, {one.row.session_id: (rooms.get(one.row.session_id, ()), one.rules) for one in lacking},
            tenant=self._tenant,
        )  # fmt: skip
        for one in lacking:
            found[one.row.session_id] = replace(one, fence=fences[one.row.session_id], fence_read_s=now)


class Reader(threading.Thread):
    """Turns the pages of some books until the process comes to rest. `books` is asked each time."""

    def __init__(
        self, books: Callable[[], Collection[Book]], *, clock: Callable[[], int], stopping: threading.Event
    ) -> None:
        super().__init__(name="check-in-book", daemon=True)
        self._books, self._clock, self._stopping = books, clock, stopping

    def run(self) -> None:
        """What fails is logged and done again."""
        while not self._stopping.is_set():
            for book in self._books():
                try:
                    book.turn(self._clock())
                except SQLAlchemyError as error:
                    log.warning("check_in.book_not_read", reason=str(error)[:300])
                except Exception:
                    log.exception("check_in.book_broke")
            self._stopping.wait(_TURN_S)
