"""Work, and who may do it."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Text, UniqueConstraint

from db.tables.base import HASH, ID, LANE, TARGET, TENANT, TERM, instant, table

jobs = table(
    "jobs",
    Column("id", ID, primary_key=True),
    Column("tenant_id", TENANT, nullable=False),
    Column("lane", LANE),  # NULL: a task for a queue
    Column("queue", String(20)),
    Column("kind", String(20), nullable=False),
    Column("target", TARGET, nullable=False),
    Column("open_key", TARGET),  # = target while queued, held, paused or blocked; NULL once closed
    Column("term", TERM, nullable=False),
    Column("group_id", TARGET, nullable=False),
    Column("payload", Text, nullable=False),  # JSON; desired state of a target, NULL-like "null" = gone
    Column("desired_hash", HASH, nullable=False),
    Column("schema_ver", Integer, nullable=False),
    Column("rev", Integer, nullable=False),
    Column("import_no", BigInteger, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(12), nullable=False),  # queued held paused blocked done dead cancelled superseded
    instant("run_at", nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claim", ID),
    Column("error_code", String(40)),
    Column("last_error", Text),
    Column("run_id", ID),
    Column("request", String(64)),  # of a task: the request that it came by; a lane job's is that of its run
    Column("trace", String(55)),  # traceparent, of the same
    instant("created_ms", nullable=False),
    instant("finished_ms"),
    UniqueConstraint("tenant_id", "kind", "open_key"),
    Index(None, "tenant_id", "lane", "state", "tier", "priority", "id"),
    # Without the state: closing a job touches each index that has it.
    Index(None, "tenant_id", "group_id"),
    Index(None, "queue", "run_at"),
    Index(None, "tenant_id", "state", "kind"),
)

lanes = table(
    "lanes",
    Column("tenant_id", TENANT, primary_key=True),
    Column("lane", LANE, primary_key=True),
    Column("owner", ID),
    Column("fence", BigInteger, nullable=False),
    instant("lease_until", nullable=False),
    instant("not_before", nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("effects", BigInteger, nullable=False),
    Column("note", String(200)),
    Column("event_list", Integer, nullable=False, server_default="100"),  # what a list may hold: domain/list_size.py
    Column("member_list", Integer, nullable=False, server_default="100"),
    instant("created_ms", nullable=False),
)
