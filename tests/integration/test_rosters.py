"""Rosters: made ahead, kept up while they lie ahead, left alone afterwards, closed, counted, forgotten."""

from __future__ import annotations

import base64
import json
import os
import threading
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
import redis
from click.testing import CliRunner
from sqlalchemy import Engine, delete, select, update

from bootstrap.wiring import new_id
from db import check_in_dead_letters, check_ins, tasks
from db.check_in_rules import save_fence
from db.check_in_stream import Entry
from db.configs import Place, put
from db.engine import reading, unit
from db.live_events import live_key, publisher
from db.tables import attendance_roster, attendance_stats, checkin_records, rolls, sessions, tenants
from domain.attendance import CORRECTION, LEAVE, ON_LEAVE, Fact
from domain.configs import Level
from tests.fixtures_stores import Valkey
from tests.integration.bell_rig import (
    HOUR_MS,
    LAT,
    LON,
    TENANT,
    TERM,
    School,
    enrol,
    records_for,
    running,
    school,
    until,
)  # fmt: skip
from usecases import check_in_batch, check_in_keys, check_in_rules, retention, rosters
from usecases.check_in import Refused
from usecases.deps import Deps
from workers.batcher import Batcher
from workers.cli import main
from workers.roster_tender import RosterTender

pytestmark = pytest.mark.integration


@pytest.fixture
def here(database: Engine, redis_client: redis.Redis) -> School:
    return school(database, redis_client, courses=2)


def ahead(here: School) -> dict[str, Any]:
    return rosters.make_ahead(
        here.engine, tenant=TENANT, from_ms=here.start_ms - HOUR_MS, until_ms=here.start_ms + HOUR_MS
    )


def test_making_rosters_again_changes_nothing(here: School) -> None:
    """After an import, every night, and whenever somebody asks."""
    assert here.counters() == here.counters(1) and here.counters()["pending_count"] == 4
    before = here.roster()
    assert ahead(here) == {"sessions": 2, "added": 0, "dropped": 0, "cancelled": 0, "moved": 0, "changed": []}
    assert here.roster() == before


def test_a_course_of_thousands_is_made_in_chunks(database: Engine, redis_client: redis.Redis) -> None:
    """And nobody is counted twice."""
    here = school(database, redis_client, students=1_200)
    assert here.counters()["total_students"] == 1_200
    here.assert_counters_are_a_recount()


def test_who_joins_and_leaves_does_so_for_what_lies_ahead(here: School) -> None:
    """Rows say why somebody is there, and are never taken away."""
    with unit(here.engine) as tx:
        tx.execute(delete(rolls).where(rolls.c.code == "u00000", rolls.c.offering_id == "course0000"))
        enrol(tx, "course0000", ["new"], import_no=2)
    done = ahead(here)
    assert (done["added"], done["dropped"], done["changed"]) == (1, 1, ["session0000"])
    assert here.statuses() == {
        "u00000": "DROPPED", "u00001": "PENDING", "u00002": "PENDING", "u00003": "PENDING", "new": "PENDING",
    }  # fmt: skip
    assert here.counters()["total_students"] == 4
    with unit(here.engine) as tx:
        enrol(tx, "course0000", ["u00000"], import_no=3)
    assert ahead(here)["added"] == 1 and here.counters()["total_students"] == 5
    here.assert_counters_are_a_recount()


def test_a_changed_group_leaves_what_was_as_it_was(here: School) -> None:
    """A class that has begun keeps its roster."""
    with unit(here.engine) as tx:
        began = {"start_ms": here.start_ms - 2 * HOUR_MS}
        tx.execute(update(sessions).values(began))
        tx.execute(update(attendance_roster).values(began))
        tx.execute(delete(rolls).where(rolls.c.code == "u00000"))
        enrol(tx, "course0000", ["new"], import_no=2)
    done = rosters.make_ahead(here.engine, tenant=TENANT, from_ms=0, until_ms=here.start_ms)
    assert (done["added"], done["dropped"], done["sessions"]) == (0, 0, 2)
    assert set(here.statuses().values()) == {"PENDING"} and "new" not in here.statuses()


