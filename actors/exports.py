"""Tasks of exports."""

from actors.job import job
from usecases import exports
from usecases.deps import Deps
from usecases.tasks import Task


@job(exports.KIND)
def make_export(deps: Deps, task: Task) -> None:
    """Make a file that somebody asked for."""
    exports.make(deps, task)
