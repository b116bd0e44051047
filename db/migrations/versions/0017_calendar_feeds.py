"""calendar feeds"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration is started anew.
    if sa.inspect(op.get_bind()).has_table("calendar_feeds"):
        return
    op.create_table(
        "calendar_feeds",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("subject", sa.String(length=60), nullable=False),
        sa.Column("on_roll", sa.Boolean(), nullable=False),
        sa.Column("made_by", sa.String(length=120), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("read_ms", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("changed_ms", sa.BigInteger(), nullable=True),
        sa.Column("stale_ms", sa.BigInteger(), nullable=True),
        sa.Column("told", _LONG, nullable=True),
        sa.Column("body", _LONG, nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_calendar_feeds")),
        sa.UniqueConstraint("tenant_id", "token_hash", name=op.f("uq_calendar_feeds_tenant_id_token_hash")),
        sa.Index("ix_calendar_feeds_tenant_id_owner", "tenant_id", "owner"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    op.drop_table("calendar_feeds")
