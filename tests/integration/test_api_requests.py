"""What happens to every request, whichever route it is for."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from bootstrap.settings import Settings
from db.engine import reading, unit
from db.tables import answers, audit, runs
from observability import failpoints
from tests.fixtures_stores import Valkey
from tests.integration import api_rig
from tests.integration.api_rig import ABROAD, HOME, Api, SignedNames, token_of
from web.app import MAX_BODY_BYTES, NoPolicy, create_app
from web.errors import PROBLEMS
from web.routes import Feature

RUNS = "/api/v1/sync/runs"


def code_of(response: object) -> str:
    return str(response.get_json()["error"]["code"])  # type: ignore[attr-defined]


# --- who ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", f"Basic {token_of('ada')}", f"Bearer {token_of('ada')[:-1]}0", "Bearer ada.", "é"],
)
def test_who_cannot_say_who_he_is_gets_the_same_answer(api: Api, header: str) -> None:
    """Whether a token is old, forged or missing is nothing to learn from."""
    for method, path in (("GET", RUNS), ("POST", RUNS), ("GET", f"{RUNS}/any")):
        response = api.person(None).ask(method, path, Authorization=header)
        assert (response.status_code, code_of(response)) == (401, "NOT_AUTHENTICATED")
        assert response.get_json()["error"]["details"] == []


def test_an_anonymous_bad_body_is_a_sign_in_matter_first(api: Api) -> None:
    """Shapes are not shown to strangers."""
    assert api.person(None).post(RUNS, b"{not json").status_code == 401


def test_the_header_names_a_school_only_where_it_agrees(api: Api) -> None:
    """A header is an input; the token is not."""
    ada, zoe = api.person("ada"), api.person("zoe")
    assert ada.get(RUNS, X_Tenant_ID=HOME).status_code == 200
    assert code_of(ada.get(RUNS, X_Tenant_ID=ABROAD)) == "TENANT_MISMATCH"
    assert code_of(ada.get(RUNS, X_Tenant_ID="nowhere")) == "TENANT_MISMATCH"
    assert code_of(ada.get(RUNS, X_Tenant_ID="")) == "TENANT_MISSING"
    theirs = api.run(ABROAD)
    assert [one["id"] for one in zoe.get(RUNS, X_Tenant_ID=ABROAD).get_json()["data"]["items"]] == [theirs]
    assert zoe.get(RUNS).get_json()["data"]["items"] == []
    unknown = zoe.get(RUNS, X_Tenant_ID="nowhere")
    assert (unknown.status_code, code_of(unknown)) == (404, "TENANT_UNKNOWN")


def test_a_denied_attempt_to_change_something_is_kept(api: Api) -> None:
    """An administrator sees who tried what."""
    theirs = api.run(ABROAD)
    mine = api.run()
    assert api.person("mei").post(f"{RUNS}/{mine}/cancel", X_Request_ID="try-1").status_code == 403
    assert api.person("ada").post(f"{RUNS}/{theirs}/cancel").status_code == 404
    assert api.person("mei").get(RUNS).status_code == 403
    with reading(api.engine) as tx:
        rows = tx.execute(select(audit).where(audit.c.action == "denied.run.control").order_by(audit.c.actor)).all()
    assert [(row.tenant_id, row.actor, row.thing) for row in rows] == [
        (HOME, "user:ada", f"{RUNS}/{theirs}/cancel"),
        (HOME, "user:mei", f"{RUNS}/{mine}/cancel"),
    ]
    assert [json.loads(row.after)["why"] for row in rows] == ["outside_reach", "not_permitted"]
    assert rows[1].request == "try-1"


def test_a_route_without_a_policy_makes_no_application(api: Api) -> None:
    """A forgotten decorator is found when the process starts, not when somebody finds the route."""
    feature = Feature("stray", "stray")
    feature.blueprint.get("/stray", endpoint="stray")(lambda: "open to everybody")
    with pytest.raises(NoPolicy, match="/api/v1/stray"):
        create_app(api.deps, api.settings, SignedNames(), features=[feature])


# --- what ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "BAD_JSON"), (b"", "BAD_JSON"), (b'{"kind":"full","kind":"users"}', "BAD_JSON"),
        (b'{"confirmDeletes":NaN}', "BAD_JSON"), (b'{"a":"\\ud800"}', "BAD_JSON"), (b"\xff\xfe{}", "BAD_JSON"),
        (b"[" * 100_000, "BAD_JSON"), (b'{"a":' * 5_000, "BAD_JSON"), (b"[]", "INVALID"), (b'"{}"', "INVALID"),
        (b"1", "INVALID"), (b"null", "INVALID"), (b'{"unknown":1}', "INVALID"), (b'{"confirmDeletes":"3"}', "INVALID"),
        (b'{"confirmDeletes":true}', "INVALID"), (b'{"confirmDeletes":1.5}', "INVALID"), (b'{"kind":"verify"}', "INVALID"),
        (b'{"scope":{"terms":"x"}}', "INVALID"), (b'{"scope":{"terms":["\\u0000"]}}', "INVALID"),
        (b'{"scope":{"courses":[' + b'"c",' * 99_999 + b'"c"]}}', "INVALID"),
        (b'{"scope":[' + b"1," * 99_999 + b"1]}", "INVALID"),
        (b'{"scope":{"colleges":["no such college"]}}', "BAD_SCOPE"), (b'{"tenant":"south"}', "INVALID"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_right_is_refused_and_nothing_changes(api: Api, body: bytes, code: str) -> None:
    """What two readers could read in two ways is read in none."""
    response = api.person("ada").post(RUNS, body)
    assert code_of(response) == code, response.get_json()
    assert response.status_code == PROBLEMS[code].status
    with reading(api.engine) as tx:
        assert tx.execute(select(func.count()).select_from(runs)).scalar_one() == 0


def test_numbers_are_jsons_numbers_and_bodies_may_be_wrapped(api: Api) -> None:
    """1.0 is 1; and what other systems of the school wrap in data is read the same."""
    ada = api.person("ada")
    assert ada.post(RUNS, b'{"kind":"full","confirmDeletes":3.0}').status_code == 202
    wrapped = {"data": {"kind": "users"}, "meta": {"version": "v1"}}
    assert ada.post(RUNS, wrapped).status_code == 202


def test_a_large_body_and_another_type_are_refused(api: Api) -> None:
    """Before they are read."""
    ada = api.person("ada")
    assert code_of(ada.post(RUNS, b" " * (MAX_BODY_BYTES + 1))) == "BODY_TOO_LARGE"
    sent = {"Authorization": f"Bearer {token_of('ada')}"}
    response = ada.client.post(RUNS, data="{}", content_type="text/plain", headers=sent)
    assert (response.status_code, code_of(response)) == (415, "UNSUPPORTED_MEDIA")


# --- the answer ---------------------------------------------------------------------------------------------------------


def test_a_request_keeps_its_id_and_gets_one_where_it_has_none(api: Api) -> None:
    """One id from the browser to the log; and nobody writes into the log through it."""
    ada = api.person("ada")
    assert ada.get(RUNS, X_Request_ID="from-outside:1").headers["X-Request-ID"] == "from-outside:1"
    for bad in ("a b", "x" * 65, "<script>"):
        made = ada.get(RUNS, X_Request_ID=bad).headers["X-Request-ID"]
        assert made != bad
        assert made.isalnum()


def test_messages_come_in_the_language_that_is_asked_for(api: Api) -> None:
    """Chinese unless somebody prefers English."""
    ada = api.person("ada")
    said = {
        language: ada.get(f"{RUNS}/none", Accept_Language=language).get_json()["message"]
        for language in ("", "en", "zh-CN")
    }
    assert said == {"": "没有找到", "en": "There is nothing here", "zh-CN": "没有找到"}


def test_what_is_wrong_with_a_field_is_said_in_both_languages_with_what_would_be_right(api: Api) -> None:
    """An integrator who guessed a name reads the right ones in the answer, and not in our code."""
    ada, wrong = api.person("ada"), f"{RUNS}?size=1000&colour=red&updatedAfter=2024-09-02T08:00:00"

    def told(**headers: str) -> dict[str, tuple[str, str]]:
        details = ada.get(wrong, **headers).get_json()["error"]["details"]
        return {one["field"]: (one["message"], one.get("remedy", "")) for one in details}

    zh, en = told(), told(Accept_Language="en")
    assert (zh["size"][0], en["size"][0]) == ("不得大于 200", "not more than 200")
    assert (zh["colour"][0], en["colour"][0]) == ("没有这一项", "there is no such field")
    assert "updatedAfter" in zh["colour"][1] and "updatedAfter" in en["colour"][1]
    assert ("时区" in zh["updatedAfter"][0], "offset" in en["updatedAfter"][0]) == (True, True)
    day = ada.get("/api/v1/attendance/exceptions?date=2024-13-45", Accept_Language="en").get_json()["error"]
    assert day["details"][0]["message"] == "there is no such day; write it as 2024-09-02"
    assert "red" not in json.dumps([zh, en])


def test_every_kind_of_wrong_value_is_told_in_words(api: Api) -> None:
    """A sentence of the library with a hole in it would be an error of ours."""
    ada = api.person("ada")
    for body in ({"rate": "x"}, {"rate": True}, {"rate": -1}, {"rate": None}, {"rates": 1}, {}):
        answer = api.person("zoe").ask("PUT", "/api/v1/limiter", body)
        assert answer.status_code in (400, 422), (body, answer.get_json())
        assert "{" not in json.dumps(answer.get_json()["error"]["details"][0]["message"])
    for path in ("courses?term=" + "9" * 21, "search?q=", "users/self/timetable?from=x", "teaching-changes?type=other"):
        assert ada.get(f"/api/v1/{path}").get_json()["error"]["details"][0]["message"]


def test_what_is_not_there_says_whether_it_is_the_address_or_the_thing(api: Api) -> None:
    """Two slashes are no other address, and are not answered by a page of the framework."""
    ada = api.person("ada")
    for path in ("/api/v1/nonsense", "/api/v1/courses//attendance", "/"):
        assert (ada.get(path).status_code, code_of(ada.get(path))) == (404, "NO_SUCH_ADDRESS")
    thing = ada.get("/api/v1/courses/none").get_json()["error"]
    assert (thing["code"], thing["details"][0]["field"]) == ("NOT_FOUND", "course_id")
    assert api.person(None).get("/feeds/north/none.ics").get_json()["error"]["details"] == []


def test_who_reads_problem_details_gets_them(api: Api) -> None:
    """RFC 9457, for clients that know it."""
    response = api.person("ada").get(f"{RUNS}/none", Accept="application/problem+json")
    said = response.get_json(force=True)
    assert response.mimetype == "application/problem+json"
    assert (said["type"], said["status"], said["code"]) == ("/errors/NOT_FOUND", 404, "NOT_FOUND")


def test_every_error_code_has_a_page(api: Api) -> None:
    """The page that an error's help leads to, for anybody, in both languages."""
    anyone = api.person(None)
    listed = anyone.get("/errors/").get_data(as_text=True)
    for code, problem in PROBLEMS.items():
        page = anyone.get(f"/errors/{code}").get_data(as_text=True)
        assert problem.zh in page
        assert problem.en in page
        assert f"/errors/{code}" in listed
    assert anyone.get("/errors/NO_SUCH").status_code == 404


