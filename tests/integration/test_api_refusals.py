"""Whom the desk turned away: seen by the teacher, the secretary and the student, and by nobody else."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import create_engine

from tests.integration.api_bell_rig import HERE, HOUR_MS, LAT, Bell, bell
from tests.integration.api_rig import HOME, MATHS, Api
from tests.integration.test_personal_data import DAY_MS
from usecases import exports, retention
from usecases.check_in_refusals import Refusals, Writer
from usecases.tasks import claim

pytestmark = pytest.mark.integration
PATH = "/api/v1/attendance/refusals"


@pytest.fixture
def here(api: Api) -> Bell:
    """Mei was twice too far away and then came in; the class after the next one is not open yet."""
    made, mei = bell(api), api.person("mei")
    far = made.asked(location={**HERE, "latitude": LAT + 1})
    assert [mei.post("/api/v1/checkin", far).status_code for _ in range(2)] == [409, 409]
    assert mei.post("/api/v1/checkin", made.asked(1)).status_code == 409
    assert mei.post("/api/v1/checkin", made.asked()).status_code == 201
    made.drain()
    made.desks.of(HOME).refusals.write()
    return made


def day_of(here: Bell, session: int) -> str:
    """The day of a class by the school's clock."""
    start_ms = here.now_ms + session * 48 * HOUR_MS
    return datetime.fromtimestamp(start_ms / 1000, here.api.deps.zone).date().isoformat()


def listed(here: Bell, name: str, **query: Any) -> list[dict[str, Any]]:
    return here.api.person(name).leafed(PATH, date=day_of(here, 0), **query)


def test_a_refusal_is_listed_with_its_cause_and_what_became_of_the_student(here: Bell) -> None:
    """To the student, the teacher and the secretary; in the words that the phone showed."""
    (one,) = listed(here, "bao")
    assert (one["student"], one["cause"], one["error"], one["attempts"], one["status"]) == (
        "mei", "far_away", "CHECKIN_FAR_AWAY", 2, "ATTENDED",
    )  # fmt: skip
    assert one["outsideMetres"] > 100_000 and "太远" in one["message"]
    assert listed(here, "mei") == listed(here, "sun") == listed(here, "ada") == [one]
    assert listed(here, "ada", cause="too_early") == [] and listed(here, "sun", college="物理学院") == []
    (early,) = here.api.person("mei").leafed(PATH, date=day_of(here, 1), size=1)
    assert (early["cause"], early["status"]) == ("too_early", "PENDING")


def test_refusals_are_counted_by_college_and_in_the_class(here: Bell) -> None:
    """Who came in after all is not among those who are still out."""
    said = here.api.person("sun").get(f"{PATH}/counts?date={day_of(here, 0)}").get_json()["data"]["items"]
    assert [(one["cause"], one["students"], one["attempts"], one["out"]) for one in said] == [("far_away", 1, 2, 0)]
    roll = here.api.person("bao").get(f"/api/v1/sessions/{here.session_ids[1]}/roster").get_json()["data"]
    assert roll["turnedAway"] == [{"cause": "too_early", "students": 1, "attempts": 1, "out": 1}]
    page = here.api.person("ada").get(f"/api/v1/explanations/sessions/{here.session_ids[0]}/users/mei")
    assert [one["cause"] for one in page.get_json()["data"]["refusals"]] == ["far_away"]


def test_the_list_is_taken_away_as_a_file(here: Bell) -> None:
    """A secretary takes her college's to a meeting; the whole school's is not hers."""
    sun, asked = here.api.person("sun"), {"kind": "refusals", "from": day_of(here, 0)}
    assert sun.post("/api/v1/export-tasks", asked).status_code == 404
    begun = sun.post("/api/v1/export-tasks", {**asked, "college": MATHS})
    task = claim(here.api.deps, here.api.rung.pop(), claim="c", kinds=[exports.KIND])
    assert task is not None
    exports.make(here.api.deps, task)
    text = sun.get(f"{begun.headers['Location']}/file").get_data(as_text=True)
    (_, row) = text.strip().splitlines()
    assert row.startswith(f"{MATHS},mei,代数,代数,") and "太远" in row and row.endswith(",ATTENDED")
    wrong = sun.post("/api/v1/export-tasks", {"kind": "refusals", "to": "2024-09-02"}, Accept_Language="en")
    assert wrong.get_json()["error"]["details"][0]["message"] == "refusals takes no to"


def test_refusals_go_when_positions_do(here: Bell) -> None:
    """They are about where somebody was."""
    retention.forget(here.api.engine, tenant=HOME, now=here.now_ms + 29 * DAY_MS)
    assert len(listed(here, "ada")) == 1
    retention.forget(here.api.engine, tenant=HOME, now=here.now_ms + 31 * DAY_MS)
    assert listed(here, "ada") == []


def test_what_cannot_be_written_is_kept_and_added_up(here: Bell) -> None:
    """A database that is away for a minute at the bell does not lose who stood at the door."""
    refusals = Refusals(here.api.engine, tenant=HOME)
    refusals.note("t", "s", "mei", "closed", at_ms=1_000)
    real, refusals._engine = refusals._engine, create_engine("sqlite:////nowhere/at.db")
    Writer(lambda: [refusals], stopping=here.api.deps.stopping).turn()
    refusals._engine = real
    refusals.note("t", "s", "mei", "closed", at_ms=5_000)
    assert refusals.write() == 1 and refusals.write() == 0
    kept = here.api.person("mei").get("/api/v1/users/self/attendance-data").get_json()["data"]["refusals"]
    (one,) = [one for one in kept if one["cause"] == "closed"]
    assert (one["attempts"], one["first_ms"]) == (2, 1_000)
