"""The application of one server process, from its environment."""

from __future__ import annotations

from flask_openapi import OpenAPI

from bootstrap.broker import make_broker
from bootstrap.settings import Settings
from bootstrap.wiring import wire
from observability import failpoints
from observability.log import configure
from web.app import create_app
from web.auth import Credentials


def build() -> OpenAPI:
    """Make the parts after the fork, then the application. Raises what `wire` raises, and `BadSetting`."""
    settings = Settings.from_env()
    configure(settings.log_level)
    failpoints.arm(settings.failpoints)
    make_broker(settings)
    from actors import dispatch  # after the broker: actors register on import

    wired = wire(settings, ring=dispatch.ring, need_redis=False)
    return create_app(wired.deps, settings, Credentials(wired.deps))
