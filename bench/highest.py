"""The highest rate that is held, by halving what is left between one that is and one that is not.

A rate that is not held is tried once more: a machine has slow minutes, and one of them must not end the search. Nothing is
inferred from one rate about another but that whoever holds more holds less.
"""

from collections.abc import Callable

_STRIDE = 1.5
_TRIES = 2


def highest_held(
    held: Callable[[float], bool], *, first: float, step: float, least: float = 50.0, most: float = 3_000.0
) -> float | None:
    """The highest rate that was held, to within `step`; None: none from `least` on. `held` tries a rate, beginning with
    `first`; none above `most` is tried."""

    def tried(rate: float) -> bool:
        return any(held(rate) for _ in range(_TRIES))

    good, bad = None, None
    rate = first
    while good is None or bad is None:
        if tried(rate):
            if rate >= most:
                return rate
            good, rate = rate, min(most, rate * _STRIDE)
        else:
            bad, rate = rate, rate / _STRIDE
            if good is None and rate < least:
                return None
    while bad - good > step:
        middle = (good + bad) / 2
        if tried(middle):
            good = middle
        else:
            bad = middle
    return good
