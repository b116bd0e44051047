"""Every route, every role, own and other college, own and other school: against a table written by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import reading
from db.tables import metadata
from tests.integration.api_identity_table import IDENTITY
from tests.integration.api_rig import ABROAD, CANARY, MATHS, PHYSICS, Api
from web.routes import Route

WHOSE = ("own", "college", "school", "abroad")
"""A thing of the college that Sun works for, of another college, of the whole school, of another school."""

ROLES = {None: "anyone", "mei": "student", "bao": "teacher", "sun": "secretary", "ada": "admin", "zoe": "platform"}

# In each row: what each role may do, as letters for `WHOSE` (o own, c college, s school, a abroad); the rest is refused.
# The letter * says that there is nothing of anybody in the request.
EXPECTED: dict[str, dict[str, str]] = {
    "GET /healthz": dict.fromkeys(ROLES.values(), "*"),
    "GET /readyz": dict.fromkeys(ROLES.values(), "*"),
    "GET /errors/": dict.fromkeys(ROLES.values(), "*"),
    "GET /errors/<code>": dict.fromkeys(ROLES.values(), "*"),
    "GET /api/v1/health": {"admin": "*", "platform": "*"},
    "POST /api/v1/sync/runs": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "POST /api/v1/sync/courses": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/sync/runs": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/sync/runs/<run_id>": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/sync/runs/<run_id>/report": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/sync/<sync_id>/status": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "POST /api/v1/sync/runs/<run_id>/pause": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "POST /api/v1/sync/runs/<run_id>/resume": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "POST /api/v1/sync/runs/<run_id>/cancel": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "POST /api/v1/sync/runs/<run_id>/confirm": {"admin": "ocs", "platform": "ocs"},
    "POST /api/v1/sync/runs/<run_id>/drop": {"admin": "ocs", "platform": "ocs"},
    **IDENTITY,
}


def routes(api: Api) -> dict[str, Route]:
    """The declared routes by method and address."""
    declared: dict[str, Route] = api.app.extensions["routes"]
    return {f"{one.method} {one.rule}": one for one in declared.values()}


def scope_for(whose: str) -> dict[str, Any]:
    """The part of a timetable that a body names; another school's college has no name of its own."""
    return {"own": {"colleges": [MATHS]}, "college": {"colleges": [PHYSICS]}, "school": {}, "abroad": {}}[whose]


def request_of(route: Route, whose: str, run_id: str) -> tuple[str, Any]:
    """An address and a body that are about a thing of somebody."""
    path = re.sub(r"<(?:run|sync)_id>", run_id, route.rule).replace("<code>", "INTERNAL")
    if not route.has_body:
        return path, None
    scope = scope_for(whose)
    if route.rule.endswith("/courses") and whose == "school":
        scope = {"terms": ["2024-2025-1"]}
    return path, {"scope": scope}


def test_the_table_names_every_route_there_is(api: Api) -> None:
    """Nobody adds a route without writing down who may use it; and the document names the same ones."""
    declared = routes(api)
    assert set(EXPECTED) == set(declared)
    document = api.app.api_doc["paths"]
    told = {
        f"{method.upper()} {path.replace('{', '<').replace('}', '>')}"
        for path, item in document.items()
        for method in item
    }
    assert told == set(declared)
    served = {
        f"{method} {rule.rule}"
        for rule in api.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith("/openapi")
    }
    assert served == set(declared)


@pytest.mark.parametrize("name", ROLES)
def test_each_role_may_do_what_the_table_says_and_nothing_else(api: Api, name: str | None) -> None:
    """Every route × own, other college, whole school, other school; nothing of the other school is ever shown or changed."""
    person, before = api.person(name), None
    wrong = []
    for called, route in routes(api).items():
        if called in IDENTITY:
            continue  # in test_api_identity_authorization.py
        allowed = EXPECTED[called].get(ROLES[name], "")
        for whose in WHOSE if ("<" in route.rule and "code" not in route.rule) or route.has_body else ("own",):
            if route.has_body and whose == "abroad":
                continue
            college = {"own": MATHS, "college": PHYSICS}.get(whose)
            run_id = api.run(ABROAD if whose == "abroad" else "north", college=college)
            before = abroad(api)
            path, body = request_of(route, whose, run_id)
            status = person.ask(route.method, path, body).status_code
            if abroad(api) != before:
                wrong.append(f"{called} of {whose}: changed the other school")
            if (status in (200, 202, 409)) is not (whose[0] in allowed or "*" in allowed):
                wrong.append(f"{called} of {whose}: {status}")
            if name is None and status not in (200, 401):
                wrong.append(f"{called} of {whose}: {status}, not 401")
    assert wrong == []
    assert not [one for one in person.seen if CANARY in one]


def abroad(api: Api) -> dict[str, list[Any]]:
    """Every row of the other school."""
    found = {}
    with reading(api.engine) as tx:
        for table in metadata.sorted_tables:
            column = table.c.get("tenant_id") if table.name != "tenants" else table.c.id
            if column is not None:
                found[table.name] = [tuple(row) for row in tx.execute(select(table).where(column == ABROAD))]
    return found
