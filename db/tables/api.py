"""The API: requests that are carried out once."""

from sqlalchemy import Column, Index, String

from db.tables.base import ID, LONG, NAME, TENANT, instant, table

# Requests with an Idempotency-Key, and what they were answered.
answers = table(
    "answers",
    Column("tenant_id", TENANT, primary_key=True),
    Column("user_id", NAME, primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),  # of the request: the same key with another one is a mistake
    Column("claim", ID, nullable=False),  # of the request that works on it
    instant("claimed_ms", nullable=False),
    Column("answer", LONG),  # encrypted; NULL = not answered yet
    Index(None, "tenant_id", "claimed_ms"),
)
