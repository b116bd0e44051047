"""answers of the API: requests that are carried out once"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration is started anew.
    if sa.inspect(op.get_bind()).has_table("answers"):
        return
    op.create_table(
        "answers",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("user_id", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("claim", sa.String(length=36), nullable=False),
        sa.Column("claimed_ms", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb"), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "key", name=op.f("pk_answers")),
        sa.Index("ix_answers_tenant_id_claimed_ms", "tenant_id", "claimed_ms"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    op.drop_table("answers")
