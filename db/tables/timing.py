"""What starts by itself."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, String, Text

from db.tables.base import ID, TENANT, instant, table

schedules = table(
    "schedules",
    Column("tenant_id", TENANT, primary_key=True),
    Column("name", String(30), primary_key=True),
    Column("kind", String(20), nullable=False),  # what a slot starts: run, verify, sources
    Column("payload", Text, nullable=False),  # JSON: what exactly
    Column("cron", String(200), nullable=False),  # five fields; several expressions are joined by ; blank = no times
    Column("zone", String(10), nullable=False),  # utc, tenant
    Column("policy", String(10), nullable=False),  # run_once, skip, each
    Column("enabled", Boolean, nullable=False),
    Column(
        "windows", Text
    ),  # JSON list of {from_min, to_min, every_min}: in these hours of the day they stand for the cron
    Column("max_queued", Integer),  # a slot is skipped while more lane jobs wait; NULL = never for that
    Column("backs_off", String(60), nullable=False, server_default=""),  # other signs of load: throttled, breaker, run
    Column("busy_every_min", Integer),  # under load no more often than this; NULL = not at all
    instant("since_ms", nullable=False),  # slots up to this instant do not count
    instant("last_slot", nullable=False),  # slots up to this one are decided
)

schedule_slots = table(
    "schedule_slots",
    Column("tenant_id", TENANT, primary_key=True),
    Column("name", String(30), primary_key=True),
    Column("slot", BigInteger, primary_key=True),  # when it was due
    Column("job_id", ID),  # NULL: decided without a job
    Column("run_id", ID),
    Column("state", String(10), nullable=False),  # waiting, started, skipped, failed
    Column("reason", Text),
    instant("made_ms", nullable=False),
    instant("decided_ms"),
)

# The newest tick that went through; a keeper that finds it old does the next one itself.
ticks = table(
    "ticks",
    Column("tenant_id", TENANT, primary_key=True),
    Column("ran_by", String(12), nullable=False),  # scheduler, keeper
    instant("at_ms", nullable=False),
)
