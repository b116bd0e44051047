"""Files that somebody asked for, made by a worker and kept for a while."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Text
from sqlalchemy.dialects.mysql import MEDIUMBLOB

from db.tables.base import ID, NAME, TENANT, instant, table

exports = table(
    "exports",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("kind", String(30), nullable=False),
    Column("wanted", Text, nullable=False),  # JSON: which rows of the kind
    Column("format", String(4), nullable=False),  # csv, xlsx
    Column("state", String(10), nullable=False),  # working, done, failed, cancelled
    Column("asked_by", NAME, nullable=False),  # whose file it is
    Column("written", Integer, nullable=False),  # rows so far
    Column("size", BigInteger, nullable=False),  # bytes, once it is done
    Column("error", String(300)),
    instant("created_ms", nullable=False),
    instant("finished_ms"),
    instant("expires_ms"),
    Index(None, "tenant_id", "asked_by", "created_ms"),
    Index(None, "tenant_id", "expires_ms"),
)

# In pieces: whoever reads or writes one holds no more than that. In the database, because it is what all machines share.
export_parts = table(
    "export_parts",
    Column("tenant_id", TENANT, primary_key=True),
    Column("export_id", ID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb"), nullable=False),
)
