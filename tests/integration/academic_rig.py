"""An academic database as schools have it: dates and times as text, no key on the timetable, old collations."""

import csv
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from bench.mariadb import MariaDb

_TEXT = "VARCHAR(255)"
SCHEMA = {
    "u_jw_kcb_cur": {
        "kkh": "VARCHAR(60)", "xnxq": "VARCHAR(20)", "jxz": "INT", "zc": "INT", "jc": "INT", "lq": "VARCHAR(200)",
        "room": "VARCHAR(200)", "xq": "VARCHAR(100)", "ghs": _TEXT, "lc": _TEXT, "rq": _TEXT, "st": _TEXT, "ed": _TEXT,
        "sj": _TEXT, "zt": "VARCHAR(30)", "gx_sj": _TEXT, "gx_zt": "VARCHAR(30)", "kcmc": "VARCHAR(200)",
        "xms": "VARCHAR(500)", "sfdk": "VARCHAR(2)",
    },
    "out_jw_kcb_xs": {
        "kkh": "VARCHAR(60)", "xh": "VARCHAR(40)", "xnxq": "VARCHAR(20)", "kcbh": "VARCHAR(40)", "pyfadm": "VARCHAR(50)",
        "xsyd": _TEXT, "sj": _TEXT, "zt": "VARCHAR(30)",
    },
    "out_xsxx": {
        "id": "VARCHAR(32) PRIMARY KEY", "xm": "VARCHAR(200)", "xh": "VARCHAR(100)", "xydm": _TEXT, "xymc": _TEXT,
        "sfzh": _TEXT, "sjh": "VARCHAR(11)", "lx": "INT DEFAULT 1", "sj": _TEXT, "zt": "VARCHAR(30)",
    },
    "out_jsxx": {
        "id": "VARCHAR(32) PRIMARY KEY", "xm": "VARCHAR(200)", "gh": "VARCHAR(100)", "ssdwdm": _TEXT, "ssdwmc": _TEXT,
        "zc": _TEXT, "sjh": "VARCHAR(11)", "sj": _TEXT, "zt": "VARCHAR(30)",
    },
}  # fmt: skip
_KEYS = {
    "u_jw_kcb_cur": "KEY idx_combined (kkh, rq(20), st(20))",
    "out_jw_kcb_xs": "KEY k (kkh, xh, kcbh)",
    "out_xsxx": "KEY k (xh)",
}
_PARTS = {
    "meetings": "u_jw_kcb_cur", "enrolments": "out_jw_kcb_xs", "students": "out_xsxx", "teachers": "out_jsxx",
}  # fmt: skip


@dataclass(frozen=True)
class Academic:
    """One such database; `address` is what a source takes."""

    server: MariaDb
    name: str
    address: str
    engine: sa.Engine

    def run(self, statement: str, *rows: dict[str, Any]) -> Any:
        """Run a statement; once for all rows where some are given."""
        with self.engine.begin() as connection:
            return connection.execute(sa.text(statement), list(rows) or None)

    def scalar(self, statement: str) -> Any:
        """The one value that a query gives."""
        with self.engine.connect() as connection:
            return connection.execute(sa.text(statement)).scalar_one()

    def insert(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows; missing ids are made."""
        found = [dict(row) for row in rows]
        for row in found:
            if table in ("out_xsxx", "out_jsxx"):
                row.setdefault("id", uuid.uuid4().hex)
        if found:
            names = list(found[0])
            listed = ", ".join(f"`{name}`" for name in names)
            values = ", ".join(f":{name}" for name in names)
            self.run(f"INSERT INTO {table} ({listed}) VALUES ({values})", *found)

    def load(self, folder: Path, *, more: Sequence[str] = ()) -> None:
        """Everything of a campus folder that the tables have columns for, written as the schools write it."""
        for part, table in _PARTS.items():
            columns = {*SCHEMA[table], *(more if part == "meetings" else ())}
            with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as file:
                rows = [{name: row[name] for name in row if name in columns} for row in csv.DictReader(file)]
            self.insert(table, map(_as_schools_write, rows))


def _as_schools_write(row: dict[str, str]) -> dict[str, str | None]:
    written: dict[str, str | None] = {name: value or None for name, value in row.items()}
    if row.get("rq"):
        written["rq"] = row["rq"].replace("-", "/") + " 00:00:00.000"
    for name in ("st", "ed"):
        if row.get(name):
            written[name] = row[name] + ":00.000"
    return written


@contextmanager
def academic(server: MariaDb, *, more: Sequence[str] = (), charset: str = "utf8") -> Iterator[Academic]:
    """A fresh database without rows; `more` are columns that this school adds to the timetable.

    The old three-byte `utf8` has no room for the rocket in a course name of the generated campus.
    """
    name = f"jw_{uuid.uuid4().hex[:10]}"
    server.run(f"CREATE DATABASE {name} CHARACTER SET {charset} COLLATE {charset}_unicode_ci")
    address = f"mysql://root@localhost/{name}?unix_socket={server.socket}"
    engine = sa.create_engine(server.url(name), poolclass=sa.NullPool)
    made = Academic(server, name, address, engine)
    for table, columns in SCHEMA.items():
        added = dict.fromkeys(more, "VARCHAR(100)") if table == "u_jw_kcb_cur" else {}
        listed = [f"`{column}` {kind}" for column, kind in {**columns, **added}.items()]
        made.run(f"CREATE TABLE {table} ({', '.join([*listed, *filter(None, [_KEYS.get(table)])])})")
    try:
        yield made
    finally:
        engine.dispose()
        server.run(f"DROP DATABASE {name}")


def with_user(made: Academic, *, password: str, grants: str) -> str:
    """The address of a new user with a password."""
    made.server.run(
        f"CREATE OR REPLACE USER reader@localhost IDENTIFIED BY '{password}'",
        *([f"GRANT {grants} TO reader@localhost"] if grants else []),
    )
    url = make_url(made.address).set(username="reader", password=password)
    return url.render_as_string(hide_password=False)
