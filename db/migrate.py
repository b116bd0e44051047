"""Bring a database to the newest schema. The only way in which tables come into being that stay."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from db.tables import metadata

_HERE = Path(__file__).parent


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(engine: Engine, *, to: str = "head") -> None:
    """Apply every migration that is missing up to that revision, oldest first. Running it again changes nothing."""
    config = _config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def make_for_a_while(engine: Engine) -> None:
    """All tables at once, in an empty database that nobody migrates again because it goes away."""
    metadata.create_all(engine)


def current(engine: Engine) -> str | None:
    """The revision of the database; None before the first migration."""
    with engine.connect() as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """The same for a connection that is there."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def newest() -> str | None:
    """The revision this code was written for."""
    return ScriptDirectory.from_config(_config()).get_current_head()
