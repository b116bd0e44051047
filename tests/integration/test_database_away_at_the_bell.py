"""Only the database is away at the bell: what a token may do that stood a moment ago, and what becomes of check-ins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from bench.mariadb import AS_IN_PRODUCTION, SMALL, private_mariadb
from bootstrap.settings import Settings
from db.engine import in_unit, make_engine, reading
from db.logins import Grant
from db.migrate import upgrade
from db.tables import checkin_records, users
from db.upsert import insert_missing
from domain.tenancy import Role
from tests.fixtures_stores import Valkey
from tests.integration import api_rig
from tests.integration.api_bell_rig import HOUR_MS, Bell, bell
from tests.integration.api_rig import HOME, MATHS, Api, check_answer
from tests.integration.identity_rig import PASSWORD, now
from usecases import check_in_keys, identity, logins
from usecases.lately import Lately
from web.app import create_app
from web.auth import Credentials
from web.site import NAME, Site

pytestmark = pytest.mark.integration


_STUDENT = {"tenant_id": HOME, "kind": "student", "name": "s", "college": MATHS, "listed": True, "import_no": 1}


class Phone:
    """A student with a real token, at an application that asks the database for it."""

    def __init__(self, api: Api, name: str) -> None:
        in_unit(api.engine, lambda tx: insert_missing(tx, users, [{**_STUDENT, "code": name}]))
        made = logins.add(
            api.deps, tenant=HOME, name=name, roles=[Grant(Role.STUDENT)], password=PASSWORD, actor="test",
            person=("student", name),
        )  # fmt: skip
        self.login_id = made.login_id
        signed = identity.sign_in(api.deps, tenant=HOME, name=name, password=PASSWORD, address="10.0.0.1")
        self.headers = {"Authorization": f"Bearer {signed.access}"}
        self.client = api.app.test_client()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        response = self.client.open(path, method=method, headers=self.headers, json=body)
        check_answer(response)
        return response


def asking(api: Api) -> Api:
    """The same application, but whoever asks is asked of the database."""
    return replace(api, app=create_app(api.deps, api.settings, Credentials(api.deps)))


def at_the_bell(api: Api, *students: str) -> Bell:
    """A class whose keys were loaded ahead, and that this process has read."""
    here = bell(api, students=students)
    now_ms = here.now_ms
    check_in_keys.load_ahead(
        api.engine, here.desks.stream, tenant=HOME, from_ms=now_ms - HOUR_MS, until_ms=now_ms + HOUR_MS
    )
    return here


def lately(api: Api) -> Lately:
    here: Site = api.app.extensions[NAME]
    return here.lately


@pytest.fixture
def away(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Call it, and the database answers nothing any more."""

    def refuse(*_a: object, **_k: object) -> Any:
        raise OperationalError("connect", {}, Exception("the server is gone"))

    yield lambda: monkeypatch.setattr(api.engine, "connect", refuse)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_token_that_stood_a_moment_ago_checks_in_and_does_nothing_else(api: Api, away: Any) -> None:
    """Once the time is over, not even that; and a token that nobody has asked about not at all."""
    known = asking(api)
    here = at_the_bell(known, "mei", "new")
    mei, new = Phone(known, "mei"), Phone(known, "new")
    clock = [0.0]
    known.app.extensions[NAME] = replace(
        known.app.extensions[NAME], lately=Lately(within_s=300, clock_s=lambda: clock[0])
    )
    address = f"/api/v1/checkin/{here.session_ids[0]}"
    assert mei.ask("GET", address).status_code == 200
    away()
    clock[0] = 299.0
    first = mei.ask("POST", "/api/v1/checkin", here.asked())
    again = mei.ask("POST", "/api/v1/checkin", here.asked())
    assert [first.status_code, again.status_code] == [201, 200]
    assert first.get_json()["data"]["receipt"] == again.get_json()["data"]["receipt"]
    assert new.ask("POST", "/api/v1/checkin", here.asked()).status_code == 503
    assert mei.ask("GET", address).status_code == mei.ask("GET", "/api/v1/checkins").status_code == 503
    clock[0] = 300.5
    assert mei.ask("POST", "/api/v1/checkin", here.asked()).status_code == 503


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_the_database_has_refused_is_not_believed_when_it_is_away(
    api: Api, away: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed out and then away; or over by its own time."""
    known = asking(api)
    here = at_the_bell(known, "mei", "eve")
    mei, eve = Phone(known, "mei"), Phone(known, "eve")
    for phone in (mei, eve):
        assert phone.ask("GET", f"/api/v1/checkin/{here.session_ids[0]}").status_code == 200
    logins.end_sign_ins(known.deps, tenant=HOME, name="mei", actor="test")
    assert mei.ask("GET", "/api/v1/checkins").status_code == 401
    away()
    assert mei.ask("POST", "/api/v1/checkin", here.asked()).status_code == 503
    over = (now() + 3_600_000) * 1_000_000
    monkeypatch.setattr("web.auth.time.time_ns", lambda: over)
    lately(known).database_away()
    assert eve.ask("POST", "/api/v1/checkin", here.asked()).status_code == 401


def test_check_ins_are_taken_while_only_the_database_is_away_and_are_there_afterwards(
    settings: Settings, valkey: Valkey, data_dir: Path, short_tmp: Path
) -> None:
    """Its server is killed: who was known gets a receipt, which is in the tables when it is back, once."""
    folder = short_tmp / "away"
    folder.mkdir()
    with private_mariadb(folder, *AS_IN_PRODUCTION, *SMALL) as mariadb:
        url = mariadb.make_database("away")
        engine = make_engine(url)
        upgrade(engine)
        engine.dispose()
        with api_rig.api(settings, url, valkey, data_dir / "campus") as made:
            known = asking(made)
            here = at_the_bell(known, "mei", "s2", "s3")
            phones = [Phone(known, name) for name in ("mei", "s2", "s3")]
            for phone in phones:
                assert phone.ask("GET", f"/api/v1/checkin/{here.session_ids[0]}").status_code == 200
            mariadb.kill()
            asked = [phone.ask("POST", "/api/v1/checkin", here.asked()) for phone in (*phones, phones[0])]
            assert [one.status_code for one in asked] == [201, 201, 201, 200]
            receipts = {one.get_json()["data"]["receipt"] for one in asked}
            mariadb.start()
            known.engine.dispose()
            here.drain()
            with reading(known.engine) as tx:
                rows = tx.execute(select(checkin_records.c.receipt).where(checkin_records.c.tenant_id == HOME))
                assert sorted(rows.scalars()) == sorted(receipts)
                counted = select(func.count()).where(checkin_records.c.tenant_id == HOME)
                assert tx.execute(counted).scalar_one() == 3
