"""Insert-or-nothing and insert-or-update, one spelling per dialect."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import mysql, sqlite

Row = Mapping[str, Any]


def insert_missing(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Insert the rows that are not there yet; the others stay as they are. Returns how many were new.

    Only a clash of the primary key counts as "there": on MySQL a clash of another unique key updates nothing either,
    which the caller has to read back where it matters.
    """
    if not rows:
        return 0
    statement: Any
    if connection.dialect.name == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key.columns))
    else:
        key = next(iter(table.primary_key.columns))
        statement = mysql.insert(table).on_duplicate_key_update({key.name: key})
    return int(connection.execute(statement, list(rows)).rowcount)


def upsert(connection: Connection, table: Table, rows: Sequence[Row], *, update: Sequence[str]) -> None:
    """Insert the rows; where the primary key exists, overwrite the columns named in `update`."""
    if not rows:
        return
    statement: Any
    if connection.dialect.name == "sqlite":
        insert = sqlite.insert(table)
        statement = insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns), set_={name: insert.excluded[name] for name in update}
        )
    else:
        inserted = mysql.insert(table)
        statement = inserted.on_duplicate_key_update({name: inserted.inserted[name] for name in update})
    connection.execute(statement, list(rows))
