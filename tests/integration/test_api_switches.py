"""Switches that are turned while the product runs: what each caller meets, and that nothing is lost by them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from db import switches as rows
from db.engine import reading
from db.tables import attendance_roster, attendance_stats, audit, checkin_records, stats_owed
from domain import switches as names
from observability import exposition
from tests.integration.api_bell_rig import HERE, Bell, bell
from tests.integration.api_rig import HOME, Api
from usecases import rosters, switches
from usecases.figures import Scrapes
from usecases.switches import FRESH_S
from web.site import NAME, Site

pytestmark = pytest.mark.integration


@pytest.fixture
def here(api: Api) -> Bell:
    return bell(api)


def turn(api: Api, name: str, on: bool = True, **said: Any) -> Any:
    return api.person("ada").ask("PUT", f"/api/v1/switches/{name}", {"on": on, **said})


def code_of(response: Any) -> str:
    return str(response.get_json()["error"]["code"])


def stats(api: Api) -> dict[tuple[str, str], tuple[int, int, int]]:
    """What the statistics say: (student, course) → classes, attended, absent."""
    with reading(api.engine) as tx:
        rows = tx.execute(select(attendance_stats).where(attendance_stats.c.tenant_id == HOME))
        return {
            (row.user_id, row.course_id): (row.total_classes, row.attended_classes, row.absence_classes)
            for row in rows
            if row.total_classes and (row.user_id or row.course_id)
            if (row.teacher_id, row.college, row.period) == ("", "", "")
        }


def test_while_nothing_can_be_changed_check_ins_are_taken_unless_the_switch_says_no(here: Bell) -> None:
    """Refused with a time to come again; reading, signing in and turning the switch back go on."""
    api, mei, ada = here.api, here.api.person("mei"), here.api.person("ada")
    until = datetime.fromtimestamp(time.time() + 600, UTC).isoformat()
    assert turn(api, "read_only", until=until, note="moving the disks").status_code == 200
    refused = api.person("bao").post(f"/api/v1/sessions/{here.session_ids[0]}/start")
    assert (refused.status_code, code_of(refused)) == (503, "READ_ONLY")
    assert 500 < int(refused.headers["Retry-After"]) <= 600
    assert [one["message"] for one in refused.get_json()["error"]["details"]][1] == "moving the disks"
    assert ada.ask("PUT", "/api/v1/off-peak", {"hours": None}).status_code == 503
    assert mei.get(f"/api/v1/checkin/{here.session_ids[0]}").status_code == 200
    assert mei.post("/api/v1/checkin", here.asked()).status_code == 201
    run_id = api.run()
    assert code_of(api.person("sun").post(f"/api/v1/sync/runs/{run_id}/cancel")) == "READ_ONLY"
    assert api.person("ada").post(f"/api/v1/sync/runs/{run_id}/cancel").status_code == 202
    turn(api, "read_only", checkIns=False)
    assert code_of(mei.post("/api/v1/checkin", here.asked(1))) == "READ_ONLY"
    assert turn(api, "read_only", on=False).status_code == 200
    assert api.person("bao").post(f"/api/v1/sessions/{here.session_ids[0]}/start").status_code == 200
    with reading(api.engine) as tx:
        acts = tx.execute(select(audit).where(audit.c.thing == "read_only").order_by(audit.c.id)).all()
    assert [(row.action, row.actor) for row in acts] == [("switch.on", "user:ada")] * 2 + [("switch.off", "user:ada")]
    assert json.loads(acts[2].before)["check_ins"] is False


def test_under_maintenance_people_read_a_page_and_programs_an_error(api: Api) -> None:
    """Health stays up, and whoever may switch it off still can."""
    until = datetime.fromtimestamp(time.time() + 1200, UTC).isoformat()
    turn(api, "maintenance", until=until, note="<b>back soon</b>")
    nobody, mei = api.person(None), api.person("mei")
    page = nobody.get("/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert "系统维护" in page.get_data(as_text=True) and "&lt;b&gt;back soon" in page.get_data(as_text=True)
    problem = mei.get("/api/v1/courses", Accept="application/problem+json")
    assert (problem.mimetype, problem.get_json()["code"]) == ("application/problem+json", "MAINTENANCE")
    assert 1000 < int(problem.headers["Retry-After"]) <= 1200
    assert code_of(mei.get("/api/v1/courses")) == code_of(nobody.get("/api/v1/courses")) == "MAINTENANCE"
    assert nobody.get("/healthz").status_code == 200 and nobody.get("/readyz").status_code == 200
    assert nobody.get("/api/v1/auth/methods", X_Tenant_ID=HOME).status_code == 200
    assert api.person("oskar").get("/api/v1/courses").status_code == 200  # of another school
    assert mei.ask("PUT", "/api/v1/switches/maintenance", {"on": False}).status_code == 503
    assert turn(api, "maintenance", on=False).status_code == 200
    assert mei.get("/api/v1/courses").status_code == 200


def test_a_database_that_is_away_under_maintenance_is_no_accident(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes then is told when to come again, by what the process knew."""
    until = datetime.fromtimestamp(time.time() + 1200, UTC).isoformat()
    turn(api, "maintenance", until=until)
    assert code_of(api.person("mei").get("/api/v1/courses")) == "MAINTENANCE"

    def refuse(*_a: object, **_k: object) -> Any:
        raise OperationalError("connect", {}, Exception("the server is gone"))

    monkeypatch.setattr(api.engine, "connect", refuse)
    told = api.person("ada").get("/api/v1/courses")
    assert (code_of(told), int(told.headers["Retry-After"]) > 1000) == ("MAINTENANCE", True)


