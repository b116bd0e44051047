"""The application of one server process, from its environment."""

from __future__ import annotations

from multiprocessing.util import Finalize

from flask_openapi import OpenAPI

from bootstrap.broker import make_broker
from bootstrap.interpreter import share_the_interpreter
from bootstrap.observing import observe
from bootstrap.settings import Settings
from bootstrap.version import version
from bootstrap.wiring import new_id, wire
from observability.log import lines
from usecases.heartbeat import Heartbeat
from web.app import create_app
from web.auth import Credentials
from web.site import site_of


def build() -> OpenAPI:
    """Make the parts after the fork, then the application. Raises what `wire` raises, and `BadSetting`."""
    settings = Settings.from_env()
    observe(settings, "web")
    make_broker(settings)
    from actors import dispatch  # after the broker: actors register on import

    wired = wire(settings, ring=dispatch.ring, need_redis=False)
    app = create_app(wired.deps, settings, Credentials(wired.deps))
    heartbeat = Heartbeat(wired.deps.engine, kind="web", version=version(), new_id=new_id)
    heartbeat.start()
    if (written := lines()) is not None:
        written.write_behind()
        Finalize(None, written.flush, exitpriority=1)
    Finalize(None, heartbeat.stop, exitpriority=1)  # a forked server runs these at its end, and nothing of `atexit`
    site_of(app).desks.of(settings.tenant)  # reads the sessions of the next hours before anybody asks
    share_the_interpreter()
    return app
