"""What was seen at WPS that is not as it was sent."""

from sqlalchemy import Column, Index, Integer, String, Text

from db.tables.base import HASH, ID, LANE, LONG, TARGET, TENANT, TERM, instant, table

# What verifications found. A row is never removed: healed is a state, and its history says what was done about it.
discrepancies = table(
    "discrepancies",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", HASH, primary_key=True),
    Column("term", TERM, nullable=False),
    Column("group_id", TARGET, nullable=False),
    Column("lane", LANE, nullable=False),
    Column("kind", String(10), nullable=False),  # calendar, event, member
    Column("what", String(20), nullable=False),
    Column("target", TARGET, nullable=False),  # blank: nothing of ours is meant
    Column("thing", String(200), nullable=False),
    Column("ours", Text, nullable=False),  # JSON: what was sent
    Column("theirs", Text, nullable=False),  # JSON: what WPS shows
    Column("state", String(10), nullable=False),  # open, repairing, healed, ticket
    Column("scans", Integer, nullable=False),  # walks that have seen it since it is open
    instant("first_scan_ms", nullable=False),
    instant("last_scan_ms", nullable=False),
    instant("healed_ms"),
    Column("run_id", ID),  # the run that saw it last
    Column("history", LONG, nullable=False),  # JSON list of {at_ms, run, did}
    Index(None, "tenant_id", "state", "term", "group_id"),
    Index(None, "run_id"),
)

# The last verification of each calendar; `walk` has what an unfinished one has seen so far.
verifications = table(
    "verifications",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("target", TARGET, primary_key=True),
    Column("run_id", ID),
    instant("verified_ms", nullable=False),  # 0: never to the end
    Column("events", Integer, nullable=False),
    Column("strangers", Integer, nullable=False),  # events of other people
    Column("members", Integer, nullable=False),
    Column("differences", Integer, nullable=False),
    Column("walk", LONG),  # JSON
    Index(None, "run_id"),
)
