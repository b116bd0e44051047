"""What is kept of a person's check-ins: for how long, given out, and erased."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from db import check_in_dead_letters
from db.check_in_stream import Entry
from db.engine import in_unit, reading
from db.tables import audit, checkin_records, jobs
from domain.check_ins import CheckIn
from domain.configs import Level
from tests.integration.api_bell_rig import HERE, HOUR_MS, LAT, Bell, bell
from tests.integration.api_rig import HOME, TERM, Api
from usecases import configs, retention, sealing
from usecases.configs import Place
from usecases.places import opener

pytestmark = pytest.mark.integration

DAY_MS = 24 * HOUR_MS


@pytest.fixture
def here(api: Api) -> Bell:
    """Mei has checked in, with a phone at a place."""
    made = bell(api)
    seat = {**HERE, "latitude": LAT + 1e-5}
    asked = made.asked(device={"id": "phone"}, location=seat)
    assert api.person("mei").post("/api/v1/checkin", asked).status_code == 201
    made.drain()
    return made


def record(here: Bell) -> Any:
    with reading(here.api.engine) as tx:
        return tx.execute(select(checkin_records).where(checkin_records.c.tenant_id == HOME)).one()


def forget(here: Bell, after_ms: int) -> int:
    return retention.forget(here.api.engine, tenant=HOME, now=here.now_ms + after_ms)


def test_where_somebody_was_is_kept_as_long_as_the_school_says(here: Bell) -> None:
    """The place for a day, the fingerprint for the days of the setting, however old it is when that is made shorter."""
    assert forget(here, DAY_MS - HOUR_MS) == 0 and record(here).place is not None
    assert forget(here, DAY_MS + HOUR_MS) == 1
    assert (record(here).place, record(here).point is None) == (None, False)
    assert forget(here, 29 * DAY_MS) == 0
    configs.change(here.api.deps, Place(Level.TENANT, HOME), {"privacy.location_days": 5}, actor="user:ada")
    assert forget(here, 29 * DAY_MS) == 1 and record(here).point is None
    assert forget(here, 29 * DAY_MS) == 0 and record(here).outside_m is not None


def test_no_days_is_until_the_next_night(here: Bell) -> None:
    """A setting of 0 is not a month."""
    configs.change(here.api.deps, Place(Level.TENANT, HOME), {"privacy.location_days": 0}, actor="user:ada")
    assert forget(here, HOUR_MS) > 0
    assert (record(here).place, record(here).point) == (None, None)


def test_a_student_is_given_what_is_kept_and_only_an_administrator_erases_it(here: Bell) -> None:
    """Evidence and notes go; that the student attended, and the receipt, stay; the audit says how much it was."""
    api = here.api
    marks = {
        "scheduleId": here.session_ids[0],
        "reason": "asked to be let go",
        "marks": [{"student": "mei", "status": "LATE"}],
    }
    assert api.person("bao").post("/api/v1/checkin/manual", marks).status_code == 200
    dead = CheckIn(
        HOME, TERM, "s", "mei", "k", "receipt", 1, "NORMAL", "NORMAL", "location", 0, lat_e2=3990, device="d"
    )
    for one in (
        dead,
        CheckIn(HOME, TERM, "s", "s2", "k", "receipt", 1, "NORMAL", "NORMAL", "location", 0, lat_e2=3990),
    ):
        in_unit(api.engine, lambda tx, o=one: check_in_dead_letters.add(  # type: ignore[misc]
            tx, Entry(0, o.code, "", o), tenant=HOME, reason="too long", new_id=api.deps.new_id))  # fmt: skip
    assert api.person("mei").post("/api/v1/checkin", here.asked(1)).status_code == 409
    here.desks.of(HOME).refusals.write()
    kept = api.person("mei").get("/api/v1/users/self/attendance-data").get_json()["data"]
    assert (len(kept["standings"]), kept["checkIns"][0]["device"] is None) == (2, False)
    assert kept["refusals"][0]["cause"] == "too_early"
    assert kept["facts"][0]["note"] == "asked to be let go" and len(kept["refusedByDatabase"]) == 1
    assert api.person("mei").ask("DELETE", "/api/v1/users/mei/attendance-data").status_code == 403
    before = record(here)
    done = api.person("ada").ask("DELETE", "/api/v1/users/mei/attendance-data").get_json()["data"]
    assert done == {"checkIns": 1, "notes": 1, "refusals": 1, "refusedByDatabase": 1}
    after = record(here)
    assert (after.place, after.point, after.device, after.outside_m, after.accuracy_m) == (None,) * 5
    assert (after.receipt, after.status, after.at_ms) == (before.receipt, before.status, before.at_ms)
    with reading(api.engine) as tx:
        letters = tx.execute(select(jobs.c.payload).where(jobs.c.tenant_id == HOME, jobs.c.kind == "checkin")).scalars()
        records = {one["code"]: one for one in (json.loads(json.loads(text)["record"]) for text in letters)}
        noted = tx.execute(select(audit).where(audit.c.tenant_id == HOME, audit.c.action == "personal.erase")).one()
    assert "lat_e2" not in records["mei"] and records["s2"]["lat_e2"] == 3990
    assert json.loads(noted.after) == {"check_ins": 1, "notes": 1, "refusals": 1, "refused_by_database": 1}


def test_a_place_at_rest_is_sealed_bound_to_its_student_and_under_a_key_that_can_be_changed(here: Bell) -> None:
    """The table does not have it in the open; moved to another student or school it does not open."""
    api, row = here.api, record(here)
    opens = opener(api.deps.encryption_keys)
    assert row.lat_e2 is None and "3990" not in row.place and opens(HOME, row) == (3990, 11640)
    assert opens(HOME, SimpleNamespace(**{**row._mapping, "code": "s2"})) is None and opens("south", row) is None
    new_keys = "new:" + base64.b64encode(bytes(range(32))).decode()
    both = replace(api.deps, encryption_keys=f"{new_keys},{api.deps.encryption_keys}")
    assert sealing.rotate(both)["unreadable"] == 0 and sealing.in_use(both).keys() == {"new"}
    assert opener(new_keys)(HOME, record(here)) == (3990, 11640)


def test_a_journey_nobody_can_make_is_found_from_sealed_places(api: Api) -> None:
    """Two minutes later, two hundred kilometres away."""
    made, mei = bell(api), api.person("mei")
    configs.change(api.deps, Place(Level.TENANT, HOME), {"checkin.location_required": False}, actor="user:ada")
    assert mei.post("/api/v1/checkin", made.asked()).status_code == 201
    made.drain()
    assert api.person("bao").post(f"/api/v1/sessions/{made.session_ids[1]}/start").status_code == 200
    made.now_ms += 120_000
    far = {**HERE, "latitude": LAT + 2}
    assert mei.post("/api/v1/checkin", made.asked(1, location=far)).status_code == 201
    made.drain()
    with reading(api.engine) as tx:
        rows = tx.execute(select(checkin_records).where(checkin_records.c.tenant_id == HOME)).all()
    assert {row.session_id: row.doubts for row in rows}[made.session_ids[1]] == "impossible_travel"
