"""several sources of a tenant, alarms, people who opt out, and times of day of schedules"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql")
_ENROLMENT = ("tenant_id", "import_no", "term", "kkh", "kcbh", "code")


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration is started anew.
    for table in ("imports", "meetings"):
        _add(table, sa.Column("source_no", sa.Integer(), nullable=False, server_default="0"))
    _enrolments_by_source()
    _add("schedules", sa.Column("windows", sa.Text(), nullable=True))
    _add("schedules", sa.Column("backs_off", sa.String(length=60), nullable=False, server_default=""))
    _add("schedules", sa.Column("busy_every_min", sa.Integer(), nullable=True))
    there = set(sa.inspect(op.get_bind()).get_table_names())
    for name, make in (
        ("sources", _make_sources),
        ("import_sources", _make_import_sources),
        ("alarms", _make_alarms),
        ("opt_outs", _make_opt_outs),
    ):
        if name not in there:
            make()


def _add(table: str, column: "sa.Column[object]") -> None:
    if column.name not in _columns(table):
        op.add_column(table, column)


def _columns(table: str) -> set[str]:
    return {one["name"] for one in sa.inspect(op.get_bind()).get_columns(table)}


def _enrolments_by_source() -> None:
    """Two sources may say the same of a student: the number is part of the key."""
    if "source_no" in _columns("enrolments"):
        return
    if op.get_bind().dialect.name == "sqlite":
        _copy_enrolments([*_ENROLMENT, "source_no"], said="0")
        return
    op.execute(
        "ALTER TABLE enrolments ADD COLUMN source_no INTEGER NOT NULL DEFAULT 0 AFTER code, "
        f"DROP PRIMARY KEY, ADD PRIMARY KEY ({', '.join(_ENROLMENT)}, source_no)"
    )


def _copy_enrolments(key: list[str], *, said: str = "") -> None:
    """SQLite cannot change a key: the rows move into a table that has it."""
    with_source = "source_no" in key
    op.rename_table("enrolments", "enrolments_before")
    op.create_table(
        "enrolments",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("import_no", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("kkh", sa.String(length=60), nullable=False),
        sa.Column("kcbh", sa.String(length=60), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        *([sa.Column("source_no", sa.Integer(), nullable=False, server_default="0")] if with_source else []),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_enrolments")),
    )
    listed = ", ".join(_ENROLMENT)
    op.execute(
        f"INSERT INTO enrolments ({listed}{', source_no' if with_source else ''}, line) "  # noqa: S608 (names of ours)
        f"SELECT {listed}{f', {said}' if with_source else ''}, line FROM enrolments_before"
    )
    op.drop_table("enrolments_before")


def _make_sources() -> None:
    op.create_table(
        "sources",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("source_no", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("address", sa.String(length=500), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=True),
        sa.Column("mapping", _LONG, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("silent_h", sa.Integer(), nullable=True),
        sa.Column("unchanged_h", sa.Integer(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("checked_ms", sa.BigInteger(), nullable=True),
        sa.Column("answered_ms", sa.BigInteger(), nullable=True),
        sa.Column("changed_ms", sa.BigInteger(), nullable=True),
        sa.Column("mark", sa.String(length=40), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_sources")),
        sa.UniqueConstraint("tenant_id", "source_no", name=op.f("uq_sources_tenant_id_source_no")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def _make_import_sources() -> None:
    op.create_table(
        "import_sources",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("import_no", sa.BigInteger(), nullable=False),
        sa.Column("source_no", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("mark", sa.String(length=40), nullable=False),
        sa.Column("watermark", sa.String(length=60), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("remedy", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "import_no", "source_no", name=op.f("pk_import_sources")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def _make_alarms() -> None:
    op.create_table(
        "alarms",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("cause", sa.String(length=30), nullable=False),
        sa.Column("subject", sa.String(length=60), nullable=False),
        sa.Column("open_key", sa.String(length=100), nullable=True),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("raised_ms", sa.BigInteger(), nullable=False),
        sa.Column("cleared_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_alarms")),
        sa.UniqueConstraint("tenant_id", "open_key", name=op.f("uq_alarms_tenant_id_open_key")),
        sa.Index(op.f("ix_alarms_tenant_id_raised_ms"), "tenant_id", "raised_ms"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def _make_opt_outs() -> None:
    op.create_table(
        "opt_outs",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("by", sa.String(length=120), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "term", "code", name=op.f("pk_opt_outs")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    for table in ("opt_outs", "alarms", "import_sources", "sources"):
        op.drop_table(table)
    for column in ("busy_every_min", "backs_off", "windows"):
        with op.batch_alter_table("schedules", schema=None) as batch_op:
            batch_op.drop_column(column)
    named = ", ".join(_ENROLMENT)
    op.execute("DELETE FROM enrolments WHERE source_no > 0")
    if op.get_bind().dialect.name == "sqlite":
        _copy_enrolments(list(_ENROLMENT))
    else:
        op.execute(f"ALTER TABLE enrolments DROP PRIMARY KEY, ADD PRIMARY KEY ({named}), DROP COLUMN source_no")
    for table in ("meetings", "imports"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column("source_no")
