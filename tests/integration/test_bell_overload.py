"""The stream's server fails at the bell: who is written past it, who is told to come again, and who makes its keys again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from db.check_in_stream import CheckInStream
from tests.integration.api_bell_rig import bell
from tests.integration.api_rig import HOME, Api
from tests.integration.bell_rig import TENANT, School, school, until
from usecases import check_in_keys
from usecases.check_in import Busy, Desk

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
# Which statements are sent is tested elsewhere, on both databases; here it is about threads.

_PATIENCE_S = 60.0
_LOST = redis.ConnectionError("gone")


@pytest.fixture
def here(database: Engine, redis_client: redis.Redis) -> School:
    made = school(database, redis_client, courses=2, students=40)
    check_in_keys.load_ahead(database, made.stream, tenant=TENANT, from_ms=0, until_ms=1 << 60)
    return made


class Counting:
    """A stream that counts what is asked of it, takes no writes while it is `away`, and does `first` before it makes keys."""

    def __init__(self, real: CheckInStream, first: Callable[[], object] = lambda: None) -> None:
        self._real, self._first = real, first
        self.asked = Counter[str]()
        self.away = False

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        if name == "try_to_write" and self.away:
            raise _LOST
        if name == "forget":
            self._first()
        return getattr(self._real, name)


def press(desk: Desk, here: School, code: str) -> str:
    try:
        return "first" if desk.accept(here.phone(code)).first else "again"
    except Busy as busy:
        assert busy.retry_after_s > 0
        return "busy"


def lose(desk: Desk, stream: Any) -> None:
    """Its server has failed, and is not asked again before `ask_again`."""
    stream.away = True
    desk.breaker.lost(_LOST)
    desk.breaker._again_s = float("inf")


def ask_again(desk: Desk, stream: Any) -> None:
    stream.away = False
    desk.breaker._again_s = 0.0


def test_one_makes_the_keys_again_and_all_others_are_told_to_come_again(here: School) -> None:
    """A hundred threads that made the same keys would undo each other's work; nobody is accepted meanwhile, nor lost."""
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(_PATIENCE_S)

    stream: Any = Counting(here.stream, wait)
    desk = here.desk(stream=stream)
    lose(desk, stream)
    assert press(desk, here, "u00000") == "first" and here.roster().marks == 1
    with ThreadPoolExecutor(1) as pool:
        ask_again(desk, stream)
        mender = pool.submit(press, desk, here, "u00001")
        assert begun.wait(_PATIENCE_S)
        assert desk.breaker.mending and desk.breaker.shut
        assert [press(desk, here, f"u{at:05d}") for at in range(20)] == ["busy"] * 20
        go_on.set()
        assert mender.result(_PATIENCE_S) == "first"
    assert stream.asked["forget"] == 1 and not desk.breaker.shut and here.roster().marks == 0
    assert [press(desk, here, f"u{at:05d}") for at in range(40)] == ["again"] * 2 + ["first"] * 38
    here.drain()
    assert len(here.records()) == 40
    here.assert_counters_are_a_recount()


def test_what_is_under_way_past_the_stream_is_waited_for(here: School, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mark would come after the keys were made; and who was told *past it* before that writes no more."""
    stream: Any = Counting(here.stream)
    desk = here.desk(stream=stream)
    lose(desk, stream)
    turn = desk.breaker.turn
    assert desk._direct.take()
    ask_again(desk, stream)
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(desk.breaker.close)
        until(lambda: desk.breaker.mending, "it is mending")
        assert not desk.breaker.closed
        desk._direct.give()
        assert closing.result(_PATIENCE_S)
    one = desk._judged(here.phone("u00000"), desk.session(here.session_ids[0]))
    with pytest.raises(Busy):
        desk._past_the_stream(*one, turn)
    assert not here.records() and press(desk, here, "u00000") == "first" and here.stream.length() == 1


def test_one_process_at_a_time_makes_the_keys_again(here: School) -> None:
    """The other looks again until they are made, and then has none to make."""
    stream: Any = Counting(here.stream)
    mine, other = here.desk(stream=stream), here.desk(stream=stream)
    for one in (mine, other):
        lose(one, stream)
    assert press(mine, here, "u00000") == "first"
    assert here.stream.lead(f"marks:{TENANT}", other.breaker._me, for_ms=60_000)
    ask_again(mine, stream)
    assert press(mine, here, "u00001") == "busy" and here.roster().marks == 1
    ask_again(other, stream)
    until(lambda: other.breaker.close(), "the other one makes them")
    assert here.roster().marks == 0
    until(lambda: mine.breaker.close(), "it sees that they are made")
    assert press(mine, here, "u00001") == "first" and press(mine, here, "u00000") == "again"


def test_nobody_is_written_past_a_stream_that_is_back(here: School) -> None:
    """Another process may go by it already, and would accept the same student with another receipt."""
    stream: Any = Counting(here.stream)
    desk = here.desk(stream=stream)
    lose(desk, stream)
    stream.away = False
    assert press(desk, here, "u00000") == "busy" and not here.records() and here.roster().marks == 0
    stream.away = True
    assert press(desk, here, "u00000") == "first" and here.roster().marks == 1


def test_more_than_the_database_can_take_are_told_at_once(here: School) -> None:
    """They do not wait in line for it with a thread each."""
    stream: Any = Counting(here.stream)
    desk = here.desk(stream=stream, direct=1)
    lose(desk, stream)
    assert desk._direct.take() and desk.breaker.shut
    assert press(desk, here, "u00000") == "busy" and not here.records()
    desk._direct.give()
    assert not desk.breaker.shut and press(desk, here, "u00000") == "first" and len(here.records()) == 1


def test_nobody_goes_by_the_stream_before_the_last_session_is_mended(
    here: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many were marked: against keys that lack somebody he would get a second receipt."""
    stream: Any = Counting(here.stream)
    desk = here.desk(stream=stream)
    lose(desk, stream)
    assert press(desk, here, "u00000") == "first" and len(here.records()) == 1
    left = [1, 1, 1, 1, 0]
    monkeypatch.setattr(check_in_keys, "restore_marked", lambda *_, **__: left.pop(0))
    ask_again(desk, stream)
    assert not desk.breaker.close() and desk.breaker.mending and len(left) == 2
    assert desk.breaker.close() and desk.breaker.closed and not left


def test_keys_that_are_missing_are_made_once_for_a_whole_class(here: School) -> None:
    """Forty students at the door of a class whose keys were lost."""
    stream: Any = Counting(here.stream)
    desk = here.desk(stream=stream)
    here.redis.flushdb()
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda at: press(desk, here, f"u{at:05d}"), range(40)))
    assert said == ["first"] * 40 and stream.asked["load"] == 1 and here.stream.length() == 40


def test_the_front_turns_away_who_could_not_be_accepted_and_lets_in_when_it_is_over(api: Api) -> None:
    """Whatever he sends, his token included; other requests go on."""
    here = bell(api)
    breaker = here.desks.of(HOME).breaker
    mei = api.person("mei")
    breaker.lost(_LOST)
    breaker.mending, breaker._again_s = True, float("inf")
    away = [mei.post("/api/v1/checkin", here.asked()), api.person("nobody").post("/api/v1/checkin", b"{")]
    assert [one.status_code for one in away] == [503, 503] and here.desks.stream.length() == 0
    assert mei.get(f"/api/v1/checkin/{here.session_ids[0]}").status_code == 200
    breaker._again_s = 0.0
    assert mei.post("/api/v1/checkin", here.asked()).status_code == 201
    assert api.person("nobody").post("/api/v1/checkin", here.asked()).status_code in (401, 403)
