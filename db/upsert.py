"""Insert-or-nothing, insert-or-update, and many rows updated by one statement: one spelling per dialect."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, String, Table, TextClause, text
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


def update_rows(
    connection: Connection, table: Table, rows: Sequence[Row], *, same: Row, key: str, also: Row | None = None
) -> None:
    """Overwrite many rows by one statement: each of `rows` has the value of the column `key` and the new values of others.

    `same` are the other columns of the table's key, equal for all; `also` are columns that get the same value in all. The
    rows travel as one JSON text: a list of parameters is a round trip for each on MySQL, and on SQLite a turn at the
    interpreter's lock for each. A value that does not fit its column fails the unit; a row that is not there is left out.
    """
    if not rows:
        return
    fields = tuple(name for name in rows[0] if name != key)
    also = also or {}
    make = _update_on_sqlite if connection.dialect.name == "sqlite" else _update_on_mysql
    statement = make(table, (*same, key), fields, tuple(also))
    start = tuple(same.values())
    listed = [(*start, row[key], *(row[field] for field in fields)) for row in rows]
    values = {f"also_{name}": value for name, value in also.items()}
    connection.execute(statement, {"listed": json.dumps(listed, ensure_ascii=False), **values})


@lru_cache(maxsize=32)
def _update_on_sqlite(
    table: Table, keys: tuple[str, ...], fields: tuple[str, ...], also: tuple[str, ...]
) -> TextClause:
    name = table.name
    given = {column: f"json_extract(given.value, '$[{at}]')" for at, column in enumerate((*keys, *fields))}
    assigned = ", ".join([*(f"{f} = {given[f]}" for f in fields), *(f"{a} = :also_{a}" for a in also)])
    # The whole key comes from the list, so that reading the table first and the list for each row looks as bad as it is.
    where = " AND ".join(f"{name}.{column} = {given[column]}" for column in keys)
    return text(f"UPDATE {name} SET {assigned} FROM json_each(:listed) AS given WHERE {where}")  # noqa: S608 (our names)


@lru_cache(maxsize=32)
def _update_on_mysql(table: Table, keys: tuple[str, ...], fields: tuple[str, ...], also: tuple[str, ...]) -> TextClause:
    name = table.name
    columns = ", ".join(
        f"{column} {_mysql_type(table.c[column])} PATH '$[{at}]' ERROR ON ERROR"
        for at, column in enumerate((*keys, *fields))
    )
    assigned = ", ".join([*(f"{name}.{f} = given.{f}" for f in fields), *(f"{name}.{a} = :also_{a}" for a in also)])
    where = " AND ".join(f"{name}.{column} = given.{column}" for column in keys)
    # Straight, because nobody can tell the server how few rows are listed.
    return text(
        f"UPDATE JSON_TABLE(:listed, '$[*]' COLUMNS ({columns})) AS given"  # noqa: S608 (our names)
        f" STRAIGHT_JOIN {name} ON {where} SET {assigned}"
    )


def _mysql_type(column: Column[Any]) -> str:
    """As in the table, collation included: another one would keep the join from using the key."""
    described = str(column.type.compile(dialect=mysql.dialect()))
    return f"{described} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if isinstance(column.type, String) else described
