"""What starts by itself in a whole installation."""

from __future__ import annotations

import pytest

from tests.system.conftest import Make
from tests.system.expectations import exactly_the_campus

pytestmark = pytest.mark.system

OBJECTS = {"calendar", "members", "event"}


def test_a_scheduled_run_over_an_unchanged_source_sends_nothing(make_product: Make) -> None:
    """It runs every hour, and most hours nothing has changed; nor may it begin before the first sync went through."""
    product = make_product()
    product.start()
    first = product.until_succeeded(60)
    calls = len([one for one in product.calls() if one["method"] != "GET"])
    answer = product.obsync("schedules", "run", "incremental", "--json")
    assert (answer.code, answer.json["state"]) == (0, "started")
    second = answer.json["run_id"]
    assert second != first
    assert product.until_succeeded(60) == second
    run = product.obsync("runs", "show", second, "--json").json
    assert run["trigger"] == "schedule"
    assert OBJECTS.isdisjoint(run["counts"])
    assert run["kind"] == "incremental"
    sent = {one["step"]: one["done"] for one in run["stages"] if one["step"] in ("deletions", "updates", "additions")}
    assert sent == {"deletions": 0, "updates": 0, "additions": 0}
    writes = [one for one in product.calls() if one["method"] != "GET"][calls:]
    assert all("users" in one["path"] or "token" in one["path"] for one in writes), writes
    exactly_the_campus(product)


def test_the_scheduler_ticks_and_is_started_again_when_it_dies(make_product: Make) -> None:
    """It is the process whose death nobody sees in the calendars until somebody misses a change."""
    product = make_product()
    product.start()
    product.until_succeeded(60)
    listed = product.until(lambda: _ticked(product.obsync("schedules", "--json").json), 30, "a tick")
    assert listed["newest_tick"]["ran_by"] == "scheduler"
    assert {"incremental", "verify-nightly"} <= {one["name"] for one in listed["items"]}
    before = listed["newest_tick"]["at_ms"]
    product.kill("scheduler")
    product.until(lambda: "scheduler is running again" in product.said(), 20, "a word about it")
    product.until(
        lambda: product.query("SELECT at_ms FROM ticks")[0]["at_ms"] > before, 20, "a tick of the new scheduler"
    )


def _ticked(listed: dict[str, object]) -> dict[str, object] | None:
    return None if listed["tick_is_late"] else listed
