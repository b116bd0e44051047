"""`obsync verify` and `obsync repair` as a person at the console uses them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.simulator_process import Simulator
from tests.system.conftest import Make
from tests.system.product import Product

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def synced(request: pytest.FixtureRequest, make_shared_product: Make) -> Product:
    """A product that has synced a generated campus and keeps serving."""
    product = make_shared_product()
    product.start()
    product.until_succeeded(90)
    request.addfinalizer(product.stop)
    return product


def test_what_people_do_is_found_shown_put_right_and_then_nothing_is_left(synced: Product) -> None:
    """The whole way of an operator in the morning, by exit codes and words."""
    clean = synced.obsync("verify", "--json", timeout_s=120)
    assert (clean.code, clean.json["discrepancies"], clean.json["items"]) == (0, 0, []), clean.err
    dump = synced.dump()
    assert clean.json["calendars"] == len(dump["calendars"])
    assert clean.json["events"] == sum(len(one["events"]) for one in dump["calendars"])

    mischief(synced, dump)
    found = synced.obsync("verify", "--all", "--json", timeout_s=120)
    assert found.code == 3, found.err
    whats = sorted(one["what"] for one in found.json["items"])
    assert whats == ["calendar_renamed", "event_copy", "event_edited", "event_missing", "member_missing"]
    assert found.json["strangers"] == 1
    for one in found.json["items"]:
        assert one["cause"] and one["remedy"] and one["command"] == "obsync repair"

    told = synced.obsync("repair", "--dry-run", "--json")
    assert told.code == 0, told.err
    assert [one["id"] for one in told.json["items"]] == [one["id"] for one in found.json["items"]]
    shown = synced.obsync("repair", "--dry-run")
    assert "obsync repair" in shown.out and "the event was deleted" in shown.out

    done = synced.obsync("repair", "--json", timeout_s=120)
    assert (done.code, done.json["discrepancies"]) == (0, 0), done.out + done.err
    repaired = {one["id"]: [entry["did"] for entry in one["history"]] for one in done.json["repaired"]}
    assert set(repaired) == {one["id"] for one in told.json["items"]}
    for one in told.json["items"]:
        assert one["action"] in repaired[one["id"]]

    again = synced.obsync("verify", timeout_s=120)
    assert again.code == 0, again.out + again.err
    assert "nothing differs" in again.out
    assert synced.plan()["operations"] == 0


def test_a_sample_looks_at_so_many_calendars(synced: Product) -> None:
    """The hourly look has to stay small."""
    answer = synced.obsync("verify", "--sample", "3", "--json", timeout_s=120)
    assert (answer.code, answer.json["calendars"]) == (0, 3), answer.err


def test_contradicting_options_are_refused(synced: Product) -> None:
    """Guessing which of the two was meant would be wrong half of the time."""
    answer = synced.obsync("verify", "--sample", "3", "--all", "--json")
    assert answer.code == 2
    assert json.loads(answer.out)["remedy"]


def mischief(product: Product, dump: dict[str, Any]) -> None:
    """Deletes, moves, copies and adds an event, renames a calendar, takes a reader off."""
    wps = Simulator(None, product.port)  # type: ignore[arg-type]
    full = [one for one in dump["calendars"] if len(one["events"]) > 2 and one["permissions"]]
    first, second, third = full[:3]
    event = first["events"][0]
    kept = ("summary", "description", "start_time", "end_time", "locations")
    copy = {name: event[name] for name in kept if event.get(name)}
    wps.ok("POST", f"/v7/calendars/{first['id']}/events/create", copy)
    wps.ok("POST", f"/v7/calendars/{first['id']}/events/{first['events'][1]['id']}/delete")
    moved = {
        "start_time": {"datetime": "2024-01-01T08:00:00+08:00"},
        "end_time": {"datetime": "2024-01-01T09:00:00+08:00"},
    }
    wps.ok("POST", f"/v7/calendars/{second['id']}/events/{second['events'][0]['id']}/update", moved)
    wps.ok("POST", f"/v7/calendars/{second['id']}/update", {"summary": "我的课"})
    own = {**copy, "description": "自己加的", "summary": "答疑"}
    wps.ok("POST", f"/v7/calendars/{third['id']}/events/create", own)
    wps.ok("POST", f"/v7/calendars/{third['id']}/permissions/{third['permissions'][0]['id']}/delete")
    wps.http.close()
