"""Insert-or-nothing, insert-or-update, and many rows inserted or updated by few statements: one spelling per dialect."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import mysql, sqlite

Row = Mapping[str, Any]

_ROWS_A_STATEMENT = 100  # of the longest rows there are (64 KiB) still less than a server takes at once


def insert_missing(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows that are not there yet; the others stay as they are.

    Only a clash of the primary key counts as "there": on MySQL a clash of another unique key updates nothing either,
    which the caller has to read back where it matters. How many were new is not said: MySQL counts a row that is there too.
    """
    if not rows:
        return
    statement: Any
    if connection.dialect.name == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key.columns))
    else:
        key = next(iter(table.primary_key.columns))
        statement = mysql.insert(table).on_duplicate_key_update({key.name: key})
    connection.execute(statement, list(rows))


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


def insert_rows(
    connection: Connection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    *,
    same: Row,
    raising: str | None = None,
    adding: tuple[str, ...] = (),
    keeping: bool = False,
    at_once: int = _ROWS_A_STATEMENT,
) -> None:
    """Insert many rows, each a tuple of the values of `columns`; `same` are columns that are equal in all.

    Where the primary key exists, the number `raising` (one of `same`) becomes the greater of both, or those in `adding` are
    added to what is there, or (`keeping`) the row stays as it is; with none of these, such a row is an error. This is for
    rows by the hundred thousand: what `upsert` costs for each is left out, and on MySQL `at_once` of them travel in one
    statement, which must be less than the server takes (16 MiB).
    """
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        shared = tuple(same.values())
        statement = _insert_on_sqlite(table, columns, tuple(same), raising, adding)
        statement += " ON CONFLICT DO NOTHING" if keeping else ""
        connection.exec_driver_sql(statement, [row + shared for row in rows])
        return
    driver: Any = connection.connection.driver_connection
    # Spelled out once for all rows: most of the time of a long statement goes into quoting its values.
    literals = tuple(str(driver.escape(value)).replace("%", "%%") for value in same.values())
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        statement = _insert_on_mysql(table, columns, (*same,), literals, raising, adding, len(part))
        first = next(iter(table.primary_key.columns)).name
        statement += f" ON DUPLICATE KEY UPDATE {first} = {first}" if keeping else ""
        connection.exec_driver_sql(statement, tuple(value for row in part for value in row))


def _insert_on_sqlite(
    table: Table, columns: tuple[str, ...], same: tuple[str, ...], raising: str | None, adding: tuple[str, ...]
) -> str:
    names = (*columns, *same)
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 (our names)
    changed = [f"{name} = {name} + excluded.{name}" for name in adding]
    changed += [f"{raising} = max({raising}, excluded.{raising})"] if raising else []
    if not changed:
        return statement
    key = ", ".join(column.name for column in table.primary_key.columns)
    return f"{statement} ON CONFLICT ({key}) DO UPDATE SET {', '.join(changed)}"


def _insert_on_mysql(
    table: Table,
    columns: tuple[str, ...],
    same: tuple[str, ...],
    literals: tuple[str, ...],
    raising: str | None,
    adding: tuple[str, ...],
    count: int,
) -> str:
    one = f"({', '.join([*['%s'] * len(columns), *literals])})"
    statement = f"INSERT INTO {table.name} ({', '.join([*columns, *same])}) VALUES {', '.join([one] * count)}"  # noqa: S608 (our names, quoted values)
    changed = [f"{name} = {name} + VALUES({name})" for name in adding]
    changed += [f"{raising} = GREATEST({raising}, VALUES({raising}))"] if raising else []
    return f"{statement} ON DUPLICATE KEY UPDATE {', '.join(changed)}" if changed else statement


def update_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    same: Row,
    key: str,
    also: Row | None = None,
    missing: str | None = None,
) -> None:
    """Overwrite many rows by one statement: each of `rows` has the value of the column `key` and the new values of others.

    `same` are the other columns of the table's key, equal for all; `also` are columns that get the same value in all. A row
    that has a value in the column `missing` stays as it is. A value that does not fit its column fails the unit; a row that
    is not there is left out. One statement for many rows, because a list of parameters is a round trip for each on MySQL,
    and on SQLite a turn at the interpreter's lock for each.
    """
    for at in range(0, len(rows), _ROWS_A_STATEMENT):
        _update(
            connection, table, rows[at : at + _ROWS_A_STATEMENT], same=same, key=key, also=also or {}, missing=missing
        )


def _update(
    connection: Connection, table: Table, rows: Sequence[Row], *, same: Row, key: str, also: Row, missing: str | None
) -> None:
    fields = {name: [row[name] for row in rows] for name in rows[0] if name != key}
    equal = {name: values[0] for name, values in fields.items() if values.count(values[0]) == len(values)} | dict(also)
    varying = {name: values for name, values in fields.items() if name not in equal}
    keys = [row[key] for row in rows]
    if connection.dialect.name == "sqlite":
        sql = _update_on_sqlite(table, (*same, key), tuple(varying), tuple(equal), missing)
        listed = json.dumps(list(zip(*([v] * len(keys) for v in same.values()), keys, *varying.values(), strict=True)))
        connection.exec_driver_sql(sql, (*equal.values(), listed))
        return
    sql = _update_on_mysql(table, (*same, key), tuple(varying), tuple(equal), missing, len(keys))
    chosen = [one for values in varying.values() for pair in zip(keys, values, strict=True) for one in pair]
    connection.exec_driver_sql(sql, (*chosen, *equal.values(), *same.values(), *keys))


@lru_cache(maxsize=64)
def _update_on_sqlite(
    table: Table, keys: tuple[str, ...], fields: tuple[str, ...], also: tuple[str, ...], missing: str | None
) -> str:
    name = table.name
    given = {column: f"json_extract(given.value, '$[{at}]')" for at, column in enumerate((*keys, *fields))}
    assigned = ", ".join([*(f"{f} = {given[f]}" for f in fields), *(f"{a} = ?" for a in also)])
    # The whole key comes from the list, so that reading the table first and the list for each row looks as bad as it is.
    where = " AND ".join(f"{name}.{column} = {given[column]}" for column in keys)
    where += f" AND {name}.{missing} IS NULL" if missing else ""
    return f"UPDATE {name} SET {assigned} FROM json_each(?) AS given WHERE {where}"  # noqa: S608 (our names)


@lru_cache(maxsize=512)
def _update_on_mysql(
    table: Table,
    keys: tuple[str, ...],
    varying: tuple[str, ...],
    equal: tuple[str, ...],
    missing: str | None,
    count: int,
) -> str:
    """Plain text with the driver's own placeholders: hundreds of them cost too much as parameters of an expression.

    CASE and not JSON_TABLE or a derived table to join with, which cost the server two to three times as much.
    """
    *same, key = keys
    case = f"CASE {key} {'WHEN %s THEN %s ' * count}END"
    assigned = ", ".join([*(f"{name} = {case}" for name in varying), *(f"{name} = %s" for name in equal)])
    where = " AND ".join([*(f"{name} = %s" for name in same), f"{key} IN ({', '.join(['%s'] * count)})"])
    where += f" AND {missing} IS NULL" if missing else ""
    return f"UPDATE {table.name} SET {assigned} WHERE {where}"  # noqa: S608 (our names)
