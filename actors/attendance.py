"""Tasks of attendance."""

from actors.job import job
from usecases import check_in_batch, recounts
from usecases.deps import Deps
from usecases.tasks import Task


@job(check_in_batch.KIND)
def write_check_in(deps: Deps, task: Task) -> None:
    """A check-in that the database had refused is tried again."""
    check_in_batch.put_again(deps, task)


@job(recounts.KIND)
def recount(deps: Deps, task: Task) -> None:
    """Count attendance again."""
    recounts.carry_on(deps, task)
