"""Settings that were set, at each level, and what they were before."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select, update

from db.clock import now_ms
from db.tables.identity import checkin_settings, config_history, system_configs, user_configs
from domain.configs import Level

EVERYBODY = "*"
"""In place of a tenant: the whole installation."""

_SUBJECTS: Mapping[Level, tuple[Table, str | None]] = {
    Level.SYSTEM: (system_configs, None),
    Level.TENANT: (system_configs, None),
    Level.COURSE: (checkin_settings, "offering_id"),
    Level.USER: (user_configs, "user"),
}


class ConfigChanged(Exception):
    """Somebody else has set it meanwhile; `version` is the one there is."""

    def __init__(self, key: str, version: int) -> None:
        super().__init__(f"{key} was changed meanwhile (version {version})")
        self.key = key
        self.version = version


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands. `subject` is the offering or the user; blank for the upper levels."""

    level: Level
    tenant: str
    subject: str = ""

    @property
    def owner(self) -> str:
        """What the column `tenant_id` says."""
        return EVERYBODY if self.level is Level.SYSTEM else self.tenant


@dataclass(frozen=True, slots=True)
class Stored:
    """A value that was set, and how often it has been."""

    value: Any
    version: int


def _where(place: Place) -> tuple[Table, list[Any]]:
    table, name = _SUBJECTS[place.level]
    where: list[Any] = [table.c.tenant_id == place.owner]
    if name is not None:
        where.append(table.c[name] == place.subject)
    return table, where


def at(
    connection: Connection, place: Place, keys: Sequence[str] | None = None, *, lock: bool = False
) -> dict[str, Stored]:
    """What is set in one place, by key; `keys` None: everything."""
    table, where = _where(place)
    if keys is not None:
        where.append(table.c.config_key.in_(keys))
    statement = select(table.c.config_key, table.c.config_value, table.c.version).where(*where)
    rows = connection.execute(statement.with_for_update() if lock else statement)
    return {row.config_key: Stored(json.loads(row.config_value), row.version) for row in rows}


def put(
    connection: Connection,
    place: Place,
    key: str,
    value: Any,
    *,
    unset: bool,
    version: int | None,
    actor: str,
    history_id: str,
) -> Stored | None:
    """Set or unset a value and note it. Returns what was there before. `version` (0: was never set) must be the one there is,
    if given; raises `ConfigChanged`."""
    table, where = _where(place)
    before = at(connection, place, [key], lock=True).get(key)
    there = before.version if before is not None else versions(connection, place, [key]).get(key, 0)
    if version is not None and version != there:
        raise ConfigChanged(key, there)
    now = now_ms(connection)
    row: dict[str, Any] = {
        "config_value": json.dumps(value, ensure_ascii=False),
        "version": there + 1,
        "changed_ms": now,
    }
    mine = (*where, table.c.config_key == key)
    if unset:
        connection.execute(delete(table).where(*mine))
    elif before is not None:
        connection.execute(update(table).where(*mine).values(**row))
    else:
        _, name = _SUBJECTS[place.level]
        subject = {name: place.subject} if name is not None else {}
        connection.execute(table.insert(), [{"tenant_id": place.owner, "config_key": key, **subject, **row}])
    after = None if unset else Stored(value, there + 1)
    _note(connection, place, key, before, after, actor, history_id, version=there + 1, now=now)
    return before


def versions(connection: Connection, place: Place, keys: Sequence[str] | None = None) -> dict[str, int]:
    """How often each key of a place was set or unset: a value that is set again goes on counting."""
    c = config_history.c
    where: list[Any] = [c.tenant_id == place.owner, c.level == str(place.level), c.subject == place.subject]
    if keys is not None:
        where.append(c.config_key.in_(keys))
    found = connection.execute(select(c.config_key, func.max(c.version)).where(*where).group_by(c.config_key))
    return {row[0]: int(row[1]) for row in found}


def _note(
    connection: Connection,
    place: Place,
    key: str,
    before: Stored | None,
    after: Stored | None,
    actor: str,
    history_id: str,
    *,
    version: int,
    now: int,
) -> None:
    row = {
        "tenant_id": place.owner,
        "id": history_id,
        "level": str(place.level),
        "subject": place.subject,
        "config_key": key,
        "before": None if before is None else json.dumps(before.value, ensure_ascii=False),
        "after": None if after is None else json.dumps(after.value, ensure_ascii=False),
        "actor": actor,
        "version": version,
        "at_ms": now,
    }
    connection.execute(config_history.insert(), [row])


def history(connection: Connection, place: Place, key: str | None, *, limit: int) -> list[dict[str, Any]]:
    """What was set and unset in a place, newest first."""
    c = config_history.c
    where: list[Any] = [c.tenant_id == place.owner, c.level == str(place.level), c.subject == place.subject]
    if key is not None:
        where.append(c.config_key == key)
    rows = connection.execute(select(config_history).where(*where).order_by(c.at_ms.desc(), c.id.desc()).limit(limit))
    return [
        {
            "key": row.config_key,
            "before": _value(row.before),
            "after": _value(row.after),
            "was_set": row.before is not None,
            "is_set": row.after is not None,
            "actor": row.actor,
            "at_ms": row.at_ms,
        }
        for row in rows
    ]


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
