"""Whole runs over campus folders: carried out as workers do it, one step of the world at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from db import sync_runs
from db.clock import now_ms
from db.engine import reading
from db.tables import jobs, mirror, sessions
from domain.runs import Command
from tests.integration.campus_rig import MONDAY, with_tenant, write
from tests.integration.drain_rig import World
from usecases import tasks
from usecases.deps import Deps
from usecases.sync import run_commands, runs
from usecases.tasks import ClaimLost

Rows = list[dict[str, str]]
WEEKS = 20


def course(
    name: str, college: str = "数学学院", *, weeks: Iterable[int] = range(1, WEEKS + 1), room: str = "101"
) -> Rows:
    """A course with one class a week, each on a day of its own."""
    return [
        {
            **MONDAY,
            "kkh": name,
            "kcbh": name,
            "kcmc": f"课{name}",
            "kkxy": college,
            "jxz": str(week),
            "rq": (date(2024, 9, 2) + timedelta(weeks=week - 1)).isoformat(),
            "room": room,
            "ghs": "",
        }
        for week in weeks
    ]


@dataclass
class Runs:
    """A tenant with a source, WPS, and workers that work when they are told to."""

    here: World
    deps: Deps
    home: Path

    @property
    def engine(self) -> Engine:
        return self.deps.engine

    def source(self, *rows: Rows, name: str = "campus", **parts: Rows) -> Path:
        """A campus folder of these courses."""
        folder = self.home / name
        write(folder, "meetings", [one for some in rows for one in some])
        for part, of_part in parts.items():
            write(folder, part, of_part)
        return folder

    def begin(self, source: Path, *, kind: str = "full", **more: Any) -> str:
        """Start a run; nobody works on it yet."""
        run_id, _ = runs.begin(self.deps, kind=kind, source=str(source), remember=kind == "full", **more)
        return run_id

    def sync(
        self, source: Path, *, kind: str = "full", ends: str = "succeeded", within_s: float = 90, **more: Any
    ) -> dict[str, Any]:
        """A run to its end, or to where it rests."""
        return self.go_on(self.begin(source, kind=kind, **more), ends=ends, within_s=within_s)

    def look_at_everything(self, kind: str) -> dict[str, Any]:
        """A run of kind `verify` or `repair`."""
        return self.go_on(runs.begin_look(self.deps, kind=kind))

    def tell(self, run_id: str, command: Command, *, actor: str = "a person") -> str | None:
        return run_commands.tell(self.deps, run_id, command, actor=actor)

    def confirm(self, run_id: str, *, ends: str = "succeeded") -> dict[str, Any]:
        self.tell(run_id, Command.CONFIRM)
        return self.go_on(run_id, ends=ends)

    def drop(self, run_id: str) -> dict[str, Any]:
        self.tell(run_id, Command.DROP)
        return self.go_on(run_id, ends="cancelled")

    def go_on(self, run_id: str, *, ends: str = "succeeded", within_s: float = 90) -> dict[str, Any]:
        """Work until the run has ended or rests, which has to be in the state `ends`."""
        give_up = time.monotonic() + within_s
        while True:
            self.advance(run_id)
            run = self.look(run_id)
            if run["asked"] is None and run["state"] in (*sync_runs.ENDED, "paused", "needs_confirmation"):
                assert run["state"] == ends, run
                return run
            self.drain(within_s=within_s)
            assert time.monotonic() < give_up, run
            time.sleep(0.02)

    def advance(self, run_id: str, *, deps: Deps | None = None) -> None:
        """What a worker of queue `sync` does about the run now, if anything is due."""
        task_id = self.due_task(run_id)
        task = None if task_id is None else tasks.claim(self.deps, task_id, claim=secrets.token_hex(16))
        if task is not None:
            try:
                runs.advance(deps or self.deps, task)
            except ClaimLost:
                return

    def due_task(self, run_id: str) -> str | None:
        """The task of a run, if somebody should claim it now."""
        with reading(self.engine) as tx:
            where = (jobs.c.target == run_id, jobs.c.queue.is_not(None), jobs.c.state == "queued")
            return tx.execute(select(jobs.c.id).where(*where, jobs.c.run_at <= now_ms(tx))).scalar()

    def drain(self, *, until: Callable[[], bool] | None = None, within_s: float = 90) -> None:
        """Let the lanes work until nothing of them is queued and nothing is in doubt."""
        self.here.drain(
            within_s=within_s, until=until or (lambda: not self.lane_jobs("queued") and not self.here.unsettled())
        )

    # --- looking

    def look(self, run_id: str) -> dict[str, Any]:
        with reading(self.engine) as tx:
            row = sync_runs.get(tx, run_id, tenant=self.deps.tenant)
            assert row is not None
            return sync_runs.as_dict(tx, row, now=now_ms(tx))

    def lane_jobs(self, *states: str) -> int:
        with reading(self.engine) as tx:
            where = (jobs.c.lane.is_not(None), jobs.c.state.in_(states))
            return tx.execute(select(func.count()).select_from(jobs).where(*where)).scalar_one()

    def sessions(self) -> int:
        with reading(self.engine) as tx:
            return tx.execute(select(func.count()).select_from(sessions)).scalar_one()

    def live(self, kind: str = "event") -> int:
        with reading(self.engine) as tx:
            where = (mirror.c.kind == kind, mirror.c.state == "live")
            return tx.execute(select(func.count()).select_from(mirror).where(*where)).scalar_one()

    def dump(self) -> str:
        """A hash of everything WPS holds: any call that changed something changes it."""
        state = self.here.simulator.desk("state")
        return hashlib.sha256(json.dumps(state["calendars"], sort_keys=True).encode()).hexdigest()

    def people_see(self) -> dict[str, list[tuple[str, str, str]]]:
        """Calendar → (summary, start, place) of its events: what a person can tell apart."""
        found = {}
        for one in self.here.calendars():
            events = [event for event in one["events"] if event["status"] == "normal"]
            found[one["summary"]] = sorted(
                (event["summary"], event["start_time"]["datetime"], str(event["locations"])) for event in events
            )
        return found


@contextmanager
def runs_of(here: World, home: Path) -> Iterator[Runs]:
    """A tenant `main` in the world."""
    with_tenant(here.engine)
    yield Runs(here, dataclasses.replace(here.deps, tenant="main"), home)
