"""terms apart: partitions, archives, and the event that a class asks for

Partitioning rebuilds four tables, and on MySQL a statement that changes a table commits at once. So each step may be done
again: a migration that was interrupted is simply started anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PARTITIONED = ("sessions", "rolls", "mirror", "members")
# A prime: with a power of two the server puts all terms of one ending into one partition.
_PARTITIONS = 11


def upgrade() -> None:
    _add("sessions", sa.Column("event_hash", sa.String(length=40), nullable=True))
    _add("terms", sa.Column("archived_ms", sa.BigInteger(), nullable=True))
    _add("terms", sa.Column("removed", sa.Text(), nullable=True))
    if _is_mysql():
        for table in _PARTITIONED:
            op.execute(f"ALTER TABLE {table} PARTITION BY KEY (term) PARTITIONS {_PARTITIONS}")


def downgrade() -> None:
    if _is_mysql():
        for table in _PARTITIONED:
            op.execute(f"ALTER TABLE {table} REMOVE PARTITIONING")
    with op.batch_alter_table("terms", schema=None) as batch_op:
        batch_op.drop_column("removed")
        batch_op.drop_column("archived_ms")
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_column("event_hash")


def _add(table: str, column: sa.Column[object]) -> None:
    there = {one["name"] for one in sa.inspect(op.get_bind()).get_columns(table)}
    if column.name not in there:
        op.add_column(table, column)


def _is_mysql() -> bool:
    return op.get_bind().dialect.name in ("mysql", "mariadb")
