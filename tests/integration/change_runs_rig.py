"""Whole runs as workers carry them out, over campus folders, against the simulator."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db import sync_runs
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import jobs, tenants
from domain.scopes import EVERYTHING, Scope
from tests.integration.drain_rig import TENANT, World
from usecases import tasks
from usecases.sync import runs
from usecases.sync.planning import Planner, tally


@dataclass
class Runs:
    """Begins runs, and lets them and the lanes go on."""

    here: World

    def __post_init__(self) -> None:
        row = {"id": TENANT, "zone": "Asia/Shanghai", "settings": "{}", "wps_app_id": "", "wps_app_key": ""}
        made = {**row, "last_import_no": 0, "created_ms": 0}
        in_unit(self.here.engine, lambda tx: tx.execute(tenants.insert(), [made]))

    def begin(
        self,
        source: Path | str,
        kind: str = "full",
        *,
        only: Scope = EVERYTHING,
        changes: Path | None = None,
        **more: Any,
    ) -> str:
        """Ask for a run; nobody works on it yet. Returns its id."""
        run_id, _ = runs.begin(self.here.deps, kind=kind, source=str(source), only=only, changes=changes, **more)
        return run_id

    def step(self, run_id: str) -> None:
        """What a worker does when it has the run's task: go on until the run waits for something."""
        with reading(self.here.engine) as tx:
            task_id = tx.execute(select(jobs.c.id).where(jobs.c.target == run_id)).scalar_one()
        task = tasks.claim(self.here.deps, task_id, claim=secrets.token_hex(16))
        if task is not None:
            runs.advance(self.here.deps, task)

    def go_on(self, *run_ids: str, ends: str = "succeeded", within_s: float = 90) -> list[dict[str, Any]]:
        """Carry runs to their ends, as workers would, all at once."""
        give_up = time.monotonic() + within_s
        while True:
            for run_id in run_ids:
                self.step(run_id)
            found = [self.look(run_id) for run_id in run_ids]
            if all(run["state"] in sync_runs.ENDED for run in found):
                assert {run["state"] for run in found} == {ends}, found
                return found
            self.here.drain(until=self._lanes_are_empty, within_s=within_s)
            assert time.monotonic() < give_up, found
            time.sleep(0.02)

    def run(
        self, source: Path | str, kind: str = "full", *, ends: str = "succeeded", within_s: float = 90, **how: Any
    ) -> dict[str, Any]:
        """A run from its beginning to its end."""
        (run,) = self.go_on(self.begin(source, kind, **how), ends=ends, within_s=within_s)
        return run

    def until(self, run_id: str, reached: Callable[[dict[str, Any]], bool], *, within_s: float = 90) -> dict[str, Any]:
        """Work on a run until it is somewhere."""
        give_up = time.monotonic() + within_s
        while not reached(run := self.look(run_id)):
            assert time.monotonic() < give_up, run
            self.step(run_id)
        return run

    def look(self, run_id: str) -> dict[str, Any]:
        """A run as `obsync runs show --json` shows it."""
        with reading(self.here.engine) as tx:
            row = sync_runs.get(tx, run_id, tenant=TENANT)
            assert row is not None
            return sync_runs.as_dict(tx, row, now=now_ms(tx))

    def plan(self) -> Counter[tuple[str, str]]:
        """(kind, verb) → what a full run would send now."""
        deps, found = self.here.deps, Counter[tuple[str, str]]()
        for _, plans in Planner(deps.engine, TENANT, deps.secret).pages():
            found += tally(plans)
        return found

    def seen(self) -> dict[str, list[tuple[str, str, str]]]:
        """What people see: calendar → (summary, start, place) of its events, sorted."""
        return {
            one["summary"]: sorted(
                (event["summary"], event["start_time"]["datetime"], (event["locations"] or [{"name": ""}])[0]["name"])
                for event in one["events"]
                if event["status"] == "normal"
            )
            for one in self.here.calendars()
        }

    def _lanes_are_empty(self) -> bool:
        with reading(self.here.engine) as tx:
            waiting = select(jobs.c.id).where(jobs.c.state == "queued", jobs.c.lane.is_not(None))
            return tx.execute(waiting).first() is None and not self.here.unsettled()


def notes(run: dict[str, Any]) -> dict[str, str | None]:
    """Step → what is noted beside it."""
    return {stage["step"]: stage["note"] for stage in run["stages"]}


def totals(run: dict[str, Any]) -> dict[str, int]:
    """Step → how much there was to do in it."""
    return {stage["step"]: stage["total"] for stage in run["stages"]}