def test_only_listed_sites_may_read_answers(api: Api) -> None:
    """A page on another site must not read a timetable with the visitor's token."""
    chosen = replace(api.settings, cors_origins="https://portal.example.edu")
    app = create_app(api.deps, chosen, SignedNames())
    friend, stranger = ({"Origin": f"https://{name}.example.edu"} for name in ("portal", "other"))
    with app.test_client() as client:
        allowed = client.options(RUNS, headers={**friend, "Access-Control-Request-Method": "POST"})
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://portal.example.edu"
        assert "Idempotency-Key" in allowed.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Origin" not in client.get(RUNS, headers=stranger).headers
        assert "Access-Control-Allow-Credentials" not in allowed.headers


def test_the_documentation_needs_nothing_from_elsewhere(api: Api) -> None:
    """A campus network without a way out still shows it; and no script in the page is a script of somebody else."""
    with api.app.test_client() as client:
        page = client.get("/openapi/swagger")
        text = page.get_data(as_text=True)
        assert "://" not in text
        assert "<script>" not in text
        assert (
            "'unsafe-inline'"
            not in page.headers["Content-Security-Policy"].partition("script-src")[2].partition(";")[0]
        )
        for name in ("swagger/js/swagger-ui-bundle.js", "swagger/css/swagger-ui.css", "start.js", "openapi.json"):
            assert client.get(f"/openapi/{name}").status_code == 200, name
        assert client.get("/openapi/openapi.json").get_json()["openapi"] == "3.1.0"


