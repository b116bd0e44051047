"""The proxy breaks what it was told to break, and nothing else: a test that rests on it proves nothing otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.faults.proxy import Proxy, mysql_commands, redis_commands
from tests.fixtures_stores import Valkey

if TYPE_CHECKING:
    from bench.mariadb import MariaDb

pytestmark = pytest.mark.integration


@pytest.fixture
def proxy(valkey: Valkey) -> Iterator[Proxy]:
    """In front of the Valkey of the tests."""
    with Proxy(valkey.socket, redis_commands) as made:
        yield made


@pytest.fixture
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    """A client behind the proxy."""
    with redis.Redis(port=proxy.port, retry=Retry(NoBackoff(), 0), socket_timeout=1) as made:
        yield made


def test_a_lost_reply_leaves_the_effect_and_a_cut_before_does_not(proxy: Proxy, client: redis.Redis) -> None:
    """From the client both look the same."""
    assert client.rpush("list", "a") == 1
    lost = proxy.on("^RPUSH list", "lose_reply", nth=2)
    never = proxy.on("^RPUSH other", "cut_before")
    client.rpush("list", "b")
    for name, value in (("list", "c"), ("other", "x")):
        with pytest.raises(redis.ConnectionError):
            client.rpush(name, value)
    assert (lost.fired, never.fired) == (1, 1)
    assert client.lrange("list", 0, -1) == [b"a", b"b", b"c"]
    assert client.exists("other") == 0


def test_a_stalled_reply_is_late_and_a_frozen_link_silent(proxy: Proxy, client: redis.Redis, valkey: Valkey) -> None:
    """A server that hangs is no server that is away: only time tells."""
    client.ping()
    proxy.on("^GET slow", "stall", seconds=0.3)
    began = time.monotonic()
    client.get("slow")
    assert time.monotonic() - began >= 0.29
    proxy.freeze()
    with pytest.raises(redis.TimeoutError):
        client.set("frozen", "1")
    proxy.thaw()
    assert client.ping()


def test_away_means_refused_and_back_means_back(proxy: Proxy, client: redis.Redis) -> None:
    """Connections that were open are gone too."""
    client.ping()
    proxy.refuse()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.ping()
    proxy.accept()
    assert client.ping()


def test_a_commit_may_happen_unheard(mariadb: MariaDb) -> None:
    """The client is told of a lost connection; the row is there."""
    mariadb.make_database("proxied")
    with Proxy(mariadb.socket, mysql_commands) as proxy:
        engine = create_engine(f"mysql+pymysql://root@127.0.0.1:{proxy.port}/proxied", poolclass=NullPool)
        with engine.begin() as tx:
            tx.execute(text("CREATE TABLE t (n INT)"))
        for do, there in (("lose_reply", 1), ("cut_before", 1)):
            rule = proxy.on("^COMMIT$", do)
            with pytest.raises(DBAPIError), engine.begin() as tx:
                tx.execute(text("INSERT INTO t VALUES (1)"))
            assert rule.fired == 1
            proxy.forget()
            with engine.connect() as look:
                assert look.execute(text("SELECT COUNT(*) FROM t")).scalar_one() == there
        engine.dispose()
    mariadb.run("DROP DATABASE proxied")
