"""The routes of signing in, logins, keys and settings: every role, things of everybody, against the table written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from db.engine import unit
from db.tables import users
from domain.ids import key_of
from tests.integration.api_identity_table import BODIES, IDENTITY
from tests.integration.api_rig import ABROAD, CANARY, HOME, MATHS, PHYSICS, Api
from tests.integration.test_api_authorization import ROLES, WHOSE, abroad, routes
from usecases import api_keys, logins

PAST_THE_POLICY = (200, 201, 202, 409, 412)
"""What is answered by the thing itself: also that it cannot be done now."""


def logins_of(api: Api) -> dict[str, str]:
    """A login of each college, of the school, and of the other school, by whose it is."""
    people = [("m9", MATHS), ("p9", PHYSICS)]
    with unit(api.engine) as tx:
        rows: list[dict[str, Any]] = [
            {"tenant_id": HOME, "kind": "student", "code": code, "name": code, "college": college}
            for code, college in people
        ]
        tx.execute(insert(users), [{**row, "listed": True, "import_no": 1} for row in rows])
    persons = {"own": ("student", "m9"), "college": ("student", "p9"), "school": None, "abroad": None}
    return {
        whose: logins.add(
            api.deps, tenant=ABROAD if whose == "abroad" else HOME, name=f"of-{whose}", person=person, actor="test"
        ).login_id
        for whose, person in persons.items()
    }


def key_for(api: Api, tenant: str) -> str:
    """The prefix of a new key."""
    made = api_keys.make(api.deps, tenant=tenant, name="k", permissions=["run.read:tenant"], days=1, actor="test")
    return made.prefix


def address_of(api: Api, rule: str, whose: str, key: str | None, login_id: str) -> str:
    """The address of a thing of somebody."""
    path = rule.replace("<provider>", "campus").replace("<name>", "helper").replace("<user_id>", login_id)
    if "<prefix>" in path:
        path = path.replace("<prefix>", key or key_for(api, HOME))
    if "<level>" not in path:
        return path
    owner, college = (ABROAD, MATHS) if whose == "abroad" else (HOME, {"own": MATHS}.get(whose, PHYSICS))
    level, about = ("tenant", "") if whose == "school" else ("course", f"?subject={key_of(owner, college)}")
    return path.replace("<level>", level).replace("<key>", "checkin.late_minutes") + about


@pytest.mark.parametrize("name", ROLES)
def test_each_role_may_do_with_logins_keys_and_settings_what_the_table_says(api: Api, name: str | None) -> None:
    """Whoever could give himself a role, a key or a password of others has everything else too."""
    person, made = api.person(name), logins_of(api)
    logins.save_role(api.deps, tenant=HOME, name="helper", title="", allowed=[], actor="test")
    foreign, declared, wrong = key_for(api, ABROAD), routes(api), []
    before = abroad(api)
    for called, row in IDENTITY.items():
        route, allowed = declared[called], row.get(ROLES[name], "")
        concrete = any(one in route.rule for one in ("<user_id>", "<prefix>", "<level>"))
        for whose in WHOSE if concrete else ("own",):
            path = address_of(api, route.rule, whose, foreign if whose == "abroad" else None, made[whose])
            status = person.ask(route.method, path, BODIES.get(called), If_Match='"0"').status_code
            expected = whose[0] in allowed or "*" in allowed
            if route.policy.public is not None:
                if status in (403, 405) or status >= 500:
                    wrong.append(f"{called}: {status}")
            elif (status in PAST_THE_POLICY) is not expected:
                wrong.append(f"{called} of {whose}: {status}")
            elif name is None and status != 401:
                wrong.append(f"{called} of {whose}: {status}, not 401")
    assert wrong == []
    assert abroad(api) == before, "something of the other school was changed"
    assert not [one for one in person.seen if CANARY in one]
