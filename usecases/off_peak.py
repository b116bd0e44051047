"""Off-peak hours: set by a person, kept by whichever keeper looks first.

Letting go asks the rows themselves each time, so that nothing put in the last moment stays held; holding is done once when
the hours end, page by page, and is noted only when it is complete: whoever dies in between, another goes on.
"""

import time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from db import audit, holding
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import tenants as tenant_table
from domain.off_peak import SETTING, TIERS, Hours, read_hours
from usecases import tenants
from usecases.deps import Deps

_PAUSE_S = 0.005


def hours_of(tx: Connection, *, tenant: str) -> tuple[Hours | None, ZoneInfo]:
    """The tenant's hours, if far work waits for any, and the zone that they are in."""
    row = tx.execute(
        select(tenant_table.c.zone, tenant_table.c.settings).where(tenant_table.c.id == tenant)
    ).one_or_none()
    if row is None:
        return None, ZoneInfo("UTC")
    # Almost every tenant has none: the page of settings is read whole only where the word is in it.
    said = tenants.settings(tx, tenant=tenant).get(SETTING) if SETTING in row.settings else None
    return read_hours(said), ZoneInfo(row.zone)


def held_from(deps: Deps) -> int | None:
    """The tier from which on jobs are put as held now; None: none is."""
    with reading(deps.engine) as tx:
        hours, zone = hours_of(tx, tenant=deps.tenant)
        return None if hours is None or hours.are_now(now_ms(tx), zone) else hours.tier


def begin_ms(tx: Connection, *, tenant: str) -> int:
    """When held jobs are let go: now where the hours last, or where there are none any more."""
    hours, zone = hours_of(tx, tenant=tenant)
    now = now_ms(tx)
    return now if hours is None else hours.begin_ms(now, zone)


def clock_of(tx: Connection, *, tenant: str) -> str:
    """The time of day at which held jobs are let go, for people."""
    hours, _ = hours_of(tx, tenant=tenant)
    return "now" if hours is None else f"{hours.since:%H:%M}"


def keep(deps: Deps, *, at_ms: int | None = None) -> int:
    """Hold and let go what the hours say. Returns how many jobs were moved.

    `at_ms`: as if it were then; None: by the database's clock.
    """
    tenant = deps.tenant
    with reading(deps.engine) as tx:
        hours, zone = hours_of(tx, tenant=tenant)
        now = at_ms if at_ms is not None else now_ms(tx)
        was = holding.is_holding(tx, tenant=tenant)
        held = holding.any_held(tx, tenant=tenant)
    peak = hours is not None and not hours.are_now(now, zone)
    moved = 0
    if peak and not was:
        assert hours is not None
        moved = hold_all(deps, from_tier=hours.tier)
    elif not peak and held:
        moved = _let_go(deps)
    if peak != was:
        in_unit(deps.engine, lambda tx: holding.set_holding(tx, peak, tenant=tenant))
    return moved


def hold_all(deps: Deps, *, from_tier: int) -> int:
    """Hold everything that may wait, of every run that goes on."""
    moved = 0
    while count := in_unit(deps.engine, lambda tx: holding.hold(tx, tenant=deps.tenant, from_tier=from_tier)):
        moved += count
        time.sleep(_PAUSE_S)
    return moved


def _let_go(deps: Deps) -> int:
    moved = 0
    while True:
        count, lanes = in_unit(deps.engine, lambda tx: holding.let_go(tx, tenant=deps.tenant))
        if count == 0:
            return moved
        moved += count
        deps.hints.mark([(deps.tenant, lane) for lane in sorted(lanes)])
        deps.ring("lanes")
        time.sleep(_PAUSE_S)


def shown(deps: Deps) -> dict[str, Any]:
    """The hours, whether they last now, when they begin next, and how much waits for them."""
    with reading(deps.engine) as tx:
        hours, zone = hours_of(tx, tenant=deps.tenant)
        now = now_ms(tx)
        held = holding.count_all(tx, tenant=deps.tenant)
    if hours is None:
        return {"hours": None, "zone": zone.key, "off_peak_now": True, "next_ms": None, "held": held}
    return {
        "hours": hours.as_dict(),
        "zone": zone.key,
        "off_peak_now": hours.are_now(now, zone),
        "next_ms": hours.begin_ms(now, zone),
        "held": held,
    }


def change(deps: Deps, said: dict[str, str] | None, *, actor: str) -> None:
    """Set the hours, or with None let nothing wait any more. Raises `BadHours`; nothing is changed then."""
    hours = read_hours(said)
    wanted = None if hours is None else hours.as_dict()

    def work(tx: Connection) -> None:
        before = tenants.settings(tx, tenant=deps.tenant).get(SETTING)
        tenants.change_settings(tx, tenant=deps.tenant, **{SETTING: wanted})
        # What is queued is looked at anew by the next keeper, as when the hours end.
        holding.set_holding(tx, False, tenant=deps.tenant)
        audit.write(
            tx,
            tenant=deps.tenant,
            new_id=deps.new_id,
            actor=actor,
            action="off_peak.set",
            thing=deps.tenant,
            before=before,
            after=wanted,
        )

    in_unit(deps.engine, work)


__all__ = ["TIERS", "change", "clock_of", "held_from", "hold_all", "hours_of", "keep", "shown"]
