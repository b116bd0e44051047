"""A small world for tests of the drain: a real simulator, a real database, a real Valkey, and times short enough to wait.

Nothing here stands in for code of ours: jobs are put, lanes are claimed and drained as the product does it. What a worker's
keeper does (leases, due lanes into Redis) the rig does.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError

from bootstrap.wiring import new_id
from db import jobs as job_rows
from db import lanes
from db.engine import in_unit, reading
from db.jobs import Put
from db.lane_hints import LaneHints
from db.tables import AnyRow, jobs, mirror, rolls, run_counts, users
from db.tables import lanes as lane_table
from domain.ids import key_of, marker_of
from domain.lanes import Times
from domain.plans import (
    GONE,
    PRIORITY,
    Desired,
    SessionView,
    calendar_target,
    desired_event,
    event_target,
    members_target,
)
from ratelimit.limiter import Limiter, Limits
from ratelimit.redis_limiter import RedisLimiter
from remote.wps.client import WpsClient
from remote.wps.credentials import Credentials
from remote.wps.transport import Transport
from tests.contract.simulator_process import APP_ID, APP_KEY, Simulator
from tests.fixtures_stores import Valkey
from usecases.deps import Deps, Remote
from usecases.lanes import Holding, Holdings
from usecases.sync.draining import Slice, drain_lanes, drain_slice

TENANT, TERM, LANE = "t1", "2024-2025-1", "数学"
SECRET = b"a secret of the tests"
TIMES = Times(budget_ms=400, lease_ms=1200, late_ms=150, lag_ms=80, guard_ms=300)
DAY_MS = 86_400_000
FIRST_MS = 1_725_235_200_000  # 2024-09-02 08:00 in Shanghai


def limiter_on(valkey: Valkey) -> Limiter:
    """A budget that these tests do not reach; from the first call on, not grown into."""
    return RedisLimiter(valkey.client(), limits=Limits(rate_per_s=2_000, burst=200, max_in_flight=50))


def calendar(course: str = "c1", *, name: str = "线性代数 ·abcdefg", lane: str = LANE, **changes: Any) -> Put:
    """The calendar of a course."""
    target = calendar_target(course)
    one = Put("calendar", target, target, TERM, lane, json.dumps({"name": name}), key_of(name), 0, 0, name=name)
    return replace(one, **changes)


def event(number: int, course: str = "c1", *, room: str = "101", lane: str = LANE, minutes: int = 95) -> Put:
    """The event of the course's session on the given day of the term."""
    start_ms = FIRST_MS + number * DAY_MS
    session = SessionView(
        f"{course}-{number:03d}",
        f"day {number}",
        start_ms,
        start_ms + minutes * 60_000,
        (("东", "东上院", room),),
        ("鲍老师",),
    )
    want = desired_event(session, summary=f"线性代数 {number}")
    return event_put(want, course, lane=lane)


def event_put(want: Desired, course: str, *, lane: str = LANE) -> Put:
    """A desired event as a job."""
    marker = marker_of(SECRET, tenant=TENANT, target=want.target, generation=0)
    group = calendar_target(course)
    return Put("event", want.target, group, TERM, lane, want.payload, want.hash, 0, PRIORITY["event"], marker=marker)


def members(course: str = "c1", *, roll: str = "some", lane: str = LANE) -> Put:
    """The readers and writers of the course; who they are is read from the roll when it is sent."""
    payload = json.dumps({"offering": course, "roll": roll})
    target = members_target(course)
    return Put("members", target, calendar_target(course), TERM, lane, payload, roll, 0, PRIORITY["members"])


def gone(one: Put) -> Put:
    """The same target, not wanted any more."""
    return replace(one, payload=GONE, desired_hash="")


class KilledHere(BaseException):
    """Stands for the end of a process: nothing of ours catches it."""


class DyingClient(WpsClient):
    """A client whose process dies around its next write: before the call leaves, or after its answer has come."""

    def __init__(self, transport: Transport, *, after: bool) -> None:
        super().__init__(transport, zone=ZoneInfo("Asia/Shanghai"))
        self._after = after

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith(("create_", "update_", "delete_", "add_", "remove_")):
            return found

        def dying(*args: Any, **kwargs: Any) -> None:
            if self._after:
                found(*args, **kwargs)
            raise KilledHere(name)

        return dying


