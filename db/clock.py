"""The database's own clock: the only one that leases, schedules and settlement compare."""

from typing import Any

from sqlalchemy import BigInteger, Connection, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from db.spelled import Spelled


class db_now_ms(FunctionElement[int]):
    """Milliseconds since 1970 UTC by the database's clock, one spelling per dialect."""

    type = BigInteger()
    inherit_cache = True


@compiles(db_now_ms, "sqlite")
def _sqlite(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"


@compiles(db_now_ms, "mysql")
@compiles(db_now_ms, "mariadb")
def _mysql(_element: Any, _compiler: Any, **_: Any) -> str:
    # SYSDATE, not NOW: a statement that waited for a row lock must not use the time before the wait.
    return "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)"


_NOW = Spelled(select(db_now_ms()))


def now_ms(connection: Connection) -> int:
    """The database's time, milliseconds UTC."""
    return int(_NOW.run(connection, {}).scalar_one())
