"""Leaving a class over HTTP, the rules that a teacher sets, codes that are shared, and what screens are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from sqlalchemy import select

from db.engine import reading
from db.live_events import live_key
from db.tables import attendance_roster, audit
from domain.ids import key_of
from domain.tenancy import Role, Scope
from tests.integration.api_bell_rig import HERE, HOUR_MS, LAT, MINUTE_MS, Bell, bell
from tests.integration.api_rig import HOME, MATHS, PEOPLE, Api
from usecases import rosters

pytestmark = pytest.mark.integration

RULES = f"/api/v1/courses/{key_of(HOME, MATHS)}/check-in-rules"


@pytest.fixture
def here(api: Api, monkeypatch: pytest.MonkeyPatch) -> Bell:
    for name in ("s2", "s3"):
        monkeypatch.setitem(PEOPLE, name, Scope.of(HOME, name, [Role.STUDENT]))  # type: ignore[arg-type]
    return bell(api)


def rules(here: Bell, name: str = "bao", **said: Any) -> Any:
    answer = here.api.person(name).ask("PUT", RULES, {"rules": said})
    for session_id in here.session_ids:
        here.desks.of(HOME).book.forget(session_id)
    return answer


def come(here: Bell, name: str) -> Any:
    """Check in, each from a seat of one's own: two students at exactly the same point are looked at."""
    seat = {**HERE, "latitude": LAT + 1e-6 * len(name)}
    return here.api.person(name).post("/api/v1/checkin", here.asked(location=seat))


def leave(here: Bell, name: str, client_id: str = "o1", **more: Any) -> Any:
    asked = {key: value for key, value in here.asked(**more).items() if key != "device"}
    return here.api.person(name).post("/api/v1/checkout", {**asked, "clientId": client_id})


def status_of(here: Bell, code: str) -> str:
    found = here.api.person("bao").get(f"/api/v1/sessions/{here.session_ids[0]}/roster").get_json()["data"]["students"]
    return str(next(one["status"] for one in found if one["student"] == code))


def close(here: Bell) -> None:
    with reading(here.api.engine) as tx:
        of = (attendance_roster.c.tenant_id == HOME, attendance_roster.c.session_id == here.session_ids[0])
        row = tx.execute(select(attendance_roster).where(*of)).one()
    rosters.close(here.api.engine, row)


def test_a_teacher_sets_the_rules_of_his_course_and_nobody_else_does(here: Bell) -> None:
    """A value that cannot be used changes nothing; null is what the school says; each change is in the audit."""
    assert rules(here, late_minutes=0, checkout_required=True).status_code == 200
    shown = {
        one["name"]: (one["value"], one["own"]) for one in here.api.person("bao").get(RULES).get_json()["data"]["rules"]
    }
    assert shown["late_minutes"] == (0, True) and shown["checkout_required"] == (True, True)
    assert shown["early_minutes"] == (15, False)
    assert rules(here, early_minutes=5, late_minutes=-1).status_code == 422
    assert rules(here, no_such_rule=1).status_code == 404
    assert rules(here, late_minutes=None).status_code == 200
    shown = {one["name"]: one["value"] for one in here.api.person("bao").get(RULES).get_json()["data"]["rules"]}
    assert (shown["late_minutes"], shown["early_minutes"]) == (15, 15)
    assert rules(here, "mei", late_minutes=240).status_code == 403
    with reading(here.api.engine) as tx:
        acts = tx.execute(select(audit.c.actor).where(audit.c.action == "config.set")).scalars().all()
    assert acts == ["user:bao"] * 3


