"""Coming in over HTTP, with the authenticator of the product: whoever is let in is in the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from db import login_states
from db.configs import Place
from db.engine import in_unit, reading
from db.logins import Grant
from db.tables import tenants
from domain.configs import Level
from domain.tenancy import Role
from remote.guarded import Guard
from remote.oidc import OidcClient
from tests.integration.api_rig import ABROAD, HOME, Api, Person
from tests.integration.oidc_provider import CLIENT, SECRET, browse, running
from usecases import configs, identity, logins, sso
from web.app import create_app
from web.auth import Credentials

AUTH = "/api/v1/auth"
PASSWORD = "correct horse battery"


@pytest.fixture
def door(api: Api) -> Api:
    """The API as it is deployed; Mei studies, Ada administers, Zoe runs the platform, Oskar administers the other school."""
    api.app = create_app(api.deps, api.settings, Credentials(api.deps))
    for tenant, name, role in (
        (HOME, "ada", Role.ADMIN),
        (HOME, "zoe", Role.PLATFORM_ADMIN),
        (ABROAD, "oskar", Role.ADMIN),
    ):
        logins.add(api.deps, tenant=tenant, name=name, roles=[Grant(role)], password=PASSWORD, actor="test")
    student = [Grant(Role.STUDENT)]
    logins.add(
        api.deps, tenant=HOME, name="mei", roles=student, person=("student", "mei"), password=PASSWORD, actor="test"
    )
    return api


def code_of(response: TestResponse) -> str:
    return str(response.get_json()["error"]["code"])


def sign_in(api: Api, name: str, password: str = PASSWORD, *, tenant: str = HOME) -> TestResponse:
    return api.person(None).post(f"{AUTH}/login", {"name": name, "password": password}, X_Tenant_ID=tenant)


def come_in(api: Api, name: str, **more: Any) -> tuple[Person, dict[str, Any]]:
    """Somebody who has signed in, and his tokens."""
    answer = sign_in(api, name, **more)
    assert answer.status_code == 200, answer.get_json()
    return having(api, answer.get_json()["data"]["accessToken"]), answer.get_json()["data"]


def having(api: Api, token: str) -> Person:
    """A client that sends the token with each request."""
    person = api.person(None)
    person.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return person


def test_a_sign_in_lasts_until_it_is_ended(door: Api) -> None:
    """A token opens what its login may do, is exchanged once, and is worth nothing after going out."""
    mei, pair = come_in(door, "mei")
    said = mei.get(f"{AUTH}/me").get_json()["data"]
    assert (said["user"], said["tenant"], said["name"], said["roles"]) == ("mei", HOME, "mei", ["student"])
    assert [one["name"] for one in mei.get("/api/v1/users").get_json()["data"]["items"]] == ["mei"]
    fresh = mei.post(f"{AUTH}/refresh", {"refreshToken": pair["refreshToken"]}).get_json()["data"]
    again = having(door, fresh["accessToken"])
    assert again.get(f"{AUTH}/me").status_code == 200
    assert again.post(f"{AUTH}/logout").status_code == 200
    assert code_of(again.get(f"{AUTH}/me")) == "NOT_AUTHENTICATED"
    assert mei.get(f"{AUTH}/me").status_code == 401
    assert mei.post(f"{AUTH}/refresh", {"refreshToken": fresh["refreshToken"]}).status_code == 401


def test_only_an_access_token_is_one(door: Api) -> None:
    """A socket's ticket or a refresh token is signed by the same key, and opens nothing here; nor do two credentials."""
    ada, pair = come_in(door, "ada")
    ticket = identity.ticket(door.deps, pair["accessToken"])
    for wrong in (pair["refreshToken"], ticket, pair["accessToken"][:-2], "ob_north_ab_cd"):
        assert having(door, wrong).get(f"{AUTH}/me").status_code == 401
    made = ada.post("/api/v1/keys", {"name": "screen", "permissions": ["run.read:tenant"]}).get_json()["data"]
    with_key = door.person(None)
    assert with_key.get("/api/v1/sync/runs", X_API_Key=made["key"]).status_code == 200
    assert having(door, made["key"]).get("/api/v1/sync/runs").status_code == 401
    assert ada.get("/api/v1/sync/runs", X_API_Key=made["key"]).status_code == 401
    assert with_key.get("/api/v1/sync/runs", X_API_Key=pair["accessToken"]).status_code == 401
    assert code_of(with_key.post(f"{AUTH}/logout", X_API_Key=made["key"])) == "NO_SIGN_IN"


