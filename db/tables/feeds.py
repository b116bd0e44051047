"""Calendar feeds that people have subscribed to."""

from sqlalchemy import Boolean, Column, Index, String, UniqueConstraint

from db.tables.base import ID, LONG, TENANT, instant, table

calendar_feeds = table(
    "calendar_feeds",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("token_hash", String(64), nullable=False),
    Column("owner", String(80), nullable=False),  # as Scopes name people; ends with their login
    Column("kind", String(10), nullable=False),  # user, course
    Column("subject", String(60), nullable=False),  # number of a person, id of an offering
    Column("on_roll", Boolean, nullable=False),  # good only while the owner is on the roll of the course
    Column("made_by", String(120), nullable=False),
    instant("created_ms", nullable=False),
    instant("revoked_ms"),
    instant("read_ms"),  # when it was last fetched, to the hour
    # What was told last, so that what has changed since can be told apart: domain/feeds.py.
    Column("digest", String(64)),  # of the rows that `body` was made from
    instant("changed_ms"),
    instant("stale_ms"),  # `body` has to be made anew then, whatever the rows say; NULL = never
    Column("told", LONG),  # packed JSON
    Column("body", LONG),  # packed text
    UniqueConstraint("tenant_id", "token_hash"),
    Index(None, "tenant_id", "owner"),
)
