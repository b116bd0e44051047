"""How often somebody has asked, without asking Redis each time.

Far from a limit a process counts by itself and tells the others a few times a second. From the half of a limit on, and for
whoever comes for the first time in a window, Redis counts, for all processes, before the request goes on. Whoever is over his
limit is known to be until his window ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import redis

from db.request_counts import Counted, RequestCounts, Window
from observability.log import get_logger

log = get_logger("web.limits")

_WINDOWS: Final = 50_000  # of a process
_AWAY_S: Final = (1.0, 32.0)  # how long Redis is left alone after a failure, at first and at most
_TELL_S: Final = 0.1
_TOLD_AT_ONCE: Final = 500
_ANY: Final = 1 << 53  # more than anybody asks: what is told is told whole
_FAR: Final = 0.5


@dataclass(slots=True)
class _Open:
    """A window as this process knows it: requests in it, those among them that Redis has not been told of, and its end."""

    window: Window
    count: int
    untold: int
    ends_s: float

    def told(self, now: float) -> Counted:
        return Counted(self.window, self.count, max(1, round((self.ends_s - now) * 1000)))


class OwnCounts:
    """Counts of one process. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, _Open] = {}

    def count(self, windows: Sequence[Window]) -> list[Counted]:
        """One more in each, until one is full."""
        found: list[Counted] = []
        with self._lock:
            now = self._clock()
            for window in windows:
                one = self._opened(window, now)
                one.count, one.untold = one.count + 1, one.untold + 1
                found.append(one.told(now))
                if found[-1].is_full:
                    break
        return found

    def count_far(self, windows: Sequence[Window]) -> list[Counted] | None:
        """The same where nobody else has to be asked: all are known and far from full, or one of them is full. Else None, and
        nothing is counted."""
        found: list[_Open] = []
        with self._lock:
            now = self._clock()
            for window in windows:
                one = self._seen.get(window.key)
                if one is None or one.ends_s <= now:
                    return None
                found.append(one)
                if one.count > window.most:
                    break
                if one.count >= _FAR * window.most:
                    return None
            for one in found:
                one.count, one.untold = one.count + 1, one.untold + 1
            return [one.told(now) for one in found]

    def take_untold(self, keys: Iterable[str] | None = None) -> dict[Window, int]:
        """What Redis has to be told, of some windows or of all; it is not told of it twice."""
        with self._lock:
            now = self._clock()
            mine = self._seen.values() if keys is None else [self._seen[key] for key in keys if key in self._seen]
            taken = {one.window: one.untold for one in mine if one.untold and one.ends_s > now}
            for window in taken:
                self._seen[window.key].untold = 0
            return taken

    def give_back(self, untold: dict[Window, int]) -> None:
        """It could not be told."""
        with self._lock:
            for window, count in untold.items():
                if (one := self._seen.get(window.key)) is not None:
                    one.untold += count

    def learn(self, said: Iterable[Counted]) -> None:
        """What Redis counts for all processes. A window ends when the first of the two ends: then both are looked at anew."""
        with self._lock:
            now = self._clock()
            for one in said:
                known = self._opened(one.window, now)
                ends_s = now + one.left_ms / 1000
                known.ends_s = min(known.ends_s, ends_s) if known.count else ends_s
                known.count = max(known.count, one.count + known.untold)

    def _opened(self, window: Window, now: float) -> _Open:
        one = self._seen.get(window.key)
        if one is None or one.ends_s <= now:
            if len(self._seen) > _WINDOWS:
                self._make_room(now)
            one = self._seen[window.key] = _Open(window, 0, 0, now + window.length_ms / 1000)
        return one

    def _make_room(self, now: float) -> None:
        """Forget what has ended, and of what goes on the older half: Redis knows it."""
        kept = {key: one for key, one in self._seen.items() if one.ends_s > now}
        self._seen = dict(islice(kept.items(), max(0, len(kept) - _WINDOWS // 2), None))


class Counts:
    """Counts of all processes, as far as they are needed; of this process alone while Redis is away."""

    def __init__(self, shared: RequestCounts, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared, self._clock = shared, clock
        self._own = OwnCounts(clock)
        self._again_s, self._pause_s, self._tell_s = 0.0, 0.0, 0.0

    def count(self, windows: Sequence[Window]) -> list[Counted]:
        """One more in each, until one is full."""
        now = self._clock()
        if now >= self._tell_s:
            # Of those who find it due together, one tells as a rule; of two who do, one has nothing left to say.
            self._tell_s = now + _TELL_S
            self._tell()
        found = self._own.count_far(windows)
        if found is None:
            found = self._counted_by_all(windows)
        return self._own.count(windows) if found is None else found

    def _counted_by_all(self, windows: Sequence[Window]) -> list[Counted] | None:
        untold = self._own.take_untold([one.key for one in windows])
        found = self._asked(windows, [1 + untold.get(one, 0) for one in windows])
        if found is None:
            self._own.give_back(untold)
            return None
        # Behind one that is full nothing was counted.
        self._own.give_back({one: untold[one] for one in windows[len(found) :] if one in untold})
        self._own.learn(found)
        return found

    def _tell(self) -> None:
        untold = list(self._own.take_untold().items())
        for at in range(0, len(untold), _TOLD_AT_ONCE):
            part = untold[at : at + _TOLD_AT_ONCE]
            said = self._asked([replace(window, most=_ANY) for window, _ in part], [count for _, count in part])
            if said is None:
                self._own.give_back(dict(untold[at:]))
                return
            self._own.learn(replace(one, window=window) for one, (window, _) in zip(said, part, strict=True))

    def _asked(self, windows: Sequence[Window], more: Sequence[int]) -> list[Counted] | None:
        """What Redis says; None while it is away."""
        if self._clock() < self._again_s:
            return None
        try:
            found = self._shared.count(windows, more)
        except redis.RedisError as error:
            first, most = _AWAY_S
            self._pause_s = min(most, max(first, 2 * self._pause_s))
            self._again_s = self._clock() + self._pause_s
            log.warning("limits.on_my_own", error=type(error).__name__, for_s=self._pause_s)
            return None
        self._pause_s = 0.0
        return found
