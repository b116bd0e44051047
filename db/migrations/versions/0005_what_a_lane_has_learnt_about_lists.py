"""what a lane has learnt about lists; the settlement time on the calendar only"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_mirror = sa.table("mirror", *(sa.column(name) for name in ("tenant_id", "term", "target", "group_id", "settle_at")))
_PAGE = 500


def upgrade() -> None:
    with op.batch_alter_table("lanes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("event_list", sa.Integer(), server_default="100", nullable=False))
        batch_op.add_column(sa.Column("member_list", sa.Integer(), server_default="100", nullable=False))
    connection = op.get_bind()
    inside = (_mirror.c.settle_at.is_not(None), _mirror.c.target != _mirror.c.group_id)
    group = (_mirror.c.tenant_id, _mirror.c.term, _mirror.c.group_id)
    while found := connection.execute(
        sa.select(*group, sa.func.max(_mirror.c.settle_at).label("at")).where(*inside).group_by(*group).limit(_PAGE)
    ).all():
        for row in found:
            of_tenant = (_mirror.c.tenant_id == row.tenant_id, _mirror.c.term == row.term)
            calendar = (*of_tenant, _mirror.c.target == row.group_id)
            connection.execute(sa.update(_mirror).where(*calendar).values(settle_at=row.at))
            connection.execute(
                sa.update(_mirror).where(*of_tenant, _mirror.c.group_id == row.group_id, *inside).values(settle_at=None)
            )
    # Created first: no moment without an index for what is in doubt.
    with op.batch_alter_table("mirror", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_mirror_settle_at"), ["settle_at"], unique=False)
        batch_op.drop_index(batch_op.f("ix_mirror_tenant_id_lane_settle_at"))


def downgrade() -> None:
    with op.batch_alter_table("mirror", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_mirror_tenant_id_lane_settle_at"), ["tenant_id", "lane", "settle_at"], unique=False
        )
        batch_op.drop_index(batch_op.f("ix_mirror_settle_at"))
    with op.batch_alter_table("lanes", schema=None) as batch_op:
        batch_op.drop_column("member_list")
        batch_op.drop_column("event_list")
