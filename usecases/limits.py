"""What an admin has decided about a tenant's WPS app: kept in the database, put into the limiter by every keeper."""

from dataclasses import asdict, astuple

from sqlalchemy import Connection

from db import audit
from db.engine import in_unit
from observability.log import get_logger
from ratelimit.limiter import LimiterAway, Limits
from usecases import tenants
from usecases.deps import Deps

log = get_logger("limits")

__all__ = [
    "Connection",
    "LimiterAway",
    "Limits",
    "LimitsChanged",
    "breaker_held",
    "change",
    "hold",
    "hold_breaker",
    "key_of",
    "store",
    "stored",
    "version_of",
]


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


# --- what people do -------------------------------------------------------------------------------------------------


class LimitsChanged(Exception):
    """Somebody else has changed the limits meanwhile."""


def key_of(connection: Connection, *, tenant: str) -> str:
    """What the limiter calls the tenant's app."""
    return f"wps:{tenants.app_of(connection, tenant=tenant)}"


def version_of(limits: Limits) -> str:
    """Differs where any of the limits does."""
    return "-".join(f"{one:g}" for one in astuple(limits))


def change(
    deps: Deps,
    *,
    default: Limits,
    actor: str,
    rate_per_s: float | None = None,
    burst: float | None = None,
    max_in_flight: int | None = None,
    seen: str | None = None,
) -> Limits:
    """Set what is given for all workers at once; it stays until it is changed again, and is in the audit.

    While the limiter's store is away the keepers bring it there later. `seen` is the version that the person decided about:
    raises `LimitsChanged` where there is another one by now.
    """

    def work(tx: Connection) -> tuple[Limits, str]:
        tenants.lock(tx, tenant=deps.tenant)
        now = stored(tx, tenant=deps.tenant, default=default)
        if seen is not None and seen != version_of(now):
            raise LimitsChanged
        wanted = Limits(rate_per_s or now.rate_per_s, burst or now.burst, max_in_flight or now.max_in_flight)
        store(tx, tenant=deps.tenant, limits=wanted)
        _note(tx, deps, actor, "limiter.set", asdict(now), asdict(wanted))
        return wanted, key_of(tx, tenant=deps.tenant)

    wanted, key = in_unit(deps.engine, work)
    try:
        deps.remote.limiter.configure(key, wanted)
    except LimiterAway:
        log.warning("limits.away", key=key)
    return wanted


def hold(deps: Deps, why: str | None, *, actor: str) -> None:
    """Stop all calls to WPS until told otherwise, for a reason, or with None let lanes call again now.

    The decision is stored and in the audit: a keeper repeats it. Raises `LimiterAway` where it is not in force yet.
    """

    def work(tx: Connection) -> str:
        tenants.lock(tx, tenant=deps.tenant)
        before = breaker_held(tx, tenant=deps.tenant)
        hold_breaker(tx, tenant=deps.tenant, why=why)
        _note(tx, deps, actor, f"breaker.{'close' if why is None else 'open'}", {"why": before}, {"why": why})
        return key_of(tx, tenant=deps.tenant)

    # The decision first: a keeper that looks in between repeats it.
    key = in_unit(deps.engine, work)
    if why is None:
        deps.remote.limiter.close_breaker(key)
    else:
        deps.remote.limiter.hold_open(key, why=why)


def _note(tx: Connection, deps: Deps, actor: str, action: str, before: object, after: object) -> None:
    audit.write(
        tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action=action, thing=deps.tenant, before=before,
        after=after,
    )  # fmt: skip
