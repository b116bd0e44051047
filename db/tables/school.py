"""The school: its settings, terms, hours, people and rooms."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Text

from db.tables.base import ID, NAME, TENANT, TERM, instant, table

tenants = table(
    "tenants",
    Column("id", TENANT, primary_key=True),
    Column("zone", String(60), nullable=False),
    Column("settings", Text, nullable=False),
    Column("wps_app_id", String(80), nullable=False),
    Column("wps_app_key", Text, nullable=False),  # encrypted: see usecases/tenants.py
    Column("last_import_no", BigInteger, nullable=False),
    Column("reading_run", ID),  # the run that reads a source or makes sessions now: one at a time
    Column("holding", Boolean, nullable=False, server_default="0"),  # far jobs are held until the off-peak hours
    instant("created_ms", nullable=False),
)

terms = table(
    "terms",
    Column("tenant_id", TENANT, primary_key=True),
    Column("xnxq", TERM, primary_key=True),
    Column("first_monday", String(10)),
    Column("weeks", Integer),
    Column("status", String(10), nullable=False),  # open, frozen, archived
    Column("exchange", Text, nullable=False),  # JSON: {made-up date: teaching date}
    instant("archived_ms"),  # when its work was removed for good; NULL = it was not
    Column("removed", Text),  # JSON: what of it was removed, and how much
)

periods = table(
    "periods",
    Column("tenant_id", TENANT, primary_key=True),
    Column("xnxq", TERM, primary_key=True),
    Column("xq", NAME, primary_key=True),  # campus; blank = every campus
    Column("since", String(10), primary_key=True),  # first date of this clock; blank = from the start
    Column("jc", Integer, primary_key=True),
    Column("st", String(5), nullable=False),
    Column("ed", String(5), nullable=False),
)

users = table(
    "users",
    Column("tenant_id", TENANT, primary_key=True),
    Column("kind", String(10), primary_key=True),  # student, teacher
    Column("code", NAME, primary_key=True),  # xh or gh
    Column("name", String(200), nullable=False),
    Column("college", NAME, nullable=False),
    Column("listed", Boolean, nullable=False),  # in the people files, not only named by a row
    Column("wps_id", String(200)),
    instant("checked_ms"),
    Column("import_no", BigInteger, nullable=False),
    Index(None, "tenant_id", "code"),
)

rooms = table(
    "rooms",
    Column("tenant_id", TENANT, primary_key=True),
    Column("xq", NAME, primary_key=True),
    Column("lq", String(100), primary_key=True),
    Column("room", String(100), primary_key=True),
    Column("lat", String(20), nullable=False),
    Column("lon", String(20), nullable=False),
)
