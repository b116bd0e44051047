"""The API over real stores: two schools, known people, and a client that checks every answer it is given."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask.testing import FlaskClient
from flask_openapi import OpenAPI
from sqlalchemy import Engine, insert
from werkzeug.test import TestResponse

from bootstrap.settings import Settings
from bootstrap.wiring import wire
from db import sync_runs
from db.engine import in_unit
from db.tables import offerings, tenants, terms, users
from domain.ids import key_of
from domain.tenancy import Role, Scope
from tests.fixtures_stores import Valkey
from tests.integration.campus_rig import MONDAY, write
from usecases.deps import Deps
from web.app import create_app
from web.auth import NotAuthenticated

HOME, ABROAD = "north", "south"
MATHS, PHYSICS = "数学学院", "物理学院"
TERM = MONDAY["xnxq"]
SECRET = b"the secret of the tests' tokens"
CANARY = "CANARY-of-the-south"

PEOPLE: Mapping[str, Scope] = {
    "mei": Scope.of(HOME, "mei", [Role.STUDENT]),
    "bao": Scope.of(HOME, "bao", [Role.TEACHER]),
    "sun": Scope.of(HOME, "sun", [Role.COLLEGE_SECRETARY], colleges=[MATHS]),
    "ada": Scope.of(HOME, "ada", [Role.ADMIN]),
    "zoe": Scope.of(HOME, "zoe", [Role.PLATFORM_ADMIN]),
    "oskar": Scope.of(ABROAD, "oskar", [Role.ADMIN]),
}
"""Mei studies, Bao teaches, Sun is a secretary, Ada administers, Zoe runs the platform, Oskar administers another school."""


def token_of(name: str) -> str:
    """What the person signs in with: the name, signed."""
    return f"{name}.{hmac.new(SECRET, name.encode(), hashlib.sha256).hexdigest()}"


class SignedNames:
    """An authenticator of a few known people: small, and not to be talked into anything."""

    def check(self, token: str) -> None:
        self.scope_of(f"Bearer {token}", None)

    def scope_of(self, authorization_header: str | None, api_key: str | None) -> Scope:
        scheme, _, token = (authorization_header or "").partition(" ")
        if scheme.lower() != "bearer":
            token = api_key or ""
        name, _, signature = token.partition(".")
        wanted = token_of(name).partition(".")[2]
        if name not in PEOPLE or not hmac.compare_digest(signature.encode(), wanted.encode()):
            raise NotAuthenticated("the signature does not fit")
        return PEOPLE[name]


ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}


def check_answer(response: TestResponse) -> None:
    """What holds of every answer of the API, whoever asked and whatever came of it."""
    for name, value in ALWAYS.items():
        assert response.headers.get(name) == value, (response.request.path, name)
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["X-Request-ID"]
    assert "Server" not in response.headers
    assert response.status_code < 500 or response.status_code == 503, response.get_data(as_text=True)
    if response.status_code in (429, 503) and response.request.path not in ("/readyz", "/healthz"):
        assert int(response.headers["Retry-After"]) > 0
    if response.status_code == 401:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    if response.mimetype == "application/json" and not response.request.path.startswith("/openapi"):
        _check_envelope(response)


def _check_envelope(response: TestResponse) -> None:
    assert response.headers["Cache-Control"] == "no-store"
    said = response.get_json()
    assert said["code"] == response.status_code
    assert said["meta"]["requestId"] == response.headers["X-Request-ID"]
    assert said["success"] is (response.status_code < 400) or response.request.path == "/readyz"
    assert ("error" in said) is not ("data" in said)


@dataclass
class Person:
    """Somebody with a client: what he asks is answered, and each answer is checked."""

    client: FlaskClient
    name: str | None
    seen: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        """One request; header names are written with _ for -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.name is not None:
            sent.setdefault("Authorization", f"Bearer {token_of(self.name)}")
        more: dict[str, Any] = {}
        if body is not None:
            more = {"data": body if isinstance(body, bytes) else json.dumps(body), "content_type": "application/json"}
        response = self.client.open(path, method=method, headers=sent, **more)
        check_answer(response)
        self.seen.append(response.get_data().decode(errors="replace"))
        return response

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.ask("GET", path, **headers)

    def leafed(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Every entry of a list, one page after the other by the cursors that its answers name."""
        seen: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            asked = {**query, **({"cursor": cursor} if cursor else {})}
            said = self.get(f"{path}?{urlencode(asked)}").get_json()
            seen += said["data"]["items"]
            cursor = said["meta"]["page"]["next"]
        return seen

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self.ask("POST", path, body, **headers)


@dataclass
class Api:
    """An application and its stores."""

    app: OpenAPI
    deps: Deps
    settings: Settings
    rung: list[str]

    @property
    def engine(self) -> Engine:
        return self.deps.engine

    def person(self, name: str | None) -> Person:
        """A client of somebody; None: nobody is signed in."""
        return Person(self.app.test_client(), name)

    def run(self, tenant: str = HOME, *, college: str | None = None, state: str = "queued", **more: Any) -> str:
        """A run of a school, as its row."""
        run_id = self.deps.new_id()
        scope: dict[str, Any] = {"source": f"/of/{CANARY if tenant == ABROAD else 'north'}"}
        if college is not None:
            scope["only"] = {"colleges": [college]}

        def work(tx: Any) -> None:
            sync_runs.begin(
                tx, tenant=tenant, run_id=run_id, kind="full", scope=scope, mutex=run_id, stages=[("prepare", "import")]
            )
            if state != "queued" or more:
                ended = state in sync_runs.ENDED
                sync_runs.change_run(
                    tx, run_id, tenant=tenant, state=state, **({"mutex": None} if ended else {}), **more
                )

        in_unit(self.engine, work)
        return run_id


@contextmanager
def api(settings: Settings, database_url: str, valkey: Valkey, folder: Path) -> Iterator[Api]:
    """An application over a fresh database with two schools, and a source for the first."""
    chosen = replace(
        settings,
        database_url=database_url,
        broker_url=valkey.url,
        cache_url=valkey.url_of(1),
        stream_url=valkey.url_of(2),
        tenant=HOME,
    )
    engine_of = _schools(chosen, folder)
    rung: list[str] = []
    wired = wire(chosen, ring=rung.append, need_redis=False)
    engine_of.dispose()
    try:
        yield Api(create_app(wired.deps, chosen, SignedNames()), wired.deps, chosen, rung)
    finally:
        wired.deps.stopping.set()
        wired.deps.remote.transport.close()
        wired.deps.engine.dispose()


def _schools(settings: Settings, folder: Path) -> Engine:
    """Two schools, each with a term, two courses and their people; the second full of its canary."""
    from db.engine import make_engine
    from usecases import schedules
    from usecases.tenants import seed

    write(folder, "meetings", [{**MONDAY}])
    engine = make_engine(settings.database_url)

    def work(tx: Any) -> None:
        for tenant in (HOME, ABROAD):
            seed(
                tx,
                tenant=tenant,
                zone="Asia/Shanghai",
                app_id="",
                app_key="",
                encryption_keys=settings.encryption_keys,
            )
            schedules.seed(tx, tenant=tenant)
            said = CANARY if tenant == ABROAD else "代数"
            tx.execute(
                tenants.update()
                .where(tenants.c.id == tenant)
                .values(settings=json.dumps({"source": str(folder), "note": said}))
            )
            tx.execute(insert(terms), [{"tenant_id": tenant, "xnxq": TERM, "status": "open", "exchange": "{}"}])
            tx.execute(
                insert(offerings),
                [
                    {
                        "tenant_id": tenant,
                        "term": TERM,
                        "id": key_of(tenant, college),
                        "kkh": kkh,
                        "kcbh": kkh,
                        "name": said,
                        "college": college,
                        "import_no": 1,
                    }
                    for kkh, college in (("A-1", MATHS), ("B-1", PHYSICS))
                ],
            )
            tx.execute(
                insert(users),
                [
                    {
                        "tenant_id": tenant,
                        "kind": "student",
                        "code": "mei",
                        "name": said,
                        "college": MATHS,
                        "listed": True,
                        "import_no": 1,
                    }
                ],
            )

    in_unit(engine, work)
    return engine
