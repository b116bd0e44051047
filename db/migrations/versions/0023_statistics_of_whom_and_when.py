"""statistics by teacher, college, week and day, what a class counts for, and the counts that look whether they are right

Statistics begin anew: rosters that were closed are closed again by the process `checkins`, which also writes down what they
count for.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0021"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
_COUNTS = (
    "total_classes", "attended_classes", "absence_classes", "leave_classes", "pending_classes", "review_classes",
    "late_classes", "early_leave_classes",
)  # fmt: skip
_COURSE = "ix_attendance_roster_tenant_id_term_course_id"


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration goes on where it was.
    inspector = sa.inspect(op.get_bind())
    if "college" not in {column["name"] for column in inspector.get_columns("attendance_roster")}:
        op.add_column("attendance_roster", sa.Column("college", sa.String(length=60), nullable=True))
    if _COURSE not in {index["name"] for index in inspector.get_indexes("attendance_roster")}:
        op.create_index(_COURSE, "attendance_roster", ["tenant_id", "term", "course_id"])
    old = inspector.has_table("attendance_stats")
    if old and "period" not in {column["name"] for column in inspector.get_columns("attendance_stats")}:
        op.drop_table("attendance_stats")
        old = False
    if not old:
        _stats()
    for name, make in (
        ("attendance_roster_teachers", _teachers), ("attendance_recounts", _recounts), ("attendance_drift", _drift),
    ):  # fmt: skip
        if not inspector.has_table(name):
            make()
    op.execute("UPDATE attendance_roster SET status = 'IN_PROGRESS' WHERE status = 'COMPLETED' AND college IS NULL")


def _stats() -> None:
    op.create_table(
        "attendance_stats",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("xnxq", sa.String(length=20), nullable=False),
        sa.Column("user_id", sa.String(length=60), nullable=False),
        sa.Column("course_id", sa.String(length=40), nullable=False),
        sa.Column("teacher_id", sa.String(length=60), nullable=False),
        sa.Column("college", sa.String(length=60), nullable=False),
        sa.Column("period", sa.String(length=10), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint(
            "tenant_id", "xnxq", "user_id", "course_id", "teacher_id", "college", "period",
            name=op.f("pk_attendance_stats"),
        ),
        **_MYSQL,
    )  # fmt: skip
    index = op.f("ix_attendance_stats_tenant_id_xnxq_course_id_user_id")
    op.create_index(index, "attendance_stats", ["tenant_id", "xnxq", "course_id", "user_id"])


def _teachers() -> None:
    op.create_table(
        "attendance_roster_teachers",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant_id", "term", "code", "session_id", name=op.f("pk_attendance_roster_teachers")
        ),
        **_MYSQL,
    )  # fmt: skip
    index = op.f("ix_attendance_roster_teachers_tenant_id_term_session_id")
    op.create_index(index, "attendance_roster_teachers", ["tenant_id", "term", "session_id"])


def _recounts() -> None:
    op.create_table(
        "attendance_recounts",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("asked_by", sa.String(length=120), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("mends", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("compared", "expected", "differing", "mended")),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_attendance_recounts")),
        **_MYSQL,
    )


def _drift() -> None:
    op.create_table(
        "attendance_drift",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("recount_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=60), nullable=False),
        sa.Column("course_id", sa.String(length=40), nullable=False),
        sa.Column("period", sa.String(length=10), nullable=False),
        sa.Column("college", sa.String(length=60), nullable=False),
        sa.Column("was", sa.Text(), nullable=False),
        sa.Column("now", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "recount_id", "number", name=op.f("pk_attendance_drift")),
        **_MYSQL,
    )


def downgrade() -> None:
    for name in ("attendance_drift", "attendance_recounts", "attendance_roster_teachers", "attendance_stats"):
        op.drop_table(name)
    op.drop_index(_COURSE, "attendance_roster")
    op.drop_column("attendance_roster", "college")
    counts = [sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS if name != "pending_classes"]
    op.create_table(
        "attendance_stats",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("xnxq", sa.String(length=20), nullable=False),
        sa.Column("user_id", sa.String(length=60), nullable=False),
        sa.Column("course_id", sa.String(length=40), nullable=False),
        *counts,
        sa.PrimaryKeyConstraint("tenant_id", "xnxq", "user_id", "course_id", name=op.f("pk_attendance_stats")),
        **_MYSQL,
    )
