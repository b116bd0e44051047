"""The embedded Valkey servers, run for real."""

from __future__ import annotations

import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from bootstrap.settings import Settings
from workers import embedded


@contextmanager
def run(server: embedded.ValkeyServer) -> Iterator[subprocess.Popen[bytes]]:
    server.prepare()
    process = subprocess.Popen(server.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server.wait_ready()
        yield process
    finally:
        process.kill()
        process.wait()


def test_settings_lead_to_the_servers_that_are_started(settings: Settings) -> None:
    """Address and server are worked out in two places; a command in another shell has only the address."""
    with run(embedded.broker(settings.data_dir)), run(embedded.stream(settings.data_dir)):
        for url, fsync in ((settings.broker_url, "everysec"), (settings.stream_url, "always")):
            client = redis.Redis.from_url(url)
            assert client.config_get("appendfsync") == {"appendfsync": fsync}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("port") == {"port": "0"}
            client.close()


def test_an_accepted_check_in_survives_the_death_of_its_server(settings: Settings) -> None:
    """The stream is the only place where an answered check-in may be, for a second."""
    server = embedded.stream(settings.data_dir)
    with run(server) as process:
        client = redis.Redis.from_url(settings.stream_url)
        client.xadd("s", {"a": "1"})
        client.close()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with run(server):
        client = redis.Redis.from_url(settings.stream_url)
        assert client.xlen("s") == 1
        client.close()


def test_the_socket_is_closed_to_others(settings: Settings) -> None:
    """Whoever can reach the broker can empty it."""
    server = embedded.broker(settings.data_dir)
    with run(server):
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700


def test_a_folder_too_deep_for_a_socket_works_all_the_same(tmp_path: Path) -> None:
    """Checkouts lie deeper than a unix address is long."""
    deep = Settings.from_env({"OBSYNC_DATA_DIR": str(tmp_path / ("d" * 90) / "var")})
    server = embedded.broker(deep.data_dir)
    with run(server):
        client = redis.Redis.from_url(deep.broker_url)
        assert client.ping()
        client.close()
    server.socket.unlink(missing_ok=True)
    server.socket.parent.rmdir()


def test_a_socket_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """In the temporary directory somebody else may have been there first."""
    data_dir = tmp_path / ("d" * 90)
    server = embedded.broker(data_dir)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    server.socket.parent.symlink_to(elsewhere)
    try:
        with pytest.raises(embedded.UnsafeSocketFolder):
            server.prepare()
    finally:
        server.socket.parent.unlink()


def test_a_server_that_never_answers_is_given_up_on(settings: Settings) -> None:
    """`obsync up` says what is wrong rather than wait for ever."""
    with pytest.raises(embedded.ValkeyNotReady):
        embedded.broker(settings.data_dir).wait_ready(timeout_s=0.1)