@dataclass
class World:
    """Everything a test touches."""

    deps: Deps
    simulator: Simulator
    executor: ThreadPoolExecutor
    holdings: Holdings

    @property
    def engine(self) -> Engine:
        """The database."""
        return self.deps.engine

    def put(self, *puts: Put, import_no: int = 1, run_id: str | None = "run") -> int:
        """Ask for desired states, as the planner does."""

        def work(tx: Any) -> int:
            lanes.make(tx, tenant=TENANT, names={one.lane for one in puts})
            ordered = sorted(puts, key=lambda one: one.target)
            return job_rows.put(tx, ordered, tenant=TENANT, import_no=import_no, run_id=run_id, new_id=new_id)

        return in_unit(self.engine, work)

    def claim(self, lane: str = LANE, *, within_s: float = 0.0, tenant: str = TENANT) -> Holding | None:
        """Take a lane, trying as long as told."""
        give_up = time.monotonic() + within_s
        while True:
            holding = self.holdings.claim(tenant, lane)
            if holding is not None or time.monotonic() >= give_up:
                return holding
            time.sleep(0.02)

    def slice(self, lane: str = LANE, *, deps: Deps | None = None, tenant: str = TENANT) -> Slice:
        """Drain one slice of a lane that must be free."""
        holding = self.claim(lane, within_s=30, tenant=tenant)
        assert holding is not None
        return drain_slice(deps or self.deps, self.holdings, holding, self.executor)

    def drain(self, *, within_s: float = 60.0, until: Callable[[], bool] | None = None) -> int:
        """Drain until no lane job is queued and no intent is open (or `until`), as workers and keeper would. Returns the
        calls made."""
        give_up, calls = time.monotonic() + within_s, 0
        finished = until or self.at_rest
        while not finished():
            assert time.monotonic() < give_up, f"still queued: {self.queued()}, unsettled: {self.unsettled()}"
            with reading(self.engine) as tx:
                due = lanes.due(tx)
            self.deps.hints.mark(due)
            calls += drain_lanes(self.deps, self.holdings, self.executor, cap=lambda: 10)
            if not due:
                time.sleep(0.04)
        return calls

    def at_rest(self) -> bool:
        """Whether there is nothing left to do or to find out."""
        return not self.queued() and not self.unsettled()

    def job(self, target: str) -> AnyRow:
        """The newest job of a target."""
        with reading(self.engine) as tx:
            statement = select(jobs).where(jobs.c.target == target).order_by(jobs.c.created_ms.desc(), jobs.c.id.desc())
            row = tx.execute(statement).first()
        assert row is not None, target
        return row

    def mirrored(self, target: str) -> AnyRow:
        """The mirror row of a target."""
        with reading(self.engine) as tx:
            return tx.execute(select(mirror).where(mirror.c.target == target)).one()

    def queued(self) -> list[str]:
        """Targets of lane jobs that wait."""
        with reading(self.engine) as tx:
            return list(tx.execute(select(jobs.c.target).where(jobs.c.state == "queued")).scalars())

    def unsettled(self) -> list[str]:
        """Targets whose last write is in doubt."""
        with reading(self.engine) as tx:
            return list(tx.execute(select(mirror.c.target).where(mirror.c.intent_verb.is_not(None))).scalars())

    def lane_row(self, lane: str = LANE) -> AnyRow:
        """A lane's row."""
        with reading(self.engine) as tx:
            return tx.execute(select(lane_table).where(lane_table.c.lane == lane)).one()

    def count(self, kind: str = "event", *, run_id: str = "run") -> tuple[int, int, int, int]:
        """(planned, done, failed, superseded) of a run, over all lanes."""
        with reading(self.engine) as tx:
            rows = tx.execute(select(run_counts).where(run_counts.c.run_id == run_id, run_counts.c.kind == kind)).all()
        return (
            sum(row.planned for row in rows),
            sum(row.done for row in rows),
            sum(row.failed for row in rows),
            sum(row.superseded for row in rows),
        )

    # --- the other side

    def calendars(self) -> list[Any]:
        """Calendars at the simulator that are not deleted."""
        return [one for one in self.simulator.desk("state")["calendars"] if not one["is_deleted"]]

    def the_calendar(self) -> Any:
        """The only calendar."""
        (one,) = self.calendars()
        return one

    def events(self) -> list[Any]:
        """Events of the only calendar that are not cancelled, by start."""
        found = [one for one in self.the_calendar()["events"] if one["status"] == "normal"]
        return sorted(found, key=lambda one: str(one["start_time"]["datetime"]))

    def faults(self, *rules: dict[str, Any]) -> None:
        """What goes wrong from now on."""
        self.simulator.desk("faults", list(rules))

    def log(self, path: str = "") -> list[Any]:
        """Calls the simulator has seen, oldest first."""
        return [
            {**one, "lane": unquote(one["lane"] or "")} for one in self.simulator.desk("log") if path in one["path"]
        ]

    def enrol(self, people: Sequence[tuple[str, str]], course: str = "c1") -> dict[str, str]:
        """Put people (kind, code) on the roll, with accounts at the simulator. Returns code → WPS id."""
        known = [{"ex_user_id": code, "user_name": f"人{code}"} for _, code in people]
        self.simulator.desk("people", {"people": known})
        ids = {one["ex_user_id"]: one["id"] for one in self.simulator.desk("state")["users"]}
        key = {"tenant_id": TENANT, "import_no": 1}

        def work(tx: Any) -> None:
            known_codes = set(tx.execute(select(users.c.code)).scalars())
            for kind, code in people:
                person = {"kind": kind, "code": code, "name": code, "college": "", "listed": True, "wps_id": ids[code]}
                if code not in known_codes:
                    tx.execute(users.insert(), [{**key, **person}])
                tx.execute(rolls.insert(), [{**key, "term": TERM, "offering_id": course, "kind": kind, "code": code}])

        in_unit(self.engine, work)
        return ids

    def readers(self, course: str = "c1") -> dict[str, str]:
        """School number → role on the calendar of the course."""
        return {one["ex_user_id"]: one["role"] for one in self.calendar_of(course)["permissions"]}

    def calendar_of(self, course: str) -> Any:
        """The calendar of a course, by the id that the mirror has."""
        return next(one for one in self.calendars() if one["id"] == self.id_of(course))

    def id_of(self, course: str) -> str:
        """The id of a course's calendar."""
        return str(self.mirrored(calendar_target(course)).remote_id)

    def say(self, course: str) -> list[tuple[str, str]]:
        """(summary, room) of the events of a course, by start."""
        found = [one for one in self.calendar_of(course)["events"] if one["status"] == "normal"]
        found.sort(key=lambda one: str(one["start_time"]["datetime"]))
        return [(one["summary"], one["locations"][0]["name"].removeprefix("东上院")) for one in found]

    def dying(self, *, after: bool) -> Deps:
        """Deps of a worker that dies around its next write."""
        client = DyingClient(self.deps.remote.transport, after=after)
        return replace(self.deps, remote=replace(self.deps.remote, client=client))


