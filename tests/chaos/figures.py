"""Figures of a storm that need no product: how long things took to be back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Key = tuple[str, str]
"""Session, student."""


@dataclass(frozen=True, slots=True)
class CheckIns:
    """`lost` and `doubled` of those acknowledged; `unheard` pressed again and again, and have no receipt at the end."""

    acknowledged: int
    lost: int
    doubled: int
    wrong_counters: int
    unheard: int
    disasters: int
    back_p95_s: float | None
    back_max_s: float | None
    back_bound_s: float

    @property
    def is_clean(self) -> bool:
        """Each acknowledged one is there once and counted, all were heard, and it went on in time."""
        wrong = self.lost + self.doubled + self.wrong_counters + self.unheard
        return not wrong and (self.back_max_s is None or self.back_max_s <= self.back_bound_s)

    @property
    def line(self) -> str:
        """For people."""
        p95, most = ("-" if one is None else f"{one:.1f} s" for one in (self.back_p95_s, self.back_max_s))
        return (
            f"check-ins: {self.acknowledged}, lost {self.lost} doubled {self.doubled} wrong counters {self.wrong_counters} "
            f"unheard {self.unheard}, back p95 {p95} max {most} of {self.back_bound_s:.0f} s ({self.disasters} disasters)"
        )


def back_after(
    troubles: Sequence[float], pressed: Mapping[Key, float], answered: Mapping[Key, float], written: Mapping[Key, float]
) -> list[float]:
    """Seconds from each trouble until all that was acknowledged by then was written, and somebody too who pressed after it.

    A trouble that another one followed before that is left out: what is measured then is the other one's.
    """
    found = []
    ordered = sorted(troubles)
    for at, following in zip(ordered, [*ordered[1:], math.inf], strict=True):
        owed = [written[key] for key, answer in answered.items() if answer <= at and written.get(key, 0.0) > at]
        later = [written[key] for key, press in pressed.items() if press > at and key in written]
        if not later:
            continue
        back = max([min(later), *owed])
        if back <= following:
            found.append(back - at)
    return found


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least value that `share` of all do not exceed; None without values."""
    if not values:
        return None
    return round(sorted(values)[math.ceil(share * len(values)) - 1], 3)
