"""A school at the bell: sessions with their rosters, and as many check-ins as students."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, func, insert, select

from db.engine import make_engine, reading, unit
from db.migrate import upgrade
from db.tables import attendance_roster, attendance_roster_detail, checkin_records, rolls, sessions, tenants, terms
from domain.attendance import COUNTERS, count
from domain.check_ins import CheckIn
from domain.receipts import Receipt, number_of, sign
from usecases import rosters

TENANT, TERM = "bench", "2024-2025-1"
_SECRET = b"bench" * 8
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Shape:
    """So many sessions at once, of so many students each. Nobody sits in two."""

    sessions: int
    students: int

    @property
    def check_ins(self) -> int:
        return self.sessions * self.students


def make_world(url: str, shape: Shape) -> Engine:
    """A migrated database with the rosters of all sessions, everybody pending."""
    engine = make_engine(url)
    upgrade(engine)
    start_ms = time.time_ns() // 1_000_000 + _HOUR_MS
    with unit(engine) as tx:
        tx.execute(
            insert(tenants).values(
                id=TENANT,
                zone="Asia/Shanghai",
                settings="{}",
                wps_app_id="",
                wps_app_key="",
                last_import_no=1,
                created_ms=0,
            )
        )
        tx.execute(insert(terms).values(tenant_id=TENANT, xnxq=TERM, status="open", exchange="{}"))
        for number in range(shape.sessions):
            tx.execute(insert(sessions).values(**_session(number, start_ms)))
            tx.execute(insert(rolls), [_on_roll(number, student) for student in range(shape.students)])
    rosters.make_ahead(engine, tenant=TENANT, from_ms=start_ms - 1, until_ms=start_ms + 1)
    return engine


def _session(number: int, start_ms: int) -> dict[str, object]:
    return {
        "tenant_id": TENANT, "term": TERM, "id": f"session{number:06d}", "offering_id": f"course{number:06d}", "jc_s": "1/2",
        "date": "2024-09-02", "start_ms": start_ms, "end_ms": start_ms + _HOUR_MS, "rooms": json.dumps([["", "一教", "101"]]),
        "teachers": "[]", "source_rows": 2, "import_no": 1,
    }  # fmt: skip


def _code(number: int, student: int) -> str:
    return f"u{number:04d}{student:05d}"


def _on_roll(number: int, student: int) -> dict[str, object]:
    return {
        "tenant_id": TENANT, "term": TERM, "offering_id": f"course{number:06d}", "kind": "student",
        "code": _code(number, student), "import_no": 1,
    }  # fmt: skip


def check_ins(shape: Shape) -> list[CheckIn]:
    """One of each student, as phones would send them: sessions mixed, with signed receipts of the real size."""
    now = time.time_ns() // 1_000_000
    return [
        _check_in(number, student, now) for student in range(shape.students) for number in range(shape.sessions)
    ]  # fmt: skip


def _check_in(number: int, student: int, now: int) -> CheckIn:
    session_id, code = f"session{number:06d}", _code(number, student)
    receipt = Receipt(
        number=number_of(_SECRET, tenant=TENANT, session_id=session_id, code=code), tenant=TENANT, term=TERM,
        session_id=session_id, code=code, at_ms=now, decision="accepted", timing="NORMAL", reasons=(), outside_m=-100,
        rule_version=1, client_id=f"client-{code}",
    )  # fmt: skip
    return CheckIn(
        tenant=TENANT, term=TERM, session_id=session_id, code=code, client_id=f"client-{code}", receipt=sign(_SECRET, receipt),
        at_ms=now, status="NORMAL", timing="NORMAL", way="location", rule_version=1, outside_m=-100, accuracy_m=20,
        device=f"device-{code}", point=f"point-{code}", lat_e2=3990, lon_e2=11640,
    )  # fmt: skip


def wrong_rows(engine: Engine, expected: Sequence[CheckIn]) -> int:
    """How many records, details and rosters are not what these check-ins should have left, looked up in the tables."""
    keys = {(one.session_id, one.code): one.receipt for one in expected}
    with reading(engine) as tx:
        records = {
            (row.session_id, row.code): row.receipt
            for row in tx.execute(
                select(checkin_records.c.session_id, checkin_records.c.code, checkin_records.c.receipt)
            )
        }
        details = tx.execute(
            select(attendance_roster_detail.c.session_id, attendance_roster_detail.c.status, func.count()).group_by(
                attendance_roster_detail.c.session_id, attendance_roster_detail.c.status
            )
        ).all()
        kept = tx.execute(select(attendance_roster)).all()
        came = tx.execute(
            select(attendance_roster_detail.c.session_id, attendance_roster_detail.c.code).where(
                attendance_roster_detail.c.status == "ATTENDED"
            )
        ).all()
    wrong: int = sum(records.get(key) != receipt for key, receipt in keys.items()) + len(records.keys() - keys.keys())
    wrong += len({tuple(row) for row in came} ^ keys.keys())
    for row in kept:
        statuses = [status for session, status, many in details if session == row.session_id for _ in range(many)]
        wrong += {name: getattr(row, name) for name in COUNTERS} != count(statuses)
    return wrong
