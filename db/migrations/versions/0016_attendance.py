"""attendance: rosters, check-ins, what people said, and what it comes to

The four big tables lie apart by term, as those of the timetable do.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_PARTITIONED = ("attendance_roster", "attendance_roster_detail", "checkin_records", "attendance_facts")
# A prime: with a power of two the server puts all terms of one ending into one partition.
_PARTITIONS = 11


def upgrade() -> None:
    op.create_table(
        "attendance_facts",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("says", sa.String(length=10), nullable=False),
        sa.Column("about", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "term", "session_id", "code", "id", name=op.f("pk_attendance_facts")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "attendance_roster",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("course_id", sa.String(length=40), nullable=False),
        sa.Column("course_date", sa.String(length=10), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("total_students", sa.Integer(), nullable=False),
        sa.Column("attended_count", sa.Integer(), nullable=False),
        sa.Column("absent_count", sa.Integer(), nullable=False),
        sa.Column("leave_count", sa.Integer(), nullable=False),
        sa.Column("pending_count", sa.Integer(), nullable=False),
        sa.Column("review_count", sa.Integer(), nullable=False),
        sa.Column("late_count", sa.Integer(), nullable=False),
        sa.Column("early_count", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("marks", sa.Integer(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=True),
        sa.Column("extended_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("swept_ms", sa.BigInteger(), nullable=True),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "term", "session_id", name=op.f("pk_attendance_roster")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_attendance_roster_tenant_id_marks"), "attendance_roster", ["tenant_id", "marks"], unique=False
    )
    op.create_index(
        op.f("ix_attendance_roster_tenant_id_start_ms"), "attendance_roster", ["tenant_id", "start_ms"], unique=False
    )
    op.create_index(
        op.f("ix_attendance_roster_tenant_id_status_end_ms"),
        "attendance_roster",
        ["tenant_id", "status", "end_ms"],
        unique=False,
    )
    op.create_table(
        "attendance_roster_detail",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("leave_noted", sa.Boolean(), nullable=False),
        sa.Column("produced_by", sa.String(length=12), nullable=False),
        sa.Column("why", sa.String(length=40), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.Column("counted", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "term", "session_id", "code", name=op.f("pk_attendance_roster_detail")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_attendance_roster_detail_tenant_id_term_code"),
        "attendance_roster_detail",
        ["tenant_id", "term", "code"],
        unique=False,
    )
    op.create_table(
        "attendance_stats",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("xnxq", sa.String(length=20), nullable=False),
        sa.Column("user_id", sa.String(length=60), nullable=False),
        sa.Column("course_id", sa.String(length=40), nullable=False),
        sa.Column("total_classes", sa.Integer(), nullable=False),
        sa.Column("attended_classes", sa.Integer(), nullable=False),
        sa.Column("absence_classes", sa.Integer(), nullable=False),
        sa.Column("leave_classes", sa.Integer(), nullable=False),
        sa.Column("review_classes", sa.Integer(), nullable=False),
        sa.Column("late_classes", sa.Integer(), nullable=False),
        sa.Column("early_leave_classes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "xnxq", "user_id", "course_id", name=op.f("pk_attendance_stats")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "checkin_records",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("term", sa.String(length=20), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("client_ms", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("timing", sa.String(length=10), nullable=False),
        sa.Column("reasons", sa.String(length=200), nullable=False),
        sa.Column("doubts", sa.String(length=100), nullable=False),
        sa.Column("way", sa.String(length=12), nullable=False),
        sa.Column("outside_m", sa.Integer(), nullable=True),
        sa.Column("accuracy_m", sa.Integer(), nullable=True),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=True),
        sa.Column("point", sa.String(length=24), nullable=True),
        sa.Column("lat_e2", sa.Integer(), nullable=True),
        sa.Column("lon_e2", sa.Integer(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "term", "session_id", "code", name=op.f("pk_checkin_records")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_checkin_records_tenant_id_term_code_at_ms"),
        "checkin_records",
        ["tenant_id", "term", "code", "at_ms"],
        unique=False,
    )
    op.create_index(
        op.f("ix_checkin_records_tenant_id_term_device_at_ms"),
        "checkin_records",
        ["tenant_id", "term", "device", "at_ms"],
        unique=False,
    )
    op.create_index(
        op.f("ix_checkin_records_tenant_id_term_point_at_ms"),
        "checkin_records",
        ["tenant_id", "term", "point", "at_ms"],
        unique=False,
    )
    op.create_table(
        "geofences",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("xq", sa.String(length=60), nullable=False),
        sa.Column("lq", sa.String(length=100), nullable=False),
        sa.Column("room", sa.String(length=100), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("system", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "xq", "lq", "room", name=op.f("pk_geofences")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    if op.get_bind().dialect.name in ("mysql", "mariadb"):
        for table in _PARTITIONED:
            op.execute(f"ALTER TABLE {table} PARTITION BY KEY (term) PARTITIONS {_PARTITIONS}")


def downgrade() -> None:
    op.drop_table("geofences")
    op.drop_table("checkin_records")
    op.drop_table("attendance_stats")
    op.drop_table("attendance_roster_detail")
    op.drop_table("attendance_roster")
    op.drop_table("attendance_facts")
