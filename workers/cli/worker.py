"""`obsync worker`: one process of the Procfile. What a process consists of is read by itself alone."""

import click

from bootstrap.observing import observe
from bootstrap.settings import Settings
from observability.log import configure
from workers.cli.console import command


@click.group()
def worker() -> None:
    """Serve queues until told to stop (SIGTERM). Start as many as you like, on as many machines."""


@command
def _serve(name: str) -> None:
    from workers.main import run_worker

    settings = Settings.from_env()
    observe(settings, name)
    run_worker(name, settings)


@worker.command()
def lanes() -> None:
    """Drain college lanes into WPS."""
    _serve("lanes")


@worker.command()
def jobs() -> None:
    """Carry out runs and other tasks."""
    _serve("jobs")


@worker.command()
@command
def checkins() -> None:
    """Write check-ins from the stream into the database, and look after rosters."""
    from workers.batcher import run_batcher

    settings = Settings.from_env()
    observe(settings, "checkins")
    run_batcher(settings)


@worker.command()
@command
def scheduler() -> None:
    """Send the tick of each minute. One is enough; two do no harm."""
    from workers.scheduler import run_scheduler

    settings = Settings.from_env()
    observe(settings, "scheduler")
    run_scheduler(settings)


@worker.command()
@command
def web() -> None:
    """Serve the API. Any number of them, behind any load balancer."""
    from workers.web import run_web

    settings = Settings.from_env()
    configure(settings.log_level, service="web")  # its servers are processes of their own, and told for themselves
    run_web(settings)
