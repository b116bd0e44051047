"""files that somebody asked for, made by a worker and kept for a while"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
_PIECE = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration goes on where it was.
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table("exports"):
        _exports()
    there = {index["name"] for index in inspector.get_indexes("exports")} if inspector.has_table("exports") else set()
    for columns in (["tenant_id", "asked_by", "created_ms"], ["tenant_id", "expires_ms"]):
        name = op.f(f"ix_exports_{'_'.join(columns)}")
        if name not in there:
            op.create_index(name, "exports", columns)
    if not inspector.has_table("export_parts"):
        op.create_table(
            "export_parts",
            sa.Column("tenant_id", sa.String(length=60), nullable=False),
            sa.Column("export_id", sa.String(length=36), nullable=False),
            sa.Column("number", sa.Integer(), nullable=False),
            sa.Column("body", _PIECE, nullable=False),
            sa.PrimaryKeyConstraint("tenant_id", "export_id", "number", name=op.f("pk_export_parts")),
            **_MYSQL,
        )


def _exports() -> None:
    op.create_table(
        "exports",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("format", sa.String(length=4), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("asked_by", sa.String(length=60), nullable=False),
        sa.Column("written", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.String(length=300), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_exports")),
        **_MYSQL,
    )


def downgrade() -> None:
    op.drop_table("export_parts")
    op.drop_table("exports")
