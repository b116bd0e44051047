"""How a process begins to be seen: its log, its failpoints, and where its accidents are told."""

from bootstrap.settings import Settings
from bootstrap.version import version
from observability import failpoints, sentry
from observability.log import configure


def observe(settings: Settings, service: str) -> None:
    """Set all of it up for this process, the `service` of the Procfile. After a fork."""
    configure(settings.log_level, service=service)
    failpoints.arm(settings.failpoints)
    sentry.start(settings.sentry_dsn, service=service, release=version())
