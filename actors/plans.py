"""Tasks of plans."""

from actors.job import job
from usecases import plans
from usecases.deps import Deps
from usecases.tasks import Task


@job(plans.KIND)
def make_plan(deps: Deps, task: Task) -> None:
    """Work out what a sync would send."""
    plans.make(deps, task)
