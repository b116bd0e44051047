"""What can be switched off or made simpler while the product runs, and whom a switch keeps out.

    statistics_off     writers leave the statistics alone and note what they owe; afterwards it is counted
    simple_check_in    nobody is asked where he is; the record says so
    read_only          what would change something is refused; check-ins are taken unless the switch says no
    maintenance        everybody is refused but who may switch it off; check-ins are taken only if the switch says so
                       under both of these nothing begins by itself, and what has begun goes on

A switch has an expected end, which tells people when to come again. Nothing ends by itself: only somebody who looks knows
whether the work is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STATISTICS_OFF, SIMPLE_CHECK_IN = "statistics_off", "simple_check_in"
READ_ONLY, MAINTENANCE = "read_only", "maintenance"

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    STATISTICS_OFF: ("暂停统计", "statistics wait"),
    SIMPLE_CHECK_IN: ("简化签到：不核对位置", "check-ins are not asked where they are"),
    READ_ONLY: ("只读", "nothing can be changed"),
    MAINTENANCE: ("系统维护", "closed for maintenance"),
}
"""Every switch, and what it means while it is on."""

TAKES_CHECK_INS: Final[Mapping[str, bool]] = {
    STATISTICS_OFF: True,
    SIMPLE_CHECK_IN: True,
    READ_ONLY: True,
    MAINTENANCE: False,
}
"""Whether check-ins are taken while it is on, where nobody says otherwise."""

_SHORTEST_S, _LONGEST_S, _UNKNOWN_S = 5, 3600, 60


@dataclass(frozen=True, slots=True)
class Switch:
    """The last word about a switch. `check_ins`: they are taken all the same; `until_ms`: when its end is expected."""

    name: str
    is_on: bool
    check_ins: bool = True
    until_ms: int | None = None
    note: str = ""
    actor: str = ""
    at_ms: int = 0

    def retry_after_s(self, now_ms: int) -> int:
        """When to come again: at the expected end, and where that is past or unknown, in a minute. At most an hour."""
        if self.until_ms is None or self.until_ms <= now_ms:
            return _UNKNOWN_S
        return min(_LONGEST_S, max(_SHORTEST_S, -(-(self.until_ms - now_ms) // 1000)))


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, as far as switches are concerned. `manages`: the caller may turn switches in this school; `turns`: the
    request is about switches; `halts`: it brings work to a stop and begins none; `open_always`: signing in and out, health,
    what errors mean."""

    writes: bool
    check_in: bool = False
    manages: bool = False
    turns: bool = False
    halts: bool = False
    open_always: bool = False


def in_the_way(on: Mapping[str, Switch], ask: Ask) -> Switch | None:
    """The switch that keeps this request out; None: nothing does. `on` are the switches that are on, by name."""
    if ask.open_always or (ask.turns and ask.manages):
        return None
    closed = on.get(MAINTENANCE)
    if closed is not None and not ask.manages and not (ask.check_in and closed.check_ins):
        return closed
    fixed = on.get(READ_ONLY)
    if ask.halts and ask.manages:
        return None  # who holds a school still may hold its runs too
    if fixed is not None and ask.writes and not (ask.check_in and fixed.check_ins):
        return fixed
    return None
