"""What does writing in batches bring? `python -m bench.batch [--json]`

Three ways from the same check-ins to the same rows (record, detail, counters), each on a database of its own on one server,
in one run:

- **the writer**: a full stream on a private Valkey that writes to disk at each command, drained by the writers of a
  process of the product, acknowledged after each commit;
- **one message each**: a Dramatiq message per check-in on a private Valkey, eight threads, four statements and a commit;
- **the raw ceiling**: multi-row statements of 500 with everything prepared, no stream, no reading, no rules.

Afterwards all rows are read back and compared with what was sent.
"""

import argparse
import contextlib
import itertools
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy import Connection, Engine, update

from bench.batch_world import TENANT, TERM, Shape, check_ins, make_world, wrong_rows
from bench.mariadb import AS_IN_PRODUCTION, SMALL, private_mariadb
from bench.report import Figure, report
from bench.valkey import connect, private_valkey
from bootstrap.addresses import sqlite_url
from bootstrap.interpreter import share_the_interpreter
from bootstrap.wiring import new_id
from db import check_ins as record_rows
from db.check_in_stream import CheckInStream, shard_of, stream_key
from db.check_ins import of_keys
from db.engine import in_unit, unit
from db.tables import attendance_roster, attendance_roster_detail
from domain.check_ins import CheckIn, encode
from workers.batcher import BATCH, WRITERS, Batcher, writers

ON_DISK = ("--appendonly", "yes", "--appendfsync", "always")
THREADS = 8
_GIVE_UP_S = 600.0


def the_writer(engine: Engine, client: redis.Redis, sent: Sequence[CheckIn]) -> float:
    """Seconds from the first read to an empty stream."""
    stream = CheckInStream(client)
    stream.make_groups()
    for start in range(0, len(sent), BATCH):
        asked = client.pipeline(transaction=False)
        for one in sent[start : start + BATCH]:
            asked.xadd(stream_key(shard_of(one.session_id)), {"r": encode(one), "c": one.receipt})
        asked.execute()
    these = writers(engine, stream, tenant=TENANT, new_id=new_id)
    ended: list[float] = []

    def work(writer: Batcher) -> None:
        while sum(one.counts.written for one in these) < len(sent):
            if writer.step():
                ended.append(time.monotonic())

    threads = [threading.Thread(target=work, args=(one,)) for one in these]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(ended) - began


def one_message_each(engine: Engine, client: redis.Redis, sent: Sequence[CheckIn]) -> float:
    """Seconds from the start of the worker to the last row. Redelivery and retries are off: nothing fails here."""
    broker: RedisBroker = RedisBroker(client=client, middleware=[], namespace="bench", maintenance_chance=0)  # type: ignore[no-untyped-call]
    done = itertools.count(1)
    all_done = threading.Event()

    def write(said: str) -> None:
        one = CheckIn(**json.loads(said))
        in_unit(engine, lambda tx: _write_one(tx, one))
        if next(done) == len(sent):
            all_done.set()

    actor: dramatiq.Actor[[str], None] = dramatiq.Actor(
        write, broker=broker, queue_name="checkins", actor_name="write", priority=0, options={}
    )
    for one in sent:
        actor.send(json.dumps(asdict(one)))
    worker = dramatiq.Worker(broker, worker_threads=THREADS, worker_timeout=100)
    began = time.monotonic()
    worker.start()
    try:
        if not all_done.wait(_GIVE_UP_S):
            raise RuntimeError("the messages were not all worked off")
        return time.monotonic() - began
    finally:
        worker.stop()


def _write_one(tx: Connection, one: CheckIn) -> None:
    _put(tx, [one])


def the_ceiling(engine: Engine, sent: Sequence[CheckIn]) -> float:
    """Seconds for multi-row statements and commits of 500, and nothing else."""
    batches = [sorted(sent[at : at + BATCH], key=lambda one: one.key) for at in range(0, len(sent), BATCH)]
    began = time.monotonic()
    for batch in batches:
        with unit(engine) as tx:
            _put(tx, batch)
    return time.monotonic() - began


