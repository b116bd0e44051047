"""Every route, every role, own and other college, own and other school: against a table written by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from bootstrap.settings import Settings
from db.engine import reading
from db.tables import metadata
from tests.integration.api_check_in_table import CHECK_IN_BODIES, CHECK_INS
from tests.integration.api_identity_table import IDENTITY
from tests.integration.api_rig import ABROAD, CANARY, MATHS, PHYSICS, Api
from tests.integration.things_rig import WHOSE, fresh, things
from web.routes import Route

ROLES = {None: "anyone", "mei": "student", "bao": "teacher", "sun": "secretary", "ada": "admin", "zoe": "platform"}

_MEMBERS = dict.fromkeys(("student", "teacher", "secretary", "admin", "platform"), "*")

# In each row: what each role may do, as letters for `WHOSE` (o own, c college, s school, a abroad); the rest is refused.
# The letter * says that there is nothing of anybody in the request.
EXPECTED: dict[str, dict[str, str]] = {
    "GET /healthz": dict.fromkeys(ROLES.values(), "*"),
    "GET /readyz": dict.fromkeys(ROLES.values(), "*"),
    "GET /metrics": dict.fromkeys(ROLES.values(), "*"),
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
    **CHECK_INS,
    "GET /api/v1/failures": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/failures/<job_id>": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/failure-families": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/failure-families/<family>": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "POST /api/v1/failure-families/<family>/retry": {"admin": "ocs", "platform": "ocs"},
    "POST /api/v1/failure-families/<family>/resolve": {"admin": "ocs", "platform": "ocs"},
    "GET /api/v1/dead-letters": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/dead-letters/<job_id>": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "PATCH /api/v1/dead-letters/<job_id>": {"admin": "ocs", "platform": "ocs"},
    "POST /api/v1/dead-letters/<job_id>/requeue": {"admin": "ocs", "platform": "ocs"},
    "POST /api/v1/dead-letters/<job_id>/discard": {"admin": "ocs", "platform": "ocs"},
    "POST /api/v1/dead-letters/requeue": {"admin": "*", "platform": "*"},
    "POST /api/v1/dead-letters/discard": {"admin": "*", "platform": "*"},
    "GET /api/v1/quarantine": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/quarantine/summary": {"admin": "*", "platform": "*"},
    "GET /api/v1/quarantine/<entry_id>": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/lanes": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/lanes/<lane>": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "POST /api/v1/lanes/<lane>/pause": {"admin": "ocs", "platform": "ocs"},
    "POST /api/v1/lanes/<lane>/resume": {"admin": "ocs", "platform": "ocs"},
    "GET /api/v1/limiter": {"admin": "*", "platform": "*"},
    "GET /api/v1/queues": {"admin": "*", "platform": "*"},
    "GET /api/v1/cluster": {"platform": "*"},
    "POST /api/v1/cluster/processes/<process_id>/drain": {"platform": "*"},
    "POST /api/v1/cluster/queues/<queue>/pause": {"platform": "*"},
    "POST /api/v1/cluster/queues/<queue>/resume": {"platform": "*"},
    "GET /api/v1/schedules": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/schedules/<name>": {"secretary": "ocs", "admin": "ocs", "platform": "ocs"},
    "PATCH /api/v1/schedules/<name>": {"admin": "ocs", "platform": "ocs"},
    "POST /api/v1/schedules/<name>/run": {"admin": "ocs", "platform": "ocs"},
    "GET /api/v1/terms": _MEMBERS,
    "GET /api/v1/terms/<term>": dict.fromkeys(_MEMBERS, "ocs"),
    "GET /api/v1/terms/<term>/periods": dict.fromkeys(_MEMBERS, "ocs"),
    "PATCH /api/v1/terms/<term>": {"admin": "ocs", "platform": "ocs"},
    "GET /api/v1/courses": _MEMBERS,
    "GET /api/v1/courses/<course_id>": {"secretary": "o", "admin": "oc", "platform": "oc"},
    "GET /api/v1/course-arrangements": _MEMBERS,
    "GET /api/v1/users/<code>/courses": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/teachers/<code>/courses": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/users/<code>/timetable": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/search": _MEMBERS,
    "GET /api/v1/exports/users/<code>": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/exports/courses/<course_id>": {"secretary": "o", "admin": "oc", "platform": "oc"},
    "GET /api/v1/exports/rooms": {"admin": "*", "platform": "*"},
    "GET /api/v1/exports/terms/<term>": {"admin": "ocs", "platform": "ocs"},
    "PUT /api/v1/terms/<term>/periods": {"admin": "ocs", "platform": "ocs"},
    "POST /api/v1/terms/<term>/archive": {"admin": "ocs", "platform": "ocs"},
    "PUT /api/v1/limiter": {"platform": "*"},
    "PUT /api/v1/limiter/breaker": {"platform": "*"},
    "GET /api/v1/sources": {"admin": "*", "platform": "*"},
    "GET /api/v1/sources/<source>": {"admin": "ocs", "platform": "ocs"},
    "GET /api/v1/opt-outs": {"admin": "*", "platform": "*"},
    "PUT /api/v1/users/<code>/opt-outs/<term>": {"admin": "ocs", "platform": "ocs"},
    "DELETE /api/v1/users/<code>/opt-outs/<term>": {"admin": "ocs", "platform": "ocs"},
    "GET /api/v1/off-peak": {"admin": "*", "platform": "*"},
    "PUT /api/v1/off-peak": {"admin": "*", "platform": "*"},
    "GET /api/v1/freshness": _MEMBERS,
    "GET /api/v1/users/<code>/freshness": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/consistency": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/consistency/calendars": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/discrepancies": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/discrepancies/<discrepancy_id>": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "POST /api/v1/consistency/verifications": {"admin": "*", "platform": "*"},
    "POST /api/v1/consistency/repairs": {"admin": "*", "platform": "*"},
    "GET /api/v1/consistency/repairs/preview": {"admin": "*", "platform": "*"},
    "POST /api/v1/plans": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/plans": {"secretary": "*", "admin": "*", "platform": "*"},
    "GET /api/v1/plans/<plan_id>": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/plans/<plan_id>/rows": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/teaching-changes": {"teacher": "*", "secretary": "*", "admin": "*", "platform": "*"},
    "POST /api/v1/teaching-changes": {"secretary": "o", "admin": "oc", "platform": "oc"},
    "POST /api/v1/teaching-changes/preview": {"secretary": "o", "admin": "oc", "platform": "oc"},
    "POST /api/v1/teaching-changes/<change_id>/withdraw": {"secretary": "o", "admin": "ocs", "platform": "ocs"},
    "GET /api/v1/exchange-days": _MEMBERS,
    "POST /api/v1/exchange-days/preview": {"admin": "*", "platform": "*"},
    "POST /api/v1/exchange-days": {"admin": "*", "platform": "*"},
    "POST /api/v1/exchange-days/<batch>/undo": {"admin": "ocs", "platform": "ocs"},
    "GET /api/v1/explanations/sessions/<session_id>": {"secretary": "o", "admin": "oc", "platform": "oc"},
    "GET /api/v1/explanations/sessions/<session_id>/users/<code>": {"secretary": "o", "admin": "oc", "platform": "oc"},
    "GET /api/v1/feeds": _MEMBERS,
    "POST /api/v1/feeds": {"admin": "ocs", "platform": "ocs"},
    "DELETE /api/v1/feeds/<feed_id>": {"admin": "ocs", "platform": "ocs"},
    "GET /feeds/<school>/<token>.ics": dict.fromkeys(ROLES.values(), "*"),
    "GET /api/v1/peak": {"admin": "*", "platform": "*"},
    "GET /api/v1/switches": {"admin": "*", "platform": "*"},
    "PUT /api/v1/switches/<switch>": {"admin": "*", "platform": "*"},
    "GET /api/v1/audit": {"admin": "*", "platform": "*"},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Everybody asks for everything at once."""
    return replace(settings, user_limit_per_min=10**6, ip_limit_per_min=10**6)


