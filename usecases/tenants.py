"""Tenants: their zone, settings and the WPS app that speaks for them, its key encrypted."""

import base64
import json
import os
from typing import Any
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, select, update

from db.clock import now_ms
from db.tables import tenants


class UnknownTenant(Exception):
    """There is no such tenant: the database was never migrated, or the name is wrong."""


class CannotDecrypt(Exception):
    """The key that encrypted a tenant's credentials is not among the encryption keys."""


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


def zone_of(connection: Connection, *, tenant: str) -> ZoneInfo:
    """The tenant's zone. Raises `UnknownTenant`."""
    name = connection.execute(select(tenants.c.zone).where(tenants.c.id == tenant)).scalar()
    if name is None:
        raise UnknownTenant(f"tenant {tenant!r} is not in the database; run `obsync migrate`")
    return ZoneInfo(name)


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


def seal(text: str, *, encryption_keys: str, place: str) -> str:
    """AES-256-GCM under the first key, bound to `place` so that a value cannot be moved to another row."""
    key_id, key = _keys(encryption_keys)[0]
    nonce = os.urandom(12)
    sealed = AESGCM(key).encrypt(nonce, text.encode(), place.encode())
    return f"{key_id}.{base64.b64encode(nonce + sealed).decode()}"


def unseal(sealed: str, *, encryption_keys: str, place: str) -> str:
    """The text of `seal`. Raises `CannotDecrypt`."""
    key_id, _, body = sealed.partition(".")
    raw = base64.b64decode(body)
    for known, key in _keys(encryption_keys):
        if known == key_id:
            try:
                return AESGCM(key).decrypt(raw[:12], raw[12:], place.encode()).decode()
            except Exception as error:
                raise CannotDecrypt(f"{place} does not open with key {key_id}") from error
    raise CannotDecrypt(f"{place} was encrypted with key {key_id}, which OBSYNC_ENCRYPTION_KEYS does not have")


def _opens_to(sealed: str, text: str, encryption_keys: str, tenant: str) -> bool:
    try:
        return unseal(sealed, encryption_keys=encryption_keys, place=_place(tenant)) == text
    except CannotDecrypt:
        return False


def _place(tenant: str) -> str:
    return f"{tenant}/tenants/wps_app_key/{tenant}"


def _keys(text: str) -> list[tuple[str, bytes]]:
    found = []
    for part in text.split(","):
        key_id, _, body = part.strip().partition(":")
        found.append((key_id, base64.b64decode(body)))
    return found
