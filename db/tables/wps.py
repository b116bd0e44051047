"""What exists at WPS, as far as we know."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Text, UniqueConstraint

from db.tables.base import HASH, ID, LANE, NAME, TARGET, TENANT, TERM, instant, table

mirror = table(
    "mirror",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("target", TARGET, primary_key=True),
    Column("kind", String(10), nullable=False),  # calendar, members, event
    Column("group_id", TARGET, nullable=False),  # the target of its calendar
    Column("lane", LANE, nullable=False),
    Column("source_id", NAME),  # layout personal: whose calendar, of which session an event; NULL = the target says it
    Column("state", String(10), nullable=False),  # none, live, gone
    Column("remote_id", String(200)),
    Column("marker", String(26)),
    Column("name", String(60)),  # calendars: the whole name sent
    Column("generation", Integer, nullable=False),
    Column("sent_hash", HASH, nullable=False),
    Column("from_ms", BigInteger),  # events: the times last sent
    Column("until_ms", BigInteger),
    Column("import_no", BigInteger, nullable=False),
    Column("list_max", Integer, nullable=False),
    instant("parked_until", nullable=False),  # calendars: nothing of the group is sent before
    Column("intent_verb", String(10)),  # NULL = no open intent
    Column("intent_hash", HASH),
    Column("intent_rev", Integer),
    instant("intent_ms"),
    Column("intent_from_ms", BigInteger),
    Column("intent_until_ms", BigInteger),
    Column("intent_ids", Text),  # members: JSON of the ids and roles named by the call
    instant("settle_at"),  # calendars: when open intents of the group can be settled
    UniqueConstraint("tenant_id", "marker", "term"),
    UniqueConstraint("tenant_id", "name", "term"),
    Index(None, "settle_at"),  # of the few calendars in doubt; alone, so that it is a range for every question
    Index(None, "tenant_id", "term", "group_id"),
)

members = table(
    "members",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("group_id", TARGET, primary_key=True),
    Column("user_id", String(200), primary_key=True),
    Column("role", String(20), nullable=False),
    Column("permission_id", String(200), nullable=False),
)

walks = table(
    "walks",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    instant("started_ms", nullable=False),
    instant("finished_ms"),
    Column("page_token", String(1100)),
    Column("pages", Integer, nullable=False),
)

walk_calendars = table(
    "walk_calendars",
    Column("tenant_id", TENANT, primary_key=True),
    Column("walk_id", ID, primary_key=True),
    Column("remote_id", String(200), primary_key=True),
    Column("name", String(60), nullable=False),
    Index(None, "tenant_id", "walk_id", "name"),
)
