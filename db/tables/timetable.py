"""What is taught when, and to whom."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Text

from db.tables.base import HASH, LANE, NAME, TENANT, TERM, instant, table

offerings = table(
    "offerings",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("id", HASH, primary_key=True),
    Column("kkh", NAME, nullable=False),
    Column("kcbh", NAME, nullable=False),
    Column("name", String(200), nullable=False),
    Column("college", NAME, nullable=False),  # where its rows say it belongs; blank = unknown
    Column("lane", LANE),  # written at the first plan, then kept for the term
    Column("import_no", BigInteger, nullable=False),
    Index(None, "tenant_id", "term", "kkh"),
)

sessions = table(
    "sessions",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("id", HASH, primary_key=True),
    Column("offering_id", HASH, nullable=False),
    Column("jxz", Integer),
    Column("zc", Integer),
    Column("jc_s", String(200), nullable=False),  # its periods, "3/4"
    Column("date", String(10), nullable=False),
    instant("start_ms", nullable=False),
    instant("end_ms", nullable=False),
    Column("rooms", Text, nullable=False),  # JSON list of [campus, building, room], sorted
    Column("teachers", Text, nullable=False),  # JSON list of names, sorted
    Column("source_rows", Integer, nullable=False),
    Column("import_no", BigInteger, nullable=False),
    Column("event_hash", HASH),  # of the event it asks for; NULL = not worked out, the planner does
    Index(None, "tenant_id", "term", "offering_id"),
)

rolls = table(
    "rolls",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("offering_id", HASH, primary_key=True),
    Column("kind", String(10), primary_key=True),
    Column("code", NAME, primary_key=True),
    Column("import_no", BigInteger, nullable=False),
    Index(None, "tenant_id", "kind", "code"),
)
