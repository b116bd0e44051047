"""The batch writer: replays, poison, outages, several at once, and facts of every kind in any order."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
import redis
from sqlalchemy import Engine

from db.check_in_stream import GROUP, SHARDS, CheckInStream, shard_of, stream_key
from db.engine import unit
from domain.attendance import CHECK_OUT, CORRECTION, EARLY, LEAVE, ON_LEAVE, Fact
from domain.check_ins import BadCheckIn, CheckIn, decode, encode
from observability import failpoints
from tests.integration.bell_rig import TENANT, TERM, School, records_for, running, school, until
from usecases import check_in_batch, rosters

pytestmark = pytest.mark.integration


@pytest.fixture
def here(database: Engine, redis_client: redis.Redis) -> School:
    return school(database, redis_client, courses=2)


@pytest.fixture
def lecture(database: Engine, redis_client: redis.Redis) -> School:
    return school(database, redis_client, students=500)


def send(here: School, records: list[CheckIn]) -> None:
    """Straight into the stream, as the script adds them."""
    asked = here.redis.pipeline(transaction=False)
    for one in records:
        asked.xadd(
            stream_key(shard_of(one.session_id)), {"r": encode(one), "c": one.receipt.encode("utf-8", "surrogatepass")}
        )
    asked.execute()


def test_a_batch_written_again_changes_nothing(lecture: School) -> None:
    """A writer that died after its commit leaves its batch to another."""
    batch = records_for(lecture, 500)
    check_in_batch.write(lecture.engine, batch, tenant=TENANT)
    before = lecture.records(), lecture.counters()
    for again in (batch, list(reversed(batch)), [*batch[:100], *batch[:100]]):
        check_in_batch.write(lecture.engine, again, tenant=TENANT)
    assert (lecture.records(), lecture.counters()) == before
    assert lecture.counters()["attended_count"] == 500
    lecture.assert_counters_are_a_recount()


def test_the_first_committed_check_in_stays(here: School) -> None:
    """Another receipt, another status, another client id: what was given first is what counts."""
    first = records_for(here, 1)[0]
    later = replace(first, receipt="another", status="LATE", timing="LATE", client_id="k-other")
    check_in_batch.write(here.engine, [first], tenant=TENANT)
    check_in_batch.write(here.engine, [later], tenant=TENANT)
    assert here.records()["session0000", "u00000"].receipt == first.receipt
    assert here.statuses()["u00000"] == "ATTENDED"


def test_whoever_was_accepted_is_on_the_roster(here: School) -> None:
    """Also where the roster was made without them."""
    check_in_batch.write(here.engine, [replace(records_for(here, 1)[0], code="late-comer")], tenant=TENANT)
    assert here.statuses()["late-comer"] == "ATTENDED" and here.counters()["total_students"] == 5
    here.assert_counters_are_a_recount()


FACTS = {"a leave": (ON_LEAVE, LEAVE), "a check-out": (CHECK_OUT, EARLY), "a correction": (CORRECTION, "ABSENT")}


@pytest.mark.parametrize("odd", [*FACTS, "not on the roster", "over", "nothing"])
def test_a_batch_ends_as_its_records_one_by_one(here: School, odd: str) -> None:
    """Whatever is known of one of them before, and whatever the others are: some on time, late, or to be looked at."""
    for session in (0, 1):
        said = {"status": "LATE"}, {"status": "ABNORMAL"}, {}, {}
        records = [
            replace(one, device=None, point=None, **some)
            for one, some in zip(records_for(here, 4, session=session), said, strict=True)
        ]
        if odd in FACTS:
            fact = Fact("one", FACTS[odd][0], here.now_ms, FACTS[odd][1])
            rosters.add_facts(
                here.engine, here.session_ids[session], [("u00002", fact)], tenant=TENANT, term=TERM, actor="t"
            )
        elif odd == "not on the roster":
            records[2] = replace(records[2], code="late-comer")
        elif odd == "over":
            rosters.close(here.engine, here.roster(session))
        for batch in ([records], [[one] for one in records])[session]:
            check_in_batch.write(here.engine, batch, tenant=TENANT)
            here.assert_counters_are_a_recount()
    assert here.statuses(0) == here.statuses(1) and here.counters(0) == here.counters(1)
    assert Counter(here.statuses(0).values()) >= Counter({"LATE": 1, "REVIEW": 1, "ATTENDED": 1})


POISON = {
    "a lone surrogate": {"client_id": "\ud800"},
    "a number that no column holds": {"client_ms": 2**70},
    "a text that is too long": {"client_id": "x" * 65},
    "no status": {"status": "MAYBE"},
}


@pytest.mark.parametrize(
    ("what", "at"),
    [
        ("a lone surrogate", 0),
        ("a text that is too long", 1),
        ("a number that no column holds", 249),
        *((what, 250) for what in POISON),
        ("a lone surrogate", 498),
        ("a number that no column holds", 499),
    ],
)
def test_one_bad_record_of_five_hundred_becomes_one_dead_letter(lecture: School, what: str, at: int) -> None:
    """Whatever is wrong with it and wherever it stands; the other 499 are stored, in few attempts."""
    records = records_for(lecture, 500)
    records[at] = replace(records[at], **POISON[what])  # type: ignore[arg-type]
    lecture.stream.make_groups()
    send(lecture, records)
    writer = lecture.drain()
    assert len(lecture.records()) == 499 and lecture.counters()["attended_count"] == 499
    (letter,) = lecture.dead_letters()
    assert f"u{at:05d}" in letter.payload and letter.last_error
    assert writer.counts.attempts <= 24 and writer.counts.dead == 1
    lecture.assert_counters_are_a_recount()


@pytest.mark.parametrize(
    "fields", [{b"r": b"\xff\xfe"}, {b"r": b"[" * 100_000}, {b"r": b"null", b"c": b""}, {b"x": b"1"}]
)
def test_what_cannot_be_read_is_a_dead_letter_at_once(here: School, fields: dict[bytes, bytes]) -> None:
    """And holds nothing up."""
    here.stream.make_groups()
    here.redis.xadd(stream_key(0), fields)  # type: ignore[arg-type]
    send(here, records_for(here, 3))
    here.drain()
    assert len(here.records()) == 3 and len(here.dead_letters()) == 1


def test_texts_of_any_language_are_stored(here: School) -> None:
    """An emoji in a client id is no poison, nor is a zero byte."""
    odd = [replace(one, client_id=text) for one, text in zip(records_for(here, 3), ("🍣", "梅", "a\x00b"), strict=True)]
    here.stream.make_groups()
    send(here, odd)
    here.drain()
    assert {row.client_id for row in here.records().values()} == {"🍣", "梅", "a\x00b"} and not here.dead_letters()


def test_what_stands_in_the_stream_is_what_was_sent(here: School) -> None:
    """Nothing is lost on the way, and nothing else is taken for a check-in."""
    for one in records_for(here, 3):
        assert decode(encode(one), one.receipt) == one
    with pytest.raises(BadCheckIn):
        decode('{"tenant": "t", "unknown": 1}', "")


@pytest.mark.parametrize("point", ["checkins.between_statements", "checkins.before_commit", "checkins.before_ack"])
def test_a_writer_that_fails_anywhere_leaves_its_batch_to_another(
    here: School, point: str, arm: Callable[[str], None]
) -> None:
    """Between two statements, before the commit, after it and before the stream is told."""
    here.stream.make_groups()
    send(here, records_for(here, 4))
    dying = here.batcher(consumer="dying")
    arm(f"{point}:raise@1")
    with pytest.raises(failpoints.FailedOnPurpose):
        while True:
            dying.step()
    arm("")
    assert here.stream.length() == 4
    heir = here.batcher(consumer="heir", idle_ms=0)
    here.drain(heir)
    assert heir.counts.taken_over == 4
    assert len(here.records()) == 4 and here.counters()["attended_count"] == 4
    here.assert_counters_are_a_recount()


@pytest.fixture
def arm() -> Callable[[str], None]:
    return failpoints.arm


def test_several_writers_share_the_work(lecture: School) -> None:
    """Nothing twice, nothing left, and no deadlock that is not got over."""
    send(lecture, records_for(lecture, 500))
    pairs = [running(lecture.batcher(consumer=f"w{number}", idle_ms=50)) for number in range(3)]
    send(lecture, list(reversed(records_for(lecture, 500))))
    until(lambda: lecture.stream.length() == 0, "the stream is not empty")
    for thread, stopping in pairs:
        stopping.set()
        thread.join(20)
    assert len(lecture.records()) == 500 and lecture.counters()["attended_count"] == 500
    assert not lecture.dead_letters()
    lecture.assert_counters_are_a_recount()


def test_an_outage_of_the_stream_is_waited_out(here: School) -> None:
    """A writer does not die of it, and begins again where it was."""
    flaky = FlakyStream(here.stream)
    writer = here.batcher(stream=flaky)
    thread, stopping = running(writer)
    until(lambda: flaky.calls > 2, "it never began")
    flaky.away = True
    until(lambda: writer.counts.back_offs > 0, "it never noticed")
    send(here, records_for(here, 2))
    flaky.away = False
    until(lambda: len(here.records()) == 2, "it did not come back")
    stopping.set()
    thread.join(20)
    assert not thread.is_alive()


class FlakyStream:
    """The stream, while it is not away."""

    def __init__(self, real: CheckInStream) -> None:
        self._real, self.away, self.calls = real, False, 0

    def __getattr__(self, name: str) -> object:
        self.calls += 1
        if self.away:
            raise redis.ConnectionError("away")
        return getattr(self._real, name)


def test_a_lost_group_is_made_again(here: School) -> None:
    """The server came back empty."""
    writer = here.batcher()
    writer.step()
    here.redis.flushall()
    thread, stopping = running(writer)
    send(here, records_for(here, 2))
    until(lambda: len(here.records()) == 2, "nothing is written")
    stopping.set()
    thread.join(20)
    assert here.stream.length() == 0, "what was sent is not finished"


def test_consumers_that_are_gone_are_removed(here: School) -> None:
    """Each restart has a name of its own."""
    here.stream.make_groups()
    for number in range(3):
        here.redis.xgroup_createconsumer(stream_key(0), GROUP, f"old{number}")
    here.stream.tidy(idle_ms=-1)
    assert all(not here.redis.xinfo_consumers(stream_key(shard), GROUP) for shard in range(SHARDS))


def test_live_screens_are_told_what_changed(here: School) -> None:
    """After the commit, and only then; a screen that cannot be told costs nothing."""
    told: list[dict[tuple[str, str], dict[str, int]]] = []
    send(here, records_for(here, 2))
    here.drain(here.batcher(publish=lambda _tenant, counters: told.append(counters)))
    assert told[-1][TERM, "session0000"]["attended_count"] == 2

    def broken(_tenant: str, _counters: object) -> None:
        raise redis.ConnectionError("away")

    send(here, [replace(one, code="u00003", device=None, point=None) for one in records_for(here, 1)])
    here.drain(here.batcher(publish=broken))
    assert here.counters()["attended_count"] == 3


def test_facts_of_every_kind_in_any_order_end_the_same(database: Engine, redis_client: redis.Redis) -> None:
    """Check-ins, leaves, corrections, the end, replays: the tables agree with each other after each commit."""
    here = school(database, redis_client, courses=4, students=3)
    chance = random.Random(7)
    ends = []
    for session in range(4):
        chance_of_facts = random.Random(99)
        steps = [*_facts(here, session, chance_of_facts)]
        steps += chance.sample(steps, 3)
        chance.shuffle(steps)
        for step in steps:
            step()
            here.assert_counters_are_a_recount()
        ends.append((here.statuses(session), here.counters(session)))
    assert ends == [ends[0]] * 4
    assert set(ends[0][0].values()) == {"LATE", "LEAVE", "EARLY"}


def _facts(here: School, session: int, chance: random.Random) -> list[Callable[[], object]]:
    session_id = here.session_ids[session]
    first, second, third = records_for(here, 3, session=session)
    # A device and a point of their own for each session, so that nothing is doubted.
    own = [replace(one, device=f"{session}-{one.code}", point=None) for one in (replace(first, status="LATE"), third)]

    def say(code: str, fact: Fact) -> Callable[[], object]:
        return lambda: rosters.add_facts(
            here.engine, session_id, [(code, fact)], tenant=TENANT, term=TERM, actor="teacher:t1"
        )

    return [
        *(lambda one=one: check_in_batch.write(here.engine, [one], tenant=TENANT) for one in own),  # type: ignore[misc]
        say(first.code, Fact("l1", ON_LEAVE, here.now_ms + 1000, LEAVE, "l1")),
        say(second.code, Fact("l2", ON_LEAVE, here.now_ms - 1000, LEAVE, "l2")),
        say(second.code, Fact("c1", CORRECTION, here.now_ms, "ABSENT")),
        say(second.code, Fact("c2", CORRECTION, here.now_ms + 1, "")),
        say(third.code, Fact("o1", CHECK_OUT, here.now_ms + 5000, EARLY)),
        lambda: rosters.close(here.engine, here.roster(session)),
    ]


def test_two_units_on_the_same_students_end_both(here: School) -> None:
    """Check-ins and corrections lock in the same order, so that neither waits for the other for ever."""
    failed: list[BaseException] = []
    batch = records_for(here, 4)

    def writes(number: int) -> None:
        try:
            for _ in range(5):
                check_in_batch.write(here.engine, batch[:: 1 if number else -1], tenant=TENANT)
                said = [(one.code, Fact(f"c{number}{_}", CORRECTION, number, "LATE")) for one in batch]
                rosters.add_facts(here.engine, "session0000", said, tenant=TENANT, term=TERM, actor="t")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=writes, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    with unit(here.engine):
        here.assert_counters_are_a_recount()
