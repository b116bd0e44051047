"""The database refuses, waits too long, is full, or commits without saying so: units are whole or not at all, and go on."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select, text, update
from sqlalchemy.exc import DBAPIError

from bench.mariadb import MariaDb
from bootstrap.wiring import new_id
from db import tasks
from db.engine import in_unit, make_engine, reading
from db.tables import jobs, lanes
from tests.faults.checker import all_is_well
from tests.faults.processes import until
from tests.faults.proxy import Proxy, mysql_commands
from tests.integration.drain_rig import LANE, TENANT, World, another_worker, calendar, members
from tests.integration.drain_rig import event as event_of

pytestmark = pytest.mark.integration


def one_course(here: World, course: str) -> None:
    """A calendar with two events and a reader."""
    here.put(calendar(course, name=f"{course} ·abcdefg"), event_of(0, course), event_of(1, course), members(course))


def drain_through(worker: World, *, until_: Callable[[], bool], within_s: float = 60.0) -> int:
    """Drain as a worker does whose doorbell may end in a database error. Returns how many did."""
    errors, give_up = 0, time.monotonic() + within_s
    while not until_():
        assert time.monotonic() < give_up, f"still queued: {worker.queued()}"
        try:
            worker.drain(until=until_, within_s=max(1.0, give_up - time.monotonic()))
        except DBAPIError:
            errors += 1
    return errors


# --- a commit nobody hears of


@pytest.fixture
def proxy(mariadb: MariaDb) -> Iterator[Proxy]:
    """In front of MariaDB; SQLite is a library and has no connection that could be lost."""
    with Proxy(mariadb.socket, mysql_commands) as made:
        yield made


@contextmanager
def behind(proxy: Proxy, here: World) -> Iterator[World]:
    """A worker whose database is behind the proxy."""
    url = here.engine.url.set(host="127.0.0.1", port=proxy.port, query={"charset": "utf8mb4"})
    engine = make_engine(url.render_as_string(hide_password=False))
    try:
        with another_worker(dataclasses.replace(here, deps=dataclasses.replace(here.deps, engine=engine))) as worker:
            yield worker
    finally:
        engine.dispose()


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
@pytest.mark.parametrize("do", ["lose_reply", "cut_before"])
def test_a_worker_that_does_not_hear_of_a_commit_does_nothing_twice(here: World, proxy: Proxy, do: str) -> None:
    """At every commit of a course, from the claim of its lane to its release: it may have happened or not, and both look the
    same. Whoever goes on finds in the rows which it was."""
    here.enrol([("student", "S1")], "c0")
    with behind(proxy, here) as worker:
        for n in range(1, 6):
            here.put(calendar(f"c{n}", name=f"c{n} ·abcdefg"), event_of(0, f"c{n}"), event_of(1, f"c{n}"))
            rule = proxy.on("^COMMIT$", do, nth=n)
            drain_through(worker, until_=here.at_rest)
            assert rule.fired == 1, f"there were fewer than {n} commits"
            proxy.forget()
        here.put(calendar("c0", name="c0 ·abcdefg"), members("c0"))
        drain_through(worker, until_=here.at_rest)
        until(lambda: here.lane_row().owner is None, "the lane was not given back")
    all_is_well(here)
    assert len(here.calendars()) == 6
    assert here.count("event") == (10, 10, 0, 0)


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_who_puts_again_after_an_unheard_commit_has_one_row(here: World, proxy: Proxy) -> None:
    """The planner's unit and the request for a task are repeated by their key, not by luck."""
    with behind(proxy, here) as worker:
        for ask in (lambda: worker.put(calendar()), lambda: _ask_for_task(worker.engine)):
            proxy.on("^COMMIT$", "lose_reply", nth=1)
            with suppress(DBAPIError):
                ask()
            assert proxy.forget() == 1
            ask()
    with reading(here.engine) as tx:
        found = tx.execute(select(jobs.c.kind, func.count()).group_by(jobs.c.kind)).all()
    assert sorted(tuple(row) for row in found) == [("calendar", 1), ("run.advance", 1)]
    here.drain(until=lambda: here.job("cal:c1").state == "done")
    assert len(here.calendars()) == 1


