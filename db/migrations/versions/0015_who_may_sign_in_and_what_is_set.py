"""logins, roles, tokens, keys, identity providers and settings"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql")
_MYSQL: Any = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
_TABLES = (
    "user_configs",
    "token_families",
    "system_configs",
    "roles",
    "revoked_tokens",
    "logins",
    "login_states",
    "login_roles",
    "login_attempts",
    "identity_providers",
    "config_history",
    "checkin_settings",
    "api_keys",
)


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("colleges", sa.Text(), nullable=False),
        sa.Column("made_by", sa.String(length=120), nullable=False),
        sa.Column("successor", sa.String(length=16), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_used_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "prefix", name=op.f("pk_api_keys")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_api_keys_tenant_id_name"), "api_keys", ["tenant_id", "name"], unique=False)
    op.create_table(
        "checkin_settings",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("offering_id", sa.String(length=40), nullable=False),
        sa.Column("config_key", sa.String(length=60), nullable=False),
        sa.Column("config_value", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "offering_id", "config_key", name=op.f("pk_checkin_settings")),
        **_MYSQL,
    )
    op.create_table(
        "config_history",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("level", sa.String(length=10), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("config_key", sa.String(length=60), nullable=False),
        sa.Column("before", _LONG, nullable=True),
        sa.Column("after", _LONG, nullable=True),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_config_history")),
        **_MYSQL,
    )
    op.create_index(
        op.f("ix_config_history_tenant_id_level_subject_config_key"),
        "config_history",
        ["tenant_id", "level", "subject", "config_key"],
        unique=False,
    )
    op.create_table(
        "identity_providers",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("issuer", sa.String(length=300), nullable=False),
        sa.Column("client_id", sa.String(length=200), nullable=False),
        sa.Column("client_secret", sa.Text(), nullable=False),
        sa.Column("scopes", sa.String(length=200), nullable=False),
        sa.Column("person_claim", sa.String(length=60), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_identity_providers")),
        **_MYSQL,
    )
    op.create_table(
        "login_attempts",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("pk_login_attempts")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_login_attempts_last_ms"), "login_attempts", ["last_ms"], unique=False)
    op.create_table(
        "login_roles",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("login_id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(length=60), nullable=False),
        sa.Column("colleges", sa.Text(), nullable=False),
        sa.Column("granted_ms", sa.BigInteger(), nullable=False),
        sa.Column("granted_by", sa.String(length=120), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "login_id", "role", name=op.f("pk_login_roles")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_login_roles_tenant_id_role"), "login_roles", ["tenant_id", "role"], unique=False)
    op.create_table(
        "login_states",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("provider", sa.String(length=60), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("redirect_uri", sa.String(length=500), nullable=False),
        sa.Column("back_to", sa.String(length=500), nullable=False),
        sa.Column("step", sa.String(length=10), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("login_id", sa.String(length=36), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("ends_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_login_states")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_login_states_ends_ms"), "login_states", ["ends_ms"], unique=False)
    op.create_table(
        "logins",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=True),
        sa.Column("code", sa.String(length=60), nullable=True),
        sa.Column("wps_id", sa.String(length=200), nullable=True),
        sa.Column("provider", sa.String(length=60), nullable=True),
        sa.Column("subject", sa.String(length=200), nullable=True),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("password_ms", sa.BigInteger(), nullable=True),
        sa.Column("must_change", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("token_epoch", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_login_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_logins")),
        sa.UniqueConstraint("tenant_id", "kind", "code", name=op.f("uq_logins_tenant_id_kind_code")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_logins_tenant_id_name")),
        sa.UniqueConstraint("tenant_id", "provider", "subject", name=op.f("uq_logins_tenant_id_provider_subject")),
        sa.UniqueConstraint("tenant_id", "wps_id", name=op.f("uq_logins_tenant_id_wps_id")),
        **_MYSQL,
    )
    op.create_table(
        "revoked_tokens",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("jti", sa.String(length=36), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "jti", name=op.f("pk_revoked_tokens")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_revoked_tokens_ends_ms"), "revoked_tokens", ["ends_ms"], unique=False)
    op.create_table(
        "roles",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_roles")),
        **_MYSQL,
    )
    op.create_table(
        "system_configs",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("config_key", sa.String(length=60), nullable=False),
        sa.Column("config_value", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "config_key", name=op.f("pk_system_configs")),
        **_MYSQL,
    )
    op.create_table(
        "token_families",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("login_id", sa.String(length=36), nullable=False),
        sa.Column("current", sa.String(length=36), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("how", sa.String(length=10), nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=20), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_token_families")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_token_families_ends_ms"), "token_families", ["ends_ms"], unique=False)
    op.create_index(
        op.f("ix_token_families_tenant_id_login_id"), "token_families", ["tenant_id", "login_id"], unique=False
    )
    op.create_table(
        "user_configs",
        sa.Column("tenant_id", sa.String(length=60), nullable=False),
        sa.Column("user", sa.String(length=80), nullable=False),
        sa.Column("config_key", sa.String(length=60), nullable=False),
        sa.Column("config_value", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user", "config_key", name=op.f("pk_user_configs")),
        **_MYSQL,
    )


def downgrade() -> None:
    for name in _TABLES:
        op.drop_table(name)
