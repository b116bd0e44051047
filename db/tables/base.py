"""What all tables have in common.

Instants are BIGINT milliseconds UTC of the database's clock. Names and identifiers compare byte by byte (`utf8mb4_bin`).
The big tables carry `term` in the primary key and have no foreign keys: on MySQL sessions, rolls, mirror and members are
partitioned by it.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, MetaData, Row, String, Table, Text, UniqueConstraint
from sqlalchemy.dialects.mysql import LONGTEXT

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}

ID = String(36)
TENANT = String(60)
NAME = String(60)
TERM = String(20)
LANE = String(80)
TARGET = String(48)
HASH = String(40)
LONG = Text().with_variant(LONGTEXT(), "mysql", "mariadb")


AnyRow = Row[*tuple[Any, ...]]


def table(name: str, *parts: Column[Any] | Index | UniqueConstraint) -> Table:
    """A table of the product, of the same kind on every database."""
    made: Table = Table(name, metadata, *parts, **_MYSQL)
    return made


def instant(name: str, *, nullable: bool = True) -> Column[Any]:
    """A column of milliseconds UTC."""
    return Column(name, BigInteger, nullable=nullable)
