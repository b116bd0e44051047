"""Things of a school for the tests of the API: of a college, of the whole school, of another school."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import insert, select

from db import exports, lanes, plans, processes, recounts, teaching_changes
from db.engine import in_unit
from db.processes import Process
from db.tables import discrepancies, failure_families, failures, jobs, quarantine, rolls, sessions, users
from domain.ids import key_of
from domain.lane_of import SHARED_LANE
from domain.receipts import Receipt, sign
from tests.integration.api_rig import ABROAD, CANARY, HOME, MATHS, PHYSICS, TERM, Api
from usecases import feeds, named_sources

WHOSE = ("own", "college", "school", "abroad")
"""A thing of the college that Sun works for, of another college, of the whole school, of another school."""

COLLEGE = {"own": MATHS, "college": PHYSICS}


def tenant_of(whose: str) -> str:
    return ABROAD if whose == "abroad" else HOME


def offering_of(whose: str) -> str:
    """The course that the thing is about; blank: none."""
    return "" if whose == "school" else key_of(tenant_of(whose), COLLEGE.get(whose, MATHS))


class Fresh(dict[str, str]):
    """Things of somebody, each made when it is asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], str]]) -> None:
        super().__init__()
        self._makers = makers

    def __missing__(self, name: str) -> str:
        self[name] = made = self._makers[name]()
        return made


def things(api: Api, whose: str) -> dict[str, str]:
    """All things that there are, made now, by the names that addresses have for them."""
    makers = _makers(api, whose)
    found = Fresh(makers)
    return {name: found[name] for name in makers}


def fresh(api: Api, whose: str) -> Fresh:
    """The same, of which only those are made that somebody asks for."""
    return Fresh(_makers(api, whose))


def _makers(api: Api, whose: str) -> dict[str, Callable[[], str]]:
    run_id = cache(lambda: api.run(tenant_of(whose), college=COLLEGE.get(whose)))
    job_id = cache(lambda: dead_letter(api, whose))
    given = cache(lambda: feed(api, whose))
    return {
        "run_id": run_id,
        "sync_id": run_id,
        "job_id": job_id,
        "family": lambda: key_of(job_id()),
        "entry_id": lambda: quarantined(api, whose),
        "lane": lambda: lane(api, whose),
        "name": lambda: "incremental" if whose != "abroad" else "southern",
        "term": lambda: TERM if whose != "abroad" else "2024-2025-9",
        "error": lambda: "INTERNAL",
        "course_id": lambda: offering_of(whose) or key_of(HOME, "nobody's"),
        "code": lambda: person(api, whose),
        "process_id": lambda: process(api),
        "queue": lambda: "sync",
        "switch": lambda: "statistics_off",
        "feed_id": lambda: given()["feed_id"],
        "school": lambda: given()["school"],
        "token": lambda: given()["token"],
        "source": lambda: source(api, whose),
        "discrepancy_id": lambda: discrepancy(api, whose),
        "plan_id": lambda: plan(api, whose),
        "change_id": lambda: change(api, whose),
        "batch": lambda: change(api, whose, type="exchange_day", day="2099-10-01"),
        "export_id": lambda: export(api, whose),
        "recount_id": lambda: recount(api, whose),
        "session_id": lambda: class_at_the_bell(api, whose),
        "receipt": lambda: json.dumps(receipt(api, whose))[1:-1],
    }


def process(api: Api) -> str:
    """A worker that beats."""
    one = Process(api.deps.new_id(), "jobs", "host-1", 4711, "0.1.0", ("sync", "tick"), 1_725_000_000_000)
    in_unit(api.engine, lambda tx: processes.beat(tx, one, state="running", doing={}, counts={}))
    return one.id


def export(api: Api, whose: str) -> str:
    """A file that Ada has asked for, of her own school, and somebody of that name of the other."""
    export_id, tenant = api.deps.new_id(), tenant_of(whose)
    said = {"kind": "statistics.colleges", "wanted": {}, "form": "csv", "asked_by": "ada"}

    def work(tx: Any) -> None:
        exports.add(tx, export_id, tenant=tenant, **said)
        body = (CANARY if whose == "abroad" else "x").encode()
        exports.put_part(tx, export_id, 0, body, tenant=tenant)
        exports.end(tx, export_id, tenant=tenant, state=exports.DONE, keep_ms=10**9, written=1, size=len(body))

    in_unit(api.engine, work)
    return export_id


