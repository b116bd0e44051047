"""What people are told by the product: each notice to one person, until it is old."""

from sqlalchemy import Column, Index, String, Text, UniqueConstraint

from db.tables.base import ID, NAME, TENANT, instant, table

notices = table(
    "notices",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("user_id", NAME, nullable=False),  # as the caller of a request is named
    Column("kind", String(30), nullable=False),  # a key of domain.notices.WORDS
    Column("about", NAME, nullable=False),  # the id of what it is about
    Column("body", Text, nullable=False),  # JSON: what its words are filled with
    instant("created_ms", nullable=False),
    instant("read_ms"),
    UniqueConstraint("tenant_id", "user_id", "kind", "about"),
    Index(None, "tenant_id", "created_ms"),
)
