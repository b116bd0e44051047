"""Where encrypted texts stand, for the rotation of their keys."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Table, select, tuple_, update

from db.tables import checkin_records, runs, tenants
from db.tables.identity import identity_providers, login_states

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Where:
    """A column with sealed texts; with `within`, JSON objects that hold one under that name. `row` are the columns that find it
    within its tenant."""

    table: Table
    column: str
    tenant: str
    row: tuple[str, ...]
    within: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One sealed text. `value` is its whole column; `place` what it is bound to, where that is not its row."""

    where: Where
    tenant: str
    row: tuple[str, ...]
    sealed: str
    value: str
    place: str | None


EVERYWHERE = (
    Where(tenants, "wps_app_key", "id", ("id",)),
    Where(identity_providers, "client_secret", "tenant_id", ("name",)),
    Where(login_states, "verifier", "tenant_id", ("id",)),
    Where(login_states, "code", "tenant_id", ("id",)),
    Where(checkin_records, "place", "tenant_id", ("term", "session_id", "code")),
    Where(tenants, "settings", "id", ("id",), within="source_sealed"),
    Where(runs, "scope", "tenant_id", ("id",), within="sealed"),
)
"""Every column that holds secrets of others. One that is not here keeps its key for ever; answers of the API go after a day."""


def walk(connection: Connection, where: Where) -> Iterator[Found]:
    """All sealed texts of a column, of every tenant: keys belong to the installation."""
    tenant, column = where.table.c[where.tenant], where.table.c[where.column]
    row = [where.table.c[name] for name in where.row]
    after = ("",) * (1 + len(row))
    while True:
        page = connection.execute(
            select(
                tenant.label("tenant"), column.label("value"), *(one.label(f"key_{at}") for at, one in enumerate(row))
            )
            .where(column.is_not(None), column != "", tuple_(tenant, *row) > after)
            .order_by(tenant, *row)
            .limit(_PAGE)
        ).all()
        for one in page:
            sealed = one.value if where.within is None else json.loads(one.value).get(where.within)
            if sealed:
                # A source's address goes from a run to the tenant and back: it is bound to the tenant only.
                place = None if where.within is None else f"{one.tenant}/source"
                yield Found(where, one.tenant, tuple(one[2:]), sealed, one.value, place)
        if len(page) < _PAGE:
            return
        after = (page[-1].tenant, *page[-1][2:])


def replace(connection: Connection, found: Found, value: str) -> bool:
    """Write `value` where nobody has changed the column since it was read."""
    where = found.where
    hit = connection.execute(
        update(where.table)
        .where(where.table.c[where.tenant] == found.tenant)
        .where(*(where.table.c[name] == value for name, value in zip(where.row, found.row, strict=True)))
        .where(where.table.c[where.column] == found.value)
        .values({where.column: value})
    )
    return hit.rowcount == 1
