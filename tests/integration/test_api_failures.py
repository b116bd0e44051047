"""Failures, dead letters and the quarantine over the API."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from db.engine import reading
from db.tables import audit, jobs
from domain.ids import key_of
from tests.integration.api_rig import HOME, Api
from tests.integration.things_rig import dead_letter, quarantined

FAILURES, FAMILIES, DEAD = "/api/v1/failures", "/api/v1/failure-families", "/api/v1/dead-letters"

pytestmark = pytest.mark.integration


def dead_of(api: Api) -> int:
    """How many dead letters the school has."""
    with reading(api.engine) as tx:
        where = (jobs.c.tenant_id == HOME, jobs.c.state == "dead")
        return int(tx.execute(select(func.count()).select_from(jobs).where(*where)).scalar_one())


def test_a_secretary_sees_what_failed_of_her_college(api: Api) -> None:
    """Lists, families and their counts leave out what belongs to others, or to nobody alone."""
    mine, theirs, whole = (dead_letter(api, whose) for whose in ("own", "college", "school"))
    dead_letter(api, "abroad")
    for person, expected in (("sun", {mine}), ("ada", {mine, theirs, whole})):
        for path in (FAILURES, DEAD):
            assert {one["id"] for one in api.person(person).get(path).get_json()["data"]["items"]} == expected
        families = api.person(person).get(FAMILIES).get_json()["data"]["items"]
        assert {one["sample"]["id"] for one in families} == expected


def test_dead_letters_are_read_to_their_end_by_cursor_and_by_page(api: Api) -> None:
    """Each once, the newest first."""
    made = [dead_letter(api, "own", died_ms=1_725_000_000_000 + n) for n in range(5)][::-1]
    ada, seen, cursor = api.person("ada"), [], ""
    while cursor is not None:
        said = ada.get(f"{DEAD}?size=2" + (f"&cursor={cursor}" if cursor else "")).get_json()
        seen += [one["id"] for one in said["data"]["items"]]
        cursor = said["meta"]["page"]["next"]
    assert seen == made
    paged = [
        one["id"] for page in (1, 2, 3) for one in ada.get(f"{DEAD}?size=2&page={page}").get_json()["data"]["items"]
    ]
    assert paged == made
    assert len(ada.get(f"{DEAD}?code=400411023&kind=event").get_json()["data"]["items"]) == 5
    assert ada.get(f"{DEAD}?code=1").get_json()["data"]["items"] == []


def test_many_are_counted_first_and_then_put_again_as_counted(api: Api) -> None:
    """Nobody puts more again than he has seen the number of."""
    for _ in range(3):
        dead_letter(api, "own")
    ada = api.person("ada")
    counted = ada.post(f"{DEAD}/requeue", {"all": True, "kind": "event"}).get_json()["data"]
    assert counted == {"count": 3, "done": None, "left": 3}
    assert dead_of(api) == 3
    dead_letter(api, "own")
    late = ada.post(f"{DEAD}/requeue", {"all": True, "kind": "event", "count": 3})
    assert (late.status_code, late.get_json()["error"]["code"], dead_of(api)) == (409, "COUNT_CHANGED", 4)
    done = ada.post(f"{DEAD}/requeue", {"all": True, "kind": "event", "count": 4}, X_Request_ID="again-1")
    assert done.get_json()["data"] == {"count": 4, "done": 4, "left": 0}
    assert api.rung == ["lanes"]
    with reading(api.engine) as tx:
        act = tx.execute(select(audit).where(audit.c.action == "failures.retry")).one()
    assert (act.actor, act.request) == ("user:ada", "again-1")


@pytest.mark.parametrize(
    "body", [{}, {"ids": []}, {"all": False}, {"ids": ["x"], "all": True}, {"ids": ["x"], "lane": "a"}]
)
def test_many_have_to_be_named_one_way_or_the_other(api: Api, body: dict[str, object]) -> None:
    """An empty body must not mean all of them."""
    assert api.person("ada").post(f"{DEAD}/discard", body).status_code == 422


def test_one_is_put_again_once(api: Api) -> None:
    """Two clicks ask for it once."""
    job_id, ada = dead_letter(api, "own"), api.person("ada")
    done = [ada.post(f"{DEAD}/{job_id}/requeue").get_json()["data"]["done"] for _ in range(2)]
    assert done == [1, 0]


def test_one_that_is_given_up_stays_as_a_failure(api: Api) -> None:
    """It is no dead letter any more, and what happened is still told."""
    job_id, ada = dead_letter(api, "own"), api.person("ada")
    assert ada.post(f"{DEAD}/{job_id}/discard").get_json()["data"]["done"] == 1
    assert ada.get(f"{DEAD}/{job_id}").status_code == 404
    assert ada.get(f"{FAILURES}/{job_id}").get_json()["data"]["state"] == "discarded"


def test_an_edit_is_checked_by_the_schema_and_by_what_was_seen(api: Api) -> None:
    """What cannot be sent is refused with a sentence; and nobody overwrites what he has not seen."""
    job_id, ada = dead_letter(api, "own"), api.person("ada")
    opened = ada.get(f"{DEAD}/{job_id}")
    assert "summary" in opened.get_json()["data"]["editable"]
    seen = opened.headers["ETag"]
    refused = ada.ask("PATCH", f"{DEAD}/{job_id}", {"changes": {"colour": "red"}})
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (422, "EDIT_REFUSED")
    assert "colour" in refused.get_json()["error"]["details"][0]["message"]
    done = ada.ask("PATCH", f"{DEAD}/{job_id}", {"changes": {"summary": "几何"}}, If_Match=seen)
    assert done.get_json()["data"]["after"]["summary"] == "几何"
    late = ada.ask("PATCH", f"{DEAD}/{job_id}", {"changes": {"summary": "代数"}}, If_Match=seen)
    assert late.status_code == 412


def test_a_family_is_seen_to_and_tried_again(api: Api) -> None:
    """The remedy is beside the count; resolved is not gone."""
    job_id, ada = dead_letter(api, "own"), api.person("ada")
    family = f"{FAMILIES}/{key_of(job_id)}"
    shown = ada.get(family).get_json()["data"]
    assert (shown["state"], shown["left"], shown["code"]) == ("open", 1, 400411023)
    assert shown["remedy"]
    assert ada.post(f"{family}/resolve", {"note": "改了名称"}).get_json()["data"]["resolved"] == 1
    assert ada.get(family).get_json()["data"]["state"] == "resolved"
    assert ada.get(FAMILIES).get_json()["data"]["items"] == []
    assert ada.post(f"{family}/retry", {}).get_json()["data"] == {"count": 1, "done": None, "left": 1}
    assert ada.post(f"{family}/retry", {"count": 1}).get_json()["data"]["done"] == 1


def test_a_secretary_sees_the_quarantined_rows_of_her_college(api: Api) -> None:
    """By the college that the row itself names."""
    made = {whose: quarantined(api, whose) for whose in ("own", "college", "school", "abroad")}
    for person, expected in (("sun", {"own"}), ("ada", {"own", "college", "school"})):
        items = api.person(person).get("/api/v1/quarantine?kind=reject").get_json()["data"]["items"]
        assert {one["id"] for one in items} == {made[whose] for whose in expected}
    said = api.person("ada").get("/api/v1/quarantine?size=1").get_json()
    assert said["meta"]["page"]["next"] is not None
    summary = api.person("ada").get("/api/v1/quarantine/summary").get_json()["data"]["items"]
    assert summary == [{"kind": "reject", "reason": "bad_date", "count": 3}]
