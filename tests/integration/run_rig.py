"""Full runs over a campus folder, carried to their end by the lanes of the drain's world."""

from __future__ import annotations

import base64
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db import sync_runs
from db.clock import now_ms
from db.engine import reading
from db.tables import jobs
from tests.integration.campus_rig import MONDAY, with_tenant, write
from tests.integration.drain_rig import World
from usecases import tasks
from usecases.deps import Deps
from usecases.sync import runs


@dataclass
class Registry:
    """A campus folder that somebody publishes, and what becomes of its runs."""

    here: World
    folder: Path

    @property
    def deps(self) -> Deps:
        """What a worker of the tenant has."""
        return self.here.deps

    def publish(self, *names: str) -> None:
        """A timetable with one class of each course of these names."""
        write(self.folder, "meetings", [row(number, name) for number, name in enumerate(names)])
        people = [{"xh": f"s{number}", "xm": f"人{number}"} for number in range(3)]
        write(self.folder, "students", people, ("xh", "xm"))
        taken = [
            {"xh": one["xh"], "kkh": f"A-{number}", "xnxq": MONDAY["xnxq"]}
            for number in range(len(names))
            for one in people
        ]
        write(self.folder, "enrolments", taken, ("xh", "kkh", "xnxq"))
        known = [{"ex_user_id": one["xh"], "user_name": one["xm"]} for one in people]
        self.here.simulator.desk("people", {"people": [*known, {"ex_user_id": "t1", "user_name": "甲"}]})

    def sync(self, *, kind: str = "full") -> dict[str, Any]:
        """A run over the folder, to its end."""
        run_id, task_id = self.begin(kind=kind)
        give_up = time.monotonic() + 90
        while True:
            self.advance(task_id)
            run = self.look(run_id)
            if run["state"] in sync_runs.ENDED:
                return run
            self.drain()
            assert time.monotonic() < give_up, run
            time.sleep(0.02)

    def begin(self, *, kind: str = "full") -> tuple[str, str]:
        """Start a run and do nothing for it yet. Returns its id and that of its task."""
        return runs.begin(self.deps, kind=kind, source=str(self.folder))

    def advance(self, task_id: str) -> None:
        """Work on a run until it waits for the lanes, if its task is due."""
        task = tasks.claim(self.deps, task_id, claim=self.deps.new_id())
        if task is not None:
            runs.advance(self.deps, task)

    def drain(self) -> None:
        """What the lanes have to do, and nothing for the runs."""
        self.here.drain(until=self._only_runs_are_left)

    def look(self, run_id: str) -> dict[str, Any]:
        """The run as it is now."""
        with reading(self.deps.engine) as tx:
            found = sync_runs.get(tx, run_id, tenant=self.deps.tenant)
            assert found is not None
            return sync_runs.as_dict(tx, found, now=now_ms(tx))

    def _only_runs_are_left(self) -> bool:
        with reading(self.deps.engine) as tx:
            waiting = select(jobs.c.id).where(jobs.c.state == "queued", jobs.c.lane.is_not(None))
            return tx.execute(waiting).first() is None and not self.here.unsettled()


def row(number: int, name: str) -> dict[str, str]:
    """The only meeting of a course."""
    return {**MONDAY, "kkh": f"A-{number}", "kcbh": f"A{number}", "kcmc": name, "room": str(101 + number)}


def planned(run: dict[str, Any]) -> int:
    """How many operations a run put."""
    return sum(one["planned"] for one in run["counts"].values())


def registry(here: World, folder: Path) -> Registry:
    """An empty folder, and a tenant to sync it for."""
    with_tenant(here.deps.engine)
    key = base64.b64encode(bytes(32)).decode()
    deps = dataclasses.replace(here.deps, tenant="main", encryption_keys=f"k:{key}")
    return Registry(dataclasses.replace(here, deps=deps), folder)
