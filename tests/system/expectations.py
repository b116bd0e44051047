"""What must be true of a product after any run, however it was disturbed; each raises AssertionError with the reasons."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from tests.system import checker
from tests.system.product import Product

_HELD = {  # the checker's reasons for holding a row in the words of the product
    "zt delete": "deleted",
    "frozen term": "frozen_term",
    "no period table": "no_period_table",
    "no first Monday of the term": "no_first_monday",
}
_MARKER = re.compile(r"⟦ob:[^⟧]*⟧")

Call = dict[str, Any]


def exactly_the_campus(product: Product) -> dict[str, Any]:
    """WPS holds what the folder says, once each, and nothing else. Returns the dump that was looked at."""
    dump = product.dump()
    differences = checker.check(product.campus, dump)
    assert not differences, "\n".join(differences)
    assert not doubles(dump)
    return dump


def doubles(dump: dict[str, Any]) -> list[str]:
    """Live events with one marker, and people with two roles in one calendar.

    Two calendars of one offering are noticed by the checker: one of them belongs to no offering.
    """
    found = []
    live = [calendar for calendar in dump["calendars"] if checker.is_live(calendar)]
    markers = Counter(
        marker
        for calendar in live
        for event in calendar["events"]
        if checker.is_live(event)
        for marker in _MARKER.findall(event["description"] or "") or ["no marker"]
    )
    found += [f"{count} live events are marked {marker}" for marker, count in markers.items() if count > 1]
    for calendar in live:
        people = Counter(permission["user_id"] for permission in calendar["permissions"])
        found += [f"{person} is {n} times in {calendar['summary']}" for person, n in people.items() if n > 1]
    return found


def no_rows_lost(product: Product) -> None:
    """Rows in = rows in sessions + rejected + held, by the product's own count and by the checker's."""
    _, counts = checker.read_campus(product.campus)
    (stored,) = product.query(
        "SELECT import_no, rows_in, rejected, held FROM imports WHERE state = 'complete' ORDER BY import_no DESC LIMIT 1"
    )
    used = int(product.query("SELECT sum(source_rows) AS n FROM sessions")[0]["n"])
    assert (stored["rows_in"], used) == (counts.rows_in, counts.rows_used)
    assert (stored["rejected"], stored["held"]) == (counts.rejected.total(), counts.held.total())
    assert counts.rows_in == used + stored["rejected"] + stored["held"]
    assert _rejected_rows(product) == counts.rejected.total()
    assert _held_rows(product, stored["import_no"]) == {_HELD[reason]: n for reason, n in counts.held.items()}


def _rejected_rows(product: Product) -> int:
    """Rows in quarantine that cannot be used, each with a reason and a sentence."""
    (row,) = product.query(
        "SELECT count(*) AS n FROM quarantine "
        "WHERE kind = 'reject' AND reason <> '' AND sentence <> '' AND cleared_ms IS NULL"
    )
    return int(row["n"])


def _held_rows(product: Product, import_no: int) -> dict[str, int]:
    """Held rows by reason; each reason must have its entry in quarantine."""
    rows = product.query(
        "SELECT held, count(*) AS n FROM meetings WHERE import_no = :no AND held IS NOT NULL GROUP BY held",
        no=import_no,
    )
    shown = product.query("SELECT reason FROM quarantine WHERE kind = 'held' AND sentence <> '' AND cleared_ms IS NULL")
    assert {row["reason"] for row in shown} == {row["held"] for row in rows}
    return {row["held"]: row["n"] for row in rows}


def by_lane(calls: Iterable[Call]) -> dict[str, list[Call]]:
    """The calls of each lane in the order of their starts. The call for a token belongs to none."""
    found: dict[str, list[Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda one: one["start"]):
        if call["lane"] is not None:
            found[unquote(call["lane"]).partition("/")[2]].append(call)
    return found


def never_two_calls_in_a_lane(calls: Iterable[Call]) -> None:
    """In every lane each call starts after the one before has ended, whoever made them."""
    lanes = by_lane(calls)
    assert len(lanes) >= 3, f"only the lanes {sorted(lanes)} made calls"
    overlaps = [
        f"{lane}: call {after['n']} started {before['end'] - after['start']:.3f} s before the end of {before['n']}"
        for lane, ordered in lanes.items()
        for before, after in pairwise(ordered)
        if after["start"] < before["end"]
    ]
    assert not overlaps, "\n".join(overlaps)
    unlabelled = {call["path"] for call in calls if call["lane"] is None} - {"/oauth2/token"}
    assert not unlabelled, f"calls without a lane: {unlabelled}"
