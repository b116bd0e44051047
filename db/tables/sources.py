"""Where timetables come from, what each import has of each source, alarms, and people who want no calendar."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Text, UniqueConstraint

from db.tables.base import HASH, ID, LONG, NAME, TENANT, TERM, instant, table

# Where timetables come from. Number 0 is the source that was synced by its address before there were several.
sources = table(
    "sources",
    Column("tenant_id", TENANT, primary_key=True),
    Column("name", String(30), primary_key=True),
    Column("source_no", Integer, nullable=False),  # never given to another source
    Column("rank", Integer, nullable=False),  # the lower one goes first where two name the same offering
    Column("kind", String(10), nullable=False),  # academic, csv, itc2019
    Column("address", String(500), nullable=False),  # as it may be shown
    Column("sealed", Text),  # the whole address, encrypted; NULL = nothing of it is secret
    Column("mapping", LONG, nullable=False),  # JSON: columns and rules
    Column("enabled", Boolean, nullable=False),
    Column("silent_h", Integer),  # an alarm after so many hours without an answer; NULL = never
    Column("unchanged_h", Integer),  # an alarm after so many hours without a change; NULL = never
    instant("created_ms", nullable=False),
    instant("checked_ms"),
    instant("answered_ms"),
    instant("changed_ms"),
    Column("mark", HASH, nullable=False),  # changes when what it says changes; blank = never read
    Column("error", Text),  # why it did not answer the last time
    UniqueConstraint("tenant_id", "source_no"),
)

# What an import has of each source.
import_sources = table(
    "import_sources",
    Column("tenant_id", TENANT, primary_key=True),
    Column("import_no", BigInteger, primary_key=True),
    Column("source_no", Integer, primary_key=True, autoincrement=False),
    Column("name", String(30), nullable=False),
    Column("outcome", String(10), nullable=False),  # read, changes, same, kept, absent, failed
    Column("mark", HASH, nullable=False),
    Column("watermark", String(60)),
    Column("problem", Text),  # why it was not read
    Column("remedy", Text),
)

# Something that lasts too long. A row stays when it is over; at most one of a cause and subject is open.
alarms = table(
    "alarms",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("cause", String(30), nullable=False),  # source_silent, source_unchanged
    Column("subject", NAME, nullable=False),
    Column("open_key", String(100)),  # cause and subject; NULL once cleared
    Column("sentence", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    instant("since_ms", nullable=False),
    instant("raised_ms", nullable=False),
    instant("cleared_ms"),
    UniqueConstraint("tenant_id", "open_key"),
    Index(None, "tenant_id", "raised_ms"),
)

# Who wants no calendar in a term. What was asked for and taken back before is in the audit.
opt_outs = table(
    "opt_outs",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("code", NAME, primary_key=True),  # xh or gh
    Column("by", String(120), nullable=False),
    instant("since_ms", nullable=False),
)
