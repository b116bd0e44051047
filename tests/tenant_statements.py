"""Watches every statement of the suite: one that reads or changes a school's table names the school.

A statement is looked at once, however often it is run. What a table is compared with may be a value or the column of another
table that is itself compared; a row that is inserted has to carry its tenant.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import sqlglot
from sqlalchemy import Engine, event
from sqlglot import exp

from db.tables import metadata

TENANT: Final = "tenant_id"
TABLES: Final = frozenset(table.name for table in metadata.sorted_tables if TENANT in table.c)
_DIALECTS: Final = {"sqlite": "sqlite", "mysql": "mysql", "mariadb": "mysql"}
_PARAMETER: Final = re.compile(r"(?<!%)%(?:\(\w+\))?s")
_PRODUCT: Final = ("actors", "db", "usecases", "web", "workers")
_ROOT: Final = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=4096)
def unscoped(statement: str, dialect: str) -> tuple[str, ...]:
    """The tables of schools that the statement touches without saying which school's rows it means."""
    try:
        plain = _PARAMETER.sub("?", statement).replace("%%", "%")
        parsed = sqlglot.parse_one(plain, read=_DIALECTS[dialect])
    except sqlglot.errors.ParseError as error:
        return (f"not understood: {error}",)
    if isinstance(parsed, (exp.Create, exp.Drop, exp.Alter, exp.Pragma, exp.Command, exp.Set)):
        return ()
    return tuple(sorted({name for scope in _scopes(parsed) for name in _open(scope)}))


def _scopes(parsed: exp.Expression) -> Iterator[exp.Expression]:
    yield from parsed.find_all(exp.Select, exp.Update, exp.Delete, exp.Insert)


def _open(scope: exp.Expression) -> Iterator[str]:
    """Tables of this select, update, delete or insert alone that are not compared in it."""
    if isinstance(scope, exp.Insert):
        schema = scope.this
        known = isinstance(schema, exp.Schema) and schema.this.name in TABLES
        if known and TENANT not in {column.name for column in schema.expressions}:
            yield schema.this.name
        return
    sources = dict(_sources(scope))
    compared = set(_compared(scope, sources))
    for alias, table in sources.items():
        if table in TABLES and alias not in compared:
            yield table


def _sources(scope: exp.Expression) -> Iterator[tuple[str, str]]:
    for table in _own(scope, exp.Table):
        if not isinstance(table.parent, exp.Schema):
            yield table.alias_or_name, table.name


def _compared(scope: exp.Expression, sources: dict[str, str]) -> Iterator[str]:
    """Aliases whose tenant is said to equal something, be one of some, or lie beyond a key."""
    for test in _own(scope, exp.EQ, exp.In, exp.Tuple):
        for column in _columns(test):
            if column.name == TENANT:
                yield column.table or next(iter(sources), "")


def _columns(test: exp.Expression) -> Iterator[exp.Column]:
    sides = test.expressions if isinstance(test, exp.Tuple) else [test.this, test.expression]
    for side in sides:
        if isinstance(side, exp.Column):
            yield side
        elif isinstance(side, exp.Tuple):
            yield from (one for one in side.expressions if isinstance(one, exp.Column))


def _own(scope: exp.Expression, *kinds: type[exp.Expression]) -> Iterator[Any]:
    """Expressions of these kinds that belong to the scope itself, not to a select within it."""
    for found in scope.find_all(*kinds):
        nearest = found.find_ancestor(exp.Select, exp.Update, exp.Delete, exp.Insert)
        if nearest is scope:
            yield found


def place() -> str:
    """The function of the product that sends the statement at hand: ``db/runs.py:page``."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _PRODUCT:
            where = path.relative_to(_ROOT)
            if where.name not in ("engine.py", "upsert.py", "clock.py") and "migrations" not in where.parts:
                return f"{where}:{frame.name}"
    return ""


class Watch:
    """Listens to all engines of the process; `found` is place → tables."""

    def __init__(self) -> None:
        self.found: dict[str, set[str]] = {}
        self.examples: dict[str, str] = {}

    def listen(self) -> None:
        """From now on."""
        event.listen(Engine, "before_cursor_execute", self._look)

    def stop(self) -> None:
        """No more."""
        event.remove(Engine, "before_cursor_execute", self._look)

    def _look(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        tables = unscoped(statement, connection.dialect.name)
        if tables and (where := place()):
            self.found.setdefault(where, set()).update(tables)
            self.examples.setdefault(where, statement)
