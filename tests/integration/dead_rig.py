"""Dead letters for tests: some that die as the drain lets them die, and thousands copied from one of those."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine, insert, select

from bootstrap.wiring import new_id
from db import closing, jobs, lanes, mirror
from db.engine import in_unit, reading
from db.jobs import Put
from db.tables import AnyRow, offerings, rolls, users
from db.tables import failures as failure_rows
from db.tables import jobs as job_rows
from db.tables import mirror as mirror_rows
from domain.ids import marker_of
from domain.plans import SessionView, desired_event, event_target
from tests.integration.drain_rig import DAY_MS, FIRST_MS, SECRET, TERM

TENANT, LANE = "main", "数学学院"
REJECTED = "events.batch_create: rejected (status 400, code 400411023): text is not allowed: no. {n}"


def event(number: int, course: str = "c1", *, lane: str = LANE) -> Put:
    """The event of a course on the given day of the term."""
    start_ms = FIRST_MS + number * DAY_MS
    view = SessionView(f"{course}-{number}", f"day {number}", start_ms, start_ms + 5_700_000, (("东", "", "101"),), ())
    want = desired_event(view, summary=f"课{course}")
    marker = marker_of(SECRET, tenant=TENANT, target=want.target, generation=0)
    return Put("event", want.target, f"cal:{course}", TERM, lane, want.payload, want.hash, 0, 2, marker=marker)


def calendar(course: str = "c1", *, lane: str = LANE) -> Put:
    """The calendar of a course."""
    name = f"课{course} ·abcdefg"
    target = f"cal:{course}"
    return Put("calendar", target, target, TERM, lane, json.dumps({"name": name}), "h", 0, 0, name=name)


def die(
    engine: Engine,
    *puts: Put,
    message: str = REJECTED,
    code: str = "bad_request",
    run_id: str | None = "r1",
) -> list[str]:
    """Put jobs and let them die as the drain would. Returns their ids."""

    def work(tx: Any) -> list[str]:
        lanes.make(tx, tenant=TENANT, names={one.lane for one in puts})
        jobs.put(tx, sorted(puts, key=lambda one: one.target), tenant=TENANT, import_no=1, run_id=run_id, new_id=new_id)
        found = []
        for number, one in enumerate(puts):
            where = (job_rows.c.tenant_id == TENANT, job_rows.c.open_key == one.target)
            row = tx.execute(select(job_rows).where(*where)).one()
            there = mirror.read_one(tx, tenant=TENANT, term=one.term, target=one.target)
            wanted = mirror.Wanted(
                row.id, row.kind, row.target, row.group_id, row.term, row.rev, 1, row.payload, row.desired_hash,
                row.run_id, None, there,
            )  # fmt: skip
            text = message.replace("{n}", str(number))
            closing.dead(tx, wanted, tenant=TENANT, lane=one.lane, code=code, message=text)
            found.append(str(row.id))
        return found

    return in_unit(engine, work)


def copies(engine: Engine, job_id: str, count: int, *, courses: int = 50) -> None:
    """So many more dead letters of the same fault: the event of one more day each, spread over courses."""
    with reading(engine) as tx:
        job = dict(tx.execute(select(job_rows).where(job_rows.c.id == job_id)).one()._mapping)
        failed = dict(tx.execute(select(failure_rows).where(failure_rows.c.job_id == job_id)).one()._mapping)
        there = dict(tx.execute(select(mirror_rows).where(mirror_rows.c.target == job["target"])).one()._mapping)
    for start in range(0, count, 500):
        of_jobs, of_failures, of_mirror = [], [], []
        for number in range(start, min(count, start + 500)):
            course, id_ = f"k{number % courses}", new_id()
            own = {"target": event_target(f"{course}-{number}"), "group_id": f"cal:{course}"}
            of_jobs.append({**job, **own, "id": id_})
            died_ms = failed["died_ms"] - 1 - number // 7
            of_failures.append({**failed, **own, "job_id": id_, "offering_id": course, "died_ms": died_ms})
            marker = marker_of(SECRET, tenant=TENANT, target=own["target"], generation=0)
            of_mirror.append({**there, **own, "marker": marker})

        def work(tx: Any, rows: Any = (of_jobs, of_failures, of_mirror)) -> None:
            for table, some in zip((job_rows, failure_rows, mirror_rows), rows, strict=True):
                tx.execute(insert(table), some)

        in_unit(engine, work)


def roll(engine: Engine, course: str, *codes: str) -> None:
    """Students of a course."""
    key = {"tenant_id": TENANT, "import_no": 1}
    people = [{**key, "kind": "student", "code": one, "name": one, "college": "", "listed": True} for one in codes]
    taken = [{**key, "term": TERM, "offering_id": course, "kind": "student", "code": one} for one in codes]
    offering = {
        **key,
        "term": TERM,
        "id": course,
        "kkh": course,
        "kcbh": course,
        "name": f"课{course}",
        "college": LANE,
    }

    def work(tx: Any) -> None:
        known = set(tx.execute(select(users.c.code)).scalars())
        if fresh := [one for one in people if one["code"] not in known]:
            tx.execute(insert(users), fresh)
        tx.execute(insert(rolls), taken)
        tx.execute(insert(offerings), [offering])

    in_unit(engine, work)


def job(engine: Engine, job_id: str) -> AnyRow:
    """A job as it is now."""
    with reading(engine) as tx:
        return tx.execute(select(job_rows).where(job_rows.c.id == job_id)).one()


def states(engine: Engine) -> dict[str, int]:
    """State → how many lane jobs."""
    with reading(engine) as tx:
        found: dict[str, int] = {}
        for state in tx.execute(select(job_rows.c.state).where(job_rows.c.lane.is_not(None))).scalars():
            found[state] = found.get(state, 0) + 1
        return found
