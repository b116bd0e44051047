"""Who is let into the application, and when the others are told to come again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from flask import Flask, Response
from werkzeug.test import Client

from web import front
from web.front import CHECK_IN, Front
from web.line import Line

_PATIENCE_S = 60.0


@dataclass
class Door:
    """An application whose check-ins go on when the test says so. `shut`: what the front is told."""

    worked: int = 0
    shut: bool = False
    inside: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go_on: threading.Event = field(default_factory=threading.Event)
    line_s: float = 0.0
    waiting: int = 0

    def __post_init__(self) -> None:
        flask = Flask("door")
        flask.post(CHECK_IN)(self._check_in)
        flask.get("/other", endpoint="other")(lambda: "here")
        flask.get("/slow", endpoint="slow")(self._check_in)
        flask.get("/healthz", endpoint="healthz")(lambda: "alive")
        self.front = Front(
            flask, places=2, waiting=self.waiting, others=1, shut=lambda: self.shut, clock_s=lambda: self.line_s
        )
        self.client = Client(self.front, Response)

    def _check_in(self) -> str:
        self.worked += 1
        self.inside.release()
        assert self.go_on.wait(_PATIENCE_S)
        return "done"

    def press(self, **headers: str) -> Response:
        # A body that no parser would take, and a token that is none: whoever is turned away is not looked at.
        said = {"Authorization": "Bearer none", **headers}
        return self.client.post(CHECK_IN, data=b"{", headers=said, content_type="application/json")


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.go_on.set()


def test_who_finds_no_place_is_told_to_come_again_before_any_work(door: Door) -> None:
    """And takes nobody's place; once somebody has left, the next is let in."""
    with ThreadPoolExecutor(2) as pool:
        first = [pool.submit(door.press) for _ in range(2)]
        assert all(door.inside.acquire(timeout=_PATIENCE_S) for _ in first)
        away = [door.press() for _ in range(5)]
        assert [one.status_code for one in away] == [503] * 5 and door.worked == 2
        assert all(int(one.headers["Retry-After"]) >= 1 for one in away)
        assert door.client.get("/other").status_code == 200
        door.go_on.set()
        assert [one.result(_PATIENCE_S).status_code for one in first] == [200, 200]
    assert door.press().status_code == 200 and door.worked == 3


def test_who_finds_no_place_waits_a_moment_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short standstill turns nobody away; those beyond the ones who wait are told at once."""
    monkeypatch.setattr(front, "_PATIENCE_S", _PATIENCE_S)
    door = Door(waiting=1)
    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(door.press) for _ in range(2)]
        assert all(door.inside.acquire(timeout=_PATIENCE_S) for _ in first)
        third = pool.submit(door.press)
        while door.front._waiting.any_left:
            time.sleep(0.001)
        assert door.press().status_code == 503 and door.worked == 2
        door.go_on.set()
        assert [one.result(_PATIENCE_S).status_code for one in (*first, third)] == [200] * 3


def test_who_has_waited_in_vain_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits without end, and nobody is worked for after that."""
    monkeypatch.setattr(front, "_PATIENCE_S", 0.01)
    door = Door(waiting=1)
    with ThreadPoolExecutor(2) as pool:
        first = [pool.submit(door.press) for _ in range(2)]
        assert all(door.inside.acquire(timeout=_PATIENCE_S) for _ in first)
        assert door.press().status_code == 503 and door.worked == 2
        door.go_on.set()
        assert [one.result(_PATIENCE_S).status_code for one in first] == [200, 200]


def test_other_requests_that_wait_leave_threads_to_check_ins_and_to_health() -> None:
    """Behind a slow database everything waits but what needs none."""
    door = Door(waiting=1)
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(door.client.get, "/slow")]
        assert door.inside.acquire(timeout=_PATIENCE_S)
        slow.append(pool.submit(door.client.get, "/slow"))
        while door.front._others_waiting.any_left:
            time.sleep(0.001)
        away = door.client.get("/other")
        assert away.status_code == 503 and int(away.headers["Retry-After"]) >= 1
        assert door.client.get("/healthz").status_code == 200
        pressed = pool.submit(door.press)
        assert door.inside.acquire(timeout=_PATIENCE_S), "a check-in is let in"
        door.go_on.set()
        assert [one.result(_PATIENCE_S).status_code for one in (*slow, pressed)] == [200] * 3


def test_while_nobody_could_be_accepted_nobody_is_let_in(door: Door) -> None:
    """It ends by itself."""
    door.go_on.set()
    door.shut = True
    assert [door.press().status_code for _ in range(3)] == [503] * 3 and door.worked == 0
    door.shut = False
    assert door.press().status_code == 200 and door.worked == 1


def test_the_answer_has_the_form_of_every_other_one(door: Door) -> None:
    """Its language and type are asked for, its id and its time are its own."""
    door.shut = True
    zh, en = door.press(), door.press(**{"Accept-Language": "en"})
    said = en.get_json()
    assert said["error"]["code"] == "UNAVAILABLE" and said["message"] != zh.get_json()["message"]
    assert said["meta"]["requestId"] == en.headers["X-Request-ID"] != zh.headers["X-Request-ID"]
    assert said["meta"]["timestamp"] > 1_600_000_000_000 and en.content_length == len(en.get_data())
    problem = door.press(Accept="application/problem+json")
    assert problem.mimetype == "application/problem+json" and problem.headers["X-Request-ID"] in problem.text
    assert len({door.press().headers["X-Request-ID"] for _ in range(3)}) == 3
    assert door.press(**{"X-Request-ID": "of-the-phone"}).get_json()["meta"]["requestId"] == "of-the-phone"


def test_those_turned_away_are_told_to_come_one_after_the_other() -> None:
    """At half of the pace at which requests were served, half a minute at most; and who comes later, at once."""
    now = [0.0]
    line = Line(lambda: now[0])
    assert [line.place() for _ in range(101)][48::50] == [1, 2] and line.place() == 3
    assert max(line.place() for _ in range(5_000)) == 30
    now[0] = 100.0
    assert line.place() == 1
    for _ in range(3):  # 500 a second, for a while
        for _ in range(500):
            line.served()
        now[0] += 1.0
        line.served()
    assert [line.place() for _ in range(400)].count(1) > 150
