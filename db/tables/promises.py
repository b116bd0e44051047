"""How fast the lanes were of late, and what has been kept of what is promised."""

from sqlalchemy import BigInteger, Column, Integer

from db.tables.base import ID, TENANT, instant, table

# How many lane jobs of a run were closed by then. An hour of them is kept.
throughput = table(
    "throughput",
    Column("tenant_id", TENANT, primary_key=True),
    Column("at_ms", BigInteger, primary_key=True),
    Column("run_id", ID, primary_key=True),
    Column("closed", BigInteger, nullable=False),
)

# When nothing of a tier was left to send the last time, of all that a run over the whole timetable had found.
tier_syncs = table(
    "tier_syncs",
    Column("tenant_id", TENANT, primary_key=True),
    Column("tier", Integer, primary_key=True, autoincrement=False),
    Column("run_id", ID, nullable=False),
    instant("synced_ms", nullable=False),
)
