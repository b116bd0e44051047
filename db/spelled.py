"""Statements of the drain, spelled once for each kind of database and then handed to the driver as they are.

SQLAlchemy looks a statement up, checks its parameters and writes a list of ids into the text anew each time it is run. That
takes longer than the statement, and a lane does it a dozen times between two calls, with the interpreter's lock in its hands.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, CursorResult
from sqlalchemy.sql.expression import ClauseElement

_LIST_IN_JSON: Final = "(SELECT value FROM json_each(?))"


class Spelled:
    """One statement. Its parameters are numbers, strings and None; `listed` names those that are lists of strings.

    The driver gets values as they are given: no type of a column changes them, nor what comes back.
    """

    def __init__(self, statement: ClauseElement, *, listed: str | tuple[str, ...] = ()) -> None:
        self._statement = statement
        self._listed = (listed,) if isinstance(listed, str) else listed
        self._known: dict[str, tuple[str, tuple[str, ...] | None, dict[str, Any]]] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Carry it out. Raises `DBAPIError`, and where a value is missing KeyError."""
        text, places, given = self._known.get(connection.dialect.name) or self._spell(connection)
        given = {**given, **values}
        for name in self._listed:
            listed = given[name]
            # The driver for MySQL writes a tuple as a list; the one for SQLite has nothing of the kind.
            # Without any it writes nothing between the brackets, which the server does not read: NULL equals nothing either.
            given[name] = (tuple(listed) or (None,)) if places is None else json.dumps(listed)
        return connection.exec_driver_sql(text, given if places is None else tuple([given[name] for name in places]))

    def _spell(self, connection: Connection) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
        compiled: Any = self._statement.compile(dialect=connection.dialect)
        text, places = str(compiled), tuple(compiled.positiontup) if compiled.positional else None
        for name in self._listed:
            place = f"%({name})s" if places is None else _LIST_IN_JSON
            text = text.replace(f"(__[POSTCOMPILE_{name}])", place)
        if "POSTCOMPILE" in text:
            raise ValueError(f"only lists that are named can be spelled: {text}")
        fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        known = self._known[connection.dialect.name] = (text, places, fixed)
        return known
