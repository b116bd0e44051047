"""which code of the screen a check-in came by, and its place, sealed"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration goes on where it was.
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("checkin_records")}
    for name, kind in (("code_step", sa.BigInteger()), ("place", sa.String(length=200))):
        if name not in known:
            op.add_column("checkin_records", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("checkin_records") as table:
        table.drop_column("place")
        table.drop_column("code_step")