def test_guessing_gets_slower_and_learns_no_names(door: Api) -> None:
    """The answer to a wrong password is that to a wrong name; and after a few one has to wait."""
    wrong, nobody = sign_in(door, "ada", "wrong"), sign_in(door, "nobody", "wrong")
    assert {code_of(wrong), code_of(nobody)} == {"SIGN_IN_REFUSED"}
    assert wrong.get_json()["error"] == nobody.get_json()["error"]
    told = next(one for one in (sign_in(door, "ada", "wrong") for _ in range(7)) if one.status_code == 429)
    assert code_of(told) == "SIGN_IN_WAIT"
    assert int(told.headers["Retry-After"]) >= 1
    assert sign_in(door, "zoe").status_code == 200, "others behind the address do not wait"


def test_before_anybody_is_known_the_request_names_the_school(door: Api) -> None:
    """And afterwards it may only agree with the token."""
    door.app = create_app(door.deps, replace(door.settings, base_domain="obsync.example"), Credentials(door.deps))
    stranger, body = door.person(None), {"name": "oskar", "password": PASSWORD}
    assert code_of(stranger.post(f"{AUTH}/login", body)) == "TENANT_MISSING"
    assert code_of(stranger.post(f"{AUTH}/login", body, X_Tenant_ID="nowhere")) == "TENANT_UNKNOWN"
    assert code_of(stranger.post(f"{AUTH}/login", body, X_Tenant_ID=HOME)) == "SIGN_IN_REFUSED"
    host = f"{ABROAD}.obsync.example"
    found = stranger.post(f"{AUTH}/login", body, Host=host)
    assert found.status_code == 200
    assert code_of(stranger.post(f"{AUTH}/login", body, Host=host, X_Tenant_ID=HOME)) == "TENANT_MISMATCH"
    oskar = having(door, found.get_json()["data"]["accessToken"])
    assert oskar.get(f"{AUTH}/me", Host=host).get_json()["data"]["tenant"] == ABROAD
    assert code_of(oskar.get(f"{AUTH}/me", Host=f"{HOME}.obsync.example")) == "TENANT_MISMATCH"


def test_a_password_that_was_made_up_is_changed_first(door: Api) -> None:
    """Whoever read it on somebody's screen can do nothing with it but what its owner would notice."""
    ada, _ = come_in(door, "ada")
    added = ada.post("/api/v1/users", {"name": "sun", "roles": [{"role": "admin"}]}).get_json()["data"]
    sun, pair = come_in(door, "sun", password=added["password"])
    assert pair["mustChangePassword"] is True
    for method, path in (("GET", "/api/v1/users"), ("GET", f"{AUTH}/me"), ("POST", "/api/v1/sync/runs")):
        answer = sun.ask(method, path, {} if method == "POST" else None)
        assert (answer.status_code, code_of(answer)) == (403, "PASSWORD_OLD")
    change = {"old": added["password"], "new": added["name"]}
    assert code_of(sun.post(f"{AUTH}/password", change)) == "BAD_PASSWORD"
    assert code_of(sun.post(f"{AUTH}/password", {**change, "old": "wrong"})) == "SIGN_IN_REFUSED"
    assert sun.post(f"{AUTH}/password", {**change, "new": "nine violet lanterns"}).status_code == 200
    assert sun.get(f"{AUTH}/me").status_code == 401, "every sign-in has ended"
    sun, pair = come_in(door, "sun", password="nine violet lanterns")
    assert pair["mustChangePassword"] is False
    assert sun.get("/api/v1/users").status_code == 200


def test_a_school_may_do_without_passwords(door: Api) -> None:
    """Then the right one opens nothing either, and the page for signing in knows."""
    at_home = tenants.update().where(tenants.c.id == HOME)
    in_unit(door.engine, lambda tx: tx.execute(at_home.values(wps_app_id="app")))
    configs.change(door.deps, Place(Level.TENANT, HOME), {"sign_in.password": False}, actor="test")
    assert code_of(sign_in(door, "ada")) == "SIGN_IN_OFF"
    ways = door.person(None).get(f"{AUTH}/methods", X_Tenant_ID=HOME).get_json()["data"]
    assert (ways["password"], ways["wps"]) == (False, True)
    assert sign_in(door, "oskar", tenant=ABROAD).status_code == 200


