"""The scheduler as a process: it sends ticks, and outlives a Redis that is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from bootstrap import addresses
from bootstrap.broker import NAMESPACE
from workers import embedded

pytestmark = pytest.mark.integration

COMMAND = [sys.executable, "-c", "from workers.cli import main; main()", "worker", "scheduler"]


def until(true: Callable[[], bool], what: str, *, within_s: float = 30.0) -> None:
    give_up = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up, what
        time.sleep(0.05)


def test_redis_away_at_the_tick_costs_a_tick_and_not_the_scheduler(
    short_tmp: Path, data_dir: Path, project: Path
) -> None:
    """Without a database, because it needs none: a restart of Redis at the full minute must not end the schedules for
    good, and a stopped scheduler must end cleanly."""
    home = short_tmp / "scheduler"
    home.mkdir()
    server = embedded.broker(home)
    server.prepare()
    log = data_dir / "scheduler.log"
    mine = {"OBSYNC_DATA_DIR": str(data_dir), "OBSYNC_BROKER_URL": addresses.socket_url(server.socket)}
    secrets = {"OBSYNC_SECRET_KEY": "s" * 32, "OBSYNC_ENCRYPTION_KEYS": "k:" + "A" * 43 + "="}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OBSYNC_")}
    with log.open("wb") as out:
        process = subprocess.Popen(COMMAND, cwd=project, env={**environ, **mine, **secrets}, stdout=out, stderr=out)
    store: subprocess.Popen[bytes] | None = None
    try:
        until(lambda: "scheduler.redis_away" in log.read_text(), "it never noticed that Redis is away")
        store = subprocess.Popen(server.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.wait_ready()
        client = redis.Redis(unix_socket_path=str(server.socket))
        until(lambda: client.hlen(f"{NAMESPACE}:tick.msgs") > 0, "no tick was sent after Redis came back")
        (message, *_) = client.hvals(f"{NAMESPACE}:tick.msgs")
        assert json.loads(message)["actor_name"] == "tick"
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        for one in (process, store):
            if one is not None:
                one.kill()
                one.wait()