def _put(tx: Connection, batch: Sequence[CheckIn]) -> None:
    """The rows that these check-ins leave where nothing speaks against any of them."""
    record_rows.insert(tx, batch, tenant=TENANT, now_ms=batch[0].at_ms)
    keys: dict[str, list[str]] = {}
    for one in batch:
        keys.setdefault(one.session_id, []).append(one.code)
    detail, roster = attendance_roster_detail, attendance_roster
    where = (detail.c.tenant_id == TENANT, detail.c.term == TERM, of_keys(detail, keys))
    tx.execute(update(detail).where(*where).values(status="ATTENDED", produced_by="check_in"))
    by_size: dict[int, list[str]] = {}
    for session_id, many in sorted(Counter(one.session_id for one in batch).items()):
        by_size.setdefault(many, []).append(session_id)
    for many, ids in sorted(by_size.items()):
        mine = (roster.c.tenant_id == TENANT, roster.c.term == TERM, roster.c.session_id.in_(ids))
        added = {"attended_count": roster.c.attended_count + many, "pending_count": roster.c.pending_count - many}
        tx.execute(update(roster).where(*mine).values(**added))


def measure(shape: Shape, small: Shape, directory: Path, *, database: str) -> dict[str, Figure]:
    """All three, one after the other; `small` is what is worked off by single messages."""
    sent, few = check_ins(shape), check_ins(small)
    with contextlib.ExitStack() as stack:
        urls = stack.enter_context(_databases(directory, database))
        worlds = [make_world(url, one) for url, one in zip(urls, (shape, small, shape), strict=True)]
        durable = stack.enter_context(private_valkey(_folder(directory, "stream"), *ON_DISK))
        broker = stack.enter_context(private_valkey(_folder(directory, "broker")))
        share_the_interpreter()  # as the product's processes do
        ceiling_s = the_ceiling(worlds[2], sent)
        writer_s = the_writer(worlds[0], stack.enter_context(contextlib.closing(connect(durable))), sent)
        single_s = one_message_each(worlds[1], stack.enter_context(contextlib.closing(connect(broker))), few)
        wrong = sum(wrong_rows(one, what) for one, what in zip(worlds, (sent, few, sent), strict=True))
        for one in worlds:
            one.dispose()
    writer, single, ceiling = len(sent) / writer_s, len(few) / single_s, len(sent) / ceiling_s
    return {
        "writer_per_s": round(writer), "one_message_each_per_s": round(single), "ceiling_per_s": round(ceiling),
        "times_one_message_each": round(writer / single, 2), "share_of_ceiling": round(writer / ceiling, 3),
        "goal_times": 15, "goal_share": 0.6, "wrong_rows": wrong,
    }  # fmt: skip


def _folder(directory: Path, name: str) -> Path:
    made = directory / name
    made.mkdir()
    return made


@contextlib.contextmanager
def _databases(directory: Path, kind: str) -> Iterator[list[str]]:
    if kind == "sqlite":
        yield [sqlite_url(directory / f"{name}.db") for name in "abc"]
        return
    with private_mariadb(directory, *AS_IN_PRODUCTION, *SMALL) as server:
        yield [server.make_database(f"bench_{name}") for name in "abc"]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=25)
    parser.add_argument("--students", type=int, default=400, help="of each session")
    parser.add_argument("--single", type=int, default=80, help="of each session, for one message each")
    parser.add_argument("--database", choices=("mariadb", "sqlite"), default="mariadb")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    shape, small = Shape(given.sessions, given.students), Shape(given.sessions, given.single)
    with tempfile.TemporaryDirectory(prefix="obb-") as folder:
        figures = measure(shape, small, Path(folder), database=given.database)
    parameters: dict[str, Figure] = {
        "check_ins": shape.check_ins, "single_check_ins": small.check_ins, "sessions": shape.sessions, "batch": BATCH,
        "threads": THREADS, "writers": WRITERS, "database": given.database,
    }  # fmt: skip
    report("batch", figures, parameters, json_only=given.json)


if __name__ == "__main__":
    main()
