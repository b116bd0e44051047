"""whom the desk of check-ins turned away, and why"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0026"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    if sa.inspect(op.get_bind()).has_table("checkin_refusals"):
        return
    op.create_table(
        "checkin_refusals",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("cause", sa.String(length=30), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("outside_m", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "term", "session_id", "code", "cause", name=op.f("pk_checkin_refusals")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_checkin_refusals_tenant_id_code"), "checkin_refusals", ["tenant_id", "code"])
    op.create_index(op.f("ix_checkin_refusals_tenant_id_last_ms"), "checkin_refusals", ["tenant_id", "last_ms"])


def downgrade() -> None:
    op.drop_table("checkin_refusals")
