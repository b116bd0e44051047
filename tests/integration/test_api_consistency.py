"""What differs at WPS, looks, repairs and plans over the API."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from db.engine import in_unit
from db.tables import mirror, verifications
from tests.integration.api_rig import HOME, MATHS, TERM, Api
from tests.integration.things_rig import WHOSE, discrepancy
from usecases import plans, tasks

pytestmark = pytest.mark.integration
BLANK = {"generation": 1, "sent_hash": "h", "import_no": 1, "list_max": 100, "parked_until": 0}


def test_what_differs_is_counted_and_listed_within_reach(api: Api) -> None:
    """With both sides, why, and what a repair does; what is healed only when it is asked for."""
    made = {whose: discrepancy(api, whose) for whose in WHOSE}
    healed = discrepancy(api, "own", state="healed", healed_ms=1_725_000_000_001)
    said = api.person("ada").get("/api/v1/consistency").get_json()["data"]
    assert (said["consistent"], said["open"]) == (False, 3)
    assert api.person("sun").get("/api/v1/consistency").get_json()["data"]["open"] == 1
    (mine,) = api.person("sun").get("/api/v1/discrepancies").get_json()["data"]["items"]
    assert (mine["id"], mine["ours"], mine["action"]) == (made["own"], {"summary": "代数"}, "ticket")
    assert mine["cause"] and mine["remedy"]
    listed = api.person("ada").get("/api/v1/discrepancies?state=healed").get_json()["data"]["items"]
    assert [one["id"] for one in listed] == [healed]
    pages = [
        api.person("ada").get(f"/api/v1/discrepancies?size=2&page={page}").get_json()["data"]["items"]
        for page in (1, 2)
    ]
    assert len({one["id"] for page in pages for one in page}) == 3
    leafed = api.person("ada").leafed("/api/v1/discrepancies", size=1)
    assert [one["id"] for one in leafed] == [one["id"] for page in pages for one in page]
    assert api.person("ada").get("/api/v1/discrepancies?cursor=abc").status_code == 422


def test_a_look_is_started_once_and_noted(api: Api) -> None:
    """The same request again is the same look; another one waits its turn."""
    ada, path = api.person("ada"), "/api/v1/consistency/verifications"
    first = ada.post(path, {"sample": 5}, Idempotency_Key="look")
    assert (first.status_code, first.get_json()["data"]["kind"]) == (202, "verify")
    assert ada.post(path, {"sample": 5}, Idempotency_Key="look").get_json()["data"] == first.get_json()["data"]
    busy = ada.post("/api/v1/consistency/repairs")
    assert (busy.status_code, busy.get_json()["error"]["code"]) == (409, "RUN_ACTIVE")
    (act,) = ada.get("/api/v1/audit?action=verify.begin").get_json()["data"]["items"]
    assert (act["actor"], act["after"]) == ("user:ada", {"sample": 5})
    run = ada.get(first.headers["Location"]).get_json()["data"]
    assert (run["kind"], run["trigger"]) == ("verify", "user")
    (look,) = ada.get("/api/v1/consistency").get_json()["data"]["looks"]
    assert (look["id"], look["calendars"]) == (run["id"], 0)


def test_calendars_say_when_they_were_seen_last(api: Api) -> None:
    """Each once, by cursor too; a secretary sees those of her college."""

    def work(tx: object) -> None:
        for number, lane in enumerate((MATHS, MATHS, "_")):
            key = {"tenant_id": HOME, "term": TERM, "target": f"cal:{number}"}
            blank = {"events": 3, "strangers": 0, "members": 2, "differences": 0, "verified_ms": 1_725_000_000_000}
            tx.execute(insert(verifications), [{**key, **blank}])  # type: ignore[attr-defined]
            there = {
                "kind": "calendar",
                "group_id": key["target"],
                "lane": lane,
                "state": "live",
                "name": f"代数 {number}",
            }
            tx.execute(insert(mirror), [{**BLANK, **key, **there}])  # type: ignore[attr-defined]

    in_unit(api.engine, work)
    ada, seen, cursor = api.person("ada"), [], ""
    while cursor is not None:
        said = ada.get("/api/v1/consistency/calendars?size=2" + (f"&cursor={cursor}" if cursor else "")).get_json()
        seen += [one["name"] for one in said["data"]["items"]]
        cursor = said["meta"]["page"]["next"]
    assert seen == ["代数 0", "代数 1", "代数 2"]
    mine = api.person("sun").get("/api/v1/consistency/calendars").get_json()["data"]["items"]
    assert [one["lane"] for one in mine] == [MATHS, MATHS]


def worked_out(api: Api) -> None:
    """What a worker does when the bell rings."""
    task = tasks.claim(api.deps, api.rung.pop(), claim="test", kinds=[plans.KIND])
    assert task is not None
    plans.make(api.deps, task)


def test_a_plan_is_worked_out_by_a_worker_and_read_row_by_row(api: Api) -> None:
    """Nothing is sent or changed; what a run would do stands there with both sides."""
    ada = api.person("ada")
    begun = ada.post("/api/v1/plans", {"basis": "source"})
    path = begun.headers["Location"]
    assert (begun.status_code, ada.get(path).get_json()["data"]["state"]) == (202, "working")
    worked_out(api)
    said = ada.get(path).get_json()["data"]
    assert (said["state"], said["error"]) == ("done", None)
    assert said["read"]["used"] == 1
    assert said["operations"] == sum(one["count"] for one in said["counts"]) == said["listed"] > 0
    seen, cursor = [], ""
    while cursor is not None:
        page = ada.get(f"{path}/rows?size=1" + (f"&cursor={cursor}" if cursor else "")).get_json()
        seen += page["data"]["items"]
        cursor = page["meta"]["page"]["next"]
    assert len(seen) == said["listed"]
    (event,) = [one for one in seen if one["kind"] == "event"]
    assert (event["what"], event["theirs"], event["ours"]["summary"]) == ("missing", None, "代数")
    assert ada.get("/api/v1/plans").get_json()["data"]["items"][0]["id"] == said["id"]
    assert ada.get("/api/v1/sync/runs").get_json()["data"]["items"] == []


def test_a_plan_of_a_source_that_cannot_be_read_says_why(api: Api) -> None:
    """It fails by itself and is no dead letter; the timetable is planned as a whole only."""
    ada = api.person("ada")
    begun = ada.post("/api/v1/plans", {"basis": "source"})
    for file in (api.settings.data_dir / "campus").iterdir():
        file.unlink()
    worked_out(api)
    said = ada.get(begun.headers["Location"]).get_json()["data"]
    assert said["state"] == "failed"
    assert said["error"]
    part = {"basis": "timetable", "scope": {"colleges": [MATHS]}}
    assert ada.post("/api/v1/plans", part).status_code == 422
    begun = ada.post("/api/v1/plans", {"basis": "timetable"})
    worked_out(api)
    assert ada.get(begun.headers["Location"]).get_json()["data"]["state"] == "done"
