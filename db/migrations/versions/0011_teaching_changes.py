"""teaching changes, and how classes differ from their source"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ALTERED = ("altered", "cancelled", "source_date")


def _column(name: str) -> sa.Column[Any]:
    made: dict[str, sa.Column[Any]] = {
        "altered": sa.Column("altered", sa.Text(), nullable=True),
        "cancelled": sa.Column("cancelled", sa.Boolean(), nullable=False, server_default="0"),
        "source_date": sa.Column("source_date", sa.String(length=10), nullable=True),
    }
    return made[name]


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration is started anew.
    found = sa.inspect(op.get_bind())
    there = {one["name"] for one in found.get_columns("sessions")}
    for name in _ALTERED:
        if name not in there:
            op.add_column("sessions", _column(name))
    if "teaching_changes" not in found.get_table_names():
        _make()
    for columns in (["offering_id"], ["batch_id"], ["term", "at_ms"]):
        name = "_".join(["ix_teaching_changes_tenant_id", *columns])
        if name not in {one["name"] for one in sa.inspect(op.get_bind()).get_indexes("teaching_changes")}:
            op.create_index(name, "teaching_changes", ["tenant_id", *columns])


def _make() -> None:
    op.create_table(
        "teaching_changes",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("offering_id", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("batch_id", sa.String(length=36), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=True),
        sa.Column("date", sa.String(length=10), nullable=True),
        sa.Column("start_ms", sa.BigInteger(), nullable=True),
        sa.Column("end_ms", sa.BigInteger(), nullable=True),
        sa.Column("rooms", sa.Text(), nullable=True),
        sa.Column("teachers", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("source_id", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=120), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_teaching_changes")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    op.drop_table("teaching_changes")
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        for name in reversed(_ALTERED):
            batch_op.drop_column(name)