def test_a_moved_session_takes_its_roster_along_and_a_cancelled_one_ends_it(here: School) -> None:
    """Phones are told, rows stay."""
    with unit(here.engine) as tx:
        tx.execute(update(sessions).where(sessions.c.id == "session0000").values(start_ms=here.start_ms + 60_000))
        tx.execute(delete(sessions).where(sessions.c.id == "session0001"))
    done = ahead(here)
    assert (done["moved"], done["cancelled"]) == (1, 1)
    assert here.roster().start_ms == here.start_ms + 60_000 and here.roster(1).status == "CANCELLED"
    assert set(done["changed"]) >= {"session0001"}


def over(here: School) -> int:
    return here.start_ms + HOUR_MS


def test_the_end_makes_absent_who_has_not_come(here: School) -> None:
    """Late facts are taken all the same: a leave that was given afterwards, a correction, a check-in that was offline."""
    check_in_batch.write(here.engine, records_for(here, 1), tenant=TENANT)
    assert rosters.sweep(here.engine, here.stream, tenant=TENANT, now=over(here) - 1) == 0
    assert rosters.sweep(here.engine, here.stream, tenant=TENANT, now=over(here)) == 2
    assert list(here.statuses().values()) == ["ATTENDED", "ABSENT", "ABSENT", "ABSENT"]
    assert here.roster().status == "COMPLETED" and here.counters()["absent_count"] == 3
    assert rosters.sweep(here.engine, here.stream, tenant=TENANT, now=over(here)) == 0
    say(here, "u00001", Fact("l", ON_LEAVE, over(here) + 5, LEAVE, "l"))
    say(here, "u00002", Fact("c", CORRECTION, over(here) + 5, "LATE"))
    check_in_batch.write(here.engine, records_for(here, 4)[3:], tenant=TENANT)
    assert list(here.statuses().values()) == ["ATTENDED", "LEAVE", "LATE", "ATTENDED"]
    here.assert_counters_are_a_recount()


def say(here: School, code: str, fact: Fact) -> None:
    rosters.add_facts(
        here.engine, "session0000", [(code, fact)], tenant=TENANT, term=TERM, actor="teacher:t1", note="saw them"
    )


def test_a_session_stays_open_while_its_stream_holds_somebody_from_before_its_end(here: School) -> None:
    """Nobody is absent who has a receipt. A server that cannot be asked closes nothing."""
    here.desk().accept(here.phone("u00000"))
    assert rosters.sweep(here.engine, here.stream, tenant=TENANT, now=over(here)) <= 1
    assert here.roster().status == "PENDING"
    here.drain()
    rosters.sweep(here.engine, here.stream, tenant=TENANT, now=over(here))
    assert here.roster().status == "COMPLETED" and here.statuses()["u00000"] == "ATTENDED"


def test_an_end_that_was_interrupted_is_brought_to_its_end(here: School) -> None:
    """It was written into the roster, and no student had been looked at."""
    with unit(here.engine) as tx:
        tx.execute(update(attendance_roster).values(swept_ms=over(here), status="IN_PROGRESS"))
    assert rosters.sweep(here.engine, here.stream, tenant=TENANT, now=over(here)) == 2
    assert set(here.statuses().values()) == {"ABSENT"}


def stats(here: School) -> dict[tuple[str, str], Any]:
    with reading(here.engine) as tx:
        return {(row.user_id, row.course_id): row for row in tx.execute(select(attendance_stats))}


