"""Alarms: raised once, kept while they last and afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from db.clock import now_ms
from db.tables import AnyRow, alarms
from domain.alarms import Alarm


@dataclass(frozen=True, slots=True)
class Told:
    """An alarm with what people are told."""

    alarm: Alarm
    sentence: str
    remedy: str


def open_ones(connection: Connection, *, tenant: str, lock: bool = False) -> dict[str, AnyRow]:
    """The open alarms by their key; with `lock`, until the transaction ends nobody else changes those."""
    statement = select(alarms).where(alarms.c.tenant_id == tenant, alarms.c.open_key.is_not(None))
    rows = connection.execute(statement.with_for_update() if lock else statement)
    return {row.open_key: row for row in rows}


def raise_(connection: Connection, told: Told, *, tenant: str, alarm_id: str) -> None:
    """Open an alarm. Raises IntegrityError when it is open already."""
    connection.execute(
        alarms.insert().values(
            tenant_id=tenant,
            id=alarm_id,
            cause=told.alarm.cause,
            subject=told.alarm.subject,
            open_key=told.alarm.key,
            sentence=told.sentence,
            remedy=told.remedy,
            since_ms=told.alarm.since_ms,
            raised_ms=now_ms(connection),
            cleared_ms=None,
        )
    )


def retell(connection: Connection, told: Told, *, tenant: str) -> None:
    """What is to be said of an open alarm is something else by now."""
    where = (alarms.c.tenant_id == tenant, alarms.c.open_key == told.alarm.key)
    connection.execute(update(alarms).where(*where).values(sentence=told.sentence, remedy=told.remedy))


def clear(connection: Connection, keys: Sequence[str], *, tenant: str) -> None:
    """What these were about is over."""
    where = (alarms.c.tenant_id == tenant, alarms.c.open_key.in_(keys))
    connection.execute(update(alarms).where(*where).values(open_key=None, cleared_ms=now_ms(connection)))


def listing(connection: Connection, *, tenant: str, cleared: bool, limit: int) -> list[AnyRow]:
    """Alarms, newest first; with `cleared`, also those that are over."""
    where = [alarms.c.tenant_id == tenant]
    if not cleared:
        where.append(alarms.c.open_key.is_not(None))
    ordered = select(alarms).where(*where).order_by(alarms.c.raised_ms.desc(), alarms.c.id.desc())
    return list(connection.execute(ordered.limit(limit)))
