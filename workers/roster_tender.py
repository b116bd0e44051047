"""The thread beside a batch writer that looks after rosters: made ahead, loaded ahead, under way, closed at the end; where
people were is forgotten at night.

Every writer has one, and one of them works: the others look each second whether it still does. Doing a thing twice is doing
it once, so that it does not matter who thinks he is the one.
"""

import random
import secrets
import threading
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db import imports
from db.check_in_stream import CheckInStream
from db.check_ins import OpenPlace, plain_place
from db.clock import now_ms
from db.engine import reading
from observability.log import get_logger
from usecases import check_in_keys, exports, retention, rosters, switches

log = get_logger("rosters")

HOUR_MS = 3_600_000
AHEAD_MS = 26 * HOUR_MS  # a day, and what a night that was missed would have made
LOADED_MS = 2 * HOUR_MS
_BACK_MS = 3 * HOUR_MS
_TURN_S = 1.0
_LEAD_MS = 10_000  # after which another one takes over from a process that died
_LOAD_S = 15.0
_AGAIN_MS = 6 * HOUR_MS
_GONE_MS = HOUR_MS
_NIGHT = 3  # o'clock, by the school's clock


class RosterTender(threading.Thread):
    """Runs until told to stop. What fails is logged and done again a second later; nothing ends the thread."""

    def __init__(
        self,
        engine: Engine,
        stream: CheckInStream,
        *,
        tenant: str,
        zone: ZoneInfo,
        stopping: threading.Event,
        open_place: OpenPlace = plain_place,
    ) -> None:
        super().__init__(name="roster-tender", daemon=True)
        self._engine, self._stream, self._tenant, self._zone, self._stopping = engine, stream, tenant, zone, stopping
        self._open_place = open_place
        self._me = secrets.token_hex(8)
        self._made: tuple[int | None, int] | None = None
        self._loaded_s = float("-inf")
        self._forgotten = ""

    def run(self) -> None:
        while not self._stopping.wait(_TURN_S * random.uniform(0.8, 1.2)):  # noqa: S311 (jitter)
            try:
                if self._stream.lead(f"rosters:{self._tenant}", self._me, for_ms=_LEAD_MS):
                    self.turn()
            except (redis.RedisError, SQLAlchemyError) as error:
                log.warning("rosters.away", reason=str(error)[:300])
            except Exception:
                log.exception("rosters.broke")

    def turn(self, *, now: int | None = None) -> None:
        """One look at everything that may be due. `now` stands for the database's time."""
        with reading(self._engine) as tx:
            now = now_ms(tx) if now is None else now
            newest = imports.latest_complete(tx, self._tenant)
        check_in_keys.restore_marked(self._engine, self._stream, tenant=self._tenant, me=self._me)
        self._make(newest, now)
        if time.monotonic() - self._loaded_s > _LOAD_S:
            check_in_keys.load_ahead(
                self._engine, self._stream, tenant=self._tenant, from_ms=now - HOUR_MS, until_ms=now + LOADED_MS
            )
            self._stream.make_groups()
            self._stream.tidy(idle_ms=_GONE_MS)
            self._loaded_s = time.monotonic()
        rosters.begin(self._engine, tenant=self._tenant, now=now)
        rosters.sweep(self._engine, self._stream, tenant=self._tenant, now=now, open_place=self._open_place)
        switches.pay_statistics(self._engine, tenant=self._tenant)
        self._forget(now)

    def _make(self, newest: int | None, now: int) -> None:
        """After each import, and every six hours for the day that begins then."""
        due = (newest, now // _AGAIN_MS)
        if due == self._made:
            return
        done = rosters.make_ahead(self._engine, tenant=self._tenant, from_ms=now - _BACK_MS, until_ms=now + AHEAD_MS)
        changed = done.pop("changed")
        if changed:
            self._stream.forget(self._tenant, changed)  # so that they are loaded with whoever is on them now
            self._loaded_s = float("-inf")
        self._made = due
        log.info("rosters.made", **done)

    def _forget(self, now: int) -> None:
        """Once a night: forget where people were, and files that nobody may fetch any more."""
        local = datetime.fromtimestamp(now / 1000, self._zone)
        if local.hour != _NIGHT or local.date().isoformat() == self._forgotten:
            return
        self._forgotten = local.date().isoformat()
        exports.forget(self._engine, tenant=self._tenant)
        retention.forget(self._engine, tenant=self._tenant, now=now)
