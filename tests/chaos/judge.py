"""The account after a storm: what was lost, what is there twice, what two scans healed, how soon lanes went on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.figures import CheckIns, percentile
from tests.chaos.storm import Storm
from tests.system import checker
from tests.system.expectations import by_lane, doubles
from tests.system.product import Product

AMBIGUOUS = {
    "applied_reply_lost",
    "error_500_applied",
    "error_500_not_applied",
    "half_body",
    "late",
    "partial_batch",
    "refused_connection_drop",
}
"""Faults after which a caller cannot know whether its write happened."""
_CREATES = ("/calendars/create", "/batch_create", "/events/create")


@dataclass(frozen=True, slots=True)
class Account:
    """`lost` counts differences between timetable and WPS, open jobs and owned lanes; `doubled` things that exist twice."""

    lost: int
    doubled: int
    healed: int
    calls: int
    creates: int
    ambiguous_creates: int
    ambiguous_calls: int
    recoveries: int
    recovery_p95_s: float | None
    recovery_bound_s: float
    check_ins: CheckIns
    differences: list[str]

    def as_json(self) -> dict[str, Any]:
        """All figures by name."""
        return asdict(self)


def judge(product: Product, campus: Path, storm: Storm, *, healed: int, bound_s: float, check_ins: CheckIns) -> Account:
    """Look at the quiet product from outside."""
    dump, calls = product.dump(), product.calls()
    twice = doubles(dump)
    differences = checker.check(campus, dump)
    open_jobs = product.query("SELECT kind, target, state FROM jobs WHERE open_key IS NOT NULL AND lane IS NOT NULL")
    owned = product.query("SELECT lane FROM lanes WHERE owner IS NOT NULL")
    intents = product.query("SELECT target FROM mirror WHERE intent_verb IS NOT NULL")
    left = [f"{row['kind']} {row['target']} is still {row['state']}" for row in open_jobs]
    left += [f"lane {row['lane']} is owned by nobody alive" for row in owned]
    left += [f"{row['target']} has an open intent" for row in intents]
    creates = [call for call in calls if call["method"] == "POST" and call["path"].endswith(_CREATES)]
    seconds = recoveries(calls, storm)
    return Account(
        lost=len(differences) + len(left),
        doubled=len(twice),
        healed=healed,
        calls=len(calls),
        creates=len(creates),
        ambiguous_creates=sum(call["fault"] in AMBIGUOUS for call in creates),
        ambiguous_calls=sum(call["fault"] in AMBIGUOUS for call in calls),
        recoveries=len(seconds),
        recovery_p95_s=percentile(seconds, 0.95),
        recovery_bound_s=bound_s,
        check_ins=check_ins,
        differences=[*differences, *twice, *left][:50],
    )


def recoveries(calls: Sequence[dict[str, Any]], storm: Storm) -> list[float]:
    """Seconds from the kill of a lane's owner to the lane's next call, for kills after which nothing else went wrong."""
    lanes = by_lane(calls)
    found = []
    for orphans in storm.orphans:
        for lane in orphans.lanes:
            after = next((call["start"] for call in lanes.get(lane, ()) if call["start"] > orphans.at + 0.1), None)
            if after is not None and not any(orphans.at < trouble < after for trouble in storm.troubles):
                found.append(after - orphans.at)
    return found
