"""switches while the product runs, and the statistics that wait for one"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration goes on where it was.
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table("switches"):
        op.create_table(
            "switches",
            sa.Column("tenant_id", sa.String(length=60), nullable=False),
            sa.Column("name", sa.String(length=30), nullable=False),
            sa.Column("is_on", sa.Boolean(), nullable=False),
            sa.Column("check_ins", sa.Boolean(), nullable=False),
            sa.Column("until_ms", sa.BigInteger(), nullable=True),
            sa.Column("note", sa.Text(), nullable=False),
            sa.Column("actor", sa.String(length=120), nullable=False),
            sa.Column("at_ms", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_switches")),
            **_MYSQL,
        )
    if not inspector.has_table("stats_owed"):
        op.create_table(
            "stats_owed",
            sa.Column("tenant_id", sa.String(length=60), nullable=False),
            sa.Column("term", sa.String(length=20), nullable=False),
            sa.Column("session_id", sa.String(length=40), nullable=False),
            sa.Column("times", sa.Integer(), nullable=False),
            sa.PrimaryKeyConstraint("tenant_id", "term", "session_id", name=op.f("pk_stats_owed")),
            **_MYSQL,
        )


def downgrade() -> None:
    op.drop_table("stats_owed")
    op.drop_table("switches")
