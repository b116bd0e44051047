"""change sets, scopes and waiting runs"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BEFORE, _AFTER = '{"run": "full"}', '{"run": "incremental"}'


def upgrade() -> None:
    op.create_table(
        "change_buffer",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("buffer_no", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.String(length=12), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("kkh", sa.String(length=60), nullable=False),
        sa.Column("slot", sa.String(length=40), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("op", sa.String(length=8), nullable=False),
        sa.Column("sj", sa.String(length=40), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant_id", "buffer_no", "part", "term", "kkh", "slot", "line", name=op.f("pk_change_buffer")
        ),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "touched",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("offering_id", sa.String(length=40), nullable=False),
        sa.Column("import_no", sa.BigInteger(), nullable=False),
        sa.Column("made_no", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "term", "offering_id", name=op.f("pk_touched")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "run_offerings",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("offering_id", sa.String(length=40), nullable=False),
        sa.Column("needs", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "term", "offering_id", name=op.f("pk_run_offerings")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    with op.batch_alter_table("tenants") as batch:
        batch.add_column(sa.Column("reading_run", sa.String(length=36), nullable=True))
    with op.batch_alter_table("imports") as batch:
        batch.add_column(sa.Column("kind", sa.String(length=10), nullable=False, server_default="whole"))
        batch.add_column(sa.Column("base_no", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("buffer_no", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("watermark", sa.String(length=60), nullable=True))
        batch.add_column(sa.Column("planned", sa.Boolean(), nullable=False, server_default="0"))
    with op.batch_alter_table("runs") as batch:
        batch.add_column(sa.Column("priority", sa.String(length=10), nullable=False, server_default="normal"))
        batch.add_column(sa.Column("waits_for", sa.String(length=36), nullable=True))
    _starts(_BEFORE, _AFTER)


def downgrade() -> None:
    _starts(_AFTER, _BEFORE)
    with op.batch_alter_table("runs") as batch:
        batch.drop_column("waits_for")
        batch.drop_column("priority")
    with op.batch_alter_table("imports") as batch:
        for column in ("planned", "watermark", "buffer_no", "base_no", "kind"):
            batch.drop_column(column)
    with op.batch_alter_table("tenants") as batch:
        batch.drop_column("reading_run")
    for table in ("run_offerings", "touched", "change_buffer"):
        op.drop_table(table)


def _starts(before: str, after: str) -> None:
    """What the hourly schedule starts, where nobody has changed it."""
    schedules = sa.table("schedules", sa.column("name", sa.String()), sa.column("payload", sa.Text()))
    op.execute(
        schedules.update().where(schedules.c.name == "incremental", schedules.c.payload == before).values(payload=after)
    )
