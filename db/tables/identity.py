"""Tables of who may sign in, as what, and of what can be set.

A login belongs to a person of `users` by kind and code, or to nobody there. Passwords, keys and tokens are kept as hashes,
secrets of others encrypted.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Text, UniqueConstraint

from db.tables.base import HASH, ID, LONG, NAME, TENANT, instant, table

# --- who ------------------------------------------------------------------------------------------------------------

logins = table(
    "logins",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False),  # folded: see domain/passwords.py
    Column("title", String(200), nullable=False),
    Column("kind", String(10)),  # of the person: student, teacher; NULL = of no person
    Column("code", NAME),
    Column("wps_id", String(200)),
    Column("provider", NAME),  # the identity provider that vouches for `subject`
    Column("subject", String(200)),
    Column("password", Text),  # argon2; NULL = no sign-in by password
    instant("password_ms"),
    Column("must_change", Boolean, nullable=False),
    Column("state", String(10), nullable=False),  # active, disabled
    Column("token_epoch", Integer, nullable=False),  # tokens of an earlier one are refused
    instant("created_ms", nullable=False),
    instant("last_login_ms"),
    UniqueConstraint("tenant_id", "name"),
    UniqueConstraint("tenant_id", "kind", "code"),
    UniqueConstraint("tenant_id", "wps_id"),
    UniqueConstraint("tenant_id", "provider", "subject"),
)

login_roles = table(
    "login_roles",
    Column("tenant_id", TENANT, primary_key=True),
    Column("login_id", ID, primary_key=True),
    Column("role", NAME, primary_key=True),
    Column("colleges", Text, nullable=False),  # JSON list: for which colleges; empty = for none in particular
    instant("granted_ms", nullable=False),
    Column("granted_by", String(120), nullable=False),
    Index(None, "tenant_id", "role"),
)

# Roles of a school beside the built-in ones.
roles = table(
    "roles",
    Column("tenant_id", TENANT, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("title", String(200), nullable=False),
    Column("permissions", Text, nullable=False),  # JSON list of resource.action:condition
    instant("changed_ms", nullable=False),
)

# --- how they come in -------------------------------------------------------------------------------------------------

# One row for each sign-in: every refresh token of it is the child of the one before.
token_families = table(
    "token_families",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("login_id", ID, nullable=False),
    Column("current", ID, nullable=False),  # jti of the one refresh token that is good
    Column("uses", Integer, nullable=False),
    Column("how", String(10), nullable=False),  # password, oidc, wps
    Column("device", String(200), nullable=False),
    instant("created_ms", nullable=False),
    instant("used_ms", nullable=False),
    instant("ends_ms", nullable=False),  # nothing prolongs it
    instant("revoked_ms"),
    Column("reason", String(20)),  # signed_out, reused, password, disabled, revoked
    Index(None, "tenant_id", "login_id"),
    Index(None, "ends_ms"),
)

# Tokens that were taken back or used up before their end.
revoked_tokens = table(
    "revoked_tokens",
    Column("tenant_id", TENANT, primary_key=True),
    Column("jti", ID, primary_key=True),
    Column("reason", String(20), nullable=False),
    instant("ends_ms", nullable=False),  # the row may go then
    Index(None, "ends_ms"),
)

api_keys = table(
    "api_keys",
    Column("tenant_id", TENANT, primary_key=True),
    Column("prefix", String(16), primary_key=True),  # shown to people
    Column("name", NAME, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("permissions", Text, nullable=False),  # JSON list of resource.action:condition
    Column("colleges", Text, nullable=False),  # JSON list
    Column("made_by", String(120), nullable=False),
    Column("successor", String(16)),  # of a rotated key: the key that takes its place
    instant("created_ms", nullable=False),
    instant("ends_ms", nullable=False),
    instant("revoked_ms"),
    instant("last_used_ms"),  # to the minute
    Index(None, "tenant_id", "name"),
)

# Guesses at a password, by the hash of account and address. A row is only about waiting, and may go when it is old.
login_attempts = table(
    "login_attempts",
    Column("tenant_id", TENANT, primary_key=True),
    Column("key", HASH, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("known", Boolean, nullable=False),  # the account has come in from this address before
    instant("next_ms", nullable=False),  # nothing is tried before
    instant("last_ms", nullable=False),
    Index(None, "last_ms"),
)

identity_providers = table(
    "identity_providers",
    Column("tenant_id", TENANT, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("issuer", String(300), nullable=False),
    Column("client_id", String(200), nullable=False),
    Column("client_secret", Text, nullable=False),  # encrypted; blank = a public client
    Column("scopes", String(200), nullable=False),
    Column("person_claim", String(60), nullable=False),  # which claim holds the number of a person
    Column("enabled", Boolean, nullable=False),
    instant("changed_ms", nullable=False),
)

# A sign-in that went to somebody else's page and has not come back, or is being looked up.
login_states = table(
    "login_states",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", HASH, primary_key=True),  # hash of `state`
    Column("provider", NAME, nullable=False),  # name of an identity provider; "wps"
    Column("verifier", Text, nullable=False),  # encrypted, with the nonce
    Column("redirect_uri", String(500), nullable=False),
    Column("back_to", String(500), nullable=False),
    Column("step", String(10), nullable=False),  # begun, looking, known, failed, over
    Column("code", Text),  # encrypted; only while it is being looked up
    Column("login_id", ID),
    Column("reason", String(40)),
    instant("ends_ms", nullable=False),
    Index(None, "ends_ms"),
)

# --- settings ---------------------------------------------------------------------------------------------------------

# A value that is not set has no row: zero and empty are values.
system_configs = table(
    "system_configs",
    Column("tenant_id", TENANT, primary_key=True),  # "*" = the whole installation
    Column("config_key", NAME, primary_key=True),
    Column("config_value", Text, nullable=False),  # JSON
    Column("version", Integer, nullable=False),
    instant("changed_ms", nullable=False),
)

checkin_settings = table(
    "checkin_settings",
    Column("tenant_id", TENANT, primary_key=True),
    Column("offering_id", HASH, primary_key=True),
    Column("config_key", NAME, primary_key=True),
    Column("config_value", Text, nullable=False),
    Column("version", Integer, nullable=False),
    instant("changed_ms", nullable=False),
)

user_configs = table(
    "user_configs",
    Column("tenant_id", TENANT, primary_key=True),
    Column("user", String(80), primary_key=True),
    Column("config_key", NAME, primary_key=True),
    Column("config_value", Text, nullable=False),
    Column("version", Integer, nullable=False),
    instant("changed_ms", nullable=False),
)

config_history = table(
    "config_history",
    Column("tenant_id", TENANT, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("level", String(10), nullable=False),  # system, tenant, course, user
    Column("subject", String(80), nullable=False),  # offering or user; blank for the upper levels
    Column("config_key", NAME, nullable=False),
    Column("before", LONG),  # JSON; NULL = was not set
    Column("after", LONG),
    Column("actor", String(120), nullable=False),
    Column("version", BigInteger, nullable=False),
    instant("at_ms", nullable=False),
    Index(None, "tenant_id", "level", "subject", "config_key"),
)
