"""A small school with rosters, the real stream's server, and phones that check in."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from sqlalchemy import Engine, func, insert, select

from bootstrap.wiring import new_id
from db import rosters as roster_rows
from db.check_in_stream import CheckInStream
from db.engine import reading, unit
from db.tables import (
    attendance_roster,
    attendance_roster_detail,
    checkin_records,
    jobs,
    rolls,
    rooms,
    sessions,
    tenants,
    terms,
)  # fmt: skip
from domain.attendance import COUNTERS, count
from domain.check_ins import CheckIn
from usecases import rosters
from usecases.check_in import Asked, Desk
from workers.batcher import Batcher

TENANT, TERM = "main", "2024-2025-1"
SECRET = b"bell" * 8
HOUR_MS = 3_600_000
LAT, LON = 39.9, 116.4


@dataclass
class School:
    """Courses with their students; one session each, from `start_ms` on."""

    engine: Engine
    redis: redis.Redis
    start_ms: int = 0
    now_ms: int = 0
    session_ids: list[str] = field(default_factory=list)
    numbers: Any = field(default_factory=itertools.count)

    @property
    def stream(self) -> CheckInStream:
        return CheckInStream(self.redis)

    def desk(self, **changed: Any) -> Desk:
        stream = changed.pop("stream", self.stream)
        return Desk(self.engine, stream, tenant=TENANT, secret=SECRET, clock=lambda: self.now_ms, **changed)

    def batcher(self, **changed: Any) -> Batcher:
        return Batcher(self.engine, changed.pop("stream", self.stream), tenant=TENANT, new_id=new_id, **changed)

    def phone(self, student: str, session: int = 0, **changed: Any) -> Asked:
        """A phone in the room, off by some metres of its own."""
        number = next(self.numbers)
        said: dict[str, Any] = {
            "session_id": self.session_ids[session], "code": student, "client_id": f"k{number}", "device": f"phone-{student}",
            "lat": LAT + number * 1e-7, "lon": LON, "accuracy_m": 15.0,
        }  # fmt: skip
        return Asked(**{**said, **changed})

    # --- what is in the tables ---

    def records(self) -> dict[tuple[str, str], Any]:
        with reading(self.engine) as tx:
            return {(row.session_id, row.code): row for row in tx.execute(select(checkin_records))}

    def statuses(self, session: int = 0) -> dict[str, str]:
        with reading(self.engine) as tx:
            found = roster_rows.students(tx, [self.session_ids[session]], tenant=TENANT, term=TERM)
        return {code: row.status for code, row in found[self.session_ids[session]].items()}

    def counters(self, session: int = 0) -> dict[str, int]:
        with reading(self.engine) as tx:
            row = roster_rows.get(tx, self.session_ids[session], tenant=TENANT, term=TERM)
        assert row is not None
        return {name: getattr(row, name) for name in COUNTERS}

    def roster(self, session: int = 0) -> Any:
        with reading(self.engine) as tx:
            return roster_rows.get(tx, self.session_ids[session], tenant=TENANT, term=TERM)

    def dead_letters(self) -> list[Any]:
        with reading(self.engine) as tx:
            return list(tx.execute(select(jobs).where(jobs.c.kind == "checkin", jobs.c.state == "dead")))

    def assert_counters_are_a_recount(self) -> None:
        """After every commit."""
        with reading(self.engine) as tx:
            rows = tx.execute(
                select(attendance_roster_detail.c.session_id, attendance_roster_detail.c.status, func.count())
                .group_by(attendance_roster_detail.c.session_id, attendance_roster_detail.c.status)
            ).all()  # fmt: skip
            kept = tx.execute(select(attendance_roster)).all()
        for row in kept:
            statuses = [status for session, status, many in rows if session == row.session_id for _ in range(many)]
            assert {name: getattr(row, name) for name in COUNTERS} == count(statuses), row.session_id

    def drain(self, batcher: Batcher | None = None) -> Batcher:
        """Write all that waits."""
        writer = batcher or self.batcher()
        give_up = time.monotonic() + 30
        while self.stream.length() and time.monotonic() < give_up:
            writer.step()
        assert self.stream.length() == 0
        return writer


def school(engine: Engine, client: redis.Redis, *, courses: int = 1, students: int = 4) -> School:
    """A school whose sessions have just begun, with rosters and with their keys loaded."""
    now = time.time_ns() // 1_000_000
    made = School(engine, client, start_ms=now + HOUR_MS, now_ms=now + HOUR_MS)
    codes = [f"u{number:05d}" for number in range(students)]
    with unit(engine) as tx:
        tx.execute(insert(tenants), [tenant_row(now)])
        tx.execute(insert(terms), [{"tenant_id": TENANT, "xnxq": TERM, "status": "open", "exchange": "{}"}])
        tx.execute(
            insert(rooms),
            [{"tenant_id": TENANT, "xq": "本部", "lq": "一教", "room": "101", "lat": str(LAT), "lon": str(LON)}],
        )
        for number in range(courses):
            add_course(tx, made, number, codes)
    rosters.make_ahead(engine, tenant=TENANT, from_ms=now, until_ms=now + 3 * HOUR_MS)
    return made


def tenant_row(now: int) -> dict[str, Any]:
    return {
        "id": TENANT, "zone": "Asia/Shanghai", "settings": "{}", "wps_app_id": "", "wps_app_key": "", "last_import_no": 1,
        "reading_run": None, "created_ms": now,
    }  # fmt: skip


def add_course(tx: Any, made: School, number: int, codes: Sequence[str]) -> None:
    session_id, offering = f"session{number:04d}", f"course{number:04d}"
    made.session_ids.append(session_id)
    tx.execute(
        insert(sessions),
        [{
            "tenant_id": TENANT, "term": TERM, "id": session_id, "offering_id": offering, "jxz": 1, "zc": 1, "jc_s": "1/2",
            "date": "2024-09-02", "start_ms": made.start_ms, "end_ms": made.start_ms + HOUR_MS,
            "rooms": json.dumps([["本部", "一教", "101"]]), "teachers": "[]", "source_rows": 2, "import_no": 1,
        }],
    )  # fmt: skip
    enrol(tx, offering, codes)


def enrol(tx: Any, offering: str, codes: Sequence[str], *, import_no: int = 1) -> None:
    rows = [
        {
            "tenant_id": TENANT,
            "term": TERM,
            "offering_id": offering,
            "kind": "student",
            "code": code,
            "import_no": import_no,
        }
        for code in codes
    ]
    if rows:
        tx.execute(insert(rolls), rows)


def records_for(made: School, number: int, *, session: int = 0) -> list[CheckIn]:
    """Check-ins as they would stand in the stream, made without a desk."""
    return [
        CheckIn(
            tenant=TENANT, term=TERM, session_id=made.session_ids[session], code=f"u{at:05d}", client_id=f"k{at}",
            receipt=f"receipt-{at}", at_ms=made.now_ms + at, status="NORMAL", timing="NORMAL", way="location", rule_version=0,
            device=f"d{at}", point=f"p{at}",
        )
        for at in range(number)
    ]  # fmt: skip


def until(true: Callable[[], object], what: str, *, within_s: float = 30.0) -> None:
    """Wait for something that another thread or process does."""
    give_up = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up, what
        time.sleep(0.01)


def running(batcher: Batcher) -> tuple[threading.Thread, threading.Event]:
    stopping = threading.Event()
    thread = threading.Thread(target=batcher.run, args=(stopping,), daemon=True)
    thread.start()
    return thread, stopping
