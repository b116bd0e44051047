"""What is kept about one student's attendance, and taking out of it what is about the person and not about the class."""

import json
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, select, update

from db.check_in_dead_letters import KIND
from db.tables import (
    attendance_facts,
    attendance_roster_detail,
    attendance_stats,
    checkin_records,
    checkin_refusals,
    jobs,
)  # fmt: skip

EVIDENCE: Final = ("place", "lat_e2", "lon_e2", "point", "device", "client_ms", "outside_m", "accuracy_m", "code_step")
"""Columns of a check-in that say where and with what somebody was: without them the record still says when, and how it counts."""

_TABLES: Final[tuple[tuple[str, Table, str], ...]] = (
    ("standings", attendance_roster_detail, "code"),
    ("check_ins", checkin_records, "code"),
    ("facts", attendance_facts, "code"),
    ("refusals", checkin_refusals, "code"),
    ("statistics", attendance_stats, "user_id"),
)


def of_student(connection: Connection, code: str, *, tenant: str) -> dict[str, list[dict[str, Any]]]:
    """Every row about a student, by what it is, as it stands there; the dead letters of check-ins too."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, table, column in _TABLES:
        where = (table.c.tenant_id == tenant, table.c[column] == code)
        rows = connection.execute(select(table).where(*where).order_by(*table.primary_key.columns))
        found[name] = [dict(row._mapping) for row in rows]
    found["refused_by_database"] = [
        {"id": job_id, "record": record} for job_id, _, record in _dead(connection, code, tenant)
    ]
    return found


def _dead(connection: Connection, code: str, tenant: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(id, payload, record) of each dead letter that is a check-in of the student."""
    where = (jobs.c.tenant_id == tenant, jobs.c.kind == KIND)
    found = []
    for job_id, text in connection.execute(select(jobs.c.id, jobs.c.payload).where(*where)):
        payload = json.loads(text)
        try:
            record = json.loads(payload["record"])
        except (ValueError, RecursionError, TypeError, KeyError):
            continue  # it cannot be read, and so is nobody's
        if isinstance(record, dict) and record.get("code") == code:
            found.append((job_id, payload, record))
    return found


def _turned_away(connection: Connection, code: str, tenant: str) -> int:
    refusals = checkin_refusals.c
    gone = delete(checkin_refusals).where(refusals.tenant_id == tenant, refusals.code == code)
    return int(connection.execute(gone).rowcount)


def erase(connection: Connection, code: str, *, tenant: str) -> dict[str, int]:
    """Take the evidence out of a student's check-ins and the words out of what was said about him. Returns how many of each."""
    records, facts = checkin_records.c, attendance_facts.c
    where = (records.tenant_id == tenant, records.code == code)
    gone = update(checkin_records).where(*where).values(dict.fromkeys(EVIDENCE))
    noted = update(attendance_facts).where(facts.tenant_id == tenant, facts.code == code, facts.note.is_not(None))
    done = {
        "check_ins": int(connection.execute(gone).rowcount),
        "notes": int(connection.execute(noted.values(note=None)).rowcount),
        "refusals": _turned_away(connection, code, tenant),
        "refused_by_database": 0,
    }
    for job_id, payload, record in _dead(connection, code, tenant):
        kept = {name: value for name, value in record.items() if name not in EVIDENCE}
        text = json.dumps({**payload, "record": json.dumps(kept, separators=(",", ":"))})
        of_job = (jobs.c.tenant_id == tenant, jobs.c.id == job_id)
        connection.execute(update(jobs).where(*of_job).values(payload=text))
        done["refused_by_database"] += 1
    return done
