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
    connection: Connection, table: Table, rows: Sequence[Row], *, same: Row, key: str, fields: Sequence[str]
) -> None:
    """Overwrite `fields` of the rows where the columns of `same` have its values and `key` has that of the row.

    SQLite takes the rows one by one without leaving its library. PyMySQL would send one statement for each, so they
    travel there as one JSON text; a value that does not fit its column fails the unit. A row that is not there is
    left out.
    """
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        statement = _update_one(table, tuple(same), key, tuple(fields))
        fixed = tuple(same.values())
        connection.exec_driver_sql(statement, [(*(row[f] for f in fields), *fixed, row[key]) for row in rows])
        return
    values = json.dumps([[row[key], *(row[field] for field in fields)] for row in rows], ensure_ascii=False)
    where = {f"same_{name}": value for name, value in same.items()}
    connection.execute(_update_listed(table, tuple(same), key, tuple(fields)), {"listed": values, **where})


@lru_cache(maxsize=32)
def _update_one(table: Table, same: tuple[str, ...], key: str, fields: tuple[str, ...]) -> str:
    assigned = ", ".join(f"{field} = ?" for field in fields)
    where = " AND ".join(f"{column} = ?" for column in (*same, key))
    return f"UPDATE {table.name} SET {assigned} WHERE {where}"  # noqa: S608 (names of our own columns)


@lru_cache(maxsize=32)
def _update_listed(table: Table, same: tuple[str, ...], key: str, fields: tuple[str, ...]) -> TextClause:
    name = table.name
    columns = ", ".join(
        f"v{position} {_mysql_type(table.c[column])} PATH '$[{position}]' ERROR ON ERROR"
        for position, column in enumerate((key, *fields))
    )
    assigned = ", ".join(f"{name}.{field} = given.v{position}" for position, field in enumerate(fields, start=1))
    where = " AND ".join(f"{name}.{column} = :same_{column}" for column in same)
    # The join is straight because nobody can know how few rows are listed: the other order would read the whole table.
    return text(
        f"UPDATE JSON_TABLE(:listed, '$[*]' COLUMNS ({columns})) AS given"  # noqa: S608 (as above)
        f" STRAIGHT_JOIN {name} ON {name}.{key} = given.v0 SET {assigned} WHERE {where}"
    )


def _mysql_type(column: Column[Any]) -> str:
    """As in the table, collation included: another one would keep the join from using the key."""
    described = str(column.type.compile(dialect=mysql.dialect()))
    return f"{described} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if isinstance(column.type, String) else described