def test_statistics_follow_sessions_that_are_over_and_their_corrections(here: School) -> None:
    """For the student, the course, and the student in the course; a correction travels there."""
    check_in_batch.write(here.engine, records_for(here, 1), tenant=TENANT)
    assert stats(here) == {}
    rosters.sweep(here.engine, here.stream, tenant=TENANT, now=over(here))
    found = stats(here)
    assert (found["u00000", "course0000"].attended_classes, found["u00000", ""].total_classes) == (1, 2)
    assert (found["", "course0000"].absence_classes, found["", "course0000"].total_classes) == (3, 4)
    say(here, "u00000", Fact("c", CORRECTION, over(here), "ABSENT"))
    say(here, "u00000", Fact("c", CORRECTION, over(here), "ABSENT"))
    found = stats(here)
    assert (found["u00000", "course0000"].attended_classes, found["", "course0000"].absence_classes) == (0, 4)


def test_what_two_writers_missed_the_end_finds(here: School) -> None:
    """Two batches at the same moment do not see each other's device."""
    one, other = records_for(here, 1), records_for(here, 2)[1:]
    check_in_batch.write(here.engine, one, tenant=TENANT)
    check_in_batch.write(here.engine, other, tenant=TENANT)
    with unit(here.engine) as tx:
        tx.execute(update(checkin_records).values(device="same"))
    rosters.sweep(here.engine, here.stream, tenant=TENANT, now=over(here))
    assert (here.statuses()["u00000"], here.statuses()["u00001"]) == ("ATTENDED", "REVIEW")
    here.assert_counters_are_a_recount()


def test_a_recount_finds_mends_and_reports_drift(here: School) -> None:
    """Nobody believes a counter that nothing checks."""
    with unit(here.engine) as tx:
        row = attendance_roster.c.session_id == "session0000"
        tx.execute(update(attendance_roster).where(row).values(attended_count=3))
    span = {"from_ms": 0, "until_ms": over(here)}
    (drift,) = rosters.recount(here.engine, tenant=TENANT, mend=False, **span)
    assert (drift["session_id"], drift["was"]["attended_count"], drift["is"]["attended_count"]) == ("session0000", 3, 0)
    assert len(rosters.recount(here.engine, tenant=TENANT, **span)) == 1
    assert rosters.recount(here.engine, tenant=TENANT, **span) == []
    here.assert_counters_are_a_recount()


def test_where_people_were_is_forgotten(here: School) -> None:
    """The kilometre after a day, the point's fingerprint after a month; the distance stays."""
    desk = here.desk()
    desk.accept(here.phone("u00000"))
    here.drain()
    record = here.records()["session0000", "u00000"]
    assert (record.lat_e2, record.lon_e2, record.outside_m) == (3990, 11640, -200)
    assert str(LAT) not in repr(record) and str(LON) not in repr(record)
    day = 24 * HOUR_MS
    assert retention.forget(here.engine, tenant=TENANT, now=here.start_ms + day - 1) == 0
    assert retention.forget(here.engine, tenant=TENANT, now=here.start_ms + day + 1) == 1
    record = here.records()["session0000", "u00000"]
    assert record.lat_e2 is None and record.point is not None
    assert retention.forget(here.engine, tenant=TENANT, now=here.start_ms + 30 * day + 60_000 + 1) == 1
    assert here.records()["session0000", "u00000"].point is None


def test_settings_of_a_course_go_before_those_of_all_and_zero_is_a_value(here: School) -> None:
    """Every record keeps the number of the rules that it was judged by."""
    with unit(here.engine) as tx:
        before = check_in_rules.of_courses(tx, ["course0000"], tenant=TENANT)["course0000"]
        for place, key, value in (
            (Place(Level.TENANT, TENANT), "early_minutes", 30), (Place(Level.TENANT, TENANT), "close_minutes", 20),
            (Place(Level.COURSE, TENANT, "course0000"), "close_minutes", 0),
            (Place(Level.COURSE, TENANT, "course0000"), "location_required", False),
        ):  # fmt: skip
            put(tx, place, f"checkin.{key}", value, unset=False, version=None, actor="a", history_id=new_id())
        found = check_in_rules.of_courses(tx, ["course0000", "course0001"], tenant=TENANT)
    first, second = found["course0000"], found["course0001"]
    assert (first.early_minutes, first.close_minutes, first.location_required) == (30, 0, False)
    assert (second.close_minutes, second.location_required) == (20, True)
    assert len({before.version, first.version, second.version}) == 3
    here.now_ms = here.start_ms + 1
    with pytest.raises(Refused):
        here.desk().accept(here.phone("u00000"))
    assert here.desk().accept(here.phone("u00000", 1)).first


