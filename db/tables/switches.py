"""What is switched off or made simpler while the product runs, and the statistics that wait for it."""

from sqlalchemy import Boolean, Column, Integer, String, Text

from db.tables.base import HASH, TENANT, TERM, instant, table

# The last word about each switch. One without a row is off; what was said before is in the audit.
switches = table(
    "switches",
    Column("tenant_id", TENANT, primary_key=True),
    Column("name", String(30), primary_key=True),
    Column("is_on", Boolean, nullable=False),
    Column("check_ins", Boolean, nullable=False),  # whether check-ins are taken all the same
    instant("until_ms"),  # when the end is expected; nothing ends by itself then
    Column("note", Text, nullable=False),  # for people
    Column("actor", String(120), nullable=False),
    instant("at_ms", nullable=False),
)

# Closed sessions with students whose standing the statistics do not know yet. `times` grows with each reason.
stats_owed = table(
    "stats_owed",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("session_id", HASH, primary_key=True),
    Column("times", Integer, nullable=False),
)
