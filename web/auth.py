"""Who is asking, and in which school.

The credential decides the tenant. ``X-Tenant-ID`` must agree with it; only a platform administrator may name another one, and
is then in that tenant alone.
"""

from dataclasses import replace
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from domain.tenancy import Scope, entering
from usecases import tenants
from usecases.deps import Deps
from web.errors import ApiError

MAX_HEADER_CHARS = 8_192


class NotAuthenticated(Exception):
    """The credential is missing, malformed, stale or revoked. `reason` is for the log: the caller is told the same each time."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Authenticator(Protocol):
    """Turns what a request carries into who is asking."""

    def scope_of(self, authorization_header: str | None, api_key: str | None) -> Scope:
        """The scope of the caller. Raises `NotAuthenticated`, also where both are None."""
        ...


class NobodyYet:
    """Refuses everybody: what a process has until it is given a real authenticator."""

    def scope_of(self, authorization_header: str | None, api_key: str | None) -> Scope:  # noqa: ARG002 (the protocol's)
        raise NotAuthenticated("no authenticator is configured")


def in_tenant(connection: Connection, scope: Scope, said: str | None) -> tuple[Scope, ZoneInfo]:
    """The scope in the tenant that the request is about, and that tenant's zone. `said` is ``X-Tenant-ID``.

    Raises `ApiError`: 400 where a caller of no tenant names none, 403 where another one is named, 404 where it is unknown.
    """
    wanted = said if said is not None else scope.tenant
    if not wanted:
        raise ApiError("TENANT_MISSING")
    inside = entering(scope, wanted)
    if inside is None:
        raise ApiError("TENANT_MISMATCH")
    try:
        return inside, tenants.zone_of(connection, tenant=wanted)
    except tenants.UnknownTenant as error:
        raise ApiError("TENANT_UNKNOWN") from error


def deps_in(deps: Deps, scope: Scope, zone: ZoneInfo) -> Deps:
    """What use cases are given for this caller: everything of the process, in the caller's tenant."""
    return replace(deps, tenant=scope.tenant, zone=zone)
