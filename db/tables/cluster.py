"""The processes of the installation, and the queues that nobody may work on. They belong to no school."""

from sqlalchemy import Column, Integer, String

from db.tables.base import ID, LONG, instant, table

# Written by each process about itself every few seconds. Ended ones of a kind leave their counts in one row, `gone:KIND`.
processes = table(
    "processes",
    Column("id", ID, primary_key=True),
    Column("kind", String(20), nullable=False),  # web, jobs, lanes, checkins, scheduler
    Column("host", String(100), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(60), nullable=False),
    Column("queues", String(200), nullable=False),  # joined by commas
    Column("state", String(10), nullable=False),  # running, draining, ended, gone
    Column("asked", String(10)),  # drain: what a person wants of it
    Column("doing", LONG, nullable=False),  # JSON list of {what, id, since_ms}
    Column("counts", LONG, nullable=False),  # JSON: its counters since it began; see observability/metrics.py
    instant("started_ms", nullable=False),
    instant("beat_ms", nullable=False),
)

# A row for each queue that is paused: none of its tasks is begun until the row is gone.
paused_queues = table(
    "paused_queues",
    Column("queue", String(20), primary_key=True),
    Column("actor", String(120), nullable=False),
    instant("since_ms", nullable=False),
)
