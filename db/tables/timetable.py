"""What is taught when, and to whom."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Text

from db.tables.base import HASH, ID, LANE, NAME, TENANT, TERM, instant, table

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
    Column("altered", Text),  # JSON: how it differs from the source, and what that says; NULL = not at all
    Column("cancelled", Boolean, nullable=False, server_default="0"),  # its event stays, and nobody comes
    Column("source_date", String(10)),  # its date in the source; NULL = the source has no such class, or as `date`
    Index(None, "tenant_id", "term", "offering_id"),
    Index(None, "tenant_id", "start_ms"),
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

# What people decided about classes: domain/teaching_changes.py. Rows are never removed; `db.teaching_changes` reads them.
teaching_changes = table(
    "teaching_changes",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("term", TERM, nullable=False),
    Column("offering_id", HASH, nullable=False),  # blank: every offering of the term (exchange_day)
    Column("session_id", HASH, nullable=False),  # blank likewise; of a make-up the session that it makes
    Column("type", String(12), nullable=False),  # moved cancelled restored make_up substitute room_change exchange_day
    Column("state", String(10), nullable=False),  # applied, absorbed (the source says so by now), withdrawn
    Column("batch_id", ID, nullable=False),  # what was decided together
    Column("day", String(10)),  # exchange_day: the day whose classes are meant
    Column("date", String(10)),  # when it is held; of an exchange day NULL = not at all
    instant("start_ms"),
    instant("end_ms"),
    Column("rooms", Text),  # JSON list of [campus, building, room]
    Column("teachers", Text),  # JSON list of [code, name]
    Column("before", Text),  # JSON: the class as the source had it then
    Column("source_id", HASH),  # the session of the source that has taken the id of the class
    Column("reason", String(500), nullable=False),
    Column("actor", String(120), nullable=False),
    Column("run_id", ID),  # the run that carried it to WPS first
    instant("at_ms", nullable=False),  # no two of a tenant are equal: the later one counts
    instant("ended_ms"),  # when it was absorbed or withdrawn
    Column("ended_by", String(120)),  # who withdrew it
    Index(None, "tenant_id", "offering_id"),
    Index(None, "tenant_id", "batch_id"),
    Index(None, "tenant_id", "term", "at_ms"),
)