def test_a_simplified_check_in_asks_nobody_where_he_is_and_says_so(here: Bell) -> None:
    """Far away and without any place alike; the record has the reason, and other rules than usual."""
    api, far = here.api, {**HERE, "latitude": 39.8}
    assert code_of(api.person("mei").post("/api/v1/checkin", here.asked(location=far))) == "CHECKIN_FAR_AWAY"
    turn(api, "simple_check_in")
    assert not api.person("mei").get(f"/api/v1/checkin/{here.session_ids[0]}").get_json()["data"]["locationRequired"]
    taken = api.person("mei").post("/api/v1/checkin", here.asked(location=far))
    assert (taken.status_code, taken.get_json()["data"]["status"]) == (201, "NORMAL")
    here.drain()
    usual = here.desks.of(HOME).session(here.session_ids[0]).rules.version
    with reading(api.engine) as tx:
        row = tx.execute(select(checkin_records).where(checkin_records.c.tenant_id == HOME)).one()
    assert ("simplified" in row.reasons, row.outside_m, row.rule_version != usual) == (True, None, True)
    shown = api.person("bao").get("/api/v1/checkins").get_json()["data"]["items"]
    assert "simplified" in {why["code"] for one in shown for why in one["reasons"]}


def test_statistics_that_were_switched_off_are_counted_afterwards(here: Bell) -> None:
    """What happened meanwhile, corrections included, is in them as if nothing had been off."""
    api = here.api
    assert api.person("mei").post("/api/v1/checkin", here.asked()).status_code == 201
    here.drain()
    switches.turn(api.deps, "statistics_off", True, actor="cli:op")
    with reading(api.engine) as tx:
        of = attendance_roster.c.session_id == here.session_ids[0]
        row = tx.execute(select(attendance_roster).where(attendance_roster.c.tenant_id == HOME, of)).one()
    rosters.close(api.engine, row)
    body = {"scheduleId": here.session_ids[0], "reason": "was there", "marks": [{"student": "s2", "status": "LATE"}]}
    assert api.person("bao").post("/api/v1/checkin/manual", body).status_code == 200
    assert stats(api) == {} and switches.pay_statistics(api.engine, tenant=HOME) == 0
    switches.turn(api.deps, "statistics_off", False, actor="cli:op")
    assert switches.pay_statistics(api.engine, tenant=HOME) == 1
    assert switches.pay_statistics(api.engine, tenant=HOME) == 0
    course = row.course_id
    assert stats(api) == {
        ("mei", course): (1, 1, 0), ("mei", ""): (1, 1, 0), ("s2", course): (1, 1, 0), ("s2", ""): (1, 1, 0),
        ("s3", course): (1, 0, 1), ("s3", ""): (1, 0, 1), ("", course): (3, 2, 1),
    }  # fmt: skip


def test_what_is_owed_again_while_it_is_paid_stays_owed(here: Bell) -> None:
    """A writer that had begun while statistics were off commits after the count."""
    api, of = here.api, {"tenant": HOME, "term": "t"}
    with api.engine.begin() as tx:
        rows.owe(tx, ["s"], **of)
        seen = rows.owed(tx, tenant=HOME, limit=5)[0]
        rows.owe(tx, ["s"], **of)
        assert not rows.paid(tx, seen)
        assert tx.execute(select(stats_owed.c.times).where(stats_owed.c.tenant_id == HOME)).scalar_one() == 2
        assert rows.paid(tx, rows.owed(tx, tenant=HOME, limit=5)[0])


def test_another_process_sees_a_switch_within_two_seconds(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the database at most once a second, and goes on with what it knows while that is away."""
    clock, asked = [100.0], []
    board = switches.Switchboard(api.engine, clock_s=lambda: clock[0])
    real = switches.rows.all_of
    monkeypatch.setattr(switches.rows, "all_of", lambda tx, tenant: asked.append(tenant) or real(tx, tenant=tenant))
    assert board.on(HOME) == {}
    switches.turn(api.deps, names.READ_ONLY, True, actor="cli:op")
    asked.clear()
    assert board.on(HOME) == {} and asked == []
    clock[0] += FRESH_S + 0.01
    assert set(board.on(HOME)) == set(board.on(HOME)) == {names.READ_ONLY} and asked == [HOME]
    clock[0] += FRESH_S + 0.01
    broken: Callable[..., Any] = lambda *_a, **_k: (_ for _ in ()).throw(switches.SQLAlchemyError("away"))  # noqa: E731
    monkeypatch.setattr(switches.rows, "all_of", broken)
    assert set(board.on(HOME)) == {names.READ_ONLY}


def test_each_switch_has_a_gauge(api: Api) -> None:
    """Of all schools, so that a forgotten one is seen."""
    switches.turn(api.deps, names.MAINTENANCE, True, actor="cli:op")
    here: Site = api.app.extensions[NAME]
    found = Scrapes(api.deps, queues=(), servers=here.servers, stream=here.desks.stream).figures()
    text = exposition.text(found).decode()
    assert 'obsync_switches_on{switch="maintenance"} 1' in text and 'obsync_switches_on{switch="read_only"} 0' in text
    assert "obsync_stats_owed_sessions 0" in text