def test_nobody_gives_more_than_he_has(door: Api) -> None:
    """An administrator of a school does not make himself or a friend one of the platform, by no way."""
    ada, pair = come_in(door, "ada")
    listed = {one["name"]: one["id"] for one in ada.get("/api/v1/users").get_json()["data"]["items"]}
    platform = {"roles": [{"role": "platform_admin"}]}
    refused = [
        ada.ask("PUT", f"/api/v1/users/{listed['mei']}/roles", platform),
        ada.ask("PUT", f"/api/v1/users/{listed['ada']}/roles", {"roles": [{"role": "student"}]}),
        ada.post(f"/api/v1/users/{listed['zoe']}/password"),
        ada.post(f"/api/v1/users/{listed['zoe']}/disable"),
        ada.post("/api/v1/users", {"name": "friend", **platform}),
        ada.post("/api/v1/keys", {"name": "screen", "permissions": ["tenant.manage:platform"]}),
    ]
    assert [code_of(one) for one in refused] == ["NOT_YOURS"] * 6
    assert sign_in(door, "zoe").status_code == 200
    assert ada.post(f"/api/v1/users/{listed['mei']}/disable").get_json()["data"]["already"] is False
    assert code_of(sign_in(door, "mei")) == "SIGN_IN_REFUSED"
    assert ada.post(f"/api/v1/users/{listed['ada']}/sign-out").get_json()["data"]["ended"] == 1
    assert having(door, pair["accessToken"]).get(f"{AUTH}/me").status_code == 401


def test_a_setting_is_changed_by_who_has_seen_it(door: Api) -> None:
    """Two administrators do not overwrite each other, and what was set by whom stays known."""
    ada, _ = come_in(door, "ada")
    mei, _ = come_in(door, "mei")
    path = "/api/v1/configs/tenant/checkin.late_minutes"
    seen = ada.get(path)
    assert (seen.get_json()["data"]["value"], seen.headers["ETag"]) == (15, '"0"')
    assert code_of(ada.ask("PUT", path, {"value": 20})) == "VERSION_MISSING"
    assert ada.ask("PUT", path, {"value": 20}, If_Match='"0"').headers["ETag"] == '"1"'
    assert code_of(ada.ask("PUT", path, {"value": 30}, If_Match='"0"')) == "VERSION_CHANGED"
    assert code_of(ada.ask("PUT", path, {"value": "30"}, If_Match='"1"')) == "SETTING_REFUSED"
    assert mei.ask("PUT", path, {"value": 5}, If_Match='"1"').status_code == 404
    assert ada.ask("DELETE", path, If_Match='"1"').get_json()["data"]["before"] == 20
    told = ada.get("/api/v1/configs/tenant/history").get_json()["data"]["items"]
    assert [(one["after"], one["actor"]) for one in told] == [(None, "user:@ada"), (20, "user:@ada")]
    own = "/api/v1/configs/user/user.language"
    assert mei.ask("PUT", own, {"value": "en"}, If_Match='"0"').status_code == 200
    assert mei.get(f"{own}?subject=@ada").status_code == 404
    assert ada.get(f"{own}?subject=mei").get_json()["data"]["value"] == "en"
    system = "/api/v1/configs/system/privacy.sign_in_days"
    assert ada.ask("PUT", system, {"value": 30}, If_Match='"0"').status_code == 404
    zoe, _ = come_in(door, "zoe")
    assert zoe.ask("PUT", system, {"value": 30}, If_Match='"0"').status_code == 200


