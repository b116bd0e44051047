"""A teacher's class over HTTP: the window, the roll, marks, a paper roll, and what students and reports say afterwards."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from db import rosters as roster_rows
from db.engine import reading
from db.tables import attendance_roster, attendance_roster_detail, audit
from domain.attendance import COUNTERS, count
from domain.ids import key_of
from tests.integration.api_bell_rig import HOUR_MS, MINUTE_MS, Bell, bell
from tests.integration.api_rig import HOME, MATHS, PHYSICS, TERM, Api
from usecases import rosters
from usecases.check_in import Asked

pytestmark = pytest.mark.integration


@pytest.fixture
def here(api: Api) -> Bell:
    return bell(api)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def counts(here: Bell) -> dict[str, int]:
    """The counters of the class, which a recount confirms."""
    with reading(here.api.engine) as tx:
        row = roster_rows.get(tx, here.session_ids[0], tenant=HOME, term=TERM)
        of_class = attendance_roster_detail.c.session_id == here.session_ids[0]
        statuses = tx.execute(select(attendance_roster_detail.c.status).where(of_class)).scalars().all()
    kept = {name: getattr(row, name) for name in COUNTERS}
    assert kept == count(statuses)
    return {name.removesuffix("_count"): many for name, many in kept.items() if many}


def close(here: Bell) -> None:
    """The class is over."""
    with reading(here.api.engine) as tx:
        found = tx.execute(select(attendance_roster).where(attendance_roster.c.session_id == here.session_ids[0])).one()
    rosters.close(here.api.engine, found)


def marked(here: Bell, name: str = "bao", **body: Any) -> Any:
    return here.api.person(name).post("/api/v1/checkin/manual", {"scheduleId": here.session_ids[0], **body})


def test_a_teacher_starts_extends_and_ends_a_class(here: Bell) -> None:
    """At once for who asks the same process, and each act is in the audit."""
    bao, mei = here.api.person("bao"), here.api.person("mei")
    later = here.session_ids[1]
    address = f"/api/v1/sessions/{later}"
    assert mei.post("/api/v1/checkin", here.asked(1)).status_code == 409
    assert ms(bao.post(f"{address}/start").get_json()["data"]["opensAt"]) <= here.now_ms + MINUTE_MS
    here.now_ms += MINUTE_MS
    assert mei.post("/api/v1/checkin", here.asked(1)).status_code == 201
    closes_ms = ms(bao.post(f"{address}/end").get_json()["data"]["closesAt"])
    extended_ms = ms(bao.post(f"{address}/extend", {"minutes": 10}).get_json()["data"]["closesAt"])
    assert closes_ms <= here.now_ms + MINUTE_MS and extended_ms > here.now_ms + 47 * HOUR_MS
    with reading(here.api.engine) as tx:
        acts = tx.execute(select(audit.c.action).where(audit.c.thing == later).order_by(audit.c.id)).scalars().all()
    assert acts == ["class.start", "class.end", "class.extend"]
    assert mei.post(f"{address}/start").status_code == 403


def test_a_code_of_the_screen_checks_in(here: Bell) -> None:
    """Six characters, worth as much as a position."""
    data = here.api.person("bao").get(f"/api/v1/sessions/{here.session_ids[0]}/class-code").get_json()["data"]
    assert len(data["code"]) == 6 and 0 < data["leftMs"] <= 10_000
    asked = here.asked(classCode=data["code"], location=None)
    assert here.api.person("mei").post("/api/v1/checkin", asked).get_json()["data"]["decision"] == "accepted"
    assert here.api.person("mei").get(f"/api/v1/sessions/{here.session_ids[0]}/class-code").status_code == 403


def test_marks_of_one_many_and_all_travel_to_the_counters(here: Bell) -> None:
    """Those of all are counted first, and refused where there are others by now."""
    one = marked(here, marks=[{"student": "mei", "status": "LATE"}], reason="came at nine").get_json()["data"]
    assert one["changes"] == [{"student": "mei", "was": "PENDING", "now": "LATE"}]
    assert counts(here) == {"total_students": 3, "attended": 1, "late": 1, "pending": 2}
    asked = marked(here, allOf="PENDING", status="ABSENT").get_json()["data"]
    assert (asked["count"], asked["done"], asked["changes"]) == (2, False, [])
    assert marked(here, allOf="PENDING", status="ABSENT", count=3).status_code == 409
    assert marked(here, allOf="PENDING", status="ABSENT", count=2).get_json()["data"]["done"]
    assert counts(here) == {"total_students": 3, "attended": 1, "late": 1, "absent": 2}
    undone = marked(here, marks=[{"student": code, "status": "TAKE_BACK"} for code in ("s2", "mei")])
    assert [one["now"] for one in undone.get_json()["data"]["changes"]] == ["PENDING", "PENDING"]
    stranger = marked(here, marks=[{"student": "s3", "status": "LATE"}, {"student": "nobody", "status": "LATE"}])
    assert (stranger.status_code, stranger.get_json()["error"]["code"]) == (422, "NOT_ON_ROSTER")
    assert counts(here) == {"total_students": 3, "pending": 2, "absent": 1}
    assert marked(here, "mei", marks=[{"student": "mei", "status": "ATTENDED"}]).status_code == 403


def test_who_waits_for_the_teacher_is_listed_and_confirmed_as_on_time(here: Bell) -> None:
    """The review list says why; confirming gives what the time of the check-in was worth."""
    bao, mei = here.api.person("bao"), here.api.person("mei")
    place = {"latitude": 39.9, "longitude": 116.4, "accuracy": 900}
    assert mei.post("/api/v1/checkin", here.asked(location=place)).get_json()["data"]["status"] == "ABNORMAL"
    here.drain()
    waiting = bao.get("/api/v1/checkins?status=REVIEW").get_json()["data"]["items"]
    assert [(one["student"], [why["code"] for why in one["reasons"]]) for one in waiting] == [("mei", ["inaccurate"])]
    assert waiting[0]["receipt"] is None
    marked(here, marks=[{"student": "mei", "status": "CONFIRM"}], reason="I saw her")
    assert bao.get("/api/v1/checkins?status=REVIEW").get_json()["data"]["items"] == []
    assert counts(here) == {"total_students": 3, "attended": 1, "pending": 2}
    roll = bao.get(f"/api/v1/sessions/{here.session_ids[0]}/roster").get_json()["data"]
    assert (roll["counts"]["attended"], len(roll["students"])) == (1, 3)


def test_a_paper_roll_is_imported_whole_or_not_at_all(here: Bell) -> None:
    """Each line that cannot be read is named."""
    bao, body = here.api.person("bao"), {"scheduleId": here.session_ids[0]}
    wrong = bao.post("/api/v1/checkin/roll", {**body, "csv": "学号,状态\nmei,到\ns2,不知道\n"})
    assert (wrong.status_code, wrong.get_json()["error"]["details"][0]["field"]) == (422, "line 3")
    assert counts(here) == {"total_students": 3, "pending": 3}
    done = bao.post("/api/v1/checkin/roll", {**body, "csv": "学号,状态\nmei,到\ns2,旷课\ns3,\n"}).get_json()["data"]
    assert [(one["student"], one["now"]) for one in done["changes"]] == [("mei", "ATTENDED"), ("s2", "ABSENT")]


def test_a_correction_after_the_end_reaches_statistics_and_reports(here: Bell) -> None:
    """A student reads what is, and so does the course; the file has no formula in it."""
    mei, bao = here.api.person("mei"), here.api.person("bao")
    mei.post("/api/v1/checkin", here.asked())
    here.drain()
    close(here)
    course = key_of(HOME, MATHS)
    report = bao.get(f"/api/v1/courses/{course}/attendance").get_json()["data"]
    assert (report["rate"], {one["student"]: one["rate"] for one in report["students"]}) == (
        pytest.approx(1 / 3, abs=1e-4),
        {"mei": 1.0, "s2": 0.0, "s3": 0.0},
    )
    marked(here, marks=[{"student": "s2", "status": "ATTENDED"}], reason="was there")
    report = bao.get(f"/api/v1/courses/{course}/attendance").get_json()["data"]
    assert {one["student"]: one["attended"] for one in report["students"]} == {"mei": 1, "s2": 1, "s3": 0}
    assert [one["counts"]["attended"] for one in report["classes"]] == [2, 0]
    assert mei.get("/api/v1/users/self/attendance").get_json()["data"]["items"][0]["rate"] == 1.0
    mine = mei.get("/api/v1/checkins").get_json()["data"]["items"]
    assert [one["status"] for one in mine] == ["PENDING", "ATTENDED"] and {one["student"] for one in mine} == {"mei"}
    assert mine[1]["receipt"] and mei.get("/api/v1/users/s2/attendance").status_code == 404
    text = bao.get(f"/api/v1/exports/courses/{course}/attendance").get_data(as_text=True)
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert {(row[0], row[5]) for row in rows[1:]} >= {("mei", "ATTENDED"), ("s2", "ATTENDED"), ("s3", "ABSENT")}
    assert marked(here, marks=[]).status_code == 200


def test_a_list_goes_on_where_it_ended(here: Bell) -> None:
    """By its cursor, row by row, without a gap."""
    bao, seen, address = here.api.person("bao"), [], "/api/v1/checkins?size=1"
    while True:
        answer = bao.get(address).get_json()
        seen += [(one["scheduleId"], one["student"]) for one in answer["data"]["items"]]
        if answer["meta"]["page"]["next"] is None:
            break
        address = f"/api/v1/checkins?size=1&cursor={answer['meta']['page']['next']}"
    assert seen == [(session, code) for session in reversed(here.session_ids) for code in ("mei", "s2", "s3")]


def test_the_exceptions_of_a_day_are_listed_counted_and_taken_away(here: Bell) -> None:
    """What waits, what a person did not believe, and what is suspicious and stands; by college, with the reasons."""
    desk = here.desks.of(HOME)
    for number, code in enumerate(("mei", "s2", "s3")):
        desk.accept(Asked(here.session_ids[0], code, f"k{number}", lat=39.9, lon=116.4, accuracy_m=900))
    here.drain()
    marked(here, marks=[{"student": "s2", "status": "ABSENT"}, {"student": "s3", "status": "CONFIRM"}], reason="looked")
    day = datetime.fromtimestamp(here.now_ms / 1000, here.api.deps.zone).date().isoformat()
    seen = {
        who: [
            (one["student"], one["kind"], one["college"])
            for one in listed(here, who, f"attendance/exceptions?date={day}")
        ]
        for who in ("mei", "bao", "sun", "ada")
    }
    everybody = [("mei", "review", MATHS), ("s2", "refused", MATHS), ("s3", "suspicious", MATHS)]
    assert seen == {"mei": [], "bao": everybody, "sun": everybody, "ada": everybody}
    (one,) = listed(here, "sun", f"attendance/exceptions?date={day}&college={MATHS}&size=1")
    assert [why["code"] for why in one["reasons"]] == ["inaccurate"]
    assert listed(here, "sun", f"attendance/exceptions?date={day}&college={PHYSICS}") == []
    assert listed(here, "ada", "attendance/exceptions?date=2020-01-01") == []
    counted = listed(here, "ada", f"attendance/exceptions/counts?date={day}")
    assert counted == [{"college": MATHS, "review": 1, "refused": 1, "suspicious": 1}]
    file = here.api.person("sun").get(f"/api/v1/exports/exceptions?date={day}&college={MATHS}").get_data(as_text=True)
    assert [line.split(",")[1:3] for line in file.splitlines()[1:]] == [
        ["待核实", "mei"], ["未予认可", "s2"], ["可疑", "s3"],
    ]  # fmt: skip
    assert here.api.person("sun").get(f"/api/v1/exports/exceptions?date={day}").status_code == 404


def listed(here: Bell, who: str, address: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = here.api.person(who).get(f"/api/v1/{address}").get_json()["data"]["items"]
    return items
