"""What the stores promise to everyone: the tables, the clock, the transactions."""

from __future__ import annotations

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, UniqueConstraint, func, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from db import sign_ins
from db.clock import db_now_ms, now_ms
from db.engine import DatabaseUnreachable, check, in_unit, make_engine, reading, unit
from db.migrate import upgrade
from db.tables import lanes, metadata, periods, run_counts
from db.upsert import insert_missing, insert_rows, update_rows, upsert

pytestmark = pytest.mark.integration


def lane_row(name: str, **values: Any) -> dict[str, Any]:
    base = {"tenant_id": "t1", "lane": name, "owner": None, "fence": 0, "lease_until": 0, "not_before": 0}
    return {**base, "paused": False, "effects": 0, "note": None, "created_ms": 0, **values}


def fences(engine: Engine) -> dict[str, int]:
    with reading(engine) as tx:
        return {row.lane: row.fence for row in tx.execute(select(lanes.c.lane, lanes.c.fence))}


# --- tables


def test_migrations_make_exactly_the_tables_of_the_metadata(empty_database_url: str) -> None:
    """A column that exists in one of them only is found on somebody's production database."""
    engine = make_engine(empty_database_url)
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "target_metadata": metadata})
        assert compare_metadata(context, metadata) == []
        tables = set(inspect(connection).get_table_names())
    assert tables == set(metadata.tables) | {"alembic_version"}
    upgrade(engine)
    engine.dispose()


def test_keys_are_the_same_in_both(empty_database_url: str) -> None:
    """The comparison above does not look at primary keys; everything here is written by key."""
    engine = make_engine(empty_database_url)
    upgrade(engine)
    found = inspect(engine)
    for table in metadata.tables.values():
        key = found.get_pk_constraint(table.name)["constrained_columns"]
        assert key == [column.name for column in table.primary_key.columns], table.name
        unique = {tuple(one["column_names"]) for one in found.get_unique_constraints(table.name)}
        named = {tuple(c.name for c in one.columns) for one in table.constraints if isinstance(one, UniqueConstraint)}
        assert unique == named, table.name
    engine.dispose()


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("e", "é"), ("🍣", "🍺"), ("ａ", "a"), ("数学", "數學")])
def test_names_compare_byte_by_byte(database: Engine, one: str, other: str) -> None:
    """A kind collation would give two colleges one lane, and two students one account."""
    with unit(database) as tx:
        tx.execute(insert(lanes), [lane_row(one, fence=1), lane_row(other, fence=2)])
        tx.execute(update(lanes).where(lanes.c.lane == one).values(fence=10))
    assert fences(database) == {one: 10, other: 2}


# --- insert or nothing, insert or update


def test_insert_missing_leaves_what_is_there(database: Engine) -> None:
    """Making a lane twice must not reset its fence."""
    with unit(database) as tx:
        insert_missing(tx, lanes, [lane_row("a", fence=5)])
        insert_missing(tx, lanes, [lane_row("a", fence=9), lane_row("b", fence=1)])
        insert_missing(tx, lanes, [])
    assert fences(database) == {"a": 5, "b": 1}


def test_of_those_who_use_up_a_token_one_is_told_that_it_was_them(database: Engine) -> None:
    """The count of rows that MySQL gives for a row that was there already is that of a new one."""

    def use_up(jti: str) -> bool:
        return in_unit(database, lambda tx: sign_ins.take_back(tx, tenant="t1", jti=jti, reason="used", ends_ms=1))

    assert [use_up(jti) for jti in ("one", "one", "two")] == [True, False, True]


def test_upsert_overwrites_only_the_columns_named(database: Engine) -> None:
    """The rest of the row belongs to somebody else."""
    with unit(database) as tx:
        upsert(tx, lanes, [lane_row("a", fence=5, note="old")], update=["note"])
        upsert(tx, lanes, [lane_row("a", fence=9, note="new"), lane_row("b", fence=1)], update=["note"])
        upsert(tx, lanes, [], update=["note"])
        notes = {row.lane: row.note for row in tx.execute(select(lanes.c.lane, lanes.c.note))}
    assert fences(database) == {"a": 5, "b": 1}
    assert notes == {"a": "new", "b": None}


def test_keys_of_several_columns_are_compared_whole(database: Engine) -> None:
    """The same period of another campus is another row."""
    row = {"tenant_id": "t1", "xnxq": "x", "xq": "东", "since": "", "jc": 1, "st": "08:00", "ed": "08:45"}
    with unit(database) as tx:
        insert_missing(tx, periods, [row, {**row, "xq": "西"}, {**row, "st": "09:00"}])
        upsert(tx, periods, [{**row, "xq": "西", "st": "10:00"}], update=["st"])
        assert {row.xq: row.st for row in tx.execute(select(periods))} == {"东": "08:00", "西": "10:00"}


