"""Sums of attendance, and the counts that look whether they are right."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Text

from db.tables.base import HASH, ID, NAME, TENANT, TERM, instant, table

# Of sessions that are closed. Blank means all: one of the four says whom a sum is about, or a student and a course both.
attendance_stats = table(
    "attendance_stats",
    Column("tenant_id", TENANT, primary_key=True),
    Column("xnxq", TERM, primary_key=True),
    Column("user_id", NAME, primary_key=True),
    Column("course_id", HASH, primary_key=True),
    Column("teacher_id", NAME, primary_key=True),
    Column("college", NAME, primary_key=True),
    Column("period", String(10), primary_key=True),  # blank: the term; "2024-W36": a week; "2024-09-02": a day
    Column("total_classes", Integer, nullable=False),
    Column("attended_classes", Integer, nullable=False),
    Column("absence_classes", Integer, nullable=False),
    Column("leave_classes", Integer, nullable=False),
    Column("pending_classes", Integer, nullable=False),
    Column("review_classes", Integer, nullable=False),
    Column("late_classes", Integer, nullable=False),
    Column("early_leave_classes", Integer, nullable=False),
    Index(None, "tenant_id", "xnxq", "course_id", "user_id"),
)

# Who taught a session, written when it was closed: what it counts for stays, whatever the timetable says later.
attendance_roster_teachers = table(
    "attendance_roster_teachers",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("code", NAME, primary_key=True),
    Column("session_id", HASH, primary_key=True),
    Index(None, "tenant_id", "term", "session_id"),
)

attendance_recounts = table(
    "attendance_recounts",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("state", String(10), nullable=False),  # working, done, cancelled
    Column("asked_by", String(120), nullable=False),
    Column("terms", Text, nullable=False),  # JSON: the terms that are counted, in their order
    Column("mends", Boolean, nullable=False),
    Column("position", Text, nullable=False),  # JSON: term, stage and the last one that was compared
    Column("compared", Integer, nullable=False),  # rosters, and persons, courses and colleges with all their sums
    Column("expected", Integer, nullable=False),  # about how many there were at the beginning
    Column("differing", Integer, nullable=False),  # sums and counters
    Column("mended", Integer, nullable=False),
    instant("created_ms", nullable=False),
    instant("finished_ms"),
)

attendance_drift = table(
    "attendance_drift",
    Column("tenant_id", TENANT, primary_key=True),
    Column("recount_id", ID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", String(10), nullable=False),  # roster, user, course, teacher, college
    Column("term", TERM, nullable=False),
    Column("subject", NAME, nullable=False),  # the session, or whom the sum is about
    Column("course_id", HASH, nullable=False),  # of a student in a course, or of a session; otherwise blank
    Column("period", String(10), nullable=False),
    Column("college", NAME, nullable=False),  # of the course or person; blank: not known
    Column("was", Text, nullable=False),  # JSON
    Column("now", Text, nullable=False),  # JSON: what was counted
)
