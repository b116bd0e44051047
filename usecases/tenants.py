"""Tenants: their zone, settings and the WPS app that speaks for them, its key encrypted."""

import json
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select, update

from db.clock import now_ms
from db.tables import tenants
from usecases.sealing import CannotDecrypt, place_of, seal, unseal


class UnknownTenant(Exception):
    """There is no such tenant: the database was never migrated, or the name is wrong."""


def seed(connection: Connection, *, tenant: str, zone: str, app_id: str, app_key: str, encryption_keys: str) -> None:
    """Write the first tenant, or its credentials anew when the environment names others."""
    row = connection.execute(select(tenants).where(tenants.c.id == tenant)).one_or_none()
    sealed = seal(app_key, encryption_keys=encryption_keys, place=_place(tenant))
    if row is None:
        connection.execute(
            tenants.insert(),
            [
                {
                    "id": tenant,
                    "zone": zone,
                    "settings": "{}",
                    "wps_app_id": app_id,
                    "wps_app_key": sealed,
                    "last_import_no": 0,
                    "created_ms": now_ms(connection),
                }
            ],
        )
        return
    if not app_id:
        return
    same = row.wps_app_id == app_id and _opens_to(row.wps_app_key, app_key, encryption_keys, tenant)
    if not same:
        connection.execute(update(tenants).where(tenants.c.id == tenant).values(wps_app_id=app_id, wps_app_key=sealed))


def credentials(connection: Connection, *, tenant: str, encryption_keys: str) -> tuple[str, str]:
    """(app id, app key) of the tenant. Raises `UnknownTenant`, `CannotDecrypt`."""
    row = connection.execute(
        select(tenants.c.wps_app_id, tenants.c.wps_app_key).where(tenants.c.id == tenant)
    ).one_or_none()
    if row is None:
        raise UnknownTenant(f"tenant {tenant!r} is not in the database; run `obsync migrate`")
    return row.wps_app_id, unseal(row.wps_app_key, encryption_keys=encryption_keys, place=_place(tenant))


def app_of(connection: Connection, *, tenant: str) -> str | None:
    """The id of the tenant's WPS app; None when there is no such tenant."""
    return connection.execute(select(tenants.c.wps_app_id).where(tenants.c.id == tenant)).scalar()


def all_ids(connection: Connection) -> list[str]:
    """Every school there is."""
    return list(connection.execute(select(tenants.c.id).order_by(tenants.c.id)).scalars())


def zone_of(connection: Connection, *, tenant: str) -> ZoneInfo:
    """The tenant's zone. Raises `UnknownTenant`."""
    name = connection.execute(select(tenants.c.zone).where(tenants.c.id == tenant)).scalar()
    if name is None:
        raise UnknownTenant(f"tenant {tenant!r} is not in the database; run `obsync migrate`")
    return ZoneInfo(name)


def only(connection: Connection) -> str | None:
    """The one tenant there is; None where there are several, or none."""
    found = connection.execute(select(tenants.c.id).limit(2)).scalars().all()
    return str(found[0]) if len(found) == 1 else None


def lock(connection: Connection, *, tenant: str) -> None:
    """Let nobody else change the tenant until the unit ends."""
    connection.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update())


def settings(connection: Connection, *, tenant: str) -> dict[str, Any]:
    """The tenant's own settings. Raises `UnknownTenant`."""
    return _settings(connection, tenant, locked=False)


def _settings(connection: Connection, tenant: str, *, locked: bool) -> dict[str, Any]:
    statement = select(tenants.c.settings).where(tenants.c.id == tenant)
    text = connection.execute(statement.with_for_update() if locked else statement).scalar()
    if text is None:
        raise UnknownTenant(f"tenant {tenant!r} is not in the database; run `obsync migrate`")
    found: dict[str, Any] = json.loads(text)
    return found


def change_settings(connection: Connection, *, tenant: str, **values: Any) -> None:
    """Overwrite some of the tenant's settings."""
    now = _settings(connection, tenant, locked=True) | values
    connection.execute(
        update(tenants).where(tenants.c.id == tenant).values(settings=json.dumps(now, ensure_ascii=False))
    )


def _opens_to(sealed: str, text: str, encryption_keys: str, tenant: str) -> bool:
    try:
        return unseal(sealed, encryption_keys=encryption_keys, place=_place(tenant)) == text
    except CannotDecrypt:
        return False


def _place(tenant: str) -> str:
    return place_of(tenant, "tenants", "wps_app_key", tenant)
