"""Statistics over HTTP: who sees which sums, by term, week and day; and recounts."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, update

from db.engine import unit
from db.tables import attendance_roster, attendance_stats, jobs, terms, users
from domain.configs import Level
from domain.ids import key_of
from domain.tenancy import Role, Scope
from tests.integration.api_bell_rig import Bell, bell
from tests.integration.api_rig import HOME, MATHS, PEOPLE, PHYSICS, TERM, Api
from tests.integration.test_attendance_statistics import claimed
from usecases import configs, recounts, rosters
from usecases.configs import Place

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
"""Which rows are asked for is told by the same SQL on both databases; what it sums is tested on both elsewhere."""

COURSE = key_of(HOME, MATHS)


@pytest.fixture
def here(api: Api, monkeypatch: pytest.MonkeyPatch) -> Bell:
    """Two classes in two weeks, closed: Mei came to the first, s2 was on leave, s3 came to none. s3 is of physics."""
    made = bell(api)
    monkeypatch.setitem(PEOPLE, "lao", Scope.of(HOME, "lao", [Role.COLLEGE_SECRETARY], colleges=[PHYSICS]))  # type: ignore[arg-type]
    with unit(api.engine) as tx:
        people = (
            ("student", "mei", MATHS),
            ("student", "s2", MATHS),
            ("student", "s3", PHYSICS),
            ("teacher", "bao", MATHS),
        )
        for kind, code, college in people:
            person = {"kind": kind, "code": code, "name": f"name of {code}", "college": college}
            tx.execute(
                insert(users).prefix_with("OR REPLACE"), [{"tenant_id": HOME, "listed": True, "import_no": 1, **person}]
            )
        tx.execute(
            update(terms).where(terms.c.tenant_id == HOME, terms.c.xnxq == TERM).values(first_monday="2024-09-02")
        )
        second = attendance_roster.c.session_id == made.session_ids[1]
        tx.execute(update(attendance_roster).where(second).values(course_date="2024-09-10"))
    made.api.person("mei").post("/api/v1/checkin", made.asked())
    made.drain()
    bao = made.api.person("bao")
    body = {"scheduleId": made.session_ids[0], "marks": [{"student": "s2", "status": "LEAVE"}], "reason": "was ill"}
    assert bao.post("/api/v1/checkin/manual", body).status_code == 200
    for session_id in made.session_ids:
        with unit(api.engine) as tx:
            row = rosters.rosters.get(tx, session_id, tenant=HOME, term=TERM)
        assert row is not None
        rosters.close(api.engine, row)
    return made


def asked(here: Bell, who: str, address: str) -> list[dict[str, Any]]:
    answer = here.api.person(who).get(f"/api/v1/{address}")
    assert answer.status_code == 200, answer.get_json()
    items: list[dict[str, Any]] = answer.get_json()["data"]["items"]
    return items


def test_sums_come_by_term_week_and_day(here: Bell) -> None:
    """With the week of the term beside that of the calendar."""
    (term,) = asked(here, "bao", "statistics/courses")
    assert (term["subject"], term["total"], term["attended"], term["leave"], term["absent"]) == (COURSE, 6, 1, 1, 4)
    assert (term["rate"], term["per"], term["week"], term["day"]) == (0.2, "term", None, None)
    weeks = asked(here, "bao", f"statistics/courses?per=week&courseId={COURSE}")
    assert [(one["week"], one["teachingWeek"], one["attended"]) for one in weeks] == [
        ("2024-W36", 1, 1),
        ("2024-W37", 2, 0),
    ]
    days = asked(here, "ada", "statistics/colleges?per=day&from=2024-09-03&to=2024-09-10")
    assert [(one["subject"], one["day"], one["week"], one["total"]) for one in days] == [
        (MATHS, "2024-09-10", "2024-W37", 3)
    ]
    (week,) = asked(here, "ada", "statistics/teachers?per=week&to=2024-09-08")
    assert (week["subject"], week["week"], week["late"]) == ("bao", "2024-W36", 0)
    own = asked(here, "mei", "users/self/attendance/periods?per=day")
    assert [(one["day"], one["attended"], one["rate"]) for one in own] == [
        ("2024-09-02", 1, 1.0),
        ("2024-09-10", 0, 0.0),
    ]
    (own,) = asked(here, "mei", f"users/self/attendance/periods?per=term&courseId={COURSE}&term={TERM}")
    assert (own["total"], own["courseId"]) == (2, COURSE)


def test_everybody_sees_what_he_is_about(here: Bell) -> None:
    """A student himself, a teacher his courses, a secretary the college, an administrator the school; nobody the others."""
    seen = {
        who: [
            sorted(one["subject"] for one in asked(here, who, f"statistics/{what}"))
            for what in ("students", f"students?courseId={COURSE}", "courses", "teachers", "colleges")
        ]
        for who in ("mei", "bao", "sun", "lao", "ada")
    }
    everybody = ["mei", "s2", "s3"]
    assert seen == {
        "mei": [["mei"], ["mei"], [], [], []],
        "bao": [[], everybody, [COURSE], ["bao"], []],
        "sun": [["mei", "s2"], everybody, [COURSE], ["bao"], [MATHS]],
        "lao": [["s3"], [], [], [], []],
        "ada": [everybody, everybody, [COURSE], ["bao"], [MATHS]],
    }
    assert here.api.person("lao").get("/api/v1/users/mei/attendance/periods").status_code == 404
    assert asked(here, "oskar", "statistics/students") == []
    named = asked(here, "sun", f"statistics/students?courseId={COURSE}&student=s2")
    assert [(one["name"], one["college"], one["courseId"]) for one in named] == [("name of s2", MATHS, COURSE)]


def test_a_list_of_sums_is_read_page_by_page(here: Bell) -> None:
    """By cursor: nothing twice, nothing left out."""
    ada, found, cursor = here.api.person("ada"), [], ""
    while True:
        answer = ada.get(f"/api/v1/statistics/students?size=2{cursor}").get_json()
        found += [one["subject"] for one in answer["data"]["items"]]
        if answer["meta"]["page"]["next"] is None:
            break
        cursor = f"&cursor={answer['meta']['page']['next']}"
    assert found == ["mei", "s2", "s3"]


def test_a_school_may_count_leave_among_the_classes_of_a_rate(here: Bell) -> None:
    """By its setting, at once and everywhere."""
    place = Place(Level.TENANT, HOME)
    configs.change(here.api.deps, place, {"attendance.leave_counts": True}, actor="user:ada")
    assert asked(here, "bao", "statistics/courses")[0]["rate"] == round(1 / 6, 4)
    report = here.api.person("bao").get(f"/api/v1/courses/{COURSE}/attendance").get_json()["data"]
    assert report["rate"] == round(1 / 6, 4)


def test_a_recount_is_begun_followed_and_read(here: Bell) -> None:
    """A secretary reads what is about the college's people and courses."""
    with unit(here.api.engine) as tx:
        of = attendance_stats.c
        for where in (of.user_id == "s3", of.college == MATHS):
            tx.execute(update(attendance_stats).where(where, of.period == "").values(late_classes=7))
    ada = here.api.person("ada")
    begun = ada.post("/api/v1/attendance/recounts", {})
    assert (begun.status_code, begun.get_json()["data"]["state"]) == (202, "working")
    unknown = ada.post("/api/v1/attendance/recounts", {"terms": ["1999"]})
    assert (unknown.status_code, unknown.get_json()["error"]["code"]) == (422, "TERM_UNKNOWN")
    with unit(here.api.engine) as tx:
        tx.execute(update(jobs).where(jobs.c.kind != recounts.KIND).values(state="done"))
    recounts.carry_on(here.api.deps, claimed(here.api.deps, "c", HOME))
    (row,) = asked(here, "sun", "attendance/recounts")
    assert (row["state"], row["differing"], row["mended"]) == ("done", 3, 3)
    drift = {who: asked(here, who, f"attendance/recounts/{row['id']}/drift") for who in ("ada", "sun", "lao")}
    assert [(one["of"], one["subject"], one["was"]["late_classes"], one["now"]["late_classes"]) for one in drift["ada"]] == [
        ("user", "s3", 7, 0), ("user", "s3", 7, 0), ("college", MATHS, 7, 0),
    ]  # fmt: skip
    assert [one["subject"] for one in drift["sun"]] == [MATHS] and [one["subject"] for one in drift["lao"]] == [
        "s3"
    ] * 2
    ended = ada.post(f"/api/v1/attendance/recounts/{row['id']}/cancel")
    assert (ended.status_code, ended.get_json()["error"]["code"]) == (409, "RECOUNT_ENDED")
