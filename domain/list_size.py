"""How many items the next list call of a lane may carry, from how long the last one took.

A call should take about a second: shorter ones waste the lane's turn on fixed costs, longer ones come near the time-out,
after which the whole list is in doubt and its calendar waits for more than a minute. The size grows gently, only on the
evidence of a full list, and shrinks fast.

Slowness alone never makes lists smaller than `SLOW_FLOOR`: what a call takes however little it carries would otherwise
drive the size down to one, and one item at a time is the slowest way of all. Only time-outs go down to one.

This is what the lane has learnt about the service. What is known about single items (one of them is poisoned) is kept
with them, as `list_max` of their rows; a list is as long as the lesser of the two allows.
"""

from dataclasses import dataclass

from domain.settlement import LIST_LIMIT

TARGET_MS = 1_000
SLOW_FLOOR = 10
_GROWTH = 4  # by a quarter of the size …
_LEAST_STEP = 2  # … and at least by this
_GOOD = 0.75  # share of the target below which there is room to grow
_SLOW = 1.25  # share of the target above which a list was too long


@dataclass(frozen=True, slots=True)
class ListSizes:
    """What a lane has learnt: a list of events and one of permissions take different times."""

    event: int = LIST_LIMIT
    members: int = LIST_LIMIT


UNTRIED = ListSizes()


def next_size(size: int, *, items: int, took_ms: float) -> int:
    """The size after a list of `items` was answered in `took_ms`; 1 to 100."""
    fitting = int(items * TARGET_MS / max(took_ms, 1.0))
    if took_ms > _SLOW * TARGET_MS:
        # A short list that was slow says less about a full one: then no more than half is taken off at once.
        lowest = fitting if items >= size else max(fitting, size // 2)
        return _bounded(max(min(size, SLOW_FLOOR), min(size - 1, lowest)))
    if took_ms < _GOOD * TARGET_MS and items >= size:
        return _bounded(min(size + max(_LEAST_STEP, size // _GROWTH), max(size, fitting)))
    return _bounded(size)


def after_timeout(size: int, *, items: int) -> int:
    """The size after a list of `items` was not answered in time: half of what was sent."""
    return _bounded(min(size, items) // 2)


def _bounded(size: int) -> int:
    return max(1, min(LIST_LIMIT, size))
