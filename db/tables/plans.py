"""What a sync would send, worked out for somebody who asked."""

from sqlalchemy import Column, Index, Integer, String, Text

from db.tables.base import ID, LANE, LONG, TENANT, instant, table

plans = table(
    "plans",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("basis", String(10), nullable=False),  # timetable: as it was read last; source: read anew, into a copy
    Column("scope", Text, nullable=False),  # JSON: the part that it is about
    Column("state", String(10), nullable=False),  # working, done, failed
    Column("made_by", String(120), nullable=False),
    instant("created_ms", nullable=False),
    instant("finished_ms"),
    Column("operations", Integer, nullable=False),
    Column("listed", Integer, nullable=False),  # rows that are kept of it
    Column("found", LONG),  # JSON: counts by kind and verb, what a run would ask, what was read
    Column("error", Text),
    Index(None, "tenant_id", "created_ms"),
)

plan_rows = table(
    "plan_rows",
    Column("tenant_id", TENANT, primary_key=True),
    Column("plan_id", ID, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("lane", LANE, nullable=False),
    Column("said", LONG, nullable=False),  # JSON: usecases/sync/plan_rows.py
)