def test_a_key_is_told_once_and_hands_over_to_its_successor(door: Api) -> None:
    """A service changes over without a pause, and what is revoked is over at once."""
    ada, _ = come_in(door, "ada")
    body = {"name": "screen", "permissions": ["run.read:tenant"]}
    first = ada.post("/api/v1/keys", body, Idempotency_Key="once").get_json()["data"]
    assert ada.post("/api/v1/keys", body, Idempotency_Key="once").get_json()["data"] == first
    second = ada.post(f"/api/v1/keys/{first['prefix']}/rotate", {}).get_json()["data"]
    service = door.person(None)
    for key in (first["key"], second["key"]):
        assert service.get("/api/v1/sync/runs", X_API_Key=key).status_code == 200
    assert ada.post(f"/api/v1/keys/{first['prefix']}/revoke").status_code == 200
    assert service.get("/api/v1/sync/runs", X_API_Key=first["key"]).status_code == 401
    listed = ada.get("/api/v1/keys")
    assert {one["prefix"] for one in listed.get_json()["data"]["items"]} == {first["prefix"], second["prefix"]}
    assert first["key"] not in listed.get_data(as_text=True)


# --- by somebody else's page ----------------------------------------------------------------------------------------------


@pytest.fixture
def campus(door: Api) -> Iterator[Api]:
    """The school with an identity provider at which Mei is signed in."""
    with running() as idp:
        idp.user = {"sub": "sub-1", "preferred_username": "mei"}
        door.deps = replace(door.deps, oidc=OidcClient(Guard([idp.place])))
        door.app = create_app(door.deps, door.settings, Credentials(door.deps))
        sso.save_provider(
            door.deps,
            tenant=HOME,
            name="campus",
            issuer=idp.address,
            client_id=CLIENT,
            client_secret=SECRET,
            actor="test",
        )
        yield door


def test_a_browser_that_was_sent_away_comes_in_and_no_other(campus: Api) -> None:
    """A link with somebody else's code in it signs nobody in as somebody else."""
    browser, other = campus.person(None), campus.person(None)
    left = browser.post(f"{AUTH}/sso/campus/begin", {"backTo": "/today"}, X_Tenant_ID=HOME)
    cookie = left.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert f"Path={AUTH}" in cookie
    said = browse(left.get_json()["data"]["url"])
    assert code_of(other.post(f"{AUTH}/sso/callback", said)) == "SIGN_IN_REFUSED"
    found = browser.post(f"{AUTH}/sso/callback", said)
    assert found.get_json()["data"]["backTo"] == "/today"
    assert having(campus, found.get_json()["data"]["accessToken"]).get(f"{AUTH}/me").get_json()["data"]["user"] == "mei"
    assert code_of(browser.post(f"{AUTH}/sso/callback", said)) == "SIGN_IN_REFUSED"
    outside = {"page": "//evil.example/back"}
    assert code_of(browser.post(f"{AUTH}/sso/campus/begin", outside, X_Tenant_ID=HOME)) == "INVALID"


def test_a_browser_from_wps_asks_until_a_worker_knows(door: Api) -> None:
    """The process that serves the API never calls WPS; `test_wps_login` has the worker's part."""
    browser = door.person(None)
    left = browser.post(f"{AUTH}/wps/begin", {"backTo": "/today"}, X_Tenant_ID=HOME)
    state = left.get_json()["data"]["url"].partition("state=")[2].partition("&")[0]
    assert code_of(door.person(None).post(f"{AUTH}/wps/callback", {"state": state, "code": "c"})) == "SIGN_IN_REFUSED"
    assert browser.post(f"{AUTH}/wps/callback", {"state": state, "code": "c"}).status_code == 202
    assert browser.post(f"{AUTH}/wps/poll").get_json()["data"] == {"pending": True, "tokens": None}
    with reading(door.engine) as tx:
        mei = logins.show(door.deps, tenant=HOME, name="mei")
        where = sso.id_of(HOME, state)
        assert login_states.get(tx, tenant=HOME, state_id=where) is not None
    begun, known = login_states.LOOKING, login_states.KNOWN
    in_unit(
        door.engine,
        lambda tx: login_states.move(tx, tenant=HOME, state_id=where, step=begun, to=known, login_id=mei["id"]),
    )
    assert code_of(door.person(None).post(f"{AUTH}/wps/poll")) == "SIGN_IN_REFUSED"
    found = browser.post(f"{AUTH}/wps/poll").get_json()["data"]
    assert having(door, found["tokens"]["accessToken"]).get(f"{AUTH}/me").get_json()["data"]["user"] == "mei"
    assert code_of(browser.post(f"{AUTH}/wps/poll")) == "SIGN_IN_REFUSED"
