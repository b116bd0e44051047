"""What is asserted of a term that was synced: the same for a generated campus and for real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.system import changed_copies, checker
from tests.system.expectations import exactly_the_campus, never_two_calls_in_a_lane, no_rows_lost
from tests.system.product import Answer, Product


def is_true_in_wps(product: Product, home: Path) -> None:
    """Every row is accounted for, WPS holds each session once, and no lane ever had two calls in flight."""
    dump = exactly_the_campus(product)
    assert any(calendar["events"] for calendar in dump["calendars"]), "an empty term proves nothing"
    no_rows_lost(product)
    never_two_calls_in_a_lane(product.calls())
    assert run_checker(product.campus, dump, home).code == 0


def plans_nothing_more(product: Product) -> None:
    """Planning again finds nothing to do."""
    assert product.plan() == {"operations": 0, "counts": [], "items": []}


def plans_just_the_change(product: Product, home: Path) -> None:
    """A changed cell in a copy of the folder is planned as the operations of its session, and nothing else."""
    for make in (changed_copies.later_end, changed_copies.other_room):
        change = make(product.campus, home / make.__name__)
        plan = product.plan(change.folder)
        planned = {(one["kind"], one["verb"]): one["count"] for one in plan["counts"]}
        assert planned == dict(change.operations)
        assert plan["operations"] == change.operations.total() == len(plan["items"])
        for item in plan["items"]:
            assert change.offering in item["label"] and change.date in item["label"]


def moved_event_is_noticed(product: Product, home: Path) -> None:
    """The checker is not blind: one event half an hour later makes it fail and say which."""
    dump = product.dump()
    calendar = next(one for one in dump["calendars"] if checker.is_live(one) and one["events"])
    event = next(one for one in calendar["events"] if checker.is_live(one))
    for moment in (event["start_time"], event["end_time"]):
        moment["datetime"] = (datetime.fromisoformat(moment["datetime"]) + timedelta(minutes=30)).isoformat()
    answer = run_checker(product.campus, dump, home)
    assert answer.code == 1
    assert "differences: 2" in answer.out and event["summary"] in answer.out


def run_checker(campus: Path, dump: dict[str, Any], home: Path) -> Answer:
    """The checker as a program of its own, as anybody would run it."""
    file = home / "dump.json"
    file.write_text(json.dumps(dump, ensure_ascii=False), encoding="utf-8")
    command = [sys.executable, checker.__file__, str(campus), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=230, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)
