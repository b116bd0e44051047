"""Runs: how far they are, what they asked, what they changed."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Text, UniqueConstraint

from db.tables.base import HASH, ID, LANE, LONG, TARGET, TENANT, TERM, instant, table

runs = table(
    "runs",
    Column("id", ID, primary_key=True),
    Column("tenant_id", TENANT, nullable=False),
    Column("kind", String(12), nullable=False),  # full, incremental, users, change, import, verify, repair
    Column("trigger", String(12)),  # user, schedule; NULL = before it was written down
    Column("scope", Text, nullable=False),  # JSON
    Column("mutex", String(80)),  # NULL once ended
    Column("priority", String(10), nullable=False, server_default="normal"),  # normal, urgent
    Column("waits_for", ID),  # the run with an overlapping scope that goes first; NULL = it waits for nobody
    Column("state", String(24), nullable=False),
    Column("asked", String(12)),  # pause, resume, cancel: what a person wants of it and is not done yet
    instant("held_until"),  # only held jobs were left of it, until then: it keeps no other run waiting any more
    Column("stage", String(12), nullable=False),
    Column("term", TERM),
    Column("import_no", BigInteger),
    Column("error", Text),
    Column("report", LONG),
    Column("request", String(64)),  # the request that it came by
    Column("trace", String(55)),  # traceparent, of the same
    instant("created_ms", nullable=False),
    instant("started_ms"),
    instant("finished_ms"),
    UniqueConstraint("tenant_id", "mutex"),
    Index(None, "tenant_id", "created_ms"),
)

run_stages = table(
    "run_stages",
    Column("run_id", ID, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("stage", String(12), nullable=False),
    Column("step", String(40), nullable=False),
    Column("state", String(12), nullable=False),  # waiting running done failed
    Column("total", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("cursor", String(200)),
    Column("note", Text),
    instant("started_ms"),
    instant("finished_ms"),
)

# What a run plans, where that is not everything.
run_offerings = table(
    "run_offerings",
    Column("run_id", ID, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("offering_id", HASH, primary_key=True),
    Column("needs", Integer, nullable=False),  # bits: 1 deletes, 2 updates, 4 creates; 0 = not compared, or nothing
)

# One row per (run, lane, kind): lanes never wait for each other's counters; readers add them up.
run_counts = table(
    "run_counts",
    Column("run_id", ID, primary_key=True),
    Column("lane", LANE, primary_key=True),
    Column("kind", String(10), primary_key=True),
    Column("planned", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("superseded", BigInteger, nullable=False),
)

# What a run asked a person before it went on, and the answer. One row for each time it asked.
run_questions = table(
    "run_questions",
    Column("run_id", ID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("tenant_id", TENANT, nullable=False),
    Column("questions", LONG, nullable=False),  # JSON list of {guard, subject, count, of, limit}
    Column("shown", LONG, nullable=False),  # JSON: a row for each lane or college, and a sample in words
    Column("state", String(12), nullable=False),  # open, confirmed, dropped
    instant("asked_ms", nullable=False),
    instant("answered_ms"),
    Column("answered_by", String(80)),
)

# What WPS had for a target before a run changed or deleted it. What a run created has no row here.
run_changes = table(
    "run_changes",
    Column("tenant_id", TENANT, primary_key=True),
    Column("run_id", ID, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("target", TARGET, primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("group_id", TARGET, nullable=False),
    Column("lane", LANE, nullable=False),
    Column("verb", String(10), nullable=False),
    Column("before_hash", HASH, nullable=False),
    Column("payload", LONG),  # what that content was; NULL = it is not known any more
    Index(None, "tenant_id", "run_id", "term", "group_id"),
)

# Targets that a person had taken back: they stay so until the source says something else, or the pin is lifted.
pins = table(
    "pins",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("target", TARGET, primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("group_id", TARGET, nullable=False),
    Column("lane", LANE, nullable=False),
    Column("source_hash", HASH, nullable=False),  # what the source wanted then; blank = nothing
    Column("desired_hash", HASH, nullable=False),  # what is wanted instead; blank = nothing
    Column("payload", LONG, nullable=False),
    Column("undone_run", ID, nullable=False),
    Column("run_id", ID, nullable=False),  # the run that took it back
    Index(None, "tenant_id", "term", "group_id"),
    Index(None, "tenant_id", "undone_run"),
    Index(None, "tenant_id", "run_id", "term", "group_id"),
)
