"""Figures of a storm that need no product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckIns:
    """`lost` and `doubled` of those acknowledged; `unheard` pressed again and again, and have no receipt at the end."""

    acknowledged: int
    lost: int
    doubled: int
    wrong_counters: int
    unheard: int
    disasters: int
    back_measured: int
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
            f"unheard {self.unheard}, back p95 {p95} max {most} of {self.back_bound_s:.0f} s ({self.back_measured} measured)"
        )


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least value that `share` of all do not exceed; None without values."""
    if not values:
        return None
    return round(sorted(values)[math.ceil(share * len(values)) - 1], 3)
