"""What the sources say, before it is a timetable, and what of it could not be used."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Text, UniqueConstraint

from db.tables.base import HASH, ID, LONG, NAME, TENANT, TERM, instant, table

imports = table(
    "imports",
    Column("tenant_id", TENANT, primary_key=True),
    Column("import_no", BigInteger, primary_key=True),
    Column("run_id", ID),
    Column("source", String(500), nullable=False),
    Column("files", Text, nullable=False),  # JSON: {part: the file it was read from}
    Column("fingerprint", String(64), nullable=False),
    Column("state", String(10), nullable=False),  # staging, held, complete, failed
    Column("part", String(20), nullable=False),  # the file being read
    Column("cursor", BigInteger, nullable=False),  # rows of that file already staged
    Column("rows_in", BigInteger, nullable=False),
    Column("staged", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("findings", BigInteger, nullable=False),
    Column("sessions", BigInteger, nullable=False),
    Column("kind", String(10), nullable=False, server_default="whole"),  # whole, changes, people, decided
    Column("base_no", BigInteger),  # the whole import whose staging it goes on with; NULL = its own
    Column("buffer_no", BigInteger),  # under which number its changes wait in `change_buffer`
    Column("watermark", String(60)),  # the newest `sj` of the source, taken before it was read
    Column("source_no", Integer, nullable=False, server_default="0"),  # changes: of which of the tenant's sources
    Column("planned", Boolean, nullable=False, server_default="0"),  # all of it was compared with the mirror once
    Column("error", Text),
    instant("started_ms", nullable=False),
    instant("finished_ms"),
)

# Staging: one row per accepted or held source row. Rows of an import that is not complete are never read.
meetings = table(
    "meetings",
    Column("tenant_id", TENANT, primary_key=True),
    Column("import_no", BigInteger, primary_key=True),
    Column("offering_id", HASH, primary_key=True),
    Column("line", BigInteger, primary_key=True),
    Column("term", TERM, nullable=False),
    Column("kkh", NAME, nullable=False),
    Column("kcbh", NAME, nullable=False),
    Column("kcmc", String(200), nullable=False),
    Column("kkxy", NAME, nullable=False),
    Column("xq", NAME, nullable=False),
    Column("lq", String(200), nullable=False),
    Column("room", String(200), nullable=False),
    Column("ghs", String(500), nullable=False),
    Column("xms", String(500), nullable=False),
    Column("jxz", Integer),
    Column("zc", Integer),
    Column("jc", Integer),
    Column("date", String(10)),
    Column("start_ms", BigInteger),
    Column("end_ms", BigInteger),
    Column("sfdk", String(10), nullable=False),
    Column("held", String(20)),  # no_period_table, no_first_monday, deleted, frozen_term, other_source; NULL = used
    Column("row_hash", HASH, nullable=False),
    Column("source_no", Integer, nullable=False, server_default="0"),
    UniqueConstraint("tenant_id", "import_no", "row_hash"),
)

# Staging of who takes what; its key is in the order in which offerings are aggregated.
enrolments = table(
    "enrolments",
    Column("tenant_id", TENANT, primary_key=True),
    Column("import_no", BigInteger, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("kkh", NAME, primary_key=True),
    Column("kcbh", NAME, primary_key=True),  # blank = every course of the offering number
    Column("code", NAME, primary_key=True),
    Column("source_no", Integer, primary_key=True, server_default="0", autoincrement=False),
    Column("line", BigInteger, nullable=False),
)

# Changes that were read and are not in the staging yet. A page is applied and removed by one transaction.
change_buffer = table(
    "change_buffer",
    Column("tenant_id", TENANT, primary_key=True),
    Column("buffer_no", BigInteger, primary_key=True),
    Column("part", String(12), primary_key=True),  # meetings, enrolments
    Column("term", TERM, primary_key=True),
    Column("kkh", NAME, primary_key=True),
    Column("slot", HASH, primary_key=True),  # what the rows replace together; blank = everything of the number
    Column("line", BigInteger, primary_key=True),
    Column("op", String(8), nullable=False),  # add, update, delete, whole
    Column("sj", String(40), nullable=False),  # when the source changed it; blank = it does not say
    Column("row", Text, nullable=False),  # JSON: the row as it will be staged
)

# Offerings that changes have touched, until a run has carried them to the lanes.
touched = table(
    "touched",
    Column("tenant_id", TENANT, primary_key=True),
    Column("term", TERM, primary_key=True),
    Column("offering_id", HASH, primary_key=True),
    Column("import_no", BigInteger, nullable=False),  # the newest import that touched it
    Column("made_no", BigInteger, nullable=False),  # the import as of which its sessions were made
)

quarantine = table(
    "quarantine",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", HASH, primary_key=True),
    Column("kind", String(10), nullable=False),  # reject, finding, held
    Column("reason", String(40), nullable=False),
    Column("file", String(200), nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("row", LONG, nullable=False),  # JSON of the source row
    Column("sentence", Text, nullable=False),
    Column("first_import", BigInteger, nullable=False),
    Column("last_import", BigInteger, nullable=False),
    instant("opened_ms", nullable=False),
    instant("cleared_ms"),
    Index(None, "tenant_id", "cleared_ms", "kind", "reason"),
)
