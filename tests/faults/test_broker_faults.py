"""Whatever happens to the broker's Redis costs time and nothing else: its replies, its memory, its address, itself.

A real worker behind a proxy. Its database plays no part in this, so it is SQLite alone; whoever supervises it is the test.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from bootstrap import addresses
from tests.faults.checker import all_is_well
from tests.faults.processes import CONSUMER_DIED, Processes, Worker, Zygote, until
from tests.faults.proxy import Proxy, redis_commands
from tests.fixtures_stores import Valkey
from tests.integration.drain_rig import TENANT, World, calendar, event
from workers import embedded

pytestmark = pytest.mark.integration

RECOVERY_S = 60.0  # a second or two where the machine has nothing else to do; what stalls, stalls for ever
LANES = ("数学", "物理", "化学")


@pytest.fixture
def database_url(tmp_path: Path, sqlite_template: Path) -> str:
    """SQLite alone."""
    path = tmp_path / "test.db"
    shutil.copyfile(sqlite_template, path)
    return addresses.sqlite_url(path)


@pytest.fixture
def proxy(valkey: Valkey) -> Iterator[Proxy]:
    """In front of the worker's Redis; the tests themselves go there directly."""
    with Proxy(valkey.socket, redis_commands) as made:
        yield made


class Supervised:
    """A `lanes` worker that is started again when it ends because it lost a thread, as `obsync up` does it."""

    def __init__(self, processes: Processes, **settings: str) -> None:
        self._processes = processes
        self._settings = settings
        self.worker: Worker = processes.start("lanes", **settings)
        self.restarts = 0

    def look(self) -> None:
        """Start it again if it needs that. It must have no other end."""
        if not self.worker.is_alive():
            assert self.worker.dies() == CONSUMER_DIED, self.worker.said()[-3000:]
            self.worker = self._processes.start("lanes", **self._settings)
            self.restarts += 1


@pytest.fixture
def supervised(zygote: Zygote, here: World, data_dir: Path, proxy: Proxy) -> Iterator[Supervised]:
    """The worker, behind the proxy."""
    processes = Processes(zygote, here, broker_url=f"redis://127.0.0.1:{proxy.port}/0", data_dir=data_dir)
    try:
        yield Supervised(processes)
    finally:
        processes.close()


def put_some(here: World, name: str) -> None:
    """Two courses with three events each, in each of three lanes."""
    for lane in LANES:
        for n in range(2):
            course = f"{name}{LANES.index(lane)}{n}"
            events = (event(k, course, lane=lane) for k in range(3))
            here.put(calendar(course, name=f"{course} ·abcdefg", lane=lane), *events)


Doing = Callable[[Proxy, redis.Redis], object]


def _lose_replies(proxy: Proxy, _: redis.Redis) -> None:
    """Of whatever is asked next: doorbells rung and fetched, hints claimed and given back, admissions."""
    for nth in (1, 2, 4, 7, 11, 16, 22, 29):
        proxy.on("^EVALSHA", "lose_reply", nth=nth)


def _lose_no_more(proxy: Proxy, _: redis.Redis) -> None:
    assert proxy.forget() >= 4, "hardly a reply was lost"


FAULTS: dict[str, tuple[Doing, Doing, float]] = {
    "replies are lost": (_lose_replies, _lose_no_more, 1.0),
    "away": (lambda proxy, _: proxy.refuse(), lambda proxy, _: proxy.accept(), 2.0),
    "hangs for longer than its client waits": (lambda proxy, _: proxy.freeze(), lambda proxy, _: proxy.thaw(), 6.0),
    "full": (
        lambda _, client: client.config_set("maxmemory", "1"),
        lambda _, client: client.config_set("maxmemory", "0"),
        1.5,
    ),
    "read-only": (
        lambda _, client: client.replicaof("127.0.0.1", "1"),
        lambda _, client: client.replicaof("NO", "ONE"),
        1.5,
    ),
    "emptied": (lambda _, client: client.flushall(), lambda _, client: client.flushall(), 0.5),
}
"""What begins, what ends it, and how many seconds lie between."""


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_redis_costs_more_than_its_time(
    here: World, supervised: Supervised, proxy: Proxy, valkey: Valkey, fault: str
) -> None:
    """Work is accepted meanwhile, nothing of it is lost or done twice, and the lanes go on as soon as it is over."""
    begin, end, for_s = FAULTS[fault]
    here.simulator.desk("settings", {"latency_ms": 15})
    client = valkey.client()
    supervised.worker.started()
    put_some(here, "before")
    until(lambda: here.log("/v7/"), "no call was made before the fault")
    try:
        begin(proxy, client)
        put_some(here, "during")
        over_at = time.monotonic() + for_s
        while time.monotonic() < over_at:
            supervised.look()
            time.sleep(0.1)
    finally:
        end(proxy, client)
        client.close()
    ended = time.monotonic()

    def at_rest() -> bool:
        supervised.look()
        return here.at_rest()

    until(at_rest, supervised.worker.said, within_s=RECOVERY_S, every_s=0.1)
    print(f"{fault}: {time.monotonic() - ended:.1f} s, {supervised.restarts} restarts")
    until(lambda: all(here.lane_row(lane).owner is None for lane in LANES), "a lane was not given back")
    all_is_well(here)
    one_call_at_a_time(here)
    assert supervised.worker.is_alive()


def one_call_at_a_time(here: World) -> None:
    """In every lane."""
    for lane in LANES:
        calls = sorted((one["start"], one["end"]) for one in here.log("/v7/") if one["lane"] == f"{TENANT}/{lane}")
        assert calls, lane
        assert all(end <= start for (_, end), (start, _) in pairwise(calls)), lane


def test_a_failover_to_a_replica_that_lags_loses_nothing(
    zygote: Zygote, here: World, proxy: Proxy, valkey: Valkey, data_dir: Path, short_tmp: Path
) -> None:
    """The new primary has doorbells of a while ago and a limiter that has forgotten what was spent: no call is lost, none
    is made twice, and the rate holds across the change."""
    rate, burst = 40, 5
    home = short_tmp / "replica"
    home.mkdir()
    server = embedded.broker(home)
    server.prepare()
    process = subprocess.Popen(server.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    settings = {"OBSYNC_WPS_RATE": str(rate), "OBSYNC_WPS_BURST": str(burst)}
    processes = Processes(zygote, here, broker_url=f"redis://127.0.0.1:{proxy.port}/0", data_dir=data_dir)
    try:
        server.wait_ready()
        replica = redis.Redis(unix_socket_path=str(server.socket))
        with Proxy(valkey.socket, redis_commands) as link:
            replica.replicaof("127.0.0.1", str(link.port))
            until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica never followed")
            put_some(here, "before")
            supervised = Supervised(processes, **settings)
            until(lambda: here.log("/v7/"), "no call was made before the failover")
            link.freeze()
            put_some(here, "during")
            made = len(here.log("/v7/"))
            until(lambda: len(here.log("/v7/")) > made + 2, "nothing was done that the replica does not know")
            replica.replicaof("NO", "ONE")
            proxy.lead_to(server.socket)
        until(lambda: supervised.look() or here.at_rest(), supervised.worker.said, every_s=0.1)
        all_is_well(here)
        one_call_at_a_time(here)
        starts = sorted(one["start"] for one in here.log("/v7/"))
        most = max(sum(at <= other < at + 1 for other in starts) for at in starts)
        assert most <= rate + burst + 1, f"{most} calls in one second"
        replica.close()
    finally:
        processes.close()
        process.kill()
        process.wait()