def lost(path: str, **more: Any) -> dict[str, Any]:
    """A rule: carried out, and the answer never comes."""
    return {"match": {"method": "POST", "path": path}, "do": "applied_reply_lost", **more}


@contextmanager
def world(simulator: Simulator, engine: Engine, valkey: Valkey, data_dir: Path) -> Iterator[World]:
    """A fresh world on an emptied simulator and an empty database."""
    simulator.fresh()
    limiter = limiter_on(valkey)
    transport = Transport(
        base_url=f"http://127.0.0.1:{simulator.port}",
        credentials=Credentials(APP_ID, APP_KEY),
        limiter=limiter,
        limiter_key="wps",
        budget_s=TIMES.budget_ms / 1000,
        clock=lambda: datetime.now(UTC),
        label_lanes=True,
    )
    zone = ZoneInfo("Asia/Shanghai")
    deps = Deps(
        engine=engine,
        remote=Remote(WpsClient(transport, zone=zone), transport, limiter, "wps"),
        hints=LaneHints(valkey.client()),
        times=TIMES,
        secret=SECRET,
        zone=zone,
        tenant=TENANT,
        new_id=new_id,
        ring=lambda _: None,
        data_dir=data_dir,
    )
    with _worker(deps, simulator) as made:
        yield made
    transport.close()


@contextmanager
def another_worker(beside: World) -> Iterator[World]:
    """One more process, as far as lanes are concerned: claims, leases and keeper of its own."""
    with _worker(beside.deps, beside.simulator) as made:
        yield made


@contextmanager
def _worker(deps: Deps, simulator: Simulator) -> Iterator[World]:
    holdings, over = Holdings(deps.engine, TIMES, new_id), threading.Event()

    def keep() -> None:
        while not over.wait(TIMES.renew_ms / 1000):
            with suppress(DBAPIError):  # like a worker's keeper, which tries again
                holdings.renew()

    with ThreadPoolExecutor(max_workers=8) as executor:
        keeper = executor.submit(keep)
        try:
            yield World(deps, simulator, executor, holdings)
        finally:
            over.set()
            keeper.result()


__all__ = [
    "LANE", "TENANT", "TERM", "TIMES", "KilledHere", "World", "another_worker", "calendar", "event", "event_target",
    "gone", "lost", "members", "world",
]  # fmt: skip
