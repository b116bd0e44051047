"""Whose token stood a moment ago: for check-ins while the database cannot be asked, and for nothing else.

Remembered is what the database has answered to this process, for a bounded time from then; an answer that refuses takes it
back. Nothing is remembered across processes or restarts, and the token's own end is looked at before this is asked.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Final

from cachetools import TTLCache

from domain.tenancy import Scope, reaches

_MOST: Final = 20_000
_AGAIN_S: Final = 1.0
_ACTION: Final = "check_in.create"


class Lately:
    """Safe for threads. `within_s` 0: nothing is remembered. `clock_s` is monotonic."""

    def __init__(self, *, within_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._within_s, self._clock_s = within_s, clock_s
        self._stood: TTLCache[bytes, Scope] = TTLCache(_MOST, max(within_s, 1e-9), timer=clock_s)
        self._away_until_s = float("-inf")
        self._lock = threading.Lock()

    def stands(self, token: str, scope: Scope) -> None:
        """The database has just said whom this token stands for."""
        if self._within_s > 0 and reaches(scope, _ACTION):
            with self._lock:
                self._stood[_digest(token)] = scope

    def refused(self, token: str) -> None:
        """The database has just said that it does not stand any more."""
        with self._lock:
            self._stood.pop(_digest(token), None)

    def find(self, token: str) -> Scope | None:
        """Whom it stood for within the time; None: nobody, or too long ago."""
        with self._lock:
            return self._stood.get(_digest(token))

    def database_away(self) -> None:
        """It did not answer: for a second it need not be asked by those who are known."""
        self._away_until_s = self._clock_s() + _AGAIN_S

    @property
    def is_away(self) -> bool:
        """Whether it has just not answered."""
        return self._clock_s() < self._away_until_s


def _digest(token: str) -> bytes:
    # No token can be read out of the memory of those that were seen.
    return hashlib.sha256(token.encode()).digest()
