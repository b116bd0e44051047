"""Checking in over HTTP: what a student's phone is told, and what never happens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import attendance_roster_detail, checkin_records, rolls
from domain.configs import Level
from domain.tenancy import Role, Scope
from tests.integration.api_bell_rig import HERE, MINUTE_MS, Bell, bell
from tests.integration.api_rig import HOME, PEOPLE, Api
from usecases import configs, rosters
from usecases.configs import Place

pytestmark = pytest.mark.integration


@pytest.fixture
def here(api: Api) -> Bell:
    return bell(api)


def error_of(response: Any) -> str:
    return str(response.get_json()["error"]["code"])


def detail_of(response: Any, field: str) -> str:
    return str(next(one["message"] for one in response.get_json()["error"]["details"] if one["field"] == field))


def rows(here: Bell) -> list[Any]:
    with reading(here.api.engine) as tx:
        return list(tx.execute(select(checkin_records).where(checkin_records.c.tenant_id == HOME)))


def test_a_check_in_gives_a_receipt_that_anybody_may_have_verified(here: Bell) -> None:
    """Accepted only with a receipt; a changed one is none."""
    answer = here.api.person("mei").post("/api/v1/checkin", here.asked())
    data = answer.get_json()["data"]
    assert (answer.status_code, data["status"], data["decision"], data["first"]) == (201, "NORMAL", "accepted", True)
    said = here.api.person(None).post("/api/v1/receipts/verify", {"receipt": data["receipt"]}).get_json()["data"]
    assert (said["valid"], said["student"], said["number"]) == (True, "mei", data["checkinId"])
    changed = data["receipt"].replace("mei", "bao")
    refused = here.api.person(None).post("/api/v1/receipts/verify", {"receipt": changed})
    assert (refused.status_code, error_of(refused)) == (422, "CHECKIN_BAD_RECEIPT")


def test_a_page_that_was_opened_too_early_works_when_the_time_has_come(here: Bell) -> None:
    """It is told when that is, and need not be loaded again."""
    mei, opens_ms = here.api.person("mei"), here.now_ms - 15 * MINUTE_MS
    here.now_ms = opens_ms - 1
    early = mei.post("/api/v1/checkin", here.asked())
    assert (early.status_code, error_of(early)) == (409, "CHECKIN_TOO_EARLY")
    told = datetime.fromisoformat(detail_of(early, "opensAt"))
    assert round(told.timestamp() * 1000) == opens_ms
    here.now_ms = opens_ms
    assert mei.post("/api/v1/checkin", here.asked()).status_code == 201


def test_a_code_of_one_class_is_no_good_for_another(here: Bell) -> None:
    """Nor for a later one of the same course."""
    mei = here.api.person("mei")
    code, _ = here.desks.of(HOME).class_code(here.session_ids[0])
    here.now_ms += 48 * 60 * MINUTE_MS
    other = mei.post("/api/v1/checkin", here.asked(1, classCode=code, location=None))
    assert error_of(other) == "CHECKIN_BAD_CODE"
    assert rows(here) == []


def test_a_photographed_code_is_refused_after_its_steps(here: Bell) -> None:
    """Ten seconds and the next ten; what was captured in time may arrive a minute later."""
    mei = here.api.person("mei")
    code, _ = here.desks.of(HOME).class_code(here.session_ids[0])
    captured = datetime.fromtimestamp(here.now_ms / 1000, UTC).isoformat()
    here.now_ms += 25_000
    assert error_of(mei.post("/api/v1/checkin", here.asked(classCode=code, location=None))) == "CHECKIN_BAD_CODE"
    here.now_ms += 30_000
    late = mei.post("/api/v1/checkin", here.asked(classCode=code, location=None, capturedAt=captured))
    assert late.status_code == 201


def test_a_scan_goes_on_after_a_sign_in_in_its_middle(here: Bell) -> None:
    """The same request with a token is as good as it was."""
    code, _ = here.desks.of(HOME).class_code(here.session_ids[0])
    captured = datetime.fromtimestamp(here.now_ms / 1000, UTC).isoformat()
    scan = here.asked(classCode=code, location=None, capturedAt=captured)
    assert here.api.person(None).post("/api/v1/checkin", scan).status_code == 401
    here.now_ms += 40_000
    assert here.api.person("mei").post("/api/v1/checkin", scan).status_code == 201


def test_who_leaves_the_course_keeps_what_was(here: Bell) -> None:
    """A change of groups is about the classes to come."""
    assert here.api.person("mei").post("/api/v1/checkin", here.asked()).status_code == 201
    here.drain()
    with here.api.engine.begin() as tx:
        tx.execute(rolls.delete().where(rolls.c.code == "mei"))
    rosters.make_ahead(here.api.engine, tenant=HOME, from_ms=here.now_ms - MINUTE_MS, until_ms=here.now_ms + 10**9)
    with reading(here.api.engine) as tx:
        found = tx.execute(select(attendance_roster_detail).where(attendance_roster_detail.c.code == "mei")).all()
    assert {row.session_id: (row.status, row.until_ms is None) for row in found} == {
        here.session_ids[0]: ("ATTENDED", True),
        here.session_ids[1]: ("DROPPED", False),
    }


def test_one_client_id_twice_is_one_row_and_one_receipt(here: Bell) -> None:
    """Byte for byte, before it is written and after; and an Idempotency-Key changes nothing."""
    mei = here.api.person("mei")
    first = mei.post("/api/v1/checkin", here.asked(), Idempotency_Key="k")
    again = mei.post("/api/v1/checkin", here.asked(), Idempotency_Key="k")
    here.drain()
    later = mei.post("/api/v1/checkin", here.asked(clientId="other"))
    assert [one.status_code for one in (first, again, later)] == [201, 200, 200]
    assert len({one.get_json()["data"]["receipt"] for one in (first, again, later)}) == 1
    assert len(rows(here)) == 1


def test_two_students_on_one_device_are_not_both_silently_accepted(here: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the teacher, and is told why."""
    monkeypatch.setitem(PEOPLE, "s2", Scope.of(HOME, "s2", [Role.STUDENT]))  # type: ignore[arg-type]
    found = [here.api.person(one).post("/api/v1/checkin", here.asked(device={"id": "one"})) for one in ("mei", "s2")]
    data = [one.get_json()["data"] for one in found]
    assert [one["status"] for one in data] == ["NORMAL", "ABNORMAL"]
    assert [one["code"] for one in data[1]["reasons"]] == ["shared_device"]


