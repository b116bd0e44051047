"""A hundred thousand requests, in rounds."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from bench.mariadb import NOTHING_SURVIVES, private_mariadb
from bootstrap import addresses
from bootstrap.settings import Settings
from db.engine import make_engine
from db.migrate import upgrade
from observability import log
from tests.fixtures_stores import Valkey, empty_mariadb, running_valkey
from tests.fuzz.cases import SHARES, Tally, fuzz
from tests.integration import api_rig
from tests.integration.api_rig import Api

_ROUND = 5_000
"""Cases of one world: what requests leave behind grows, and with it what each of them costs."""


@contextmanager
def world(folder: Path, database_url: str, valkey: Valkey) -> Iterator[Api]:
    """A fresh API without limits."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    settings = Settings.from_env({"OBSYNC_DATA_DIR": str(folder)})
    settings = replace(settings, user_limit_per_min=10**6, ip_limit_per_min=10**6)
    with api_rig.api(settings, database_url, valkey, folder / "campus") as api:
        yield api


def databases(folder: Path, stack: ExitStack) -> Iterator[str]:
    """The address of an empty database, one kind after the other, for ever."""
    template, path = folder / "template.db", folder / "fuzz.db"
    server = stack.enter_context(private_mariadb(folder, *NOTHING_SURVIVES)).make_database("fuzz")
    for url in (addresses.sqlite_url(template), server):
        engine = make_engine(url)
        upgrade(engine)
        engine.dispose()
    while True:
        for old in folder.glob("fuzz.db*"):
            old.unlink()
        shutil.copyfile(template, path)
        yield addresses.sqlite_url(path)
        empty_mariadb(server)
        yield server


def one_round(folder: Path, url: str, valkey: Valkey, cases: int, seed: int) -> Tally:
    """Fresh requests of every role to a fresh API."""
    log.configure("CRITICAL")
    tally = Tally()
    with world(folder, url, valkey) as api:
        for at, (role, share) in enumerate(SHARES.items()):
            fuzz(api, role, tally, cases=max(200, round(cases * share)), seed=seed + at)
    return tally


def add(tally: Tally, more: Tally) -> None:
    """Add what a round came to; of each kind of failure the first is kept."""
    tally.cases += more.cases
    tally.operations |= more.operations
    tally.reached |= more.reached
    tally.statuses += more.statuses
    tally.failures = more.failures | tally.failures


def prove(cases: int, seed: int) -> Tally:
    """As many cases, in rounds, on both databases. Each round has a process of its own: what makes requests up forgets nothing,
    and a hundred thousand of them are 12 GB."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="obf-") as name, ExitStack() as stack:
        folder = Path(name)
        valkey = stack.enter_context(running_valkey(folder))
        rounds = ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)
        children = stack.enter_context(rounds)
        for number, url in enumerate(databases(folder, stack)):
            left = cases - tally.cases
            if left <= 0:
                return tally
            asked = children.submit(one_round, folder / "round", url, valkey, min(left, _ROUND), seed + number * 100)
            add(tally, asked.result())
            print(f"{tally.cases} cases, {len(tally.failures)} kinds of failures", file=sys.stderr)
    return tally
