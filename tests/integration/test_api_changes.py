"""What people decide about classes, and the exchange-day desk, over the API."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from db.engine import in_unit
from db.tables import rolls, sessions
from domain.ids import key_of
from tests.integration.api_rig import HOME, MATHS, PHYSICS, TERM, Api

pytestmark = pytest.mark.integration
ALGEBRA, OPTICS = key_of(HOME, MATHS), key_of(HOME, PHYSICS)
MONDAY = (datetime.now(UTC) + timedelta(days=30)).date()
PATH = "/api/v1/teaching-changes"


@pytest.fixture
def taught(api: Api) -> Api:
    """Algebra and optics, a class each on two days to come, both in room 101 at their hours."""

    def work(tx: Any) -> None:
        key: dict[str, Any] = {"tenant_id": HOME, "term": TERM, "import_no": 1}
        rows = [
            _class(key, name, course, day)
            for name, course, day in (("a-0", ALGEBRA, 0), ("a-1", ALGEBRA, 1), ("o-1", OPTICS, 1))
        ]
        tx.execute(insert(sessions), rows)
        tx.execute(insert(rolls), [{**key, "offering_id": ALGEBRA, "kind": "teacher", "code": "bao"}])

    in_unit(api.engine, work)
    return api


def _class(key: dict[str, Any], name: str, course: str, day: int) -> dict[str, Any]:
    date = MONDAY + timedelta(days=day)
    start_ms = round(datetime(date.year, date.month, date.day, tzinfo=UTC).timestamp() * 1000)
    start_ms += 2 * 3_600_000 * (name == "o-1")
    return {
        **key, "id": name, "offering_id": course, "jxz": 1, "zc": day + 1, "jc_s": "1/2", "date": date.isoformat(),
        "start_ms": start_ms, "end_ms": start_ms + 5_700_000, "rooms": json.dumps([["", "一教", "101"]], ensure_ascii=False),
        "teachers": json.dumps([name]), "source_rows": 1, "source_date": date.isoformat(),
    }  # fmt: skip


def test_a_secretary_cancels_a_class_and_takes_it_back(taught: Api) -> None:
    """It is written at once, and a run carries it to WPS; other colleges' classes are not hers."""
    sun = taught.person("sun")
    told = sun.post(PATH, {"type": "cancelled", "sessionId": "a-0", "reason": "校运会"})
    assert told.status_code == 202, told.get_json()
    said = told.get_json()["data"]
    assert [(one["type"], one["sessionId"], one["reason"]) for one in said["changes"]] == [
        ("cancelled", "a-0", "校运会")
    ]
    assert sun.get(told.headers["Location"]).status_code in (200, 404)
    assert len(taught.rung) == 1
    assert sun.post(PATH, {"type": "cancelled", "sessionId": "o-1"}).status_code == 404
    taken = sun.post(f"{PATH}/{said['batch']}/withdraw", {})
    assert taken.get_json()["data"]["changes"][0]["state"] == "withdrawn"
    again = sun.post(f"{PATH}/{said['batch']}/withdraw", {})
    assert (again.status_code, again.get_json()["error"]["code"]) == (409, "CHANGE_REFUSED")
    for name, seen in (("bao", 1), ("sun", 1), ("ada", 1)):
        assert len(taught.person(name).get(PATH).get_json()["data"]["items"]) == seen


