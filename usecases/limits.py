"""What an admin has decided about a tenant's WPS app: kept in the database, put into the limiter by every keeper."""

from sqlalchemy import Connection

from ratelimit.limiter import LimiterAway, Limits
from usecases import tenants

__all__ = ["Connection", "LimiterAway", "Limits", "breaker_held", "hold_breaker", "store", "stored"]


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


def breaker_held(connection: Connection, *, tenant: str) -> str | None:
    """Why an admin keeps the circuit breaker open; None when nobody does."""
    why: str | None = tenants.settings(connection, tenant=tenant).get("breaker_held")
    return why


def hold_breaker(connection: Connection, *, tenant: str, why: str | None) -> None:
    """Keep the decision (None: not held any more), so that a flushed Redis gets it again."""
    tenants.change_settings(connection, tenant=tenant, breaker_held=why)
