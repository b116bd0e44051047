"""What went wrong, and what people did."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Text

from db.tables.base import HASH, ID, LANE, LONG, TARGET, TENANT, TERM, instant, table

# A family is one fault (see domain/failures.py). What is counted of it is counted from its failures.
failure_families = table(
    "failure_families",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", HASH, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("verb", String(10), nullable=False),  # blank: a task of a queue
    Column("error_class", String(40), nullable=False),
    Column("remote_code", BigInteger),
    Column("pattern", String(200), nullable=False),
    Column("note", Text),  # of the person who resolved it
    Column("resolved_by", String(120)),
    instant("resolved_ms"),
)

# One row for each job that ever died. The job is the truth about the target; this is what happened to it, and is kept.
failures = table(
    "failures",
    Column("tenant_id", TENANT, primary_key=True),
    Column("job_id", ID, primary_key=True),
    Column("family", HASH, nullable=False),
    Column("lane", LANE),
    Column("kind", String(20), nullable=False),
    Column("target", TARGET, nullable=False),
    Column("term", TERM, nullable=False),
    Column("group_id", TARGET, nullable=False),
    Column("offering_id", HASH, nullable=False),  # blank: not about one course
    Column("run_id", ID),
    Column("error_class", String(40), nullable=False),
    Column("remote_code", BigInteger),
    Column("people", Integer, nullable=False),  # affected beside those of the course's roll
    Column("waiting", Integer, nullable=False),  # jobs that were blocked with it
    instant("died_ms", nullable=False),
    Column("dead", Boolean, nullable=False),
    Column("ended", String(12)),  # again, discarded, unwanted; NULL while dead
    instant("ended_ms"),
    instant("resolved_ms"),
    Index(None, "tenant_id", "dead", "died_ms", "job_id"),
    Index(None, "tenant_id", "family", "dead", "died_ms", "job_id"),
    Index(None, "tenant_id", "target"),
    Index(None, "run_id"),
)

audit = table(
    "audit",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    instant("at_ms", nullable=False),
    Column("actor", String(120), nullable=False),  # "cli:root"
    Column("action", String(60), nullable=False),  # "failures.resolve"
    Column("thing", String(200), nullable=False),
    Column("before", LONG),  # JSON
    Column("after", LONG),  # JSON
    Column("request", String(64)),  # the id of the request it came by; NULL: none
    Index(None, "tenant_id", "at_ms", "id"),
    Index(None, "tenant_id", "thing"),
)