# --- twice is once ------------------------------------------------------------------------------------------------------


def test_the_same_post_again_answers_the_same_and_says_so(api: Api) -> None:
    """A phone that lost the answer asks again; there is one run."""
    ada, body = api.person("ada"), {"kind": "incremental"}
    first, again = (ada.post(RUNS, body, Idempotency_Key="k-1") for _ in range(2))
    assert first.get_json()["data"] == again.get_json()["data"]
    assert (first.status_code, again.status_code) == (202, 202)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    with reading(api.engine) as tx:
        assert tx.execute(select(func.count()).select_from(runs)).scalar_one() == 1
        kept = tx.execute(select(answers.c.answer)).scalar_one()
    assert first.get_json()["data"]["id"] not in kept


def test_a_key_is_for_one_request_of_one_person(api: Api) -> None:
    """Another body with the key is a mistake; another person's key is another key."""
    ada = api.person("ada")
    assert ada.post(RUNS, {"kind": "incremental"}, Idempotency_Key="k").status_code == 202
    other = ada.post(RUNS, {"kind": "users"}, Idempotency_Key="k")
    assert (other.status_code, code_of(other)) == (422, "KEY_REUSED")
    assert api.person("oskar").post(RUNS, {"kind": "users"}, Idempotency_Key="k").status_code == 202
    assert code_of(ada.post(RUNS, {}, Idempotency_Key="x" * 65)) == "BAD_REQUEST"


