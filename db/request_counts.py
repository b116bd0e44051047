"""How often somebody has asked, counted by the cache's Redis for all processes: one round trip, however many windows there are.

A window begins with the first request in it and is forgotten at its end. A request that is one too many in a window is not
counted in those after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import redis

_PREFIX: Final = "obsync-asked:"
# KEYS windows; ARGV how many each takes, for how long it is open, milliseconds, and how many requests there are.
_SCRIPT: Final = """
local said = {}
for at, key in ipairs(KEYS) do
  local count = redis.call('INCRBY', key, ARGV[3 * at])
  local left = redis.call('PTTL', key)
  if left < 0 then
    left = tonumber(ARGV[3 * at - 1])
    redis.call('PEXPIRE', key, left)
  end
  said[2 * at - 1] = count
  said[2 * at] = left
  if count > tonumber(ARGV[3 * at - 2]) then break end
end
return said
"""


@dataclass(frozen=True, slots=True)
class Window:
    """`most` requests by whoever `key` names within `length_ms`."""

    key: str
    most: int
    length_ms: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A window with this request: the how manieth it is, and when the window ends, milliseconds from now."""

    window: Window
    count: int
    left_ms: int

    @property
    def is_full(self) -> bool:
        """Whether it is one too many."""
        return self.count > self.window.most


class RequestCounts:
    """The counts of all processes; safe to share between threads."""

    def __init__(self, client: redis.Redis) -> None:
        self._script = client.register_script(_SCRIPT)

    def count(self, windows: Sequence[Window], more: Sequence[int] = ()) -> list[Counted]:
        """One more in each, or as many as `more` says, until one is full. Raises `redis.RedisError`."""
        keys = [_PREFIX + one.key for one in windows]
        numbers = [
            number
            for one, by in zip(windows, more or (1,) * len(windows), strict=True)
            for number in (one.most, one.length_ms, by)
        ]
        said = self._script(keys, numbers)
        return [
            Counted(one, *found) for one, found in zip(windows, zip(said[::2], said[1::2], strict=True), strict=False)
        ]
