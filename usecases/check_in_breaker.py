"""Whether check-ins go by the stream, past it into the database, or wait.

    closed ──the stream's server fails──▶ open ──it answers again──▶ mending ──its keys know of everybody──▶ closed
                                           ▲                            │
                                           └────────it fails────────────┘

Open: the database takes some, and marks their sessions. Mending: the marked sessions' keys are made again, and nobody is
accepted past the stream meanwhile, because that would mark again what is just being mended. One thread of a process tries,
when a request comes and the pause is over; one process at a time mends. All others are told at once what there is to be told:
a hundred threads that all made the same keys again would undo each other's work, and serve nobody.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

import redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db.check_in_stream import CheckInStream
from observability.log import get_logger
from usecases import check_in_keys

log = get_logger("check_in")

_PAUSES_S: Final = (0.25, 2.0)  # before a server that failed is asked again, at first and at most
_CALM_S: Final = 10.0  # after which the next failure is a first one
_MENDING_S: Final = 0.1  # before another look at what others are mending
_ROUNDS: Final = 3  # other processes may not know yet that it answers, and mark sessions again
_WRITTEN_S: Final = 5.0  # how long what is under way past the stream is waited for


class Slots:
    """So many at a time; who finds none is told at once."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._lock = threading.Lock()

    def take(self) -> bool:
        """One of them, if there is one: `give` it back."""
        with self._lock:
            if self._left <= 0:
                return False
            self._left -= 1
            return True

    def give(self) -> None:
        """One that was taken is free again."""
        with self._lock:
            self._left += 1

    @property
    def any_left(self) -> bool:
        """Whether somebody could take one now."""
        return self._left > 0

    @property
    def all_left(self) -> bool:
        """Whether nobody has taken one."""
        return self._left == self._most


class StreamBreaker:
    """Used by any thread of the process. `past` are the writes past the stream at a time: who has taken one writes only if it is
    not `mending`, and `turn` is what it was before he was told that it is not closed. `clock_s` is monotonic."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        stream: CheckInStream,
        *,
        tenant: str,
        past: Slots,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._stream, self._tenant, self._clock_s = engine, stream, tenant, clock_s
        self._past = past
        self._me = secrets.token_hex(8)
        self._trying = threading.Lock()
        self._again_s = self._lost_s = float("-inf")
        self._pause_s = 0.0
        self.closed = True
        self.mending = False
        self.turn = 0

    @property
    def shut(self) -> bool:
        """Whether whoever comes now could only be told to come again: nobody is accepted, and nobody has to try."""
        if self.closed or (not self.mending and self._past.any_left):
            return False
        return self._trying.locked() or self._clock_s() < self._again_s

    def lost(self, error: Exception) -> None:
        """The stream's server has failed somebody."""
        now = self._clock_s()
        first_s, most_s = _PAUSES_S
        if self.closed or self.mending:
            again = now - self._lost_s <= _CALM_S
            self._pause_s = min(most_s, 2 * self._pause_s) if again else first_s
            log.warning("check_in.stream_away", reason=str(error)[:300], again_s=self._pause_s)
        self.closed = self.mending = False
        self._lost_s, self._again_s = now, now + self._pause_s

    def is_back(self) -> bool:
        """Whether the server takes writes again, though nobody here has closed it yet. Who writes past the stream asks after he
        has set his mark: who makes the keys again waits for marks that are not committed, after the server has answered him."""
        if self.closed:
            return False
        try:
            self._stream.try_to_write()
        except redis.RedisError:
            return False
        return True

    def close(self) -> bool:
        """Whether check-ins go by the stream: tries to bring that about where it is due. Raises SQLAlchemyError where its keys
        cannot be made again because the database is away."""
        if self.closed:
            return True
        if self._clock_s() < self._again_s or not self._trying.acquire(blocking=False):
            return False
        try:
            return self.closed or self._mend()
        except redis.RedisError as error:
            self.lost(error)
            return False
        except SQLAlchemyError:
            self._again_s = self._clock_s() + _PAUSES_S[0]
            raise
        finally:
            self._trying.release()

    def _mend(self) -> bool:
        self._stream.try_to_write()
        self.mending, self.turn = True, self.turn + 1
        give_up_s = self._clock_s() + _WRITTEN_S
        while not self._past.all_left and self._clock_s() < give_up_s:
            time.sleep(0.005)
        for _ in range(_ROUNDS):
            mended = check_in_keys.restore_marked(self._engine(), self._stream, tenant=self._tenant, me=self._me)
            if mended is None:
                self._again_s = self._clock_s() + _MENDING_S
                return False
            if not mended:
                break
        else:
            # More of them than that: whoever comes next goes on. Until none is left nobody is accepted.
            self._again_s = self._clock_s()
            return False
        self.closed, self.mending = True, False
        log.info("check_in.stream_back", away_s=round(self._clock_s() - self._lost_s, 2))
        return True
