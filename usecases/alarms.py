"""Alarms: what has lasted too long is raised once, and cleared when it is over."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from db import alarms, imports, sources
from db.alarms import Told
from db.clock import now_ms
from db.engine import reading
from db.tables import AnyRow
from domain.alarms import HOUR_MS, SILENT, Alarm, Watched, of_sources
from observability.log import get_logger
from usecases.deps import Deps

log = get_logger("alarms")


def review(connection: Connection, deps: Deps) -> list[str]:
    """Raise what is due and clear what is over. Returns the keys of the alarms that were raised."""
    # One review at a time: the tenant's row is what all of them lock first.
    imports.hold_tenant(connection, tenant=deps.tenant)
    rows = {row.name: row for row in sources.all_of(connection, tenant=deps.tenant)}
    due = {one.key: one for one in of_sources(map(_watched, _enabled(rows)), now_ms=now_ms(connection))}
    there = alarms.open_ones(connection, tenant=deps.tenant, lock=True)
    for key, alarm in due.items():
        told = _told(deps, alarm, rows[alarm.subject])
        if key in there:
            alarms.retell(connection, told, tenant=deps.tenant)
        else:
            alarms.raise_(connection, told, tenant=deps.tenant, alarm_id=deps.new_id())
            log.error("alarm.raised", cause=alarm.cause, subject=alarm.subject, since_ms=alarm.since_ms)
    over = sorted(there.keys() - due.keys())
    alarms.clear(connection, over, tenant=deps.tenant)
    for key in over:
        log.info("alarm.cleared", cause=there[key].cause, subject=there[key].subject)
    return sorted(due.keys() - there.keys())


def _enabled(rows: dict[str, AnyRow]) -> list[AnyRow]:
    return [row for row in rows.values() if row.enabled]


def _watched(row: AnyRow) -> Watched:
    return Watched(row.name, row.created_ms, row.answered_ms, row.changed_ms, row.silent_h, row.unchanged_h)


def _told(deps: Deps, alarm: Alarm, row: AnyRow) -> Told:
    since = datetime.fromtimestamp(alarm.since_ms / 1000, deps.zone).strftime("%Y-%m-%d %H:%M")
    name = alarm.subject
    if alarm.cause == SILENT:
        sentence = (
            f"数据源 {name} 自 {since} 起没有应答（超过 {row.silent_h} 小时）· "
            f"source {name} has not answered since {since}, more than {row.silent_h} h"
        )
        remedy = f"{row.error} " if row.error else ""
        return Told(
            alarm, sentence, f"{remedy}See `obsync sources test {name}`; its classes stay as they were last read."
        )
    sentence = (
        f"数据源 {name} 自 {since} 起没有变化（超过 {row.unchanged_h} 小时）· "
        f"source {name} has not changed since {since}, more than {row.unchanged_h} h"
    )
    remedy = "Ask whether it is still written; if that is normal, raise --unchanged-hours by `obsync sources add`."
    return Told(alarm, sentence, remedy)


def listing(deps: Deps, *, cleared: bool = False, limit: int = 100) -> list[dict[str, Any]]:
    """Alarms, newest first: those that are open; with `cleared`, all."""
    with reading(deps.engine) as tx:
        return open_in(tx, tenant=deps.tenant, cleared=cleared, limit=limit)


def open_in(connection: Connection, *, tenant: str, cleared: bool = False, limit: int = 100) -> list[dict[str, Any]]:
    """The same, as a transaction that is open sees it."""
    rows = alarms.listing(connection, tenant=tenant, cleared=cleared, limit=limit)
    now = now_ms(connection)
    return [as_dict(row, now) for row in rows]


def as_dict(row: AnyRow, now: int) -> dict[str, Any]:
    """An alarm as people and programs read it."""
    shown = ("id", "cause", "subject", "sentence", "remedy", "since_ms", "raised_ms", "cleared_ms")
    return {
        **{name: getattr(row, name) for name in shown},
        "open": row.open_key is not None,
        "for_h": round(((row.cleared_ms or now) - row.since_ms) / HOUR_MS, 1),
    }
