"""`python -m tests.fuzz --cases 100000 --seed 1` ends with one JSON object, and with exit code 1 where something was wrong."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
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
_SHARE = 60


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


def prove(cases: int, seed: int) -> Tally:
    """As many cases, in rounds, on both databases."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="obf-") as name, ExitStack() as stack:
        folder = Path(name)
        valkey = stack.enter_context(running_valkey(folder))
        for number, url in enumerate(databases(folder, stack)):
            left = cases - tally.cases
            if left <= 0:
                return tally
            with world(folder / "round", url, valkey) as api:
                for at, (role, share) in enumerate(SHARES.items()):
                    share_of = max(200, round(min(left, _ROUND) * share))
                    fuzz(api, role, tally, cases=share_of, seed=seed + number * 100 + at)
            print(f"{tally.cases} cases, {len(tally.failures)} kinds of failures", file=sys.stderr)
    return tally


def main() -> int:
    """0: nothing was wrong."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    log.configure("CRITICAL")
    began = time.monotonic()
    tally = prove(asked.cases, asked.seed)
    right = not tally.failures and tally.share >= _SHARE
    summary = {"ok": right, "seed": asked.seed, "took_s": round(time.monotonic() - began, 1), **tally.as_dict()}
    print(json.dumps(summary, ensure_ascii=False))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
