"""which code of the screen a check-in came by"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration goes on where it was.
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("checkin_records")}
    if "code_step" not in known:
        op.add_column("checkin_records", sa.Column("code_step", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("checkin_records", "code_step")