def test_an_error_frees_its_key(api: Api) -> None:
    """What was refused was not done: after mending it the same request may be sent again."""
    ada, body = api.person("ada"), {"kind": "incremental"}
    stands = ada.post(RUNS, body).get_json()["data"]["id"]
    assert code_of(ada.post(RUNS, body, Idempotency_Key="k")) == "RUN_ACTIVE"
    with unit(api.engine) as tx:
        tx.execute(update(runs).where(runs.c.id == stands).values(state="succeeded", mutex=None))
    assert ada.post(RUNS, body, Idempotency_Key="k").status_code == 202


def test_many_at_once_with_one_key_do_it_once(api: Api) -> None:
    """A button that is pressed ten times."""
    found: list[int] = []

    def press() -> None:
        found.append(api.person("ada").post(RUNS, {"kind": "users"}, Idempotency_Key="once").status_code)

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) <= {202, 409}
    assert 202 in found
    with reading(api.engine) as tx:
        assert tx.execute(select(func.count()).select_from(runs)).scalar_one() == 1


def test_the_work_of_a_process_that_died_is_not_done_again(api: Api) -> None:
    """The answer is written with the work: whoever dies after it has not lost it."""
    ada, body = api.person("ada"), {"kind": "incremental"}
    failpoints.arm("api.after_work:raise@1")
    try:
        sent = {"Authorization": f"Bearer {token_of('ada')}", "Idempotency-Key": "k"}
        assert ada.client.post(RUNS, json=body, headers=sent).status_code == 500
    finally:
        failpoints.arm("")
    again = ada.post(RUNS, body, Idempotency_Key="k")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    with reading(api.engine) as tx:
        assert tx.execute(select(runs.c.id)).scalar_one() == again.get_json()["data"]["id"]


def test_a_key_is_free_again_when_nobody_answered_for_long(api: Api) -> None:
    """A process that died before it had done anything does not block its client for ever."""
    ada, body = api.person("ada"), {"kind": "incremental"}
    first = ada.post(RUNS, body, Idempotency_Key="k")
    with unit(api.engine) as tx:  # as a process leaves it that dies in between
        tx.execute(update(runs).values(state="cancelled", mutex=None))
        tx.execute(update(answers).values(answer=None))
    assert code_of(ada.post(RUNS, body, Idempotency_Key="k")) == "KEY_IN_USE"
    with unit(api.engine) as tx:
        tx.execute(update(answers).values(claimed_ms=answers.c.claimed_ms - 61_000))
    second = ada.post(RUNS, body, Idempotency_Key="k")
    assert second.status_code == 202
    assert second.get_json()["data"]["id"] != first.get_json()["data"]["id"]


