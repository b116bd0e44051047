"""what a lane has learnt about lists"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("lanes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("event_list", sa.Integer(), server_default="100", nullable=False))
        batch_op.add_column(sa.Column("member_list", sa.Integer(), server_default="100", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("lanes", schema=None) as batch_op:
        batch_op.drop_column("member_list")
        batch_op.drop_column("event_list")
