"""failures, their families and the audit

Dead letters of before get a family for each kind and class of error: their messages stay with their jobs.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql")
_MYSQL: Any = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}

_OF_A_JOB = (
    "tenant_id", "lane", "kind", "target", "term", "group_id", "run_id", "error_code", "finished_ms",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "failure_families",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("verb", sa.String(length=10), nullable=False),
        sa.Column("error_class", sa.String(length=40), nullable=False),
        sa.Column("remote_code", sa.BigInteger(), nullable=True),
        sa.Column("pattern", sa.String(length=200), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("resolved_by", sa.String(length=120), nullable=True),
        sa.Column("resolved_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_failure_families")),
        **_MYSQL,
    )
    op.create_table(
        "failures",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("family", sa.String(length=40), nullable=False),
        sa.Column("lane", sa.String(length=80), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("target", sa.String(length=48), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("group_id", sa.String(length=48), nullable=False),
        sa.Column("offering_id", sa.String(length=40), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=True),
        sa.Column("error_class", sa.String(length=40), nullable=False),
        sa.Column("remote_code", sa.BigInteger(), nullable=True),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("died_ms", sa.BigInteger(), nullable=False),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.Column("ended", sa.String(length=12), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("resolved_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "job_id", name=op.f("pk_failures")),
        **_MYSQL,
    )
    with op.batch_alter_table("failures", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_failures_tenant_id_dead_died_ms_job_id"),
            ["tenant_id", "dead", "died_ms", "job_id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_failures_tenant_id_family_dead_died_ms_job_id"),
            ["tenant_id", "family", "dead", "died_ms", "job_id"],
            unique=False,
        )
        batch_op.create_index(batch_op.f("ix_failures_tenant_id_target"), ["tenant_id", "target"], unique=False)
        batch_op.create_index(batch_op.f("ix_failures_run_id"), ["run_id"], unique=False)
    op.create_table(
        "audit",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("thing", sa.String(length=200), nullable=False),
        sa.Column("before", _LONG, nullable=True),
        sa.Column("after", _LONG, nullable=True),
        sa.Column("request", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_audit")),
        **_MYSQL,
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_tenant_id_at_ms_id"), ["tenant_id", "at_ms", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_tenant_id_thing"), ["tenant_id", "thing"], unique=False)
    _sort_the_dead_letters_of_before()


def _sort_the_dead_letters_of_before() -> None:
    """In columns of this version only, so that what later versions make of a family does not change what this one did."""
    jobs = sa.table("jobs", *(sa.column(name) for name in _OF_A_JOB), sa.column("id"), sa.column("state"))
    error_class = sa.func.coalesce(jobs.c.error_code, "task")
    family = sa.func.substr(sa.literal("before-").concat(jobs.c.kind).concat("-").concat(error_class), 1, 40)
    dead = jobs.c.state == "dead"
    families = sa.table(
        "failure_families", *(sa.column(name) for name in ("tenant_id", "id", "kind", "verb", "error_class", "pattern"))
    )
    one_each = sa.select(
        jobs.c.tenant_id,
        family,
        jobs.c.kind,
        sa.literal(""),
        error_class,
        sa.literal("failed before failures were sorted"),
    ).where(dead)
    op.execute(families.insert().from_select([column.name for column in families.c], one_each.distinct()))
    copied = ("tenant_id", "lane", "kind", "target", "term", "group_id", "run_id")
    made = ("job_id", "family", "offering_id", "error_class", "people", "waiting", "died_ms", "dead")
    failures = sa.table("failures", *(sa.column(name) for name in (*copied, *made)))
    course = sa.case((jobs.c.group_id.like("cal:%"), sa.func.substr(jobs.c.group_id, 5)), else_="")
    rows = sa.select(
        *(jobs.c[name] for name in copied),
        *(jobs.c.id, family, course, error_class, sa.literal(0), sa.literal(0)),
        *(sa.func.coalesce(jobs.c.finished_ms, 0), sa.true()),
    ).where(dead)
    op.execute(failures.insert().from_select([column.name for column in failures.c], rows))


def downgrade() -> None:
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_tenant_id_thing"))
        batch_op.drop_index(batch_op.f("ix_audit_tenant_id_at_ms_id"))
    op.drop_table("audit")
    with op.batch_alter_table("failures", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_failures_run_id"))
        batch_op.drop_index(batch_op.f("ix_failures_tenant_id_target"))
        batch_op.drop_index(batch_op.f("ix_failures_tenant_id_family_dead_died_ms_job_id"))
        batch_op.drop_index(batch_op.f("ix_failures_tenant_id_dead_died_ms_job_id"))
    op.drop_table("failures")
    op.drop_table("failure_families")
