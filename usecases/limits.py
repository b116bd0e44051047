"""The limits of a tenant's WPS app: set by an admin, kept in the database, put into the limiter by every keeper."""

from sqlalchemy import Connection

from ratelimit.limiter import Limits
from usecases import tenants

__all__ = ["Connection", "Limits", "store", "stored"]


def stored(connection: Connection, *, tenant: str, default: Limits) -> Limits:
    """What an admin has set, else `default`."""
    found = tenants.settings(connection, tenant=tenant).get("limits")
    if found is None:
        return default
    return Limits(rate_per_s=found["rate_per_s"], burst=found["burst"], max_in_flight=found["max_in_flight"])


def store(connection: Connection, *, tenant: str, limits: Limits) -> None:
    """Keep the limits, so that a flushed Redis gets them again."""
    kept = {"rate_per_s": limits.rate_per_s, "burst": limits.burst, "max_in_flight": limits.max_in_flight}
    tenants.change_settings(connection, tenant=tenant, limits=kept)
