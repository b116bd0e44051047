"""Settings: one reader, checked once, clear about what is wrong, silent about what is secret."""

from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bootstrap import addresses, secrets
from bootstrap.settings import BadSetting, Settings

KEY = base64.b64encode(bytes(32)).decode()
PRODUCTION = {
    "OBSYNC_DATABASE_URL": "mysql://obsync:PLANTED-A@db.campus:3306/obsync",
    "OBSYNC_BROKER_URL": "redis://:PLANTED-B@redis.campus:6379/0",
    "OBSYNC_SECRET_KEY": "PLANTED-C" + "x" * 32,
    "OBSYNC_ENCRYPTION_KEYS": f"PLANTED-D:{KEY}",
    "OBSYNC_WPS_APP_KEY": "PLANTED-E",
}


def read(data_dir: Path, **given: str) -> Settings:
    """Settings of a clone in `data_dir` with some variables set."""
    environ = {"OBSYNC_DATA_DIR": str(data_dir)} | {f"OBSYNC_{name}": value for name, value in given.items()}
    return Settings.from_env(environ)


def test_an_empty_environment_gives_a_whole_embedded_installation(data_dir: Path) -> None:
    """`make up` on a fresh machine needs nothing typed."""
    settings = read(data_dir)
    assert settings.database_url == f"sqlite:///{data_dir}/obsync.db"
    assert settings.embedded_valkey
    assert settings.broker_url != settings.stream_url
    assert addresses.server_of(settings.cache_url) == addresses.server_of(settings.broker_url)
    assert (settings.wps_rate, settings.wps_timeout_s, settings.lane_lease_s) == (50.0, 5.0, 8.0)
    assert settings.warnings() == ()


def test_children_get_exactly_the_settings_of_their_parent(data_dir: Path) -> None:
    """Two processes that disagree about a lease or a key would undo each other's work."""
    settings = read(data_dir, WPS_RATE="12.34567891", TENANT_ZONE="Asia/Urumqi", LOG_LEVEL="debug")
    assert Settings.from_env(settings.to_env()) == settings
    assert Settings.from_env(settings.child_env({"SIM_ARGS": "--port 1"})) == settings


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WPS_RATE", "fast", "number from"),
        ("WPS_RATE", "nan", "number from"),
        ("WPS_RATE", "0", "number from"),
        ("WPS_BURST", "2.5", "whole number"),
        ("HTTP_BIND", "8000", "host:port"),
        ("WPS_BASE_URL", "openapi.wps.cn", "https://"),
        ("DATABASE_URL", "postgres://h/x", "mysql://"),
        ("DATABASE_URL", "sqlite://", "several processes"),
        ("DATABASE_URL", "mysql://h/x?charset=latin1", "utf8mb4"),
        ("BROKER_URL", "localhost:6379", "redis://"),
        ("CHECKIN_DURABILITY", "paper", "memory, fsync, replica"),
        ("TENANT_ZONE", "Mars/Olympus", "Asia/Shanghai"),
        ("TENANT_ZONE", "../../etc/passwd", "Asia/Shanghai"),
        ("LOG_LEVEL", "LOUD", "DEBUG"),
        ("ENCRYPTION_KEYS", "k1:short", "32 random bytes"),
        ("SECRET_KEY", "short", "32 characters"),
        ("FAILPOINTS", "wps.befor_send:kill", "there is no failpoint"),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(data_dir: Path, name: str, value: str, words: str) -> None:
    """One sentence that says which variable and what to write instead; never a traceback."""
    with pytest.raises(BadSetting) as raised:
        read(data_dir, **{name: value})
    assert raised.value.name == f"OBSYNC_{name}"
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_lease_that_one_slow_call_would_outlive_is_refused(data_dir: Path) -> None:
    """The lane could be taken over while its call is still under way: two calls of one lane."""
    with pytest.raises(BadSetting, match=r"OBSYNC_LANE_LEASE_S is '7\.9': use at least 8"):
        read(data_dir, LANE_LEASE_S="7.9")
    assert read(data_dir, LANE_LEASE_S="8").lane_lease_s == 8
    assert read(data_dir, WPS_TIMEOUT_S="0.5", LANE_LEASE_S="0.8").lane_lease_s == 0.8


