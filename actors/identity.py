"""Tasks of signing in."""

from actors.job import job
from usecases import wps_login
from usecases.deps import Deps
from usecases.tasks import Task


@job(wps_login.KIND)
def look_up_wps_login(deps: Deps, task: Task) -> None:
    """Ask WPS who came back from its page."""
    wps_login.look_up(deps, task)
