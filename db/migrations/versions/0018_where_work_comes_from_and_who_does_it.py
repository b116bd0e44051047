"""the request that tasks and runs came by, the processes that work, and the queues that are paused"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration goes on where it was.
    inspector = sa.inspect(op.get_bind())
    for table in ("jobs", "runs"):
        known = {column["name"] for column in inspector.get_columns(table)}
        for name, length in (("request", 64), ("trace", 55)):
            if name not in known:
                op.add_column(table, sa.Column(name, sa.String(length=length), nullable=True))
    if not inspector.has_table("processes"):
        _processes()
    if not inspector.has_table("paused_queues"):
        _paused_queues()


def _processes() -> None:
    op.create_table(
        "processes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("host", sa.String(length=100), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=60), nullable=False),
        sa.Column("queues", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("asked", sa.String(length=10), nullable=True),
        sa.Column("doing", _LONG, nullable=False),
        sa.Column("counts", _LONG, nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("beat_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def _paused_queues() -> None:
    op.create_table(
        "paused_queues",
        sa.Column("queue", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_paused_queues")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    op.drop_table("paused_queues")
    op.drop_table("processes")
    for table in ("runs", "jobs"):
        op.drop_column(table, "trace")
        op.drop_column(table, "request")
