"""How a part of an academic database is read."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Part:
    """How a part is read: our columns by name, the values of every row, the key, which rows count, and when they changed."""

    table: str
    columns: dict[str, sa.ColumnClause[Any]]
    constants: dict[str, str]
    key: sa.ColumnElement[Any]
    where: tuple[sa.ColumnElement[bool], ...]
    source: sa.TableClause
    changed: sa.ColumnElement[Any] | None

    @property
    def content(self) -> sa.ColumnElement[str]:
        """Everything that is read of a row as bytes, no two rows alike that differ."""
        read = (sa.func.coalesce(sa.cast(column, sa.BINARY), b"\x02") for column in self.columns.values())
        return sa.func.concat_ws(b"\x01", *read)


def text_of(value: Any) -> str | None:
    """A value as the schools write it; most columns are text anyway."""
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
