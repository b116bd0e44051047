"""`obsync migrate`: bring the database to this version."""

import click

from bootstrap.settings import Settings
from db.engine import check, make_engine, unit
from db.migrate import newest, upgrade
from usecases import schedules, tenants
from workers.cli.console import answer, command, json_option, out

_PATIENCE_S = 3600  # a migration may rebuild tables of many terms


def prepare_database(settings: Settings) -> None:
    """Tables of this version, and the first tenant with its schedules and the credentials the environment gives."""
    if settings.is_sqlite:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    engine = make_engine(settings.database_url, patience_s=_PATIENCE_S)
    try:
        check(engine)
        upgrade(engine)
        with unit(engine) as tx:
            tenants.seed(
                tx,
                tenant=settings.tenant,
                zone=settings.tenant_zone,
                app_id=settings.wps_app_id,
                app_key=settings.wps_app_key,
                encryption_keys=settings.encryption_keys,
            )
            schedules.seed(tx, tenant=settings.tenant)
    finally:
        engine.dispose()


@click.command()
@json_option
@command
def migrate(as_json: bool) -> None:
    """Create or update the tables, and the first tenant. Running it again changes nothing."""
    settings = Settings.from_env()
    prepare_database(settings)
    answer(as_json, {"revision": newest()}, lambda: out.print(f"database is at revision {newest()}"))
