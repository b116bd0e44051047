"""Attendance: rosters, check-ins, what people said, and what it comes to. The raw events and the computed are kept apart."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Text

from db.tables.base import HASH, NAME, TENANT, TERM, instant, table

# Where a room is. A blank room stands for the building; without a row here the point of the room is the centre of a circle.
geofences = table(
    "geofences",
    Column("tenant_id", TENANT, primary_key=True),
    Column("xq", NAME, primary_key=True),
    Column("lq", String(100), primary_key=True),
    Column("room", String(100), primary_key=True),
    Column(
        "shape", Text, nullable=False
    ),  # JSON: {"circle": [lat, lon, metres]} or {"polygon": [[lat, lon], …], "margin": metres}
    Column("system", String(10), nullable=False),  # WGS-84, GCJ-02
)

attendance_roster = table(
    "attendance_roster",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("session_id", HASH, primary_key=True),
    Column("course_id", HASH, nullable=False),  # the offering
    Column("course_date", String(10), nullable=False),
    instant("start_ms", nullable=False),
    instant("end_ms", nullable=False),
    Column("status", String(12), nullable=False),  # PENDING, IN_PROGRESS, COMPLETED, CANCELLED
    Column("total_students", Integer, nullable=False),
    Column("attended_count", Integer, nullable=False),
    Column("absent_count", Integer, nullable=False),
    Column("leave_count", Integer, nullable=False),
    Column("pending_count", Integer, nullable=False),
    Column("review_count", Integer, nullable=False),
    Column("late_count", Integer, nullable=False),
    Column("early_count", Integer, nullable=False),
    Column("version", Integer, nullable=False),  # grows whenever who or what is expected changes
    Column("marks", Integer, nullable=False),  # check-ins written past the stream that its keys do not know of
    instant("opened_ms"),  # what the teacher said about the window
    instant("extended_ms"),
    instant("ended_ms"),
    instant("swept_ms"),  # the end: who has not come is absent from then on
    Column("college", NAME),  # what it counts for in the statistics, with its teachers; NULL: nothing yet
    instant("made_ms", nullable=False),
    Index(None, "tenant_id", "start_ms"),
    Index(None, "tenant_id", "status", "end_ms"),
    Index(None, "tenant_id", "marks"),
    Index(None, "tenant_id", "term", "course_id"),
)

# A row is added and never taken away: who leaves the course before the class gets an `until_ms`.
attendance_roster_detail = table(
    "attendance_roster_detail",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("session_id", HASH, primary_key=True),
    Column("code", NAME, primary_key=True),  # the student's xh
    Column("status", String(10), nullable=False),
    Column("leave_noted", Boolean, nullable=False),
    Column("produced_by", String(12), nullable=False),  # the kind of fact it comes from; blank: none
    Column("why", String(40), nullable=False),  # why the student is on it: "import 7", "teacher"
    instant("since_ms", nullable=False),
    instant("until_ms"),
    Column("counted", String(10), nullable=False),  # the status that attendance_stats knows; blank: none yet
    Index(None, "tenant_id", "term", "code"),
)

# The first check-in of a student that was committed. The raw event: what it comes to is in the detail.
checkin_records = table(
    "checkin_records",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("session_id", HASH, primary_key=True),
    Column("code", NAME, primary_key=True),
    Column("client_id", String(64), nullable=False),
    Column("receipt", Text, nullable=False),  # the signed text, byte for byte
    instant("at_ms", nullable=False),  # by the server's clock, or what was believed of the phone's
    Column("client_ms", BigInteger),
    Column("status", String(10), nullable=False),  # NORMAL, LATE, EARLY, ABNORMAL
    Column("timing", String(10), nullable=False),  # what a confirmed review becomes
    Column("reasons", String(200), nullable=False),  # of the verdict, joined by commas
    Column("doubts", String(100), nullable=False),  # what other check-ins show about it, joined by commas
    Column("way", String(12), nullable=False),  # location, code, receipt, teacher, import
    Column("outside_m", Integer),
    Column("accuracy_m", Integer),
    Column("rule_version", Integer, nullable=False),
    Column("device", String(64)),
    Column("point", String(24)),  # stands for the exact fix and cannot be turned back into it
    Column("lat_e2", Integer),  # the place to a kilometre, for a day, of check-ins from before it was sealed
    Column("lon_e2", Integer),
    Column("code_step", BigInteger),  # which code of the screen it was
    Column("place", String(200)),  # the place to a kilometre, sealed, for a day
    instant("created_ms", nullable=False),
    Index(None, "tenant_id", "term", "code", "at_ms"),
    Index(None, "tenant_id", "term", "device", "at_ms"),
    Index(None, "tenant_id", "term", "point", "at_ms"),
)

# Leaves, corrections and check-outs: each with an id and a time of its own, never changed or removed.
attendance_facts = table(
    "attendance_facts",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("session_id", HASH, primary_key=True),
    Column("code", NAME, primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("kind", String(12), nullable=False),  # check_out, leave, correction
    instant("at_ms", nullable=False),
    Column("says", String(10), nullable=False),
    Column("about", String(64), nullable=False),
    Column("actor", String(120), nullable=False),
    Column("note", Text),
)

# Whom the desk turned away: no check-in, and counted nowhere. Kept for as long as positions are.
checkin_refusals = table(
    "checkin_refusals",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("session_id", HASH, primary_key=True),
    Column("code", NAME, primary_key=True),  # the student's xh
    Column("cause", String(30), primary_key=True),  # a key of domain.check_in_words.CAUSES
    Column("attempts", Integer, nullable=False),
    instant("first_ms", nullable=False),
    instant("last_ms", nullable=False),
    Column("outside_m", Integer),  # the last time, where a place was given
    Index(None, "tenant_id", "code"),
    Index(None, "tenant_id", "last_ms"),
)
