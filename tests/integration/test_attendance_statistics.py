"""Sums of attendance: what they count, and counting them again while everybody writes."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, insert, select, update

from bootstrap.wiring import new_id
from db import recounts as recount_rows
from db import schedules as schedule_rows
from db import tasks
from db.engine import reading, unit
from db.tables import (
    attendance_roster,
    attendance_roster_detail,
    attendance_roster_teachers,
    attendance_stats,
    jobs,
    offerings,
    rolls,
    sessions,
    users,
)  # fmt: skip
from domain.attendance import CORRECTION, EARLY, LATE, LEAVE, ON_LEAVE, Fact
from domain.statistics import STATS, Key
from observability.metrics import ATTENDANCE_DRIFT
from tests.integration.bell_rig import HOUR_MS, TENANT, TERM, School, records_for, school
from tests.integration.identity_rig import deps_of
from usecases import check_in_batch, recounts, rosters, schedules
from usecases.deps import Deps
from usecases.tasks import ClaimLost, Task

pytestmark = pytest.mark.integration

DAYS = ("2024-09-02", "2024-09-09", "2024-09-10")
COLLEGES = ("maths", "", "maths")


@pytest.fixture
def here(database: Engine, redis_client: redis.Redis) -> School:
    """Three courses, each with a class on a day of its own; Wang and Li teach the first, Wang the others."""
    made = school(database, redis_client, courses=3)
    with unit(database) as tx:
        for number, college in enumerate(COLLEGES):
            course = {"id": f"course{number:04d}", "kkh": f"k{number}", "kcbh": "", "name": "c", "college": college}
            tx.execute(insert(offerings), [{"tenant_id": TENANT, "term": TERM, "import_no": 1, **course}])
            for code in ("wang", "li")[: 2 if number == 0 else 1]:
                teaches(tx, code, course["id"])
        for code, name in (("wang", "王"), ("li", "李")):
            person = {"kind": "teacher", "code": code, "name": name, "college": "maths", "listed": True, "import_no": 1}
            tx.execute(insert(users), [{"tenant_id": TENANT, **person}])
        for number, day in enumerate(DAYS):
            where = f"session{number:04d}"
            tx.execute(update(sessions).where(sessions.c.id == where).values(date=day, teachers='["王"]'))
            tx.execute(update(attendance_roster).where(attendance_roster.c.session_id == where).values(course_date=day))
    return made


def teaches(tx: Any, code: str, course: str) -> None:
    row = {"tenant_id": TENANT, "term": TERM, "offering_id": course, "kind": "teacher", "code": code, "import_no": 1}
    tx.execute(insert(rolls), [row])


def close_all(here: School) -> None:
    rosters.sweep(here.engine, here.stream, tenant=TENANT, now=here.start_ms + HOUR_MS)


def sums(engine: Engine) -> dict[Key, dict[str, int]]:
    """As they are stored, those that are nothing left out."""
    with reading(engine) as tx:
        rows = tx.execute(select(attendance_stats)).all()
    found = {
        Key(row.user_id, row.course_id, row.teacher_id, row.college, row.period): {name: getattr(row, name) for name in STATS}
        for row in rows
    }  # fmt: skip
    return {key: counts for key, counts in found.items() if any(counts.values())}


OF_STATUS = {
    "ATTENDED": ("attended_classes",), "LATE": ("attended_classes", "late_classes"), "PENDING": ("pending_classes",),
    "EARLY": ("attended_classes", "early_leave_classes"), "ABSENT": ("absence_classes",), "LEAVE": ("leave_classes",),
    "REVIEW": ("review_classes",),
}  # fmt: skip


def counted_by_hand(engine: Engine) -> dict[Key, dict[str, int]]:
    """The same from details, in a way of its own."""
    with reading(engine) as tx:
        kept = {row.session_id: row for row in tx.execute(select(attendance_roster)) if row.college is not None}
        taught: dict[str, list[str]] = {}
        for row in tx.execute(select(attendance_roster_teachers)):
            taught.setdefault(row.session_id, []).append(row.code)
        details = tx.execute(select(attendance_roster_detail)).all()
    found: dict[Key, Counter[str]] = {}
    weeks = {"2024-09-02": "2024-W36", "2024-09-09": "2024-W37", "2024-09-10": "2024-W37"}
    for row in details:
        roster = kept.get(row.session_id)
        if roster is None or row.status == "DROPPED":
            continue
        day = roster.course_date
        keys = [Key(row.code), Key(row.code, roster.course_id)]
        for period in ("", weeks[day], day):
            keys += [Key("", roster.course_id, "", "", period), Key("", "", "", roster.college, period)]
            keys += [Key("", "", code, "", period) for code in taught.get(row.session_id, ())]
        for key in keys:
            found.setdefault(key, Counter()).update({"total_classes": 1, **dict.fromkeys(OF_STATUS[row.status], 1)})
    return {key: {name: counts[name] for name in STATS} for key, counts in found.items()}


def say(here: School, session: int, code: str, fact: Fact) -> None:
    session_id = here.session_ids[session]
    rosters.add_facts(here.engine, session_id, [(code, fact)], tenant=TENANT, term=TERM, actor="teacher:t")


def test_sums_are_a_recount_after_every_commit(here: School) -> None:
    """Of a student, a course, a teacher, a college; over the term, a week, a day; whatever happens in whatever order."""
    chance = random.Random(7)
    codes = list(here.statuses())
    for number in range(40):
        session = chance.randrange(3)
        match chance.randrange(5):
            case 0:
                check_in_batch.write(
                    here.engine, records_for(here, chance.randint(1, 4), session=session), tenant=TENANT
                )
            case 1:
                said = chance.choice(("ATTENDED", "LATE", "ABSENT", "PENDING", "REVIEW", ""))
                say(here, session, chance.choice(codes), Fact(f"c{number}", CORRECTION, number, said))
            case 2:
                leave = Fact(f"l{number}", ON_LEAVE, number, chance.choice((LEAVE, "")), "l")
                say(here, session, chance.choice(codes), leave)
            case 3 if number > 10:
                with reading(here.engine) as tx:
                    rows = tx.execute(select(attendance_roster).order_by(attendance_roster.c.session_id)).all()
                rosters.close(here.engine, rows[session])
            case _:
                with unit(here.engine) as tx:  # what the timetable says later changes no past sum
                    tx.execute(update(offerings).values(college=chance.choice(("arts", "maths"))))
        assert sums(here.engine) == counted_by_hand(here.engine), number
        here.assert_counters_are_a_recount()
    assert {one for one in sums(here.engine) if one.teacher_id} and len(sums(here.engine)) > 20


def test_a_class_counts_for_those_who_held_it(here: School) -> None:
    """Of a course with two teachers the one whom the timetable names; where it names nobody of them, both."""
    with unit(here.engine) as tx:
        tx.execute(update(sessions).where(sessions.c.id == "session0001").values(teachers='["guest"]'))
        teaches(tx, "li", "course0001")
    close_all(here)
    found = sums(here.engine)
    assert {key.period: counts["total_classes"] for key, counts in found.items() if key.teacher_id == "wang"} == {
        "": 12, "2024-W36": 4, "2024-W37": 8, "2024-09-02": 4, "2024-09-09": 4, "2024-09-10": 4,
    }  # fmt: skip
    assert {key.period for key in found if key.teacher_id == "li"} == {"", "2024-W37", "2024-09-09"}
    assert {key.college: counts["absence_classes"] for key, counts in found.items() if key.college and not key.period} == {
        "maths": 8, "_": 4,
    }  # fmt: skip


# --- counting again --------------------------------------------------------------------------------------------------


@pytest.fixture
def deps(here: School) -> Iterator[Deps]:
    yield replace(deps_of(here.engine), tenant=TENANT)


def claimed(deps: Deps, claim: str, tenant: str = TENANT) -> Task:
    with unit(deps.engine) as tx:
        tx.execute(update(jobs).where(jobs.c.kind == recounts.KIND).values(run_at=0))
        job_id = tx.execute(
            select(jobs.c.id).where(jobs.c.kind == recounts.KIND, jobs.c.state == "queued")
        ).scalar_one()
        task = tasks.claim_task(tx, tenant=tenant, job_id=job_id, claim=claim, visibility_ms=15_000, max_attempts=5)
    assert task is not None
    return task


def recounted(deps: Deps, **how: Any) -> tuple[Any, list[Any]]:
    """A recount from its beginning to its end, and its drift."""
    recount_id = recounts.begin(deps, actor="user:ada", **how)
    recounts.carry_on(deps, claimed(deps, new_id()))
    with reading(deps.engine) as tx:
        row = recount_rows.get(tx, recount_id, tenant=TENANT)
        assert row is not None and row.state == recount_rows.DONE
        return row, recount_rows.drift_of(tx, recount_id, tenant=TENANT, colleges=None, limit=2_000)


def spoil(here: School) -> None:
    """A counter, a sum of each kind, one that is missing and one of nobody."""
    with unit(here.engine) as tx:
        tx.execute(
            update(attendance_roster).where(attendance_roster.c.session_id == "session0001").values(late_count=9)
        )
        c = attendance_stats.c
        for where in (
            (c.user_id == "u00001") & (c.course_id == "course0001"), (c.teacher_id == "wang") & (c.period == "2024-W37"),
            (c.college == "maths") & (c.period == ""), (c.college == "maths") & (c.period == "2024-09-10"),
        ):  # fmt: skip
            assert (
                tx.execute(update(attendance_stats).where(where).values(absence_classes=c.absence_classes + 5)).rowcount
                == 1
            )
        missing = (c.course_id == "course0002") & (c.user_id == "")
        assert tx.execute(attendance_stats.delete().where(missing)).rowcount == 3
        nobody = {**Key("nobody")._asdict(), **dict.fromkeys(STATS, 1)}
        tx.execute(insert(attendance_stats), [{"tenant_id": TENANT, "xnxq": TERM, **nobody}])


def test_a_recount_finds_names_and_mends_what_is_wrong(here: School, deps: Deps) -> None:
    """Counters of classes too; how many differ and which, and what it was and is."""
    close_all(here)
    spoil(here)
    before = dict(ATTENDANCE_DRIFT.taken())
    looked, seen = recounted(deps, mends=False)
    assert (looked.differing, looked.mended) == (9, 0)
    row, drift = recounted(deps)
    assert (row.differing, row.mended, len(drift)) == (9, 9, 9)
    assert Counter(one.kind for one in drift) == {"roster": 1, "user": 2, "course": 3, "teacher": 1, "college": 2}
    # The week of a college is the sum of its days: one of those was wrong, and is right by the time.
    named = {(one.kind, one.subject, one.course_id, one.period): one for one in drift}
    wrong = named["user", "u00001", "course0001", ""]
    assert (json.loads(wrong.was)["absence_classes"], json.loads(wrong.now)["absence_classes"]) == (6, 1)
    assert (
        named["roster", "session0001", "course0001", ""].college == ""
        and named["college", "maths", "", ""].college == "maths"
    )
    assert {key: value - before.get(key, 0) for key, value in ATTENDANCE_DRIFT.taken().items()} == {
        "roster": 2, "user": 4, "course": 6, "teacher": 2, "college": len([*seen, *drift]) - 14,
    }  # fmt: skip
    assert sums(here.engine) == counted_by_hand(here.engine)
    again, nothing = recounted(deps)
    assert (again.differing, nothing) == (0, []) and again.compared == 3 + 5 + 3 + 1 + 2


def test_a_recount_among_writers_reports_nothing_and_undoes_nothing(here: School, deps: Deps) -> None:
    """Corrections are committed while it counts: what is only on its way is no drift, and what was just added stays."""
    close_all(here)
    over, failed = threading.Event(), []
    codes = list(here.statuses())

    def correct(session: int) -> None:
        chance = random.Random(session)
        number = 0
        while not over.is_set():
            number += 1
            said = chance.choice((LATE, EARLY, "ABSENT", "ATTENDED"))
            try:
                say(here, session, chance.choice(codes), Fact(f"c{session}-{number}", CORRECTION, number, said))
            except Exception as error:
                failed.append(error)
                return

    threads = [threading.Thread(target=correct, args=(session,), daemon=True) for session in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            row, drift = recounted(deps)
            assert (row.differing, drift) == (0, [])
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert not failed
    assert sums(here.engine) == counted_by_hand(here.engine)
    here.assert_counters_are_a_recount()


def test_a_recount_goes_on_where_it_was_under_a_fence(
    here: School, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose worker died is taken over; the worker that was thought dead writes nothing more."""
    close_all(here)
    recount_id = recounts.begin(deps, actor="user:ada")
    assert recounts.begin(deps, actor="user:ada") == recount_id  # one at a time
    monkeypatch.setattr(recounts, "_SLICE_S", -1.0)
    first = claimed(deps, "first")
    recounts.carry_on(deps, first)  # a page, and then it asks for its next turn
    with reading(deps.engine) as tx:
        row = recount_rows.get(tx, recount_id, tenant=TENANT)
    assert row is not None and (row.state, row.compared, json.loads(row.position)) == (
        "working",
        3,
        [0, "roster", "session0002"],
    )
    monkeypatch.setattr(recounts, "_SLICE_S", 60.0)
    second = claimed(deps, "second")
    with pytest.raises(ClaimLost):
        recounts.carry_on(deps, first)
    recounts.carry_on(deps, second)
    with reading(deps.engine) as tx:
        row = recount_rows.get(tx, recount_id, tenant=TENANT)
    assert row is not None and (row.state, row.compared, row.differing) == ("done", 13, 0)


