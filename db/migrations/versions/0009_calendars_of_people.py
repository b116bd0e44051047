"""calendars of people: whose a calendar is, of which class an event is, and people by their number"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MySQL commits at each statement that changes a table: an interrupted migration is started anew.
    if "source_id" not in {one["name"] for one in sa.inspect(op.get_bind()).get_columns("mirror")}:
        op.add_column("mirror", sa.Column("source_id", sa.String(length=60), nullable=True))
    if "ix_users_tenant_id_code" not in {one["name"] for one in sa.inspect(op.get_bind()).get_indexes("users")}:
        op.create_index("ix_users_tenant_id_code", "users", ["tenant_id", "code"])


def downgrade() -> None:
    op.drop_index("ix_users_tenant_id_code", table_name="users")
    with op.batch_alter_table("mirror", schema=None) as batch_op:
        batch_op.drop_column("source_id")
