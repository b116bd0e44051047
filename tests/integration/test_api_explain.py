"""Why a class, or a student in it, is as it is: from the row of the source to WPS and the roster."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import insert

from db import audit
from db.engine import in_unit
from db.tables import (
    attendance_facts,
    attendance_roster,
    attendance_roster_detail,
    checkin_records,
    imports,
    jobs,
    meetings,
    members,
    mirror,
    rolls,
    sessions,
    users,
)  # fmt: skip
from domain.aggregation import session_id
from domain.ids import key_of
from tests.integration.api_rig import HOME, MATHS, TERM, Api

pytestmark = pytest.mark.integration
ALGEBRA = key_of(HOME, MATHS)
CLASS = session_id(ALGEBRA, "week", "1", "1", "3")
START_MS, END_MS = 1_725_242_400_000, 1_725_245_100_000
MS = 1_725_000_000_000


@pytest.fixture
def explained(api: Api) -> Api:
    """A class of algebra that was imported, sent and held; Mei came late and was corrected."""
    run_id = api.run(state="succeeded")

    def work(tx: Any) -> None:
        for table, row in _rows(run_id):
            tx.execute(insert(table), [{"tenant_id": HOME, **row}])
        said = {"actor": "user:ada", "action": "dead.requeue", "thing": "job-1", "request": "req-7"}
        audit.write(tx, tenant=HOME, new_id=api.deps.new_id, **said)

    in_unit(api.engine, work)
    return api


def _rows(run_id: str) -> list[tuple[Any, dict[str, Any]]]:
    at: dict[str, Any] = {"term": TERM}
    numbers = dict.fromkeys(("cursor", "rows_in", "staged", "rejected", "held", "findings", "sessions"), 0)
    place = {"xq": "", "lq": "一教", "room": "101", "ghs": "bao", "xms": "包", "jxz": 1, "zc": 1, "jc": 3}
    when = {"date": "2024-09-02", "start_ms": START_MS, "end_ms": END_MS}
    cal, evt = f"cal:{ALGEBRA}", f"evt:{CLASS}"
    blank = {"generation": 1, "sent_hash": "h", "import_no": 1, "list_max": 100, "parked_until": 0, "lane": MATHS, **at}
    job = {"payload": "{}", "desired_hash": "h", "schema_ver": 1, "rev": 1, "import_no": 1, "tier": 0, "priority": 0}
    counted = dict.fromkeys(
        ("absent_count", "leave_count", "pending_count", "review_count", "early_count", "attended_count"), 0
    )
    return [
        (imports, {"import_no": 1, "run_id": run_id, "source": "/of/north", "files": json.dumps({"meetings": "meetings.csv"}),
                   "fingerprint": "f", "state": "complete", "part": "", "started_ms": MS, "finished_ms": MS + 1, **numbers}),
        (meetings, {**at, "import_no": 1, "offering_id": ALGEBRA, "line": 2, "kkh": "A-1", "kcbh": "A-1", "kcmc": "代数",
                    "kkxy": MATHS, "sfdk": "", "row_hash": "r", **place, **when}),
        (sessions, {**at, **when, "id": CLASS, "offering_id": ALGEBRA, "jxz": 1, "zc": 1, "jc_s": "3", "source_rows": 1,
                    "rooms": json.dumps([["", "一教", "101"]]), "teachers": json.dumps(["包"]), "import_no": 1}),
        (rolls, {**at, "offering_id": ALGEBRA, "kind": "student", "code": "s1", "import_no": 1}),
        (users, {"kind": "student", "code": "s1", "name": "王", "college": MATHS, "listed": True, "import_no": 1,
                 "wps_id": "w1"}),
        (mirror, {**blank, "target": cal, "group_id": cal, "kind": "calendar", "state": "live", "remote_id": "wps-cal"}),
        (mirror, {**blank, "target": evt, "group_id": cal, "kind": "event", "state": "live", "remote_id": "wps-event"}),
        (members, {**at, "group_id": cal, "user_id": "w1", "role": "reader", "permission_id": "p1"}),
        (jobs, {**at, **job, "id": "job-1", "lane": MATHS, "kind": "event", "target": evt, "group_id": cal, "state": "done",
                "run_at": MS, "attempts": 1, "run_id": run_id, "created_ms": MS + 2, "finished_ms": MS + 3}),
        (attendance_roster, {**at, **counted, "session_id": CLASS, "course_id": ALGEBRA, "course_date": "2024-09-02",
                             "start_ms": START_MS, "end_ms": END_MS, "status": "COMPLETED", "total_students": 1,
                             "late_count": 1, "version": 1, "marks": 0, "made_ms": MS + 4}),
        (attendance_roster_detail, {**at, "session_id": CLASS, "code": "s1", "status": "LATE", "leave_noted": False,
                                    "produced_by": "check_in", "why": "import 1", "since_ms": MS + 4, "counted": "LATE"}),
        (checkin_records, {**at, "session_id": CLASS, "code": "s1", "client_id": "c", "receipt": "secret-receipt",
                           "at_ms": START_MS + 900_000, "status": "LATE", "timing": "LATE", "reasons": "late", "doubts": "",
                           "way": "location", "outside_m": 0, "accuracy_m": 20, "rule_version": 1, "device": "her-device",
                           "point": "her-point", "lat_e2": 3990, "lon_e2": 11630, "created_ms": START_MS + 900_001}),
        (attendance_facts, {**at, "session_id": CLASS, "code": "s1", "id": "f1", "kind": "correction", "at_ms": END_MS,
                            "says": "NORMAL", "about": "", "actor": "user:bao", "note": "bus"}),
    ]  # fmt: skip


def test_a_class_is_followed_from_its_row_to_wps(explained: Api) -> None:
    """Which row of which file, which session, which operation of which run, and what WPS calls it; who did what when."""
    response = explained.person("sun").get(f"/api/v1/explanations/sessions/{CLASS}")
    said = response.get_json()["data"]
    (row,) = said["source"]["rows"]
    assert (row["file"], row["line"], row["kcmc"]) == ("meetings.csv", 2, "代数")
    assert said["session"]["startAt"] == "2024-09-02T02:00:00.000Z"
    assert {one["kind"]: one["remoteId"] for one in said["wps"]} == {"calendar": "wps-cal", "event": "wps-event"}
    (operation,) = said["operations"]
    assert (operation["id"], operation["state"], operation["runId"]) == ("job-1", "done", said["source"]["runId"])
    assert said["roster"]["lateCount"] == 1
    (act,) = [one for one in said["timeline"] if one["what"] == "dead.requeue"]
    assert (act["actor"], act["request"], act["thing"]) == ("user:ada", "req-7", "job-1")
    assert [one["at"] for one in said["timeline"]] == sorted((one["at"] for one in said["timeline"]), reverse=True)
    assert {"import.complete", "event.asked_for", "event.done", "roster.made", "run.full"} <= {
        one["what"] for one in said["timeline"]
    }


def test_a_student_is_followed_to_the_evidence_and_no_place_is_told(explained: Api) -> None:
    """Roll, calendar, row of the roster, check-in, correction: and neither receipt nor device nor where she was."""
    response = explained.person("ada").get(f"/api/v1/explanations/sessions/{CLASS}/users/s1")
    said = response.get_json()["data"]
    assert [one["kind"] for one in said["person"]["roll"]] == ["student"]
    assert (said["person"]["inCalendar"][0]["role"], said["rosterRow"]["status"]) == ("reader", "LATE")
    assert (said["checkIn"]["status"], said["checkIn"]["outsideM"]) == ("LATE", 0)
    assert [(one["kind"], one["actor"], one["note"]) for one in said["facts"]] == [("correction", "user:bao", "bus")]
    assert {"check_in", "correction"} <= {one["what"] for one in said["timeline"]}
    for hidden in ("secret-receipt", "her-device", "her-point", "3990"):
        assert hidden not in response.get_data(as_text=True)
    assert explained.person("mei").get(f"/api/v1/explanations/sessions/{CLASS}").status_code == 403
    assert explained.person("ada").get("/api/v1/explanations/sessions/nothing").status_code == 404