def recount(api: Api, whose: str) -> str:
    """A recount that goes on; nobody works on it."""
    recount_id, tenant = api.deps.new_id(), tenant_of(whose)
    said = {"actor": CANARY if whose == "abroad" else "user:ada", "terms": [TERM], "mends": True, "expected": 1}
    in_unit(api.engine, lambda tx: recounts.add(tx, recount_id, tenant=tenant, **said))
    return recount_id


def class_at_the_bell(api: Api, whose: str) -> str:
    """A class of the course that begins now, with the person on its roll."""
    session_id, tenant, now = f"class-{whose}", tenant_of(whose), time.time_ns() // 1_000_000
    row = {
        "tenant_id": tenant, "term": TERM, "id": session_id, "offering_id": offering_of(whose), "jc_s": "1", "rooms": "[]",
        "date": "2024-09-02", "start_ms": now, "end_ms": now + 3_600_000, "teachers": "[]", "source_rows": 1, "import_no": 1,
    }  # fmt: skip
    same = {"tenant_id": tenant, "term": TERM, "offering_id": offering_of(whose), "kind": "student", "import_no": 1}

    def work(tx: Any) -> None:
        known = tx.execute(select(sessions.c.id).where(sessions.c.tenant_id == tenant, sessions.c.id == session_id))
        if known.first() is None:
            tx.execute(insert(sessions), [row])
            tx.execute(insert(rolls), [{**same, "code": f"{whose}-s1"}])

    if whose != "school":
        in_unit(api.engine, work)
    return session_id


def receipt(api: Api, whose: str) -> str:
    """A receipt of somebody's check-in."""
    said = Receipt(
        number="N", tenant=tenant_of(whose), term=TERM, session_id="s", code=f"{whose}-s1", at_ms=0, decision="accepted",
        timing="NORMAL", reasons=(), outside_m=None, rule_version=0, client_id="k",
    )  # fmt: skip
    return sign(api.deps.secret, said)


def dead_letter(api: Api, whose: str, **more: Any) -> str:
    """A job that gave up, of a family of its own."""
    job_id, tenant, offering = api.deps.new_id(), tenant_of(whose), offering_of(whose)
    said = CANARY if tenant == ABROAD else "代数"
    own = {"tenant_id": tenant, "kind": "event", "term": TERM, "lane": COLLEGE.get(whose, "_"), "run_id": None}
    own |= {"target": f"ev:{key_of(job_id)}", "group_id": f"cal:{offering or 'none'}"}
    body = {
        "summary": said,
        "description": "",
        "start_ms": 1_725_242_400_000,
        "end_ms": 1_725_245_100_000,
        "location": None,
    }
    job = {
        "id": job_id, "payload": json.dumps(body), "desired_hash": "h", "schema_ver": 1, "rev": 1, "import_no": 1, "tier": 0,
        "priority": 0, "state": "dead", "run_at": 0, "attempts": 6, "created_ms": 1, "last_error": said, "error_code": "x",
    }  # fmt: skip
    failure = {
        "job_id": job_id, "family": key_of(job_id), "offering_id": offering, "error_class": "bad_request",
        "remote_code": 400411023, "people": 0, "waiting": 0, "died_ms": 1_725_000_000_000, "dead": True,
    }  # fmt: skip
    family = {"tenant_id": tenant, "id": key_of(job_id), "kind": "event", "verb": "create", "pattern": said}
    family |= {"error_class": "bad_request", "remote_code": 400411023}

    def work(tx: Any) -> None:
        tx.execute(insert(failure_families), [family])
        tx.execute(insert(jobs), [{**own, **job}])
        tx.execute(insert(failures), [{**own, **failure, **more}])

    in_unit(api.engine, work)
    return job_id


def person(api: Api, whose: str) -> str:
    """Somebody of the college, or of none."""
    code, tenant = f"{whose}-s1", tenant_of(whose)
    row = {"tenant_id": tenant, "kind": "student", "code": code, "name": code, "college": COLLEGE.get(whose, "")}
    known = (users.c.tenant_id == tenant, users.c.code == code)

    def work(tx: Any) -> None:
        if tx.execute(select(users.c.code).where(*known)).first() is None:
            tx.execute(insert(users), [{**row, "listed": True, "import_no": 1}])

    in_unit(api.engine, work)
    return code


