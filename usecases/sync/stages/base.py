"""What a step of a run is given, and what it answers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from db import sync_runs, tasks
from db.engine import in_unit
from db.tables import AnyRow
from db.tasks import Task
from domain.guards import Question
from usecases.deps import Deps

T = TypeVar("T")

VISIBILITY_MS = 15_000
TURN_MS = 500  # how often a run that waits for another looks whether that has ended
CREDENTIALS_REMEDY = "Check OBSYNC_WPS_APP_ID, OBSYNC_WPS_APP_KEY and OBSYNC_WPS_BASE_URL, then sync again"


class RunFailed(Exception):
    """The run cannot go on; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Done:
    """The stage is over; the note is shown beside it."""

    note: str | None = None


@dataclass(frozen=True, slots=True)
class More:
    """Go on at once, or after a while."""

    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Asks:
    """A person has to say whether to go on. `shown` is what stands beside the questions."""

    questions: Sequence[Question]
    shown: Mapping[str, Any]


Step = Done | More | Asks


@dataclass(frozen=True, slots=True)
class Running:
    """A run in the hands of the worker that has its task."""

    deps: Deps
    task: Task
    run: AnyRow

    @property
    def run_id(self) -> str:
        return str(self.run.id)

    @property
    def import_no(self) -> int:
        assert self.run.import_no is not None
        return int(self.run.import_no)

    @property
    def stopping(self) -> bool:
        return self.deps.stopping.is_set()

    def fence(self, tx: Connection) -> None:
        """First in every transaction. Raises `ClaimLost` when the task is somebody else's by now."""
        tasks.keep_task(tx, self.task, visibility_ms=VISIBILITY_MS)

    def unit(self, work: Callable[[Connection], T]) -> T:
        """One fenced transaction; what `work` returns."""

        def fenced(tx: Connection) -> T:
            self.fence(tx)
            return work(tx)

        return in_unit(self.deps.engine, fenced)

    def progress(self, position: int, **values: Any) -> None:
        """A page is done and stored."""

        def work(tx: Connection) -> None:
            tasks.made_progress(tx, self.task)
            sync_runs.change_stage(tx, self.run_id, position, **values)

        self.unit(work)

    def scope(self) -> dict[str, Any]:
        """What the run was asked for."""
        said: dict[str, Any] = json.loads(self.run.scope)
        return said

    def may_read(self) -> bool:
        """Become the one run that reads a source and makes sessions. False: ask again in a while."""
        taken: list[bool] = []
        self.unit(lambda tx: taken.append(sync_runs.take_reading(tx, tenant=self.deps.tenant, run_id=self.run_id)))
        return taken[-1]

    def has_read(self) -> None:
        """Let the next run read."""
        self.unit(lambda tx: sync_runs.leave_reading(tx, tenant=self.deps.tenant, run_id=self.run_id))

    def ring_lanes(self, lanes: set[str]) -> None:
        """These lanes have something to do now."""
        if lanes:
            self.deps.hints.mark([(self.deps.tenant, lane) for lane in sorted(lanes)])
            self.deps.ring("lanes")
