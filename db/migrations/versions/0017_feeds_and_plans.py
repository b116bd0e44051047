"""calendar feeds, and plans that somebody asked for"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


_MYSQL: Any = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration is started anew.
    there = sa.inspect(op.get_bind()).get_table_names()
    for name, make in (("calendar_feeds", _feeds), ("plans", _plans), ("plan_rows", _plan_rows)):
        if name not in there:
            make()


def _feeds() -> None:
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
        **_MYSQL,
    )


def _plans() -> None:
    op.create_table(
        "plans",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("basis", sa.String(length=10), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("made_by", sa.String(length=120), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.Column("operations", sa.Integer(), nullable=False),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.Column("found", _LONG, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_plans")),
        sa.Index("ix_plans_tenant_id_created_ms", "tenant_id", "created_ms"),
        **_MYSQL,
    )


def _plan_rows() -> None:
    op.create_table(
        "plan_rows",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("plan_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lane", sa.String(length=80), nullable=False),
        sa.Column("said", _LONG, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "plan_id", "number", name=op.f("pk_plan_rows")),
        **_MYSQL,
    )


def downgrade() -> None:
    for name in ("plan_rows", "plans", "calendar_feeds"):
        op.drop_table(name)