def test_rows_inserted_by_the_hundred_are_those_given(database: Engine) -> None:
    """The planner writes half a million rows this way; a value quoted wrongly would be sent to people's calendars."""
    odd = ["a'b", 'a"b', "a%b%s", "a\\b", "换行\n", "🍣", "{}", ":name", "?"]
    names = odd + [f"n{number:03d}" for number in range(230)]
    rows = [(name, number) for number, name in enumerate(names)]
    same = {"tenant_id": "it's 100%", "note": None, "lease_until": 0, "not_before": 0, "paused": False, "effects": 0}
    with unit(database) as tx:
        insert_rows(tx, lanes, ("lane", "fence"), rows, same={**same, "created_ms": 7})
        insert_rows(tx, lanes, ("lane", "fence"), [], same=same)
    assert fences(database) == dict(rows)
    with reading(database) as tx:
        assert set(tx.execute(select(lanes.c.tenant_id, lanes.c.note)).all()) == {("it's 100%", None)}
    with pytest.raises(IntegrityError), unit(database) as tx:
        insert_rows(tx, lanes, ("lane", "fence"), rows[:1], same={**same, "created_ms": 7})


def test_a_row_that_is_there_is_added_to_or_raised_and_never_lowered(database: Engine) -> None:
    """Counters of a run are sums, and the number of the newest import only grows."""
    key = {"tenant_id": "t1", "owner": None, "lease_until": 0, "not_before": 0, "paused": False, "created_ms": 0}
    with unit(database) as tx:
        tx.execute(insert(lanes), [lane_row("a", fence=5, effects=3)])
        insert_rows(tx, lanes, ("lane", "effects"), [("a", 4), ("b", 1)], same={**key, "fence": 9}, raising="fence")
        insert_rows(tx, lanes, ("lane", "effects"), [("a", 4)], same={**key, "fence": 2}, raising="fence")
        insert_rows(tx, lanes, ("lane", "effects"), [("a", 4), ("b", 1)], same={**key, "fence": 0}, adding=("effects",))
        effects = {row.lane: row.effects for row in tx.execute(select(lanes.c.lane, lanes.c.effects))}
    assert fences(database) == {"a": 9, "b": 9}
    assert effects == {"a": 7, "b": 2}


def test_a_value_that_is_there_can_be_kept(database: Engine) -> None:
    """The lane of a course is written once and then stays."""
    with unit(database) as tx:
        tx.execute(insert(lanes), [lane_row("a", note="old"), lane_row("b")])
        given = [{"lane": "a", "note": "new"}, {"lane": "b", "note": "new"}]
        update_rows(tx, lanes, given, same={"tenant_id": "t1"}, key="lane", missing="note")
        notes = {row.lane: row.note for row in tx.execute(select(lanes.c.lane, lanes.c.note))}
    assert notes == {"a": "old", "b": "new"}


# --- transactions


def test_an_error_rolls_the_whole_unit_back(database: Engine) -> None:
    """MySQL undoes one statement only; whoever caught the error and went on would commit the half of it."""
    with unit(database) as tx:
        tx.execute(insert(lanes), [lane_row("a")])
    with pytest.raises(IntegrityError), unit(database) as tx:
        tx.execute(update(lanes).values(fence=7))
        tx.execute(insert(lanes), [lane_row("b")])
        tx.execute(insert(lanes), [lane_row("a")])
    with pytest.raises(RuntimeError), unit(database) as tx:
        tx.execute(insert(lanes), [lane_row("c")])
        raise RuntimeError
    assert fences(database) == {"a": 0}


def add_one(connection: Connection) -> None:
    """Reads, thinks, writes: what a unit must make safe."""
    statement = select(lanes.c.fence).where(lanes.c.lane == "a").with_for_update()
    fence = connection.execute(statement).scalar_one()
    time.sleep(0.001)
    connection.execute(update(lanes).where(lanes.c.lane == "a").values(fence=fence + 1))


def add_many(url: str, times: int) -> None:
    """The work of one process."""
    engine = make_engine(url)
    for _ in range(times):
        in_unit(engine, add_one)
    engine.dispose()


def test_units_of_many_threads_follow_each_other(database: Engine) -> None:
    """No update is lost and none fails: on SQLite writers queue, on MySQL they wait for the row."""
    with unit(database) as tx:
        tx.execute(insert(lanes), [lane_row("a")])
    with ThreadPoolExecutor(max_workers=16) as pool:
        for future in [pool.submit(in_unit, database, add_one) for _ in range(80)]:
            future.result()
    assert fences(database) == {"a": 80}


def test_units_of_several_processes_follow_each_other(database: Engine, database_url: str) -> None:
    """The writer's lock is one process's own; between processes the database's lock and patience must do."""
    with unit(database) as tx:
        tx.execute(insert(lanes), [lane_row("a")])
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=add_many, args=(database_url, 25)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=200)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert fences(database) == {"a": 75}