def test_a_fence_that_is_drawn_goes_before_the_point_of_a_room(here: School) -> None:
    """A polygon in the system of Chinese maps, for the building."""
    corners = [
        [LAT + lat, LON + lon] for lat, lon in ((-0.001, -0.001), (-0.001, 0.001), (0.001, 0.001), (0.001, -0.001))
    ]
    with unit(here.engine) as tx:
        shape = json.dumps({"polygon": corners, "margin": 10})
        save_fence(tx, ("本部", "一教", ""), shape, "GCJ-02", tenant=TENANT)
    desk = here.desk()
    assert desk.accept(here.phone("u00000", system="GCJ-02")).first
    with pytest.raises(Refused) as refused:  # the same figures in the other system are half a kilometre away
        desk.accept(here.phone("u00001"))
    assert refused.value.cause == "far_away"


def test_keys_are_loaded_ahead_once(here: School) -> None:
    """Before the bell rings, so that the bell finds them."""
    span = {"tenant": TENANT, "from_ms": here.start_ms - HOUR_MS, "until_ms": here.start_ms + HOUR_MS}
    assert check_in_keys.load_ahead(here.engine, here.stream, **span) == 2
    assert check_in_keys.load_ahead(here.engine, here.stream, **span) == 0
    assert here.stream.known(TENANT, here.session_ids) == set(here.session_ids)


def test_the_tender_does_what_is_due(here: School) -> None:
    """Made, loaded, and after a change of the roll loaded again."""
    tender = RosterTender(
        here.engine, here.stream, tenant=TENANT, zone=ZoneInfo("Asia/Shanghai"), stopping=threading.Event()
    )
    tender.turn(now=here.start_ms - HOUR_MS)
    assert here.stream.known(TENANT, here.session_ids) == set(here.session_ids)
    with unit(here.engine) as tx:
        enrol(tx, "course0000", ["new"], import_no=2)
    tender._made = None
    tender.turn(now=here.start_ms - HOUR_MS)
    assert here.desk().accept(here.phone("new")).first


def test_a_dead_letter_that_is_put_again_is_written(here: School) -> None:
    """What the database refused for a reason that is gone."""
    one = records_for(here, 1)[0]
    entry = Entry(0, "1-1", "", one)
    with unit(here.engine) as tx:
        for _ in range(2):
            check_in_dead_letters.add(tx, entry, tenant=TENANT, reason="refused", new_id=new_id)
    (letter,) = here.dead_letters()
    with unit(here.engine) as tx:
        assert tasks.revive_task(tx, letter.id, tenant=TENANT) == 1
        task = tasks.claim_task(tx, tenant=TENANT, job_id=letter.id, claim="c", visibility_ms=15_000, max_attempts=5)
    assert task is not None
    check_in_batch.put_again(cast(Deps, SimpleNamespace(engine=here.engine, encryption_keys="")), task)
    assert here.records()["session0000", "u00000"].receipt == one.receipt and not here.dead_letters()


def test_live_events_have_a_sequence_and_are_capped(here: School) -> None:
    """A screen that was away asks for what came after its last id."""
    publish = publisher(here.redis, kept=10)
    for number in range(300):
        publish(TENANT, {(TERM, "session0000"): {"attended_count": number}})
    listed: Any = here.redis.xrange(live_key(TENANT))
    assert len(listed) < 300
    assert json.loads(listed[-1][1][b"e"])["counters"] == {"attended_count": 299}


