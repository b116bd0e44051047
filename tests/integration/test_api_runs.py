"""Runs by the API: starting, looking, telling."""

from __future__ import annotations

from sqlalchemy import select

from db.engine import reading
from db.tables import audit, jobs, runs
from tests.integration.api_rig import HOME, MATHS, PHYSICS, Api

RUNS = "/api/v1/sync/runs"


def test_a_run_that_is_started_is_put_to_work_and_answered_at_once(api: Api) -> None:
    """Nobody waits for WPS: what the answer promises is a row and a task."""
    response = api.person("ada").post(RUNS, {"kind": "incremental", "priority": "urgent"})
    assert response.status_code == 202, response.get_json()
    data = response.get_json()["data"]
    assert response.headers["Location"] == f"{RUNS}/{data['id']}"
    assert data["estimatedCompletion"]["earliest"] <= data["estimatedCompletion"]["latest"]
    with reading(api.engine) as tx:
        run = tx.execute(select(runs).where(runs.c.id == data["id"])).one()
        task = tx.execute(select(jobs.c.id).where(jobs.c.target == data["id"])).scalar_one()
        act = tx.execute(select(audit).where(audit.c.thing == data["id"])).one()
    assert (run.tenant_id, run.kind, run.priority, run.state) == (HOME, "incremental", "urgent", "queued")
    assert api.rung == [task]
    assert (act.actor, act.action, act.request) == ("user:ada", "run.start", response.headers["X-Request-ID"])


def test_a_secretary_starts_what_is_her_colleges_and_nothing_else(api: Api) -> None:
    """One college must not be able to hold up the school."""
    sun = api.person("sun")
    assert sun.post(RUNS, {"scope": {"colleges": [MATHS]}}).status_code == 202
    assert sun.post("/api/v1/sync/courses", {"scope": {"courses": [{"kkh": "A-1"}]}}).status_code in (202, 409)
    for scope in ({}, {"colleges": [PHYSICS]}, {"colleges": [MATHS, PHYSICS]}, {"courses": [{"kkh": "B-1"}]}):
        assert sun.post(RUNS, {"scope": scope}).status_code == 404, scope


def test_a_list_shows_a_secretary_the_runs_of_her_college(api: Api) -> None:
    """And leaves out those that she could not open."""
    mine, theirs, whole = api.run(college=MATHS), api.run(college=PHYSICS), api.run()
    assert [one["id"] for one in api.person("sun").get(RUNS).get_json()["data"]["items"]] == [mine]
    assert [one["id"] for one in api.person("ada").get(RUNS).get_json()["data"]["items"]] == [whole, theirs, mine]


def test_a_list_is_read_to_its_end_by_page_and_by_cursor(api: Api) -> None:
    """A program that follows the cursor sees each run once, also when more are started meanwhile."""
    made = [api.run() for _ in range(5)][::-1]
    ada = api.person("ada")
    paged = [
        one["id"] for page in (1, 2, 3) for one in ada.get(f"{RUNS}?size=2&page={page}").get_json()["data"]["items"]
    ]
    assert paged == made
    seen, cursor = [], ""
    while cursor is not None:
        said = ada.get(f"{RUNS}?size=2&cursor={cursor}" if cursor else f"{RUNS}?size=2").get_json()
        seen += [one["id"] for one in said["data"]["items"]]
        cursor = said["meta"]["page"]["next"]
        api.run()
    assert seen == made


def test_a_cursor_that_was_changed_is_refused(api: Api) -> None:
    """A cursor is a promise of ours, not an input."""
    for _ in range(3):
        api.run()
    cursor = api.person("ada").get(f"{RUNS}?size=1").get_json()["meta"]["page"]["next"]
    changed = cursor[:-3] + ("AAA" if cursor[-3:] != "AAA" else "BBB")
    assert api.person("ada").get(f"{RUNS}?cursor={changed}").status_code == 422
    assert api.person("oskar").get(f"{RUNS}?cursor={cursor}").status_code == 422


def test_what_changed_since_leaves_out_what_ended_before(api: Api) -> None:
    """A program that comes by each minute reads only what is new to it."""
    api.run(state="succeeded", finished_ms=1_000)
    goes_on, later = api.run(), api.run(state="failed", finished_ms=1_800_000_000_000)
    said = api.person("ada").get(f"{RUNS}?updatedAfter=2026-01-01T00:00:00%2B08:00").get_json()
    assert {one["id"] for one in said["data"]["items"]} == {goes_on, later}


def test_a_command_is_taken_once_and_audited_with_its_request(api: Api) -> None:
    """Two clicks pause once, and the audit leads to the request in the log."""
    run_id, ada = api.run(), api.person("ada")
    first = ada.post(f"{RUNS}/{run_id}/pause", X_Request_ID="click-1")
    again = ada.post(f"{RUNS}/{run_id}/pause", X_Request_ID="click-2")
    assert [one.get_json()["data"]["already"] for one in (first, again)] == [False, True]
    with reading(api.engine) as tx:
        acts = tx.execute(select(audit.c.action, audit.c.actor, audit.c.request).where(audit.c.thing == run_id)).all()
    assert [tuple(one) for one in acts] == [("run.pause", "user:ada", "click-1")]


def test_a_run_is_not_told_by_somebody_who_saw_it_otherwise(api: Api) -> None:
    """Who confirms a deletion confirms the one that was on the screen."""
    run_id, ada = api.run(), api.person("ada")
    seen = ada.get(f"{RUNS}/{run_id}").headers["ETag"]
    assert ada.post(f"{RUNS}/{run_id}/pause", If_Match=seen).status_code == 202
    changed = ada.post(f"{RUNS}/{run_id}/cancel", If_Match=seen)
    assert (changed.status_code, changed.get_json()["error"]["code"]) == (412, "VERSION_CHANGED")
    assert ada.post(f"{RUNS}/{run_id}/cancel", If_Match="*").status_code == 202


def test_what_a_run_refuses_is_said_with_a_remedy(api: Api) -> None:
    """A person can act on it without asking anybody."""
    run_id = api.run(state="succeeded")
    said = api.person("ada").post(f"{RUNS}/{run_id}/pause", Accept_Language="en").get_json()
    assert said["error"]["type"] == "CONFLICT"
    assert said["error"]["details"][0]["remedy"]


def test_a_status_says_how_far_a_run_is(api: Api) -> None:
    """What a progress bar needs, and not more."""
    run_id = api.run()
    data = api.person("ada").get(f"/api/v1/sync/{run_id}/status").get_json()["data"]
    assert (data["status"], data["progress"]["percent"]) == ("queued", 0.0)
    assert "source" not in str(api.person("ada").get(f"{RUNS}/{run_id}").get_json()["data"])
