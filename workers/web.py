"""The process `web`: Granian in front of the application.

Granian's main process starts the servers, starts again one that dies, and ends them with one signal each.
"""

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from bootstrap.settings import Settings

APPLICATION = "web.wsgi:build"  # by name: each server process makes its own
_STOP_S = 8  # less than a supervisor waits; without it a stop during the start hangs for ever
_HEADER_BYTES = 32_768
_CONNECTIONS = 4_096  # of each process, idle ones included: at the bell each phone has one


def run_web(settings: Settings) -> None:
    """Serve until told to stop."""
    Server(
        APPLICATION,
        factory=True,
        interface=Interfaces.WSGI,
        address=settings.http_host,
        port=settings.http_port,
        workers=settings.web_processes,
        blocking_threads=settings.server_threads,
        backpressure=max(_CONNECTIONS, settings.server_threads),
        websockets=False,
        http1_settings=HTTP1Settings(max_buffer_size=_HEADER_BYTES),
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_S,
        log_level=LogLevels.warning,
    ).serve()
