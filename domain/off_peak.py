"""Off-peak hours 闲时: what is far away may wait for them, so that near classes have the limit to themselves by day.

    peak:      a far job is put as held ──── hours begin ───▶ queued
    off-peak:  a far job is put as queued ── hours end ─────▶ held again, if it is not through

Held jobs are open and are due to nobody. What a person hurries, and what a person put by hand, is never held.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from domain.tiers import FAR, MIDDLE

SETTING: Final = "off_peak"
TIERS: Final = {"middle": MIDDLE, "far": FAR}
"""From which tier on jobs wait."""
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class BadHours(ValueError):
    """Hours that cannot be kept: what is wrong, and what to write instead."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Hours:
    """From `since` until `until`, clock times of the tenant; past midnight where `until` is the smaller. `tier` is the first
    that waits for them."""

    since: time
    until: time
    tier: int

    def are_now(self, now_ms: int, zone: ZoneInfo) -> bool:
        """Whether far work may go."""
        clock = datetime.fromtimestamp(now_ms / 1000, zone).time()
        if self.since < self.until:
            return self.since <= clock < self.until
        return clock >= self.since or clock < self.until

    def begin_ms(self, now_ms: int, zone: ZoneInfo) -> int:
        """When they begin next; now while they last."""
        if self.are_now(now_ms, zone):
            return now_ms
        today = datetime.fromtimestamp(now_ms / 1000, zone).date()
        begins = (datetime.combine(today + timedelta(days=n), self.since, zone) for n in (0, 1))
        return next(ms for one in begins if (ms := int(one.timestamp() * 1000)) > now_ms)

    def as_dict(self) -> dict[str, str]:
        """As a tenant's settings keep them."""
        named = next(name for name, tier in TIERS.items() if tier == self.tier)
        return {"from": f"{self.since:%H:%M}", "until": f"{self.until:%H:%M}", "tier": named}


def read_hours(said: Mapping[str, Any] | None) -> Hours | None:
    """The hours of a setting; None: nothing waits. Raises `BadHours`."""
    if not said:
        return None
    clocks = [str(said.get(name, "")) for name in ("from", "until")]
    for clock in clocks:
        if _CLOCK.fullmatch(clock) is None:
            raise BadHours(f"{clock!r} is no time of day", "Write it as HH:MM, 22:00 for one")
    if clocks[0] == clocks[1]:
        raise BadHours(f"the hours begin and end at {clocks[0]}", "Name two times, or turn them off with --off")
    tier = said.get("tier", "middle")
    if tier not in TIERS:
        raise BadHours(f"there is no tier {tier!r} that could wait", f"Name {' or '.join(TIERS)}")
    return Hours(time.fromisoformat(clocks[0]), time.fromisoformat(clocks[1]), TIERS[tier])
