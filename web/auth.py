"""Who is asking, and in which school.

The credential decides the tenant. ``X-Tenant-ID`` and a school's own host name must agree with it; only a platform
administrator may name another one, and is then in that tenant alone. Before anybody is signed in they name the tenant.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from cachetools import TTLCache
from sqlalchemy import Connection, Engine

from db.engine import reading
from domain.tenancy import Scope, entering
from usecases import api_keys, identity, tenants
from usecases.callers import Callers
from usecases.deps import Deps
from usecases.identity import NotAuthenticated
from web.errors import ApiError

__all__ = ["Authenticator", "Credentials", "NotAuthenticated", "Zones"]

_TENANTS: Final = 1_000
_ZONE_S: Final = 60.0
MAX_HEADER_CHARS: Final = 8_192
_BEARER: Final = re.compile(r"(?i)bearer +(\S+)")


class Authenticator(Protocol):
    """Turns what a request carries into who is asking."""

    def scope_of(self, authorization_header: str | None, api_key: str | None) -> Scope:
        """The scope of the caller. Raises `NotAuthenticated`, also where both are None."""
        ...

    def check(self, token: str) -> None:
        """Raise `NotAuthenticated` for an access token that is over or none of ours, without asking the database."""
        ...


class Credentials:
    """Asks the database: an access token in ``Authorization``, or a key in ``X-API-Key``, and never both."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._callers = Callers(deps)

    def scope_of(self, authorization_header: str | None, api_key: str | None) -> Scope:
        """The scope of the caller. Raises `NotAuthenticated`."""
        now = time.time_ns() // 1_000_000
        if api_key is None:
            return self._callers.scope_of(bearer(authorization_header), now_ms=now)
        if authorization_header is not None:
            raise NotAuthenticated("two_credentials")
        if not api_key.startswith(api_keys.MARK):
            raise NotAuthenticated("not_a_key")
        return identity.scope_of(self._deps, api_key, now)

    def check(self, token: str) -> None:
        """Raise `NotAuthenticated` for an access token that is over or none of ours, without asking the database."""
        identity.claims_of(self._deps, token, now_ms=time.time_ns() // 1_000_000)


def bearer(authorization_header: str | None) -> str:
    """The token of the header. Raises `NotAuthenticated`."""
    said = authorization_header or ""
    found = _BEARER.fullmatch(said) if len(said) <= MAX_HEADER_CHARS else None
    if found is None:
        raise NotAuthenticated("no_token")
    return found[1]


def named_tenant(header: str | None, host: str, base_domain: str) -> str | None:
    """The tenant that a request names by ``X-Tenant-ID`` or by its host; None where it names none.

    Raises `ApiError` 400 where the header is blank, 403 where both name one and not the same.
    """
    name, _, rest = host.partition(":")[0].lower().partition(".")
    of_host = name if base_domain and rest == base_domain else None
    if header is not None and not header:
        raise ApiError("TENANT_MISSING")
    if header is not None and of_host is not None and header.lower() != of_host:
        raise ApiError("TENANT_MISMATCH")
    return header or of_host


def at_home(scope: Scope, said: str | None) -> None:
    """The request is about the caller himself, and so about his own school. Raises `ApiError` like `in_tenant`."""
    if not scope.tenant:
        raise ApiError("TENANT_MISSING")
    if said is not None and said != scope.tenant:
        raise ApiError("TENANT_MISMATCH")


def in_tenant(scope: Scope, said: str | None) -> Scope:
    """The scope in the tenant that the request is about. `said` is what `named_tenant` found.

    Raises `ApiError`: 400 where a caller of no tenant names none, 403 where another one is named.
    """
    wanted = said if said is not None else scope.tenant
    if not wanted:
        raise ApiError("TENANT_MISSING")
    inside = entering(scope, wanted)
    if inside is None:
        raise ApiError("TENANT_MISMATCH")
    return inside


class Zones:
    """The zones of tenants, each asked for once a minute: every request needs one, and hardly any tenant ever moves."""

    def __init__(self) -> None:
        self._known: TTLCache[str, ZoneInfo] = TTLCache(_TENANTS, _ZONE_S)
        self._lock = threading.Lock()

    def of(self, engine: Engine, tenant: str) -> ZoneInfo:
        """The zone of a tenant. Raises `ApiError` 404."""
        with self._lock:
            known = self._known.get(tenant)
        if known is None:
            with reading(engine) as tx:
                known = zone_of(tx, tenant)
            with self._lock:
                self._known[tenant] = known
        return known


def zone_of(connection: Connection, tenant: str) -> ZoneInfo:
    """The zone of a tenant, asked for now. Raises `ApiError` 404."""
    try:
        return tenants.zone_of(connection, tenant=tenant)
    except tenants.UnknownTenant as error:
        raise ApiError("TENANT_UNKNOWN") from error


def deps_at_door(connection: Connection, deps: Deps, said: str | None) -> Deps:
    """Deps for somebody who wants to sign in. A tenant has to be named unless there is only one.

    Raises `ApiError`: 400 where none is named, 404 where it is unknown.
    """
    wanted = said if said is not None else tenants.only(connection)
    if not wanted:
        raise ApiError("TENANT_MISSING")
    return replace(deps, tenant=wanted, zone=zone_of(connection, wanted))


def deps_in(deps: Deps, scope: Scope, zone: ZoneInfo) -> Deps:
    """What use cases are given for this caller: everything of the process, in the caller's tenant."""
    if scope.tenant == deps.tenant and zone == deps.zone:
        return deps
    return replace(deps, tenant=scope.tenant, zone=zone)