def test_an_offline_check_in_is_believed_or_refused_but_never_dropped(here: Bell) -> None:
    """Within the grace as of then; after it there is one cause and one remedy."""
    mei = here.api.person("mei")
    then = datetime.fromtimestamp(here.now_ms / 1000, UTC).isoformat()
    here.now_ms += 35 * MINUTE_MS
    queued = here.asked(offline=True, timestamp=then)
    late = mei.post("/api/v1/checkin", queued)
    assert (late.status_code, error_of(late)) == (409, "CHECKIN_CLOSED")
    assert late.get_json()["error"]["remedy"]
    here.now_ms -= 26 * MINUTE_MS
    believed = mei.post("/api/v1/checkin", queued).get_json()["data"]
    assert (believed["status"], datetime.fromisoformat(believed["checkinTime"])) == (
        "NORMAL",
        datetime.fromisoformat(then),
    )


def test_a_setting_of_zero_is_zero(here: Bell) -> None:
    """No minute of grace is not fifteen."""
    place = Place(Level.TENANT, HOME)
    configs.change(here.api.deps, place, {"checkin.late_minutes": 0, "checkin.early_minutes": 0}, actor="user:ada")
    here.desks.of(HOME).book.forget(here.session_ids[0])
    mei, start_ms = here.api.person("mei"), here.now_ms
    here.now_ms = start_ms - 1
    assert error_of(mei.post("/api/v1/checkin", here.asked())) == "CHECKIN_TOO_EARLY"
    here.now_ms = start_ms + 1
    assert mei.post("/api/v1/checkin", here.asked()).get_json()["data"]["status"] == "LATE"


def test_strangers_and_classes_that_are_none_are_refused(here: Bell) -> None:
    """With a code for programs and a sentence for people; nobody checks in for another school."""
    nowhere = here.api.person("mei").post("/api/v1/checkin", here.asked() | {"scheduleId": "no-such"})
    assert (nowhere.status_code, error_of(nowhere)) == (404, "CHECKIN_NOT_FOUND")
    far = here.api.person("mei").post("/api/v1/checkin", here.asked(location={**HERE, "latitude": 39.8}))
    assert (far.status_code, error_of(far)) == (409, "CHECKIN_FAR_AWAY")
    assert here.api.person("mei").post("/api/v1/checkin", here.asked(), X_Tenant_ID="south").status_code == 403
    assert here.api.person("bao").post("/api/v1/checkin", here.asked()).status_code == 403
    assert here.api.person("oskar").post("/api/v1/checkin", here.asked()).status_code == 404
    assert rows(here) == []


def test_without_any_server_nobody_is_told_it_worked(here: Bell) -> None:
    """Full is 429, away is 503, both say when to come again; the same request then gets its receipt."""
    mei, stream = here.api.person("mei"), here.desks.stream
    stream._most, kept = 0, stream._most
    full = mei.post("/api/v1/checkin", here.asked())
    assert (full.status_code, error_of(full)) == (429, "CHECKIN_BUSY") and int(full.headers["Retry-After"]) > 0
    stream._most = kept
    assert mei.post("/api/v1/checkin", here.asked()).status_code == 201


def test_the_door_says_when_and_what_for(here: Bell) -> None:
    """By the server's clock, and with the receipt of who has been in."""
    mei = here.api.person("mei")
    door = mei.get(f"/api/v1/checkin/{here.session_ids[0]}").get_json()["data"]
    assert (door["locationRequired"], door["hasFence"], door["receipt"]) == (True, True, None)
    receipt = mei.post("/api/v1/checkin", here.asked()).get_json()["data"]["receipt"]
    assert mei.get(f"/api/v1/checkin/{here.session_ids[0]}").get_json()["data"]["receipt"] == receipt
    here.drain()
    assert mei.get(f"/api/v1/checkin/{here.session_ids[0]}").get_json()["data"]["receipt"] == receipt