def feed(api: Api, whose: str) -> dict[str, str]:
    """A feed of the person."""
    there = replace(api.deps, tenant=tenant_of(whose))
    given = feeds.give(there, kind=feeds.USER, subject=person(api, whose), owner=person(api, whose), actor="test")
    return {"feed_id": given.id, "school": there.tenant, "token": given.path.rpartition("/")[2].removesuffix(".ics")}


def source(api: Api, whose: str) -> str:
    """A source of the school; the other school has one of another name."""
    there, name = replace(api.deps, tenant=tenant_of(whose)), "southern" if whose == "abroad" else "main"
    wanted = named_sources.Wanted(address=f"/of/{CANARY if whose == 'abroad' else 'north'}")
    named_sources.add(there, name, wanted, actor="test")
    named_sources.switch(there, name, on=False, actor="test")  # runs go on with the one that was synced last
    return name


def discrepancy(api: Api, whose: str, **more: Any) -> str:
    """Something that differs at WPS, in a lane of the college."""
    row_id, tenant = key_of(api.deps.new_id()), tenant_of(whose)
    row = {
        "tenant_id": tenant, "id": row_id, "term": TERM, "group_id": f"cal:{row_id}", "lane": COLLEGE.get(whose, SHARED_LANE),
        "kind": "event", "what": "event_missing", "target": f"evt:{row_id}", "thing": row_id,
        "ours": json.dumps({"summary": CANARY if tenant == ABROAD else "代数"}), "theirs": "{}", "state": "open", "scans": 2,
        "first_scan_ms": 1_725_000_000_000, "last_scan_ms": 1_725_000_000_000, "history": "[]",
    }  # fmt: skip
    in_unit(api.engine, lambda tx: tx.execute(insert(discrepancies), [{**row, **more}]))
    return row_id


def change(api: Api, whose: str, **more: Any) -> str:
    """Something decided about a class; of a day the whole school is meant."""
    change_id, offering = api.deps.new_id(), offering_of(whose)
    day = offering == "" or "type" in more
    row = {"id": change_id, "term": TERM, "type": "exchange_day" if day else "cancelled"}
    row |= {"offering_id": "" if day else offering, "session_id": "" if day else key_of(change_id), **more}
    said = {"tenant": tenant_of(whose), "batch_id": change_id, "actor": "test", "run_id": api.deps.new_id()}
    in_unit(api.engine, lambda tx: teaching_changes.add(tx, [{"day": "2099-10-02", **row}], **said))
    return change_id


def plan(api: Api, whose: str) -> str:
    """A plan that somebody has asked for."""
    plan_id, scope = api.deps.new_id(), {"colleges": [COLLEGE[whose]]} if whose in COLLEGE else {}
    said = {"tenant": tenant_of(whose), "plan_id": plan_id, "basis": "source", "scope": scope, "actor": "test"}
    in_unit(api.engine, lambda tx: plans.add(tx, **said))
    return plan_id


def lane(api: Api, whose: str) -> str:
    """A lane of the college; the shared one for the whole school. Both schools may have lanes of one name."""
    name = {"own": MATHS, "college": PHYSICS, "school": SHARED_LANE, "abroad": "南方学院"}[whose]
    in_unit(api.engine, lambda tx: lanes.make(tx, tenant=tenant_of(whose), names=[name]))
    return name


def quarantined(api: Api, whose: str) -> str:
    """A row of the source that was not used."""
    entry_id, tenant = key_of(api.deps.new_id()), tenant_of(whose)
    said = {"kcmc": CANARY if tenant == ABROAD else "代数", "kkxy": COLLEGE.get(whose, "")}
    row = {
        "tenant_id": tenant, "id": entry_id, "kind": "reject", "reason": "bad_date", "file": "meetings.csv", "line": 1,
        "row": json.dumps(said, ensure_ascii=False), "sentence": said["kcmc"], "first_import": 1, "last_import": 1,
        "opened_ms": 1_725_000_000_000,
    }  # fmt: skip
    in_unit(api.engine, lambda tx: tx.execute(insert(quarantine), [row]))
    return entry_id
