"""classes by their start: what a day has, and which classes are about to begin"""

from alembic import op

revision = "0021"
down_revision = "0017"
branch_labels = None
depends_on = None

_NAME = "ix_sessions_tenant_id_start_ms"


def upgrade() -> None:
    op.create_index(_NAME, "sessions", ["tenant_id", "start_ms"])


def downgrade() -> None:
    op.drop_index(_NAME, "sessions")