def _ask_for_task(engine: Engine) -> str:
    asked: dict[str, Any] = {"queue": "sync", "kind": "run.advance", "target": "run:1", "payload": "{}", "run_id": None}
    return in_unit(engine, lambda tx: tasks.put_task(tx, tenant=TENANT, new_id=new_id, **asked))


# --- it waits too long


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_lock_that_is_waited_for_too_long_undoes_the_whole_unit(here: World) -> None:
    """MySQL undoes the statement only. A unit that went on from there would count what it has written before twice; SQLite
    has no such half."""
    here.put(calendar("c1", name="c1 ·abcdefg"), calendar("c2", name="c2 ·abcdefg"))
    attempts = 0

    def work(tx: Any) -> None:
        nonlocal attempts
        attempts += 1
        tx.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
        tx.execute(update(lanes).where(lanes.c.lane == LANE).values(effects=lanes.c.effects + 1))
        tx.execute(update(jobs).where(jobs.c.target == "cal:c2").values(rev=jobs.c.rev + 1))

    holds, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with here.engine.begin() as other:
            other.execute(select(jobs).where(jobs.c.target == "cal:c2").with_for_update()).all()
            holds.set()
            may_go.wait(10)

    holder = here.executor.submit(hold)
    assert holds.wait(5)
    before = here.lane_row().effects
    unit = here.executor.submit(in_unit, here.engine, work)
    until(lambda: attempts >= 2, "the wait was not given up")
    assert here.lane_row().effects == before, "half a unit can be seen"
    may_go.set()
    holder.result()
    unit.result(timeout=60)
    assert here.lane_row().effects == before + 1
    assert here.job("cal:c2").rev == 2
    here.drain()
    all_is_well(here)


# --- it is full, or takes nothing


def test_a_database_that_takes_nothing_stops_the_lanes_and_no_longer(
    here: World, request: pytest.FixtureRequest
) -> None:
    """A full disk, a primary that became a replica: calls stop, because no call goes out without its promise in the book;
    what was under way is found out afterwards."""
    here.simulator.desk("settings", {"latency_ms": 20})
    for n in range(6):
        one_course(here, f"c{n}")
    with takes_nothing(here, request) as (worker, refuse, allow):
        began = worker.executor.submit(drain_through, worker, until_=here.at_rest)
        until(lambda: len(here.log("/v7/")) >= 4, "no calls were made before it")
        refuse()
        time.sleep(0.2)
        made = len(here.log("/v7/"))
        time.sleep(0.8)
        assert len(here.log("/v7/")) <= made + 1, "calls went on without a book"
        with pytest.raises(DBAPIError):
            worker.put(calendar("late", name="late ·abcdefg"))
        allow()
        began.result(timeout=90)
        worker.put(calendar("late", name="late ·abcdefg"))
        drain_through(worker, until_=here.at_rest)
        until(lambda: here.lane_row().owner is None, "the lane was not given back")
    all_is_well(here)
    assert len(here.calendars()) == 7
    assert here.count("event") == (12, 12, 0, 0)


@contextmanager
def takes_nothing(
    here: World, request: pytest.FixtureRequest
) -> Iterator[tuple[World, Callable[[], None], Callable[[], None]]]:
    """A worker, and what makes its database refuse every write, and take them again."""
    if here.engine.dialect.name == "sqlite":
        full = threading.Event()

        def limit(connection: Any, _record: Any, _proxy: Any) -> None:
            connection.execute(f"PRAGMA query_only = {int(full.is_set())}")

        event.listen(here.engine, "checkout", limit)
        yield here, full.set, full.clear
        event.remove(here.engine, "checkout", limit)
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    name = here.engine.url.database
    server.run("CREATE OR REPLACE USER app@localhost", f"GRANT ALL ON {name}.* TO app@localhost")
    engine = make_engine(here.engine.url.set(username="app").render_as_string(hide_password=False))
    deps = dataclasses.replace(here.deps, engine=engine)
    try:
        with another_worker(dataclasses.replace(here, deps=deps)) as worker:
            yield (
                worker,
                lambda: server.run("SET GLOBAL read_only = 1"),
                lambda: server.run("SET GLOBAL read_only = 0"),
            )
    finally:
        server.run("SET GLOBAL read_only = 0")
        engine.dispose()
        server.run("DROP USER app@localhost")
