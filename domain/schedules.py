"""Which due times of a schedule are acted upon. Times are arguments; where due times come from is not known here.

A *slot* is one due time of a schedule. Slots are late when no scheduler ran for a while: the policy says what then.

    run_once   the newest slot, once, for all that were missed
    skip       only what is due now; what was missed is left out
    each       every slot, up to `EACH_MOST`
"""

from collections.abc import Sequence
from dataclasses import dataclass

RUN_ONCE, SKIP, EACH = "run_once", "skip", "each"
POLICIES = (RUN_ONCE, SKIP, EACH)

EACH_MOST = 24  # an hourly schedule catches up with a day; more would be a stampede
CANDIDATES = EACH_MOST + 1  # how many of the newest due times `decide` wants to see: one more than it ever acts upon
ON_TIME_MS = 180_000  # two ticks of a minute, and the keeper's patience of a minute and a half between them
TICK_LATE_MS = 90_000  # a tick is due each minute; after this long any keeper does it


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a slot: started, or left out for a reason. A started one may carry a remark."""

    slot_ms: int
    starts: bool
    reason: str | None = None


def decide(policy: str, due: Sequence[int], *, now_ms: int) -> list[Decision]:
    """What to do about the newest due times `due` (ascending, none after `now_ms`, at most `CANDIDATES` of them).

    Slots older than those returned are passed over without a trace, however long the outage was.
    """
    if not due:
        return []
    if policy == EACH:
        return _each(due)
    newest, missed = due[-1], len(due) - 1
    if policy == RUN_ONCE:
        return [Decision(newest, True, _stands_for(missed))]
    if policy != SKIP:
        raise ValueError(f"there is no policy {policy!r}")
    late_ms = now_ms - newest
    if late_ms <= ON_TIME_MS:
        return [Decision(newest, True)]
    return [Decision(newest, False, f"noticed {late_ms // 60_000} min late, and the policy is skip")]


def _each(due: Sequence[int]) -> list[Decision]:
    left_out = [Decision(due[-CANDIDATES], False, f"older than the newest {EACH_MOST}")] if len(due) > EACH_MOST else []
    return [*left_out, *(Decision(slot, True) for slot in due[-EACH_MOST:])]


def _stands_for(missed: int) -> str | None:
    if not missed:
        return None
    count = f"{missed} or more" if missed >= EACH_MOST else str(missed)
    return f"also for {count} missed before it"


def tick_is_late(newest_ms: int | None, *, now_ms: int) -> bool:
    """Whether nobody has looked at the schedules for too long. None: nobody ever has."""
    return newest_ms is None or now_ms - newest_ms > TICK_LATE_MS
