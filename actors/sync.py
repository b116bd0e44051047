"""Tasks of the timetable sync."""

from actors.job import job
from usecases.deps import Deps
from usecases.sync import runs
from usecases.tasks import Task


@job(runs.KIND)
def advance_run(deps: Deps, task: Task) -> None:
    """A run goes on."""
    runs.advance(deps, task)