def routes(api: Api) -> dict[str, Route]:
    """The declared routes by method and address."""
    declared: dict[str, Route] = api.app.extensions["routes"]
    return {f"{one.method} {one.rule}": one for one in declared.values()}


def scope_for(whose: str) -> dict[str, Any]:
    """The part of a timetable that a body names; another school's college has no name of its own."""
    return {"own": {"colleges": [MATHS]}, "college": {"colleges": [PHYSICS]}, "school": {}, "abroad": {}}[whose]


BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/feeds": {"user": "{code}"},
    "POST /api/v1/teaching-changes": {
        "type": "make_up",
        "courseId": "{course_id}",
        "date": "2099-09-01",
        "start": "08:00",
    },
    "POST /api/v1/teaching-changes/preview": {
        "type": "make_up",
        "courseId": "{course_id}",
        "date": "2099-09-01",
        "start": "08:00",
    },
    "POST /api/v1/teaching-changes/<change_id>/withdraw": {},
    "POST /api/v1/exchange-days/preview": {"term": "{term}", "days": [{"teachingDay": "2099-10-01"}]},
    "POST /api/v1/exchange-days": {"term": "{term}", "days": [{"teachingDay": "2099-10-01"}]},
    "POST /api/v1/exchange-days/<batch>/undo": {},
    "POST /api/v1/consistency/verifications": {"sample": 1},
    "PUT /api/v1/terms/<term>/periods": {"periods": [{"period": 1, "start": "08:00", "end": "08:45"}]},
    "PUT /api/v1/limiter": {"burst": 12},
    "PUT /api/v1/limiter/breaker": {"state": "closed"},
    "PUT /api/v1/switches/<switch>": {"on": False},
    "PUT /api/v1/off-peak": {"hours": {"from": "22:00", "until": "06:00"}},
    "POST /api/v1/dead-letters/requeue": {"ids": ["{job_id}"]},
    "POST /api/v1/dead-letters/discard": {"ids": ["{job_id}"]},
    "PATCH /api/v1/dead-letters/<job_id>": {"changes": {"summary": "几何"}},
    "PATCH /api/v1/schedules/<name>": {"maxQueued": 500},
    "PATCH /api/v1/terms/<term>": {"weeks": 20},
    "POST /api/v1/failure-families/<family>/retry": {"count": 1},
    "POST /api/v1/failure-families/<family>/resolve": {"note": "seen to"},
    **CHECK_IN_BODIES,
}
"""What is sent where the address does not say it all; a name in braces is that of the thing."""


