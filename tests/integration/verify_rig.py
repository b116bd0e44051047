"""A small term in the tables and at the simulator, people who change things there by hand, and runs that look at it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update

from db import sync_runs
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import AnyRow, discrepancies, imports, jobs, offerings, sessions
from domain.plans import calendar_target, event_target
from tests.integration.drain_rig import DAY_MS, FIRST_MS, LANE, SECRET, TENANT, TERM, World
from usecases import discrepancies as discrepancy_cases
from usecases import tasks
from usecases.sync import runs
from usecases.sync.draining import drain_slice
from usecases.sync.planning import Planner, tally

CALENDAR = "/v7/calendars"


@dataclass
class Term:
    """Courses of one college, as an import leaves them."""

    here: World

    def imported(self) -> None:
        """There is a complete import, the first."""
        row = {
            "tenant_id": TENANT, "import_no": 1, "source": "", "files": "{}", "fingerprint": "", "state": "complete",
            "part": "read", "cursor": 0, "rows_in": 0, "staged": 0, "rejected": 0, "held": 0, "findings": 0,
            "sessions": 0, "started_ms": 0,
        }  # fmt: skip
        in_unit(self.here.engine, lambda tx: tx.execute(imports.insert(), [row]))

    def course(self, course: str, *, days: int) -> None:
        """A course with a class on each of the first days, one a week."""
        key = {"tenant_id": TENANT, "term": TERM, "import_no": 1}
        offering = {"id": course, "kkh": course, "kcbh": course, "name": f"课{course}", "college": LANE, "lane": None}

        def work(tx: Any) -> None:
            tx.execute(offerings.insert(), [{**key, **offering}])
            tx.execute(sessions.insert(), [{**key, **_session(course, day)} for day in range(days)])

        in_unit(self.here.engine, work)

    def move(self, course: str, day: int, room: str) -> None:
        """The timetable changes: another room."""
        where = (sessions.c.id == session_id(course, day),)
        rooms = json.dumps([["东", "东上院", room]])
        in_unit(self.here.engine, lambda tx: tx.execute(update(sessions).where(*where).values(rooms=rooms)))

    def drop(self, course: str) -> None:
        """The timetable loses the course."""

        def work(tx: Any) -> None:
            tx.execute(delete(sessions).where(sessions.c.offering_id == course))
            tx.execute(delete(offerings).where(offerings.c.id == course))

        in_unit(self.here.engine, work)

    def plan(self) -> dict[tuple[str, str], int]:
        """(kind, verb) → how many operations a sync would send."""
        found: dict[tuple[str, str], int] = {}
        for _, plans in self._planner.pages():
            for key, count in tally(plans).items():
                found[key] = found.get(key, 0) + count
        return found

    def sync(self, *, drain: bool = True) -> None:
        """What a full run does from its plan on."""
        for _, plans in self._planner.pages():
            new_id = self.here.deps.new_id
            self._planner.put(plans, import_no=1, run_id="run", new_id=new_id, fence=lambda _: None)
        if drain:
            self.here.drain(until=self._only_the_run_is_left)

    @property
    def _planner(self) -> Planner:
        return Planner(self.here.engine, TENANT, SECRET)

    # --- runs

    def verify(self, **scope: Any) -> dict[str, Any]:
        """Look at everything."""
        return self.go_on(runs.begin_look(self.here.deps, kind="verify", **scope))

    def repair(self, *, ends: str = "succeeded") -> dict[str, Any]:
        """Put right what can be."""
        return self.go_on(runs.begin_look(self.here.deps, kind="repair"), ends=ends)

    def begin(self) -> str:
        """Ask for a look at everything and go no further. Returns the run's id."""
        run_id = runs.begin_look(self.here.deps, kind="verify")
        give_up = time.monotonic() + 90
        self._advance(run_id)
        while not (self._has_asked(run_id) or self._is_over(self._look(run_id))):
            # The list of all calendars comes first; only its lane moves meanwhile.
            holding = self.here.claim("_")
            if holding is not None:
                drain_slice(self.here.deps, self.here.holdings, holding, self.here.executor)
            assert time.monotonic() < give_up, self._look(run_id)
            time.sleep(0.02)
            self._advance(run_id)
        return run_id

    def _is_over(self, run: dict[str, Any]) -> bool:
        return run["state"] in (*sync_runs.ENDED, "needs_confirmation")

    def _has_asked(self, run_id: str) -> bool:
        with reading(self.here.engine) as tx:
            asked = select(jobs.c.id).where(jobs.c.run_id == run_id, jobs.c.kind == "verify")
            return tx.execute(asked).first() is not None

    def go_on(self, run_id: str, *, ends: str = "succeeded", drain: bool = True) -> dict[str, Any]:
        """Carry a run to its end, as workers would; without `drain` no lane moves meanwhile."""
        give_up = time.monotonic() + 90
        while True:
            if not self._is_over(self._look(run_id)):
                self._advance(run_id)
            run = self._look(run_id)
            if self._is_over(run):
                assert run["state"] == ends, run
                return run
            if drain:
                self.here.drain(until=self._only_the_run_is_left)
            assert time.monotonic() < give_up, run
            time.sleep(0.02)

    def _only_the_run_is_left(self) -> bool:
        with reading(self.here.engine) as tx:
            waiting = select(jobs.c.id).where(jobs.c.state == "queued", jobs.c.lane.is_not(None))
            return tx.execute(waiting).first() is None and not self.here.unsettled()

    def _advance(self, run_id: str) -> None:
        with reading(self.here.engine) as tx:
            waiting = select(jobs.c.id).where(jobs.c.target == run_id, jobs.c.state == "queued")
            task_id = tx.execute(waiting).scalar_one()
        task = tasks.claim(self.here.deps, task_id, claim=self.here.deps.new_id())
        if task is not None:
            runs.advance(self.here.deps, task)

    def _look(self, run_id: str) -> dict[str, Any]:
        with reading(self.here.engine) as tx:
            row = sync_runs.get(tx, run_id, tenant=TENANT)
            assert row is not None
            return sync_runs.as_dict(tx, row, now=now_ms(tx))

    def rows(self) -> list[AnyRow]:
        """Every discrepancy there ever was."""
        with reading(self.here.engine) as tx:
            return list(tx.execute(select(discrepancies).order_by(discrepancies.c.what, discrepancies.c.id)))

    def open(self) -> list[tuple[str, str]]:
        """(what, state) of all that is not healed."""
        return sorted((row.what, row.state) for row in self.rows() if row.state != "healed")

    def would_do(self) -> dict[str, str]:
        """Discrepancy → what a dry run says would be done about it."""
        with reading(self.here.engine) as tx:
            states = ("open", "repairing", "ticket")
            rows = discrepancy_cases.listing(tx, self.here.deps, states=states, limit=1000)
        return {row["id"]: row["action"] for row in rows}

    def has_done(self, run_id: str) -> dict[str, str]:
        """Discrepancy → what a repair did about it."""
        words = {"found", "found again", "still there", "not seen any more"}
        found = {}
        for row in self.rows():
            for entry in json.loads(row.history):
                if entry["run"] == run_id and entry["did"] not in words:
                    found[row.id] = entry["did"]
        return found

    # --- people at WPS

    def event_at(self, course: str, day: int) -> Any:
        """The event of a class, as the simulator holds it."""
        remote_id = self.here.mirrored(event_target(session_id(course, day))).remote_id
        return next(one for one in self.here.calendar_of(course)["events"] if one["id"] == remote_id)

    def path(self, course: str, day: int | None = None) -> str:
        """Where the calendar, or one of its events, is reached."""
        base = f"{CALENDAR}/{self.here.id_of(course)}"
        return base if day is None else f"{base}/events/{self.event_at(course, day)['id']}"

    def deletes(self, course: str, day: int | None = None) -> None:
        """Somebody deletes the calendar, or one event."""
        self.here.simulator.ok("POST", f"{self.path(course, day)}/delete")

    def changes(self, course: str, day: int | None = None, **fields: Any) -> None:
        """Somebody edits the calendar, or one event."""
        self.here.simulator.ok("POST", f"{self.path(course, day)}/update", fields)

    def adds(self, course: str, **fields: Any) -> str:
        """Somebody adds an event."""
        made = self.here.simulator.ok("POST", f"{self.path(course)}/events/create", fields)
        return str(made["id"])

    def copies(self, course: str, day: int) -> str:
        """Somebody copies one of our events, description and all."""
        event = self.event_at(course, day)
        kept = ("summary", "description", "start_time", "end_time", "locations")
        return self.adds(course, **{name: event[name] for name in kept})

    def removes_reader(self, course: str, code: str) -> None:
        """Somebody takes a person off the calendar."""
        given = next(one for one in self.here.calendar_of(course)["permissions"] if one["ex_user_id"] == code)
        self.here.simulator.ok("POST", f"{self.path(course)}/permissions/{given['id']}/delete")

    def everything(self) -> dict[str, list[Any]]:
        """What people see: calendar → (summary, start, end, place) of its events, sorted."""
        return {
            one["summary"]: sorted(
                [
                    (
                        event["summary"],
                        event["start_time"]["datetime"],
                        event["end_time"]["datetime"],
                        str(event["locations"]),
                    )
                    for event in one["events"]
                    if event["status"] == "normal"
                ]
            )
            for one in self.here.calendars()
        }


def session_id(course: str, day: int) -> str:
    return f"{course}-{day:03d}"


def _session(course: str, day: int) -> dict[str, Any]:
    start_ms = FIRST_MS + day * 7 * DAY_MS
    return {
        "id": session_id(course, day),
        "offering_id": course,
        "jxz": day + 1,
        "zc": 1,
        "jc_s": "1/2",
        "date": f"week {day + 1}",
        "start_ms": start_ms,
        "end_ms": start_ms + 5_700_000,
        "rooms": json.dumps([["东", "东上院", "101"]]),
        "teachers": json.dumps(["鲍老师"]),
        "source_rows": 2,
    }


__all__ = ["Term", "calendar_target", "session_id"]