def test_sqlite_with_a_redis_elsewhere_is_refused(data_dir: Path) -> None:
    """Workers on the other machine would each see a database of their own."""
    secrets.load_or_create(data_dir)
    with pytest.raises(BadSetting, match="SQLite is for one machine"):
        read(data_dir, BROKER_URL="redis://redis.campus:6379/0")
    assert read(data_dir, BROKER_URL="redis://127.0.0.1:6379/0").is_sqlite


def test_production_without_a_secret_key_is_refused(data_dir: Path) -> None:
    """A default that is in the source is known to everybody; one made here is unknown to the other machines."""
    environ = PRODUCTION | {"OBSYNC_DATA_DIR": str(data_dir), "OBSYNC_SECRET_KEY": " "}
    with pytest.raises(BadSetting, match="OBSYNC_SECRET_KEY is not set"):
        Settings.from_env(environ)
    assert not secrets.exist(data_dir)
    assert Settings.from_env(environ, make_secrets=True).secret_key


def test_a_slip_of_the_pen_in_a_name_is_said(data_dir: Path) -> None:
    """A misspelt limit would otherwise run at the default, unnoticed."""
    with pytest.raises(BadSetting, match="OBSYNC_WPS_RATE is probably meant"):
        read(data_dir, WPS_RAET="5")
    assert read(data_dir, TEST_DATABASES="sqlite").wps_rate == 50


def test_no_secret_is_in_what_is_printed(data_dir: Path) -> None:
    """Settings end up in tracebacks and error reports."""
    shown = repr(Settings.from_env(PRODUCTION | {"OBSYNC_DATA_DIR": str(data_dir)}))
    assert "PLANTED" not in shown
    assert "db.campus" in shown


def test_no_password_is_in_a_complaint(data_dir: Path) -> None:
    """The sentence is copied into tickets."""
    with pytest.raises(BadSetting) as raised:
        read(data_dir, DATABASE_URL="postgres://obsync:PLANTED@db/x")
    assert "PLANTED" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql"])
def test_a_mysql_address_gets_its_driver_and_full_unicode(data_dir: Path, scheme: str) -> None:
    """People paste the address as their hosting shows it."""
    settings = read(data_dir, DATABASE_URL=f"{scheme}://u:p%40ss@db:3306/obsync?ssl_ca=/ca.pem")
    assert settings.database_url == "mysql+pymysql://u:p%40ss@db:3306/obsync?ssl_ca=%2Fca.pem&charset=utf8mb4"


def test_one_server_for_everything_switches_promises_off_and_says_so(data_dir: Path) -> None:
    """Sharing is allowed; not knowing what it costs is not."""
    settings = Settings.from_env(PRODUCTION | {"OBSYNC_DATA_DIR": str(data_dir)})
    assert settings.stream_url == settings.broker_url
    assert len(settings.warnings()) == 2


def test_a_deep_folder_still_gets_a_socket_that_can_be_bound(tmp_path: Path) -> None:
    """A unix address has about a hundred bytes, and checkouts have longer paths."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    path = addresses.socket_path(deep, "broker")
    assert len(str(path)) <= addresses.SOCKET_PATH_MAX_BYTES
    assert path == addresses.socket_path(deep, "broker")
    assert path.parent != addresses.socket_path(deep / "other", "broker").parent


def test_secrets_are_made_once_even_by_many_processes_at_once(data_dir: Path) -> None:
    """Markers at WPS are keyed by them: a second set would not recognise what the first one wrote."""
    with ThreadPoolExecutor(16) as pool:
        made = set(pool.map(lambda _: secrets.load_or_create(data_dir), range(64)))
    assert len(made) == 1
    path = data_dir / secrets.FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in data_dir.iterdir()] == [secrets.FILE_NAME]


@pytest.mark.parametrize("body", ["", "[]", json.dumps({"secret_key": ""})])
def test_damaged_secrets_are_never_replaced(data_dir: Path, body: str) -> None:
    """New ones in their place would orphan everything already written to WPS."""
    path = data_dir / secrets.FILE_NAME
    path.write_text(body)
    with pytest.raises(BadSetting, match="cannot be used"):
        read(data_dir)
    assert path.read_text() == body
