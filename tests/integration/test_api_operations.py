"""Lanes, limiter, queues, schedules, terms and the audit over the API."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import audit, lanes
from tests.integration.api_rig import HOME, MATHS, PHYSICS, TERM, Api
from tests.integration.things_rig import lane
from usecases import named_sources
from usecases.named_sources import Wanted

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


def test_a_schedule_is_only_changed_as_it_was_seen(api: Api) -> None:
    """Hours of the day, back-off and all: of two administrators the second is told that it has changed."""
    ada, path = api.person("ada"), "/api/v1/schedules/incremental"
    etag = ada.get(path).headers["ETag"]
    wanted = {"windows": ["07:00-22:00=15"], "backsOff": ["throttled", "breaker"], "busyEveryMin": 60}
    changed = ada.ask("PATCH", path, wanted, If_Match=etag)
    assert changed.status_code == 200, changed.get_json()
    said = changed.get_json()["data"]
    assert {name: said[name] for name in wanted} == wanted
    assert ada.ask("PATCH", path, {"enabled": False}, If_Match=etag).status_code == 412
    assert ada.ask("PATCH", path, {"enabled": False}, If_Match=changed.headers["ETag"]).status_code == 200
    refused = ada.ask("PATCH", path, {"windows": ["07:00-22:00=0"]})
    assert (refused.status_code, refused.get_json()["error"]["details"][0]["field"]) == (422, "windows")


def test_the_platform_sets_limits_and_the_breaker(api: Api) -> None:
    """For all workers at once, with the act in the audit; a school's own administrator does not."""
    zoe, path = api.person("zoe"), "/api/v1/limiter"
    assert api.person("ada").ask("PUT", path, {"burst": 5}).status_code == 404
    etag = zoe.get(path).headers["ETag"]
    said = zoe.ask("PUT", path, {"ratePerS": 7, "maxInFlight": 3}, If_Match=etag).get_json()["data"]
    assert (said["maxRatePerS"], said["maxInFlight"]) == (7, 3)
    assert zoe.ask("PUT", path, {"ratePerS": 8}, If_Match=etag).status_code == 412
    held = zoe.ask("PUT", f"{path}/breaker", {"state": "open", "why": "WPS moves house"}).get_json()["data"]["breaker"]
    assert (held["held"], held["why"]) == (True, "WPS moves house")
    assert zoe.ask("PUT", f"{path}/breaker", {"state": "closed"}).get_json()["data"]["breaker"]["state"] == "closed"
    acts = [one["action"] for one in zoe.get("/api/v1/audit").get_json()["data"]["items"]]
    assert [one for one in acts if not one.startswith("denied")] == ["breaker.close", "breaker.open", "limiter.set"]


def test_a_term_gets_its_hours_and_is_put_away(api: Api) -> None:
    """Rows that cannot be used are named by their numbers; an open term is not put away."""
    ada, path = api.person("ada"), f"/api/v1/terms/{TERM}"
    rows = [{"period": 1, "start": "08:00", "end": "08:45"}, {"period": 2, "start": "09:40", "end": "08:50"}]
    refused = ada.ask("PUT", f"{path}/periods", {"periods": rows}).get_json()["error"]
    assert refused["code"] == "ROWS_REFUSED"
    assert "line 2" in refused["details"][0]["message"]
    assert ada.get(f"{path}/periods").get_json()["data"]["items"] == []
    set_ = ada.ask("PUT", f"{path}/periods", {"periods": rows[:1]}).get_json()["data"]["items"]
    assert [(one["period"], one["start"]) for one in set_] == [(1, "08:00")]
    open_ = ada.post(f"{path}/archive")
    assert (open_.status_code, open_.get_json()["error"]["code"]) == (409, "TERM_REFUSED")
    ada.ask("PATCH", path, {"status": "frozen"})
    begun = ada.post(f"{path}/archive")
    assert (begun.status_code, len(api.rung)) == (202, 1)
    assert ada.get(begun.headers["Location"]).get_json()["data"]["kind"] == "archive"


def test_off_peak_hours_are_set_and_taken_back(api: Api) -> None:
    """Hours that are none change nothing."""
    ada, path = api.person("ada"), "/api/v1/off-peak"
    assert ada.get(path).get_json()["data"]["hours"] is None
    assert ada.ask("PUT", path, {"hours": {"from": "25:00", "until": "06:00"}}).status_code == 422
    said = ada.ask("PUT", path, {"hours": {"from": "22:00", "until": "06:00", "tier": "far"}}).get_json()["data"]
    assert said["hours"] == {"from": "22:00", "until": "06:00", "tier": "far"}
    assert ada.ask("PUT", path, {"hours": None}).get_json()["data"]["hours"] is None


def test_a_student_opts_out_of_calendars_and_back_in(api: Api) -> None:
    """Twice is once; nobody does it for others without being asked to."""
    mei, path = api.person("mei"), f"/api/v1/users/self/opt-outs/{TERM}"
    assert [mei.ask("PUT", path).get_json()["data"]["already"] for _ in range(2)] == [False, True]
    (listed,) = api.person("ada").get("/api/v1/opt-outs").get_json()["data"]["items"]
    assert (listed["code"], listed["by"]) == ("mei", "user:mei")
    assert api.person("bao").ask("PUT", f"/api/v1/users/mei/opt-outs/{TERM}").status_code == 404
    assert mei.ask("DELETE", path).get_json()["data"]["out"] is False
    assert api.person("ada").get("/api/v1/opt-outs").get_json()["data"]["items"] == []


def test_everybody_sees_how_fresh_the_timetable_is(api: Api) -> None:
    """Of the school, and of oneself."""
    for path in ("/api/v1/freshness", "/api/v1/users/self/freshness"):
        said = api.person("mei").get(path).get_json()["data"]
        assert [one["tier"] for one in said["tiers"]] == ["today", "near", "middle", "far"]


def test_sources_are_read_without_their_passwords(api: Api) -> None:
    """Where each is, how it is, and what is wrong with it."""
    named_sources.add(api.deps, "academic", Wanted(address="mysql://reader:hunter2@db.example.edu/jw"), actor="test")
    said = api.person("ada").get("/api/v1/sources/academic")
    assert said.get_json()["data"]["enabled"] is True
    assert "hunter2" not in said.get_data(as_text=True)
    assert [one["name"] for one in api.person("ada").get("/api/v1/sources").get_json()["data"]["items"]][
        -1
    ] == "academic"
