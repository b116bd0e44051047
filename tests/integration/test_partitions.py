"""Terms apart: what a database of the version before goes through, and which partitions a question about a term reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, event, inspect, select, text

from bench.planning_world import TERM, Shape, fill, mark_as_sent
from bootstrap.wiring import new_id
from db import mirror as mirror_rows
from db import planning
from db import rolls as roll_rows
from db.engine import make_engine, reading
from db.migrate import _config, current, newest, upgrade
from db.tables import members, mirror, rolls, sessions, terms
from tests.integration.campus_rig import free, with_tenant
from usecases.sync.planning import Planner

pytestmark = pytest.mark.integration

BEFORE = "0003"
BIG = ("members", "mirror", "rolls", "sessions")


def to(engine: Engine, revision: str) -> None:
    config = _config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if (current(engine) or "") < revision else command.downgrade)(config, revision)


@pytest.fixture
def old(empty_database_url: str) -> Iterator[Engine]:
    """A database of the version before, with a term in it."""
    engine = make_engine(empty_database_url)
    to(engine, BEFORE)
    with engine.begin() as tx:
        for table, row in ROWS.items():
            names = ", ".join(row)
            tx.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + one for one in row)})"), row)
    yield engine
    engine.dispose()


KEY = {"tenant_id": "t1", "term": "2023-2024-2"}
ROWS: dict[str, dict[str, Any]] = {
    "terms": {"tenant_id": "t1", "xnxq": "2023-2024-2", "weeks": 18, "status": "open", "exchange": "{}"},
    "sessions": {
        **KEY, "id": "s", "offering_id": "o", "jc_s": "1/2", "date": "2024-03-04", "start_ms": 1, "end_ms": 2,
        "rooms": "[]", "teachers": '["王"]', "source_rows": 2, "import_no": 7,
    },
    "rolls": {**KEY, "offering_id": "o", "kind": "student", "code": "s1", "import_no": 7},
    "mirror": {
        **KEY, "target": "evt:s", "kind": "event", "group_id": "cal:o", "lane": "数学", "state": "live", "remote_id": "r",
        "marker": "m", "generation": 0, "sent_hash": "h", "import_no": 7, "list_max": 100, "parked_until": 0,
    },
    "members": {**KEY, "group_id": "cal:o", "user_id": "u", "role": "reader", "permission_id": "p"},
}  # fmt: skip


def test_a_database_of_the_version_before_keeps_every_row(old: Engine) -> None:
    """The mirror cannot be had from anywhere else: a row lost here is an event made twice."""
    upgrade(old)
    assert current(old) == newest()
    with reading(old) as tx:
        for table in (terms, sessions, rolls, mirror, members):
            row = tx.execute(select(table)).one()._mapping
            assert {name: row[name] for name in ROWS[table.name]} == ROWS[table.name]
        assert tx.execute(select(sessions.c.event_hash)).scalar_one() is None
    to(old, BEFORE)
    assert "event_hash" not in {one["name"] for one in inspect(old).get_columns("sessions")}
    upgrade(old)


def test_a_migration_that_was_interrupted_is_started_again(old: Engine) -> None:
    """On MySQL a changed table stays changed: whoever starts the migration anew must not be told that a column exists."""
    if old.dialect.name == "sqlite":
        pytest.skip("SQLite changes tables in a transaction")
    with old.begin() as tx:
        tx.execute(text("ALTER TABLE sessions ADD COLUMN event_hash VARCHAR(40)"))
        tx.execute(text("ALTER TABLE sessions PARTITION BY KEY (term) PARTITIONS 11"))
    upgrade(old)
    assert current(old) == newest()


@pytest.fixture
def filled(database: Engine) -> Engine:
    """A term that was sent, of which every statement is looked at."""
    engine = with_tenant(database)
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no partitions")
    shape = Shape(sessions=300, of_course=10, roll=5, students=50, colleges=3)
    number = fill(engine, shape, tenant="main")
    one = Planner(engine, "main", b"a secret")
    for _, plans in one.pages():
        one.put(plans, import_no=number, run_id=None, new_id=new_id, fence=free)
    mark_as_sent(engine, tenant="main")
    return engine


def partitions_read(tx: Connection, statement: str, values: Any) -> dict[str, str]:
    """Table → the partitions that the server would read for the statement."""
    rows = tx.exec_driver_sql(f"EXPLAIN PARTITIONS {statement}", values).all()
    return {row.table: row.partitions for row in rows if row.table in BIG}


def test_the_big_tables_have_a_partition_for_the_few_terms_that_share_it(database: Engine) -> None:
    """Six terms in a row are two years: those that are worked on at a time must not all lie in one partition."""
    if database.dialect.name == "sqlite":
        pytest.skip("SQLite has no partitions")
    codes = [f"{year}-{year + 1}-{part}" for year in range(2020, 2028) for part in (1, 2, 3)]
    with reading(database) as tx:
        for table in BIG:
            at = [partitions_read(tx, f"SELECT * FROM {table} WHERE term = %s", (code,))[table] for code in codes]
            assert all("," not in one for one in at)
            assert all(len(set(at[first : first + 6])) >= 3 for first in range(len(at) - 5)), at


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """What the database is asked meanwhile, with the values."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    yield asked
    event.remove(engine, "before_cursor_execute", note)


def read_one_partition_each(engine: Engine, asked: list[tuple[str, Any]]) -> set[str]:
    """Tables that the statements read, each one partition of it."""
    seen: set[str] = set()
    with reading(engine) as tx:
        for statement, values in asked:
            if not statement.startswith("SELECT"):
                continue
            for table, partitions in partitions_read(tx, statement, values).items():
                assert partitions is None or "," not in partitions, (table, partitions, statement)
                seen.add(table)
    return seen


def test_planning_a_term_reads_its_partition_only(filled: Engine) -> None:
    """Ten past terms would make every plan ten times as long."""
    with statements(filled) as asked:
        assert all(not plans for _, plans in Planner(filled, "main", b"a secret").pages())
        with reading(filled) as tx:
            planning.classes(tx, tenant="main", term=TERM, offering_ids=["a", "b"])
            planning.state(tx, tenant="main", term=TERM, groups=["cal:a", "cal:b"])
    of_a_term = [one for one in asked if "min(" not in one[0]]  # which terms there are is asked of all of them
    assert read_one_partition_each(filled, of_a_term) == {"sessions", "rolls", "mirror"}


def test_what_a_lane_reads_of_a_calendar_is_in_one_partition(filled: Engine) -> None:
    """A lane asks for its next call hundreds of times a minute."""
    with statements(filled) as asked, reading(filled) as tx:
        target = str(tx.execute(select(mirror.c.target).where(mirror.c.kind == "calendar").limit(1)).scalar_one())
        asked.clear()
        key = {"tenant": "main", "term": TERM}
        assert mirror_rows.read_one(tx, target=target, **key) is not None
        assert mirror_rows.group_rows(tx, group_id=target, **key)
        assert mirror_rows.present_members(tx, group_id=target, **key) == {}
        assert roll_rows.wanted_members(tx, offering_ids=[target.partition(":")[2]], **key)
    assert read_one_partition_each(filled, asked) == {"mirror", "members", "rolls"}