# --- how often ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict(settings: Settings, database_url: str, valkey: Valkey, data_dir: Path) -> api_rig.Iterator[Api]:
    """The API with limits that a test reaches."""
    tight = replace(settings, user_limit_per_min=5, ip_limit_per_min=3)
    with api_rig.api(tight, database_url, valkey, data_dir / "campus") as made:
        yield made


def test_who_asks_too_often_is_told_when_to_come_back_and_neighbours_are_not(strict: Api) -> None:
    """A campus is behind one address: one person's script must not shut the others out."""
    ada = strict.person("ada")
    found = [ada.get(RUNS) for _ in range(7)]
    assert [one.status_code for one in found].count(200) in (5, 6)  # the minute may end in between
    refused = next(one for one in found if one.status_code == 429)
    assert code_of(refused) == "RATE_LIMITED"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert int(found[0].headers["RateLimit-Limit"]) == 5
    assert 0 <= int(found[0].headers["RateLimit-Reset"]) <= 61  # a second is begun
    assert "Retry-After" not in found[0].headers
    for neighbour in ("sun", "oskar"):  # of the school, and of another one
        assert strict.person(neighbour).get(RUNS).status_code == 200


def test_failed_sign_ins_are_limited_by_address(strict: Api) -> None:
    """Guessing tokens gets slower, and those who are signed in from there do not notice."""
    stranger = strict.person(None)
    assert 429 in [stranger.get(RUNS).status_code for _ in range(8)]
    assert strict.person("ada").get(RUNS).status_code == 200
    assert stranger.get("/healthz").status_code == 200


def test_limits_hold_without_redis(strict: Api) -> None:
    """A cache that is away neither shuts the API nor opens it."""
    gone = replace(strict.settings, cache_url="unix:///nowhere/cache.sock?db=1")
    strict.app = create_app(strict.deps, gone, SignedNames())
    ada = strict.person("ada")
    found = [ada.get(RUNS).status_code for _ in range(12)]
    assert found[0] == 200
    assert 429 in found


# --- health -------------------------------------------------------------------------------------------------------------


def test_readiness_says_what_is_wrong_and_for_how_long_it_looked(api: Api) -> None:
    """An operator at night reads one answer."""
    well = api.person(None).get("/readyz")
    assert (well.status_code, well.get_json()["data"]["status"]) == (200, "ok"), well.get_json()
    parts = well.get_json()["data"]["parts"]
    assert set(parts) == {"database", "redis_broker", "redis_cache", "checkins", "queues", "wps"}
    assert all(part["tookMs"] >= 0 for part in parts.values())
    api.deps.remote.limiter.hold_open(api.deps.remote.limiter_key, why="maintenance of WPS")
    ill = api.person("ada").get("/api/v1/health").get_json()["data"]
    assert ill["status"] == "degraded"
    assert "maintenance of WPS" in ill["parts"]["wps"]["reason"]


def test_without_redis_the_api_answers(api: Api) -> None:
    """A lost doorbell costs a second; a lost cache costs a count."""
    nowhere = {f"{name}_url": f"unix:///nowhere/{name}.sock" for name in ("broker", "cache", "stream")}
    api.app = create_app(api.deps, replace(api.settings, **nowhere), SignedNames())
    said = api.person(None).get("/readyz")
    assert (said.status_code, said.get_json()["data"]["status"]) == (200, "degraded")
    ill = {name for name, part in said.get_json()["data"]["parts"].items() if part["state"] == "degraded"}
    assert {"redis_broker", "redis_cache", "checkins"} <= ill
    assert "nowhere" not in said.get_data(as_text=True)


def test_without_its_database_a_process_is_not_ready_and_says_so(api: Api) -> None:
    """The load balancer sends requests elsewhere; what comes all the same is asked to come back."""
    with unit(api.engine) as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    try:
        said = api.person(None).get("/readyz")
        assert (said.status_code, said.get_json()["data"]["status"]) == (503, "down")
        assert api.person(None).get("/healthz").status_code == 200
    finally:
        from db.migrate import newest

        with unit(api.engine) as tx:
            tx.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{newest()}'")