def test_readers_neither_wait_for_a_writer_nor_see_half_of_it(database: Engine) -> None:
    """Progress is read all the time while lanes write."""
    with unit(database) as tx:
        tx.execute(insert(lanes), [lane_row("a"), lane_row("b")])
    with unit(database) as tx:
        tx.execute(update(lanes).values(fence=5))
        assert fences(database) == {"a": 0, "b": 0}, "who waited for the writer would wait for ever"
    assert fences(database) == {"a": 5, "b": 5}


def test_two_units_that_block_each_other_both_end(database: Engine) -> None:
    """A deadlock is undone by the database and done again by us. With one writer, as SQLite has it, there is none."""
    with unit(database) as tx:
        tx.execute(insert(lanes), [lane_row("a"), lane_row("b")])
    two_writers = database.dialect.name != "sqlite"
    each_has_one, tries = threading.Barrier(2 if two_writers else 1), []

    def both(first: str, second: str) -> None:
        def work(tx: Connection) -> None:
            tries.append(first)
            tx.execute(update(lanes).where(lanes.c.lane == first).values(fence=lanes.c.fence + 1))
            if tries.count(first) == 1:
                each_has_one.wait(timeout=60)
            tx.execute(update(lanes).where(lanes.c.lane == second).values(fence=lanes.c.fence + 1))

        in_unit(database, work)

    with ThreadPoolExecutor(max_workers=2) as pool:
        for future in [pool.submit(both, "a", "b"), pool.submit(both, "b", "a")]:
            future.result()
    assert fences(database) == {"a": 2, "b": 2}
    assert (len(tries) > 2) == two_writers, "one of them was chosen to begin again"


def test_a_mistake_is_not_repeated_for_ever(database: Engine) -> None:
    """Only what may succeed the next time is done again, and that only a few times."""
    tries = []

    def work(tx: Connection) -> None:
        tries.append(1)
        tx.execute(text("SELECT nonsense FROM nowhere"))

    with pytest.raises(DBAPIError):
        in_unit(database, work)
    assert len(tries) == 1


# --- clock


def test_the_databases_clock_is_the_time_in_utc(database: Engine) -> None:
    """It is compared with itself only, but people read it, and schedules are kept by it."""
    before = time.time_ns() // 1_000_000
    with reading(database) as tx:
        found = now_ms(tx)
    after = time.time_ns() // 1_000_000
    assert before - 2 <= found <= after + 2


def test_the_databases_clock_goes_forward_and_tells_milliseconds(database: Engine) -> None:
    """A clock of whole seconds would make every lease and wait wrong by one."""
    with reading(database) as tx:
        times = []
        for _ in range(40):
            times.append(now_ms(tx))
            time.sleep(0.002)
    assert times == sorted(times)
    assert len(set(times)) > 30


def test_a_statement_that_waited_for_a_row_has_the_time_after_the_wait(database: Engine) -> None:
    """A lease that begins before its row was locked would end too early for everybody else."""
    with unit(database) as tx:
        tx.execute(insert(lanes), [lane_row("a")])
    with ThreadPoolExecutor(max_workers=1) as pool:
        with unit(database) as tx:
            tx.execute(update(lanes).values(fence=1))
            late = pool.submit(
                in_unit, database, lambda tx: tx.execute(update(lanes).values(lease_until=db_now_ms())).rowcount
            )
            time.sleep(0.3)
            released = now_ms(tx)
        assert late.result() == 1
    with reading(database) as tx:
        assert tx.execute(select(lanes.c.lease_until)).scalar_one() >= released


@pytest.mark.parametrize("zone", ["+08:00", "-05:00"])
def test_the_clock_does_not_depend_on_the_servers_zone(
    zone: str, mariadb: Any, mariadb_database: str, request: pytest.FixtureRequest
) -> None:
    """MariaDB only: a zone with summer time would repeat an hour of it. SQLite has no zone."""
    mariadb.run(f"SET GLOBAL time_zone = '{zone}'")
    request.addfinalizer(lambda: mariadb.run("SET GLOBAL time_zone = '+00:00'"))
    engine = make_engine(mariadb_database)
    with reading(engine) as tx:
        assert tx.execute(text("SELECT @@session.time_zone")).scalar_one() == "+00:00"
        assert abs(now_ms(tx) - time.time_ns() // 1_000_000) < 2_000
    engine.dispose()


# --- boot


def test_an_unreachable_database_is_named_without_its_password(tmp_path: Any) -> None:
    """The sentence is shown to whoever starts the product, and logged."""
    engine = make_engine(f"mysql+pymysql://user:s3cret@localhost/obsync?unix_socket={tmp_path}/none.sock")
    with pytest.raises(DatabaseUnreachable) as caught:
        check(engine)
    assert "s3cret" not in str(caught.value)
    assert "localhost" in caught.value.place


def test_a_reachable_database_passes_the_check(database: Engine) -> None:
    """Boot goes on, and nothing was written."""
    check(database)
    with reading(database) as tx:
        assert tx.execute(select(func.count()).select_from(run_counts)).scalar_one() == 0
