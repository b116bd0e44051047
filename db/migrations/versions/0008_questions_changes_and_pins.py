"""questions of runs, what they changed, and what was taken back"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql")


def upgrade() -> None:
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("asked", sa.String(length=12), nullable=True))
    op.create_table(
        "run_questions",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("questions", _LONG, nullable=False),
        sa.Column("shown", _LONG, nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=False),
        sa.Column("answered_ms", sa.BigInteger(), nullable=True),
        sa.Column("answered_by", sa.String(length=80), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_run_questions")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "run_changes",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("target", sa.String(length=48), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("group_id", sa.String(length=48), nullable=False),
        sa.Column("lane", sa.String(length=80), nullable=False),
        sa.Column("verb", sa.String(length=10), nullable=False),
        sa.Column("before_hash", sa.String(length=40), nullable=False),
        sa.Column("payload", _LONG, nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "run_id", "term", "target", name=op.f("pk_run_changes")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    with op.batch_alter_table("run_changes", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_run_changes_tenant_id_run_id_term_group_id"),
            ["tenant_id", "run_id", "term", "group_id"],
            unique=False,
        )
    op.create_table(
        "pins",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("target", sa.String(length=48), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("group_id", sa.String(length=48), nullable=False),
        sa.Column("lane", sa.String(length=80), nullable=False),
        sa.Column("source_hash", sa.String(length=40), nullable=False),
        sa.Column("desired_hash", sa.String(length=40), nullable=False),
        sa.Column("payload", _LONG, nullable=False),
        sa.Column("undone_run", sa.String(length=36), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "term", "target", name=op.f("pk_pins")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    with op.batch_alter_table("pins", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_pins_tenant_id_term_group_id"), ["tenant_id", "term", "group_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_pins_tenant_id_undone_run"), ["tenant_id", "undone_run"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_pins_tenant_id_run_id_term_group_id"),
            ["tenant_id", "run_id", "term", "group_id"],
            unique=False,
        )


def downgrade() -> None:
    op.drop_table("pins")
    op.drop_table("run_changes")
    op.drop_table("run_questions")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_column("asked")
