"""off-peak hours and freshness: what is held, how fast lanes were, and when each tier was synced last"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_MYSQL: Any = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration is started anew.
    here = sa.inspect(op.get_bind())
    if "holding" not in {one["name"] for one in here.get_columns("tenants")}:
        op.add_column("tenants", sa.Column("holding", sa.Boolean(), server_default="0", nullable=False))
    if "held_until" not in {one["name"] for one in here.get_columns("runs")}:
        op.add_column("runs", sa.Column("held_until", sa.BigInteger(), nullable=True))
    if not here.has_table("throughput"):
        op.create_table(
            "throughput",
            sa.Column("tenant_id", sa.String(length=60), nullable=False),
            sa.Column("at_ms", sa.BigInteger(), nullable=False),
            sa.Column("run_id", sa.String(length=36), nullable=False),
            sa.Column("closed", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("tenant_id", "at_ms", "run_id", name=op.f("pk_throughput")),
            **_MYSQL,
        )
    if not here.has_table("tier_syncs"):
        op.create_table(
            "tier_syncs",
            sa.Column("tenant_id", sa.String(length=60), nullable=False),
            sa.Column("tier", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("run_id", sa.String(length=36), nullable=False),
            sa.Column("synced_ms", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("tenant_id", "tier", name=op.f("pk_tier_syncs")),
            **_MYSQL,
        )


def downgrade() -> None:
    op.drop_table("tier_syncs")
    op.drop_table("throughput")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_column("held_until")
    with op.batch_alter_table("tenants", schema=None) as batch_op:
        batch_op.drop_column("holding")
