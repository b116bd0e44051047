"""One check-in: from the phone to the receipt, and into the tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, create_engine, delete

from bench.valkey import connect
from db.check_in_stream import CheckInStream
from db.engine import unit
from db.tables import attendance_roster, attendance_roster_detail
from domain import verdicts
from domain.receipts import BadReceipt
from tests.integration.bell_rig import TENANT, TERM, School, school, until
from usecases import check_in_keys, rosters
from usecases.check_in import Busy, Refused

pytestmark = pytest.mark.integration


@pytest.fixture
def here(database: Engine, redis_client: redis.Redis) -> School:
    return school(database, redis_client, courses=2)


def test_a_check_in_is_answered_with_a_receipt_and_ends_in_the_tables(here: School) -> None:
    """The path of every student."""
    desk = here.desk()
    accepted = desk.accept(here.phone("u00000"))
    said = desk.verify(accepted.receipt)
    assert accepted.first and (said.code, said.session_id, said.decision) == ("u00000", "session0000", "accepted")
    assert here.stream.length() == 1 and not here.records()
    here.drain()
    record = here.records()["session0000", "u00000"]
    assert (record.receipt, record.status, record.device == "phone-u00000") == (accepted.receipt, "NORMAL", False)
    assert here.statuses() == {"u00000": "ATTENDED", "u00001": "PENDING", "u00002": "PENDING", "u00003": "PENDING"}
    assert here.counters()["attended_count"] == 1 and here.counters()["total_students"] == 4
    here.assert_counters_are_a_recount()


def test_a_repeat_gets_the_receipt_of_then_byte_for_byte(here: School) -> None:
    """Whatever the retries, before and after it is written, and after the keys were lost."""
    desk = here.desk()
    first = desk.accept(here.phone("u00001"))
    again = [desk.accept(here.phone("u00001"))]
    here.now_ms += 60_000
    here.drain()
    again.append(desk.accept(here.phone("u00001")))
    here.redis.flushall()
    again.append(here.desk().accept(here.phone("u00001")))
    assert {one.receipt for one in again} == {first.receipt} and not any(one.first for one in again)
    assert len(here.records()) == 1


def test_a_repeat_gets_what_was_committed_also_where_the_stream_was_given_something_else(here: School) -> None:
    """The stream took a check-in and died before it answered; the student pressed again, and the database answered. Then it is
    back, with what it took."""
    desk = here.desk()
    unheard = desk.accept(here.phone("u00001"))
    here.now_ms += 60_000
    before_it_came_back = here.desk(stream=CheckInStream(connect(Path("/nowhere"))))
    heard = before_it_came_back.accept(here.phone("u00001"))
    assert heard.receipt != unheard.receipt
    assert desk.accept(here.phone("u00001")).receipt == heard.receipt
    here.drain()
    assert desk.accept(here.phone("u00001")).receipt == heard.receipt
    assert [row.receipt for row in here.records().values()] == [heard.receipt]


def test_many_at_once_are_one(here: School) -> None:
    """A student who taps in despair."""
    desk = here.desk()
    phones = [here.phone("u00002") for _ in range(16)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(desk.accept, phones))
    assert len({one.receipt for one in found}) == 1 and [one.first for one in found].count(True) == 1
    assert here.stream.length() == 1


def test_strangers_and_cancelled_sessions_are_refused(here: School) -> None:
    """Each with its own cause."""
    with pytest.raises(Refused) as stranger:
        here.desk().accept(here.phone("nobody"))
    assert stranger.value.cause == verdicts.NOT_ENROLLED
    with pytest.raises(Refused) as nowhere:
        here.desk().accept(here.phone("u00000", session_id="no-such-session"))
    assert nowhere.value.cause == verdicts.ON_ANOTHER_ROSTER
    rosters.cancel(here.engine, here.roster(1))
    with pytest.raises(Refused) as cancelled:
        here.desk().accept(here.phone("u00000", 1))
    assert cancelled.value.cause == verdicts.CANCELLED


def test_the_second_student_on_a_device_waits_for_the_teacher(here: School) -> None:
    """One phone for two is not silently accepted; the first keeps what was given."""
    desk = here.desk()
    first = desk.accept(here.phone("u00000", device="shared"))
    second = desk.accept(here.phone("u00001", device="shared"))
    assert desk.verify(first.receipt).decision == "accepted"
    assert (desk.verify(second.receipt).decision, desk.verify(second.receipt).reasons) == ("review", ("shared_device",))
    here.drain()
    assert here.statuses()["u00001"] == "REVIEW" and here.counters()["review_count"] == 1
    here.assert_counters_are_a_recount()


def test_a_device_used_in_two_sessions_is_found_when_it_is_written(here: School) -> None:
    """The later one waits for a person, in whatever order the two were written."""
    for sessions in ((0, 1), (1, 0)):
        here.redis.flushall()
        desk = here.desk()
        for minutes, session, student in zip((0, 1), sessions, ("u00000", "u00001"), strict=True):
            here.now_ms += minutes * 60_000
            desk.accept(here.phone(student, session, device="shared"))
    here.drain()
    found = here.records()
    doubted = {key for key, row in found.items() if row.doubts == "shared_device"}
    later = max(found, key=lambda key: found[key].at_ms)
    assert later in doubted
    here.assert_counters_are_a_recount()


def test_a_key_that_is_lost_refuses_nobody(here: School) -> None:
    """Unknown is not the same as not enrolled."""
    desk = here.desk()
    desk.accept(here.phone("u00000"))
    here.redis.delete(*here.redis.keys("*roster*"))
    assert desk.accept(here.phone("u00001")).first
    assert not desk.accept(here.phone("u00000")).first
    with pytest.raises(Refused):
        desk.accept(here.phone("nobody"))


def test_a_receipt_posted_back_is_a_check_in(here: School) -> None:
    """Where everything about it was lost, what the student holds is worth what it was, hours later too."""
    receipt = here.desk().accept(here.phone("u00003")).receipt
    here.redis.flushall()
    here.now_ms += 40 * 60_000
    desk = here.desk()
    assert desk.accept(here.phone("u00003", receipt=receipt)).receipt == receipt
    here.drain()
    record = here.records()["session0000", "u00003"]
    assert (record.way, record.receipt, record.status) == ("receipt", receipt, "NORMAL")
    for other in ({"student": "u00002"}, {"student": "u00003", "session": 1}):
        with pytest.raises(Refused) as refused:
            desk.accept(here.phone(receipt=receipt, **other))  # type: ignore[arg-type]
        assert refused.value.cause == "bad_receipt"
    with pytest.raises(BadReceipt):
        desk.verify(receipt[:-1] + "0" if receipt[-1] != "0" else receipt[:-1] + "1")


def test_the_code_on_the_screen_checks_in_without_a_place(here: School) -> None:
    """And is good for its own session only."""
    desk = here.desk()
    code, _ = desk.class_code("session0000")
    accepted = desk.accept(here.phone("u00000", lat=None, lon=None, class_code=code))
    assert desk.verify(accepted.receipt).decision == "accepted"
    with pytest.raises(Refused) as refused:
        desk.accept(here.phone("u00000", 1, lat=None, lon=None, class_code=code))
    assert refused.value.cause == verdicts.BAD_CODE


class Away(redis.Redis):
    """A client whose server was switched off."""

    def execute_command(self, *_: object, **__: object) -> object:
        raise redis.ConnectionError("away")


def test_without_the_stream_the_database_takes_check_ins_and_marks_the_session(here: School) -> None:
    """Slower, and never a false success; when the stream is back its keys know of everybody."""
    check_in_keys.load(here.engine, here.stream, [here.roster()])  # keys that will lack somebody
    away = here.desk(stream=CheckInStream(Away()))
    first = away.accept(here.phone("u00000", device="shared"))
    assert first.first and here.statuses()["u00000"] == "ATTENDED" and here.roster().marks == 1
    assert away.accept(here.phone("u00000")).receipt == first.receipt
    assert away.verify(away.accept(here.phone("u00001", device="shared")).receipt).decision == "review"
    with pytest.raises(Refused):
        away.accept(here.phone("nobody"))
    assert check_in_keys.restore_marked(here.engine, here.stream, tenant=TENANT, me="test") == 1
    assert here.roster().marks == 0
    back = here.desk().accept(here.phone("u00000"))
    assert (back.receipt, back.first, here.stream.length()) == (first.receipt, False, 0)
    here.assert_counters_are_a_recount()


def test_a_desk_whose_stream_comes_back_makes_the_keys_again_first(here: School) -> None:
    """Otherwise the stream would accept who was written past it."""
    real = here.stream
    flaky = Flaky(real)
    desk = here.desk(stream=flaky)
    flaky.away = True
    first = desk.accept(here.phone("u00000"))
    flaky.away = False
    until(lambda: desk.breaker.close(), "the stream is not asked again")
    assert desk.accept(here.phone("u00000")).receipt == first.receipt
    assert desk.accept(here.phone("u00001")).first and real.length() == 1 and here.roster().marks == 0


class Flaky:
    """The stream, while it is not away."""

    def __init__(self, real: object) -> None:
        self._real, self.away = real, False

    def __getattr__(self, name: str) -> object:
        if self.away:
            raise redis.ConnectionError("away")
        return getattr(self._real, name)


def test_a_full_server_is_not_a_lost_check_in(here: School) -> None:
    """Full, read-only, without its replica: the database takes it."""
    desk = here.desk()
    desk.accept(here.phone("u00000"))
    for setting, value, usual in (("maxmemory", "1mb", "0"), ("min-replicas-to-write", "1", "0")):
        here.redis.config_set(setting, value)
        try:
            other = here.desk()
            assert other.accept(here.phone(f"u0000{1 if setting == 'maxmemory' else 2}")).first
        finally:
            here.redis.config_set(setting, usual)
    assert here.stream.length() == 1 and len(here.records()) == 2 and here.roster().marks == 2


def test_a_stream_at_its_length_says_come_again(here: School) -> None:
    """The only other reason to turn somebody away, and nothing is kept of it."""
    desk = here.desk(stream=CheckInStream(here.redis, most=0))
    with pytest.raises(Busy) as busy:
        desk.accept(here.phone("u00000"))
    assert busy.value.retry_after_s > 0 and here.stream.length() == 0 and not here.records()


def test_with_nothing_left_to_write_to_nobody_is_told_it_worked(here: School, tmp_path: Path) -> None:
    """Neither the stream nor the database: try again."""
    desk = here.desk(stream=CheckInStream(Away()))
    desk.accept(here.phone("u00000"))  # the rules are known now
    desk._engine = create_engine(f"sqlite:///{tmp_path}/no/such/folder.db")
    with pytest.raises(Busy) as busy:
        desk.accept(here.phone("u00001"))
    assert busy.value.retry_after_s > 0


def test_check_ins_go_on_while_the_database_is_away(here: School, tmp_path: Path) -> None:
    """The rules of a session are remembered, the stream keeps what comes."""
    desk = here.desk()
    desk.accept(here.phone("u00000"))
    desk._engine = desk.book._engine = create_engine(f"sqlite:///{tmp_path}/no/such/folder.db")
    desk.book._known = {key: replace(one, read_s=one.read_s - 60) for key, one in desk.book._known.items()}
    assert desk.accept(here.phone("u00001")).first
    here.drain()
    assert len(here.records()) == 2


def test_a_roster_is_made_when_somebody_stands_at_the_door(here: School) -> None:
    """Nobody made it ahead."""
    with unit(here.engine) as tx:
        tx.execute(delete(attendance_roster_detail))
        tx.execute(delete(attendance_roster))
    assert here.desk().accept(here.phone("u00000")).first
    assert here.counters()["total_students"] == 4 and here.roster().term == TERM


def test_replica_durability_is_not_claimed_without_a_replica(here: School) -> None:
    """A promise that cannot be kept is not made; a repeat tells once it can."""
    strict = CheckInStream(here.redis, durability="replica", wait_ms=20)
    with pytest.raises(Busy):
        here.desk(stream=strict).accept(here.phone("u00000"))
    assert not here.desk().accept(here.phone("u00000")).first
