"""Switches of a school, and the sessions that its statistics owe."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select

from db.tables import AnyRow, stats_owed, switches
from db.upsert import insert_rows, upsert

_SAID = ("is_on", "check_ins", "until_ms", "note", "actor", "at_ms")


def all_of(connection: Connection, *, tenant: str) -> list[AnyRow]:
    """The last word about each switch that somebody has touched, by name."""
    return list(connection.execute(select(switches).where(switches.c.tenant_id == tenant).order_by(switches.c.name)))


def is_on(connection: Connection, name: str, *, tenant: str) -> bool:
    """Whether a switch is on, as of this transaction."""
    where = (switches.c.tenant_id == tenant, switches.c.name == name, switches.c.is_on)
    return connection.execute(select(switches.c.name).where(*where)).one_or_none() is not None


def put(connection: Connection, name: str, *, tenant: str, **said: Any) -> None:
    """Write the last word about a switch: all of is_on, check_ins, until_ms, note, actor, at_ms."""
    upsert(connection, switches, [{"tenant_id": tenant, "name": name, **said}], update=_SAID)


def schools_where_on(connection: Connection, tenants: Sequence[str]) -> dict[str, int]:
    """Switch → in how many of these schools it is on."""
    where = (switches.c.tenant_id.in_(tenants), switches.c.is_on)
    rows = connection.execute(select(switches.c.name, func.count()).where(*where).group_by(switches.c.name))
    return {name: int(count) for name, count in rows}


# --- what statistics are owed -----------------------------------------------------------------------------------------


def owe(connection: Connection, session_ids: Collection[str], *, tenant: str, term: str) -> None:
    """Note that the statistics do not know these sessions as they are."""
    rows = [(one,) for one in sorted(session_ids)]
    same = {"tenant_id": tenant, "term": term, "times": 1}
    insert_rows(connection, stats_owed, ("session_id",), rows, same=same, adding=("times",))


def owed(connection: Connection, *, tenant: str, limit: int) -> list[AnyRow]:
    """Some of the sessions that are owed."""
    return list(connection.execute(select(stats_owed).where(stats_owed.c.tenant_id == tenant).limit(limit)))


def paid(connection: Connection, row: AnyRow) -> bool:
    """The statistics know the session as of `row`. False where it was owed again meanwhile: then it still is."""
    c = stats_owed.c
    where = (c.tenant_id == row.tenant_id, c.term == row.term, c.session_id == row.session_id, c.times == row.times)
    return connection.execute(delete(stats_owed).where(*where)).rowcount == 1


def count_owed(connection: Connection, tenants: Sequence[str]) -> int:
    """How many sessions are owed in these schools."""
    where = stats_owed.c.tenant_id.in_(tenants)
    return int(connection.execute(select(func.count()).select_from(stats_owed).where(where)).scalar_one())