def test_a_recount_that_is_cancelled_ends(here: School, deps: Deps) -> None:
    """At the next page, and only once."""
    close_all(here)
    spoil(here)
    recount_id = recounts.begin(deps, actor="user:ada")
    recounts.cancel(deps, recount_id, actor="user:ada")
    recounts.carry_on(deps, claimed(deps, "c"))
    with reading(deps.engine) as tx:
        row = recount_rows.get(tx, recount_id, tenant=TENANT)
        assert not tx.execute(select(jobs).where(jobs.c.kind == recounts.KIND, jobs.c.state == "queued")).all()
    assert row is not None and (row.state, row.compared) == ("cancelled", 0)
    with pytest.raises(recounts.NotWorking):
        recounts.cancel(deps, recount_id, actor="user:ada")
    assert recounts.begin(deps, actor="user:ada") != recount_id


def test_each_night_a_slot_begins_a_recount(here: School, deps: Deps) -> None:
    """Whether or not anything was ever synced: attendance does not depend on it."""
    with unit(here.engine) as tx:
        schedules.seed(tx, tenant=TENANT)
    slot_ms = schedules.run_now(deps, "recount-nightly")
    with unit(here.engine) as tx:
        tx.execute(update(jobs).values(run_at=0))
        job_id = tx.execute(select(jobs.c.id).where(jobs.c.kind == schedules.KIND)).scalar_one()
        task = tasks.claim_task(tx, tenant=TENANT, job_id=job_id, claim="s", visibility_ms=15_000, max_attempts=5)
    assert task is not None
    schedules.act(deps, task)
    row = recounts.newest(deps)
    assert row is not None and (row.state, row.asked_by) == ("working", "schedule")
    with reading(here.engine) as tx:
        slot = schedule_rows.slot_of(tx, tenant=TENANT, name="recount-nightly", slot_ms=slot_ms)
    assert slot is not None and (slot.state, slot.reason) == ("started", f"recount {row.id}")


def test_a_roster_that_older_code_has_closed_is_counted_anew(here: School) -> None:
    """After the migration its sums are gone, and so are those of its weeks, which nobody had written down."""
    close_all(here)
    was = sums(here.engine)
    with unit(here.engine) as tx:
        tx.execute(attendance_stats.delete())
        tx.execute(attendance_roster_teachers.delete())
        tx.execute(update(attendance_roster).values(college=None, status="IN_PROGRESS"))
    say(here, 0, "u00000", Fact("c", CORRECTION, 5, "LATE"))
    assert sums(here.engine) == {}
    close_all(here)
    now = sums(here.engine)
    assert now.keys() == was.keys() and now == counted_by_hand(here.engine) != was