def request_of(route: Route, whose: str, mine: dict[str, str]) -> tuple[str, Any]:
    """An address and a body that are about a thing of somebody."""
    mine = {**mine, "code": mine["error"]} if route.rule.startswith("/errors") else mine
    path = re.sub(r"<(\w+)>", lambda found: mine[found[1]], route.rule)
    more = {"search": "?q=A", "rooms": "?room=101", "exceptions": "?date=2024-09-02"}
    path += more.get(route.rule.rpartition("/")[2], "")
    if not route.has_body:
        return path, None
    body = body_named(f"{route.method} {route.rule}", mine)
    if body is not None:
        return path, body
    scope = scope_for(whose)
    if route.rule.endswith("/courses") and whose == "school":
        scope = {"terms": ["2024-2025-1"]}
    return path, {"scope": scope}


def body_named(called: str, mine: dict[str, str]) -> Any:
    """The body that the table has for a route, about these things; None where it has none."""
    if called not in BODIES:
        return None
    return json.loads(re.sub(r"\{(\w+)\}", lambda found: mine[found[1]], json.dumps(BODIES[called])))


def whose_of(called: str, route: Route) -> tuple[str, ...]:
    """Whose things are asked for."""
    if any("*" in allowed for allowed in EXPECTED[called].values()):
        return ("own",)
    return WHOSE if "<" in route.rule else tuple(one for one in WHOSE if one != "abroad")


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
    person, wrong = api.person(name), []
    kept = {whose: things(api, whose) for whose in WHOSE}
    before = abroad(api)
    for called, route in routes(api).items():
        if called in IDENTITY:
            continue  # in test_api_identity_authorization.py
        allowed = EXPECTED[called].get(ROLES[name], "")
        for whose in whose_of(called, route):
            permitted = whose[0] in allowed or "*" in allowed
            changes = route.method != "GET" and permitted and whose != "abroad"
            path, body = request_of(route, whose, fresh(api, whose) if changes else kept[whose])
            # Strangers are limited by address, and there are more routes than one may ask in a minute.
            person.client.environ_base["REMOTE_ADDR"] = f"127.0.0.{1 + len(person.seen) // 100}"
            status = person.ask(route.method, path, body).status_code
            if (status in (200, 201, 202, 409)) is not permitted:
                wrong.append(f"{called} of {whose}: {status}")
            if name is None and status not in (200, 401):
                wrong.append(f"{called} of {whose}: {status}, not 401")
    assert wrong == []
    assert abroad(api) == before, "the other school was changed"
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