def test_who_leaves_before_the_end_is_early_unless_he_comes_back_and_stays(here: Bell) -> None:
    """The newest check-out counts; the same one twice is one; who was late stays late."""
    assert leave(here, "mei").get_json()["error"]["code"] == "CHECKOUT_NOT_ASKED"
    rules(here, checkout_required=True, checkout_minutes=5)
    start_ms, end_ms = here.now_ms, here.now_ms + HOUR_MS
    here.now_ms = start_ms - MINUTE_MS
    soon = leave(here, "mei")
    assert (soon.status_code, soon.get_json()["error"]["code"]) == (409, "CHECKOUT_CLOSED")
    here.now_ms = start_ms
    assert come(here, "mei").status_code == 201
    here.now_ms = start_ms + 20 * MINUTE_MS
    assert come(here, "s2").get_json()["data"]["status"] == "LATE"
    here.now_ms = end_ms - 5 * MINUTE_MS - 1
    assert [leave(here, one).get_json()["data"]["says"] for one in ("mei", "mei", "s2")] == ["EARLY"] * 3
    here.drain()
    assert (status_of(here, "mei"), status_of(here, "s2")) == ("EARLY", "LATE")
    here.now_ms = end_ms - 5 * MINUTE_MS
    stayed = leave(here, "mei", "o2").get_json()["data"]
    assert (stayed["says"], stayed["status"]) == ("NORMAL", "ATTENDED")
    here.now_ms = end_ms + 15 * MINUTE_MS + 1
    assert leave(here, "mei", "o3").get_json()["error"]["code"] == "CHECKOUT_CLOSED"
    assert leave(here, "bao").status_code == 403 and status_of(here, "mei") == "ATTENDED"


def test_a_check_out_far_away_is_refused_and_none_at_all_is_early_at_the_end(here: Bell) -> None:
    """Which one that comes in time after the end takes back."""
    rules(here, checkout_required=True)
    for name in ("mei", "s3"):
        assert come(here, name).status_code == 201
    here.drain()
    here.now_ms += HOUR_MS - MINUTE_MS
    far = leave(here, "mei", location={"latitude": 39.8, "longitude": 116.4, "accuracy": 15.0})
    assert far.get_json()["error"]["code"] == "CHECKIN_FAR_AWAY"
    close(here)
    assert (status_of(here, "mei"), status_of(here, "s3"), status_of(here, "s2")) == ("EARLY", "EARLY", "ABSENT")
    here.now_ms += 10 * MINUTE_MS
    assert leave(here, "mei").get_json()["data"]["status"] == "ATTENDED"
    assert (status_of(here, "mei"), status_of(here, "s3")) == ("ATTENDED", "EARLY")


def test_two_students_with_one_code_are_shown_to_the_teacher_and_not_punished(here: Bell) -> None:
    """How many came in by each code of the screen, from how many devices; a code of the next step is another one."""
    desk = here.desks.of(HOME)
    # In the middle of a step, so that the test has time before the next one.
    here.now_ms += 10_000 - here.now_ms % 10_000
    for name in ("mei", "s2"):
        asked = here.asked(classCode=desk.class_code(here.session_ids[0])[0], location=None, device={"id": name})
        assert here.api.person(name).post("/api/v1/checkin", asked).get_json()["data"]["status"] == "NORMAL"
    here.now_ms += 10_000
    asked = here.asked(classCode=desk.class_code(here.session_ids[0])[0], location=None)
    assert here.api.person("s3").post("/api/v1/checkin", asked).status_code == 201
    here.drain()
    roll = here.api.person("bao").get(f"/api/v1/sessions/{here.session_ids[0]}/roster").get_json()["data"]
    assert [(one["students"], one["devices"]) for one in roll["byCode"]] == [(2, 2), (1, 0)]
    assert {one["student"]: (one["status"], one["sameCode"]) for one in roll["students"]} == {
        "mei": ("ATTENDED", 1),
        "s2": ("ATTENDED", 1),
        "s3": ("ATTENDED", 0),
    }


def test_a_mark_is_on_the_screens_that_show_the_class(here: Bell) -> None:
    """The counters that the teacher's page reads, when the mark is answered; a mark that changes nothing says nothing."""
    cache = redis.Redis.from_url(here.api.settings.cache_url)
    body = {"scheduleId": here.session_ids[0], "reason": "seen", "marks": [{"student": "mei", "status": "LATE"}]}
    for _ in range(2):
        assert here.api.person("bao").post("/api/v1/checkin/manual", body).status_code == 200
    told: Any = cache.xrange(live_key(HOME))
    events = [json.loads(fields[b"e"]) for _, fields in told]
    assert [(one["session_id"], one["counters"]["late_count"]) for one in events] == [(here.session_ids[0], 1)]
    roll = here.api.person("bao").get(f"/api/v1/sessions/{here.session_ids[0]}/roster").get_json()["data"]
    assert roll["counts"]["late"] == 1 and events[0]["counters"]["pending_count"] == roll["counts"]["pending"]
