"""Watches every statement of the suite: one that reads or changes a school's table names the school.

A statement is looked at once, however often it is run. What a table is compared with may be a value or the column of another
table that is itself compared; a row that is inserted has to carry its tenant.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, Final

import sqlglot
from sqlalchemy import Engine, event
from sqlglot import exp

from db.tables import metadata

TENANT: Final = "tenant_id"
TABLES: Final = frozenset(table.name for table in metadata.sorted_tables if TENANT in table.c)
_DIALECTS: Final = {"sqlite": "sqlite", "mysql": "mysql", "mariadb": "mysql"}
_PRODUCT: Final = ("actors", "db", "usecases", "web", "workers")
_PLACE: Final = re.compile(r"%\(\w+\)s|(?<!%)%s")
"""Where a MySQL driver puts a value: no SQL, so that the parser would take it for a remainder."""
_LIST: Final = re.compile(r"(\?|%s|%\(\w+\)s)(?:, (?:\?|%s|%\(\w+\)s))+")
_ROWS: Final = re.compile(r"(\([^()]*\))(?:, \1)+")
"""Lists of places, and rows of them. One of five hundred and one of two are the same statement, and parsed once."""
_SAVEPOINT: Final = re.compile(r"(?:RELEASE |ROLLBACK TO )?SAVEPOINT \w+")
_MIGRATION: Final = "a migration"
"""Which is about the tables, and so about everybody's rows."""
_ROOT: Final = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=4096)
def unscoped(statement: str, dialect: str) -> tuple[str, ...]:
    """The tables of schools that the statement touches without saying which school's rows it means."""
    if _SAVEPOINT.fullmatch(statement):
        return ()
    try:
        parsed = sqlglot.parse_one(_PLACE.sub("?", statement).replace("%%", "%"), read=_DIALECTS[dialect])
    except sqlglot.errors.ParseError as error:
        return (f"not understood: {error}",)
    if isinstance(parsed, (exp.Create, exp.Drop, exp.Alter, exp.Pragma, exp.Command, exp.Set)):
        return ()
    return tuple(sorted({name for scope in _scopes(parsed) for name in _open(scope)}))


def _scopes(parsed: exp.Expr) -> Iterator[exp.Expr]:
    yield from parsed.find_all(exp.Select, exp.Update, exp.Delete, exp.Insert)


def _open(scope: exp.Expr) -> Iterator[str]:
    """Tables of this select, update, delete or insert alone that are not compared in it."""
    if isinstance(scope, exp.Insert):
        schema = scope.this
        known = isinstance(schema, exp.Schema) and schema.this.name in TABLES
        if known and TENANT not in {column.name for column in schema.expressions}:
            yield schema.this.name
        return
    if any(_is_never(test) and _always_holds(test, scope) for test in _own(scope, exp.EQ)):
        return
    sources = dict(_sources(scope))
    compared = _compared(scope, sources)
    for alias, table in sources.items():
        if table in TABLES and alias not in compared:
            yield table


def _sources(scope: exp.Expr) -> Iterator[tuple[str, str]]:
    for table in _own(scope, exp.Table):
        if not isinstance(table.parent, exp.Schema):
            yield table.alias_or_name, table.name


def _compared(scope: exp.Expr, sources: dict[str, str]) -> set[str]:
    """Aliases whose tenant is said to equal something, be one of some, or lie beyond a key; and those equal to such a one."""
    known: set[str] = set()
    same: list[tuple[str, str]] = []
    for test in _own(scope, exp.EQ, exp.In, exp.Tuple):
        if not _always_holds(test, scope):
            continue
        named = [column.table or next(iter(sources), "") for column in _columns(test) if column.name == TENANT]
        inside = [one for one in named if one in sources]
        if len(inside) == 2 and isinstance(test, exp.EQ):
            same.append((inside[0], inside[1]))
        else:
            known.update(inside)
    for _ in same:
        known.update(other for pair in same for other in pair if known & set(pair))
    return known


