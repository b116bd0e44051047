"""When those who are turned away are told to come again: one after the other, as fast as they can be served.

If all came again after the same time, all but a few would be turned away again, and those who come the first time with them.
So everybody who is turned away is given a time in a line, which moves at half of the pace at which requests were served
lately: the other half is for those who come the first time. Nobody has to come at his time, and nothing is kept of whom it
was given to.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

_SHARE: Final = 0.5
_LEAST_PER_S: Final = 100.0  # after a quiet time nothing is known of the pace
_TURN_S: Final = 1.0
_LONGEST_S: Final = 30.0


class Line:
    """Used by any thread. `clock_s` is monotonic."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._served, self._since_s = 0, clock_s()
        self._pace_per_s = _LEAST_PER_S
        self._end_s = float("-inf")

    def served(self) -> None:
        """Somebody was."""
        with self._lock:
            self._served += 1
            now = self._clock_s()
            if now - self._since_s >= _TURN_S:
                pace = self._served / (now - self._since_s)
                self._pace_per_s = max(_LEAST_PER_S, (self._pace_per_s + pace) / 2)
                self._served, self._since_s = 0, now

    def place(self) -> int:
        """In how many whole seconds the next one in the line is to come again: 1 at least, half a minute at most."""
        with self._lock:
            now = self._clock_s()
            turn_s = 1 / (_SHARE * self._pace_per_s)
            self._end_s = min(max(self._end_s, now) + turn_s, now + _LONGEST_S)
            return math.ceil(self._end_s - now)
