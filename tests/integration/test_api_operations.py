"""Lanes, limiter, queues, schedules, terms and the audit over the API."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import audit, lanes
from tests.integration.api_rig import HOME, MATHS, PHYSICS, TERM, Api
from tests.integration.things_rig import lane

pytestmark = pytest.mark.integration


def test_a_lane_is_paused_once_and_goes_on_at_once(api: Api) -> None:
    """Two clicks are one act, and who resumes does not wait for the next look."""
    lane(api, "own")
    ada = api.person("ada")
    said = [ada.post(f"/api/v1/lanes/{MATHS}/pause").get_json()["data"] for _ in range(2)]
    assert [one["already"] for one in said] == [False, True]
    assert ada.get(f"/api/v1/lanes/{MATHS}").get_json()["data"]["state"] == "paused"
    assert ada.get("/api/v1/lanes?state=free").get_json()["data"]["items"] == []
    ada.post(f"/api/v1/lanes/{MATHS}/resume")
    assert api.rung == ["lanes"]
    with reading(api.engine) as tx:
        acts = tx.execute(select(audit.c.action).where(audit.c.thing == MATHS).order_by(audit.c.id)).scalars().all()
        paused = tx.execute(select(lanes.c.paused).where(lanes.c.tenant_id == HOME)).scalars().all()
    assert (acts, paused) == (["lane.pause", "lane.resume"], [False])


def test_a_secretary_sees_the_lane_of_her_college(api: Api) -> None:
    """And an administrator all of them, a page at a time."""
    for whose in ("own", "college", "school", "abroad"):
        lane(api, whose)
    assert [one["lane"] for one in api.person("sun").get("/api/v1/lanes").get_json()["data"]["items"]] == [MATHS]
    first = api.person("ada").get("/api/v1/lanes?size=2").get_json()
    assert (first["meta"]["page"]["count"], first["meta"]["page"]["total"]) == (2, 3)
    assert PHYSICS in str(first) + str(api.person("ada").get("/api/v1/lanes?size=2&page=2").get_json())


def test_queues_say_what_waits_of_the_school(api: Api) -> None:
    """A task that nobody takes shows by its age."""
    ada = api.person("ada")
    assert ada.get("/api/v1/queues").get_json()["data"]["items"] == []
    ada.post("/api/v1/sync/runs", {"kind": "incremental"})
    (queue,) = ada.get("/api/v1/queues").get_json()["data"]["items"]
    assert (queue["queue"], queue["waiting"]) == ("sync", 1)
    assert queue["oldestMs"] >= 0


def test_the_limiter_is_shown_with_its_breaker(api: Api) -> None:
    """What an operator asks first when nothing is sent."""
    said = api.person("ada").get("/api/v1/limiter").get_json()["data"]
    assert said["breaker"]["state"] == "closed"
    assert said["maxInFlight"] > 0


def test_a_schedule_is_changed_with_its_reason_in_the_audit(api: Api) -> None:
    """What cannot be read is refused and changes nothing."""
    ada, path = api.person("ada"), "/api/v1/schedules/incremental"
    refused = ada.ask("PATCH", path, {"cron": "every day"})
    assert (refused.status_code, refused.get_json()["error"]["details"][0]["field"]) == (422, "cron")
    assert ada.ask("PATCH", path, {}).status_code == 422
    changed = ada.ask("PATCH", path, {"cron": "*/30 7-22 * * *", "maxQueued": None}).get_json()["data"]
    assert (changed["cron"], changed["maxQueued"]) == ("*/30 7-22 * * *", None)
    act = ada.get("/api/v1/audit?action=schedule.change").get_json()["data"]["items"][0]
    assert (act["actor"], act["before"]["cron"]) == ("user:ada", "0 * * * *")


def test_a_schedule_is_started_by_hand(api: Api) -> None:
    """The answer does not wait for the run."""
    ada = api.person("ada")
    made = ada.post("/api/v1/schedules/incremental/run")
    assert made.status_code == 202
    assert len(api.rung) == 1
    slots = ada.get("/api/v1/schedules/incremental").get_json()["data"]["slots"]
    assert [one["slotAt"] for one in slots] == [made.get_json()["data"]["slotAt"]]


def test_a_term_is_set_or_refused_with_what_to_do(api: Api) -> None:
    """A first Monday that is none is told which day it would be."""
    ada, path = api.person("ada"), f"/api/v1/terms/{TERM}"
    refused = ada.ask("PATCH", path, {"firstMonday": "2024-09-03"})
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "TERM_REFUSED")
    assert "2024-09-02" in refused.get_json()["error"]["details"][0]["remedy"]
    assert ada.ask("PATCH", path, {"firstMonday": "2024-02-30"}).status_code == 422
    assert ada.ask("PATCH", path, {"firstMonday": "2024-09-02"}).get_json()["data"]["firstMonday"] == "2024-09-02"
    assert ada.get("/api/v1/audit?thing=" + TERM).get_json()["data"]["items"][0]["after"]
    assert api.person("mei").get(path).get_json()["data"]["code"] == TERM


def test_the_audit_is_read_to_its_end_by_cursor(api: Api) -> None:
    """Each act once, the newest first."""
    lane(api, "own")
    ada = api.person("ada")
    for act in ("pause", "resume", "pause"):
        ada.post(f"/api/v1/lanes/{MATHS}/{act}")
    seen, cursor = [], ""
    while cursor is not None:
        said = ada.get("/api/v1/audit?size=2" + (f"&cursor={cursor}" if cursor else "")).get_json()
        seen += [one["action"] for one in said["data"]["items"]]
        cursor = said["meta"]["page"]["next"]
    assert seen == ["lane.pause", "lane.resume", "lane.pause"]