def test_a_change_is_previewed_with_people_and_what_is_in_the_way(taught: Api) -> None:
    """Before anybody is told: nothing is written, no run begins, and the clash is shown instead of refused."""
    sun, path = taught.person("sun"), f"{PATH}/preview"
    move = {"type": "moved", "sessionId": "a-0", "date": (MONDAY + timedelta(days=1)).isoformat(), "start": "10:30"}
    said = sun.post(path, move).get_json()["data"]
    (one,) = said["changes"]
    assert (one["type"], one["sessionId"], one["date"], one["before"]["date"]) == (
        "moved", "a-0", move["date"], MONDAY.isoformat(),
    )  # fmt: skip
    assert said["people"] == {"students": 0, "teachers": 1}
    assert any("101" in sentence for sentence in said["conflicts"])
    assert (taught.rung, sun.get(PATH).get_json()["data"]["items"]) == ([], [])
    assert sun.post(path, {**move, "sessionId": "o-1"}).status_code == 404
    same = sun.post(path, {"type": "restored", "sessionId": "a-0"})
    assert (same.status_code, same.get_json()["error"]["code"]) == (409, "CHANGE_REFUSED")


def test_changes_are_leafed_through_by_cursor(taught: Api) -> None:
    """Each comes once, and a cursor of something else is refused rather than taken for the beginning."""
    ada = taught.person("ada")
    for session in ("a-0", "a-1", "o-1"):
        ada.post(PATH, {"type": "cancelled", "sessionId": session})
    assert [one["sessionId"] for one in ada.leafed(PATH, size=1)] == ["o-1", "a-1", "a-0"]
    assert ada.get(f"{PATH}?cursor=abc").status_code == 422


def test_what_is_in_the_way_is_said_before_anything_is_done(taught: Api) -> None:
    """The room is taken at that hour; with confirm it is meant all the same."""
    ada = taught.person("ada")
    move = {"type": "moved", "sessionId": "a-0", "date": (MONDAY + timedelta(days=1)).isoformat(), "start": "10:30"}
    refused = ada.post(PATH, move)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "IN_THE_WAY")
    assert "101" in refused.get_json()["error"]["details"][0]["message"]
    assert ada.get(PATH).get_json()["data"]["items"] == []
    assert ada.post(PATH, {**move, "confirm": True}).get_json()["data"]["conflicts"]


def test_the_same_make_up_asked_for_twice_is_made_once(taught: Api) -> None:
    """By the key of the request; and what a type does not take is refused by its name."""
    ada = taught.person("ada")
    body = {
        "type": "make_up",
        "courseId": OPTICS,
        "date": "2099-09-01",
        "start": "08:00",
        "end": "09:35",
        "room": "线上",
    }
    said = [ada.post(PATH, body, Idempotency_Key="once").get_json()["data"]["batch"] for _ in range(2)]
    assert said[0] == said[1]
    assert len(ada.get(f"{PATH}?type=make_up").get_json()["data"]["items"]) == 1
    for wrong in ({"type": "cancelled", "sessionId": "a-0", "room": "102"}, {"type": "moved", "sessionId": "a-0"},
                  {"type": "make_up", "sessionId": "a-0", "date": "2099-09-01"}):  # fmt: skip
        assert ada.post(PATH, wrong).status_code == 422


def test_days_are_previewed_exchanged_and_taken_back(taught: Api) -> None:
    """The preview changes nothing; a day that is exchanged is in the list with the run that carries it."""
    ada, desk = taught.person("ada"), "/api/v1/exchange-days"
    days = {"term": TERM, "days": [{"teachingDay": MONDAY.isoformat()}]}
    seen = ada.post(f"{desk}/preview", days).get_json()["data"]
    assert (seen["sessions"], seen["days"][0]["heldOn"], seen["conflictsTotal"]) == (1, None, 0)
    assert taught.person("mei").get(desk).get_json()["data"]["items"] == []
    done = ada.post(desk, {**days, "reason": "国庆"}).get_json()["data"]
    (listed,) = taught.person("mei").get(desk).get_json()["data"]["items"]
    assert (listed["batch"], listed["by"], listed["runId"]) == (done["batch"], "desk", done["runId"])
    twice = ada.post(desk, days)
    assert (twice.status_code, twice.get_json()["error"]["code"]) == (409, "CHANGE_REFUSED")
    undone = ada.post(f"{desk}/{done['batch']}/undo", {})
    assert undone.get_json()["data"]["changes"][0]["state"] == "withdrawn"