def _is_never(test: exp.Expr) -> bool:
    """Whether the test is ``0 = 1``, or ``false = 1`` as MySQL is told: nothing at all is asked for."""
    constant = (exp.Literal, exp.Boolean)
    return isinstance(test.this, constant) and isinstance(test.expression, constant) and not _is_true(test)


def _is_true(test: exp.Expr) -> bool:
    return test.this == test.expression or (test.this == exp.true() and test.expression == exp.Literal.number(1))


def _always_holds(test: exp.Expr, scope: exp.Expr) -> bool:
    """Whether the scope's rows all pass the test: it is neither one of several nor what an update writes."""
    inner, outer = test, test.parent
    while outer is not None and outer is not scope:
        if isinstance(outer, (exp.Or, exp.Not, exp.Case)):
            return False
        inner, outer = outer, outer.parent
    return not (isinstance(scope, exp.Update) and inner in scope.expressions)


def _columns(test: exp.Expr) -> Iterator[exp.Column]:
    sides = test.expressions if isinstance(test, exp.Tuple) else [test.this, test.args.get("expression")]
    for side in sides:
        bare = None if side is None else side.unnest()
        # With nothing put behind it, so that no index of it is used.
        if isinstance(bare, exp.DPipe):
            bare = bare.this
        elif isinstance(bare, exp.Concat):
            bare = bare.expressions[0]
        if isinstance(bare, exp.Column):
            yield bare
        elif isinstance(bare, exp.Tuple):
            yield from (one for one in bare.expressions if isinstance(one, exp.Column))


def _own(scope: exp.Expr, *kinds: type[exp.Expr]) -> Iterator[Any]:
    """Expressions of these kinds that belong to the scope itself, not to a select within it."""
    for found in scope.find_all(*kinds):
        nearest = found.find_ancestor(exp.Select, exp.Update, exp.Delete, exp.Insert)
        if nearest is scope:
            yield found


def place() -> str:
    """The function of the product that sends the statement at hand: ``db/runs.py:page``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        where = _of_product(frame.f_code.co_filename)
        if where == _MIGRATION:
            return ""
        if where:
            return f"{where}:{frame.f_code.co_name}"
        frame = frame.f_back
    return ""


@cache
def _of_product(filename: str) -> str:
    """The file's place in the product; blank for what is none of it, or sends what others say."""
    path = Path(filename)
    if not path.is_relative_to(_ROOT):
        return ""
    where = path.relative_to(_ROOT)
    if "migrations" in where.parts:
        return _MIGRATION
    sends = where.name in ("engine.py", "upsert.py", "clock.py")
    return "" if sends or where.parts[0] not in _PRODUCT else str(where)


class Watch:
    """Listens to all engines of the process. `stray` is place → an example, of what `allowed` does not name."""

    def __init__(self, allowed: Mapping[str, str]) -> None:
        self.allowed = allowed
        self.used: set[str] = set()
        self.stray: dict[str, str] = {}
        self._open: dict[int, bool] = {}

    def listen(self) -> None:
        """From now on."""
        event.listen(Engine, "before_cursor_execute", self._look)

    def stop(self) -> None:
        """No more."""
        event.remove(Engine, "before_cursor_execute", self._look)

    def taken(self) -> dict[str, str]:
        """What strayed since the last time that somebody asked."""
        found, self.stray = self.stray, {}
        return found

    def _look(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        key = hash(statement)  # not the text: inserts of many rows are long
        is_open = self._open.get(key)
        if is_open is None:
            short = _ROWS.sub(r"\1", _LIST.sub(r"\1", statement))
            is_open = self._open[key] = bool(unscoped(short, connection.dialect.name))
        if is_open and (where := place()):
            if where in self.allowed:
                self.used.add(where)
            else:
                self.stray.setdefault(where, statement)