def test_commands_show_rosters_and_what_waits(here: School, valkey: Valkey, data_dir: Any) -> None:
    """As somebody types them."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OBSYNC_")},
        "OBSYNC_DATA_DIR": str(data_dir),
        "OBSYNC_DATABASE_URL": here.engine.url.render_as_string(hide_password=False),
        "OBSYNC_BROKER_URL": valkey.url, "OBSYNC_STREAM_URL": valkey.url, "OBSYNC_CACHE_URL": valkey.url,
        "OBSYNC_SECRET_KEY": "bell" * 8, "OBSYNC_ENCRYPTION_KEYS": "k:" + base64.b64encode(b"0" * 32).decode(),
    }  # fmt: skip

    def typed(*words: str, ends: int = 0) -> Any:
        done = CliRunner().invoke(main, [*words, "--json"], env=environ)
        assert done.exit_code == ends, (done.output, done.exception)
        return json.loads(done.stdout)

    with unit(here.engine) as tx:
        tx.execute(delete(tenants))
    typed("migrate")  # the tenant, with a key that these secrets can read
    accepted = here.desk().accept(here.phone("u00000"))
    said = typed("checkins")
    assert (said["waiting"], said["dead"]) == (1, 0)
    assert typed("checkins", "verify", accepted.receipt)["code"] == "u00000"
    typed("checkins", "verify", accepted.receipt[:-2], ends=1)
    day = datetime.fromtimestamp(here.start_ms / 1000, ZoneInfo("Asia/Shanghai")).date().isoformat()
    items = typed("rosters", "--date", day)["items"]
    assert {one["session_id"] for one in items} == set(here.session_ids) and items[0]["pending_count"] == 4
    assert typed("rosters", "make", "--date", day)["sessions"] == 2
    assert typed("rosters", "recount", "--date", day)["items"] == []
    typed("rosters", "--date", "tomorrow", ends=2)


def test_of_several_tenders_one_works_until_it_is_gone(here: School) -> None:
    """Each process has one; they do not all read the same rows each second."""
    stream = here.stream
    assert stream.lead("rosters:main", "one", for_ms=60_000) and stream.lead("rosters:main", "one", for_ms=60_000)
    assert not stream.lead("rosters:main", "other", for_ms=60_000)
    here.redis.delete("lead:rosters:main")  # as when its time has run out
    assert stream.lead("rosters:main", "other", for_ms=60_000) and not stream.lead("rosters:main", "one", for_ms=60_000)


def test_a_session_that_goes_on_says_so(here: School) -> None:
    """From its start to its end, whether anybody came or not."""
    assert rosters.begin(here.engine, tenant=TENANT, now=here.start_ms - 1) == 0
    assert rosters.begin(here.engine, tenant=TENANT, now=here.start_ms) == len(here.session_ids)
    assert {here.roster(number).status for number in range(len(here.session_ids))} == {"IN_PROGRESS"}
    assert rosters.begin(here.engine, tenant=TENANT, now=here.start_ms) == 0
    rosters.sweep(here.engine, here.stream, tenant=TENANT, now=here.start_ms + HOUR_MS + 1)
    assert here.roster().status == "COMPLETED"


def test_a_peak_goes_through_writer_and_tender_together(database: Engine, redis_client: redis.Redis) -> None:
    """Everything at once: accepted, written, closed, and the counters are right."""
    here = school(database, redis_client, courses=3, students=40)
    writer = Batcher(here.engine, here.stream, tenant=TENANT, new_id=new_id)
    thread, stopping = running(writer)
    desk = here.desk()
    receipts = {
        (session, code): desk.accept(here.phone(code, session, device=f"{code}-phone")).receipt
        for session in range(3)
        for code in here.statuses(session)
    }
    until(lambda: here.stream.length() == 0, "the stream is not empty")
    stopping.set()
    thread.join(20)
    found = here.records()
    assert {(here.session_ids[session], code): text for (session, code), text in receipts.items()} == {
        key: row.receipt for key, row in found.items()
    }
    here.assert_counters_are_a_recount()
    with reading(here.engine) as tx:
        assert len(check_ins.of_sessions(tx, here.session_ids, tenant=TENANT, term=TERM)) == 120
