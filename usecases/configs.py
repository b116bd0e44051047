"""Settings while the product runs: what holds for whom, and changing it with a history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from db import audit, login_states
from db import configs as rows
from db.configs import ConfigChanged, Place
from db.engine import in_unit, reading
from domain.configs import CONFIGS, Level, check, config, effective
from usecases import tenants
from usecases.deps import Deps

__all__ = ["ConfigChanged", "NoWayIn", "Place", "change", "history", "read", "refuse_no_way_in", "value_of", "values"]


_WAYS: Final = frozenset({"sign_in.password", "sign_in.wps"})


class NoWayIn(Exception):
    """Nobody of `tenant` could sign in any more; nothing was changed."""

    def __init__(self, tenant: str) -> None:
        super().__init__(f"nobody could sign in to {tenant} any more")
        self.tenant = tenant


def places(*, tenant: str, user: str | None = None, offering: str | None = None) -> dict[Level, Place]:
    """Where values for somebody and some course may stand."""
    found = {Level.SYSTEM: Place(Level.SYSTEM, tenant), Level.TENANT: Place(Level.TENANT, tenant)}
    if offering is not None:
        found[Level.COURSE] = Place(Level.COURSE, tenant, offering)
    if user is not None:
        found[Level.USER] = Place(Level.USER, tenant, user)
    return found


def read(
    connection: Connection,
    keys: Iterable[str] | None = None,
    *,
    tenant: str,
    user: str | None = None,
    offering: str | None = None,
) -> dict[str, tuple[Any, Level | None]]:
    """What holds and from which level, by key; `keys` None: all of them. Raises `UnknownConfig`."""
    wanted = [config(key).key for key in (CONFIGS if keys is None else keys)]
    set_at = {
        level: rows.at(connection, place, wanted)
        for level, place in places(tenant=tenant, user=user, offering=offering).items()
    }
    return {
        key: effective(key, {level: found[key].value for level, found in set_at.items() if key in found})
        for key in wanted
    }


def value_of(
    connection: Connection, key: str, *, tenant: str, user: str | None = None, offering: str | None = None
) -> Any:
    """The value that holds. Raises `UnknownConfig`."""
    return read(connection, [key], tenant=tenant, user=user, offering=offering)[key][0]


def values(deps: Deps, place: Place) -> list[dict[str, Any]]:
    """Every setting of a level as it stands there: set or not, what holds, and the version for changing it, by key."""
    with reading(deps.engine) as tx:
        here = rows.at(tx, place)
        counted = rows.versions(tx, place)
        holds = read(
            tx,
            tenant=place.tenant,
            user=place.subject if place.level is Level.USER else None,
            offering=place.subject if place.level is Level.COURSE else None,
        )
    return [
        {
            "key": key,
            "value": holds[key][0],
            "from": holds[key][1],
            "is_set": key in here,
            "version": here[key].version if key in here else counted.get(key, 0),
            "default": one.default,
            "type": one.kind.__name__,
            "zh": one.zh,
            "en": one.en,
        }
        for key, one in sorted(CONFIGS.items())
        if place.level in one.levels
    ]


def change(
    deps: Deps,
    place: Place,
    wanted: Mapping[str, Any],
    *,
    actor: str,
    unset: Iterable[str] = (),
    version: int | None = None,
) -> dict[str, Any]:
    """Set some values and unset others, all or nothing; returns what they were (those that were set). `version` is for one
    value: 0 where it was never set. Raises `UnknownConfig`, `BadConfig`, `ConfigChanged`, `NoWayIn`; a change that says nothing
    new is none."""
    for key, value in wanted.items():
        check(key, place.level, value)
    gone = [config(key).key for key in unset]

    def work(tx: Connection) -> dict[str, Any]:
        before: dict[str, Any] = {}
        there = rows.at(tx, place)
        for key in sorted({*wanted, *gone}):
            is_gone = key not in wanted
            same = key not in there if is_gone else key in there and _same(there[key].value, wanted[key])
            if same and version is None:
                continue
            was = rows.put(
                tx,
                place,
                key,
                wanted.get(key),
                unset=is_gone,
                version=version,
                actor=actor,
                history_id=deps.new_id(),
            )
            if was is not None:
                before[key] = was.value
            _audit(deps, tx, place, key, None if was is None else was.value, wanted.get(key), actor)
        if _WAYS & {*wanted, *gone}:
            refuse_no_way_in(tx, None if place.level is Level.SYSTEM else place.tenant)
        return before

    return in_unit(deps.engine, work)


def refuse_no_way_in(tx: Connection, tenant: str | None) -> None:
    """Raise `NoWayIn` where nobody could sign in any more as things are in this transaction; None: in some school."""
    for one in [tenant] if tenant is not None else tenants.all_ids(tx):
        on = read(tx, sorted(_WAYS), tenant=one)
        wps = on["sign_in.wps"][0] and tenants.app_of(tx, tenant=one)
        if not (on["sign_in.password"][0] or wps or any(row.enabled for row in login_states.providers(tx, tenant=one))):
            raise NoWayIn(one)


def _same(one: Any, other: Any) -> bool:
    """True is not 1, and 0 is not false."""
    return type(one) is type(other) and bool(one == other)


def _audit(deps: Deps, tx: Connection, place: Place, key: str, before: Any, after: Any, actor: str) -> None:
    thing = f"{place.level}:{place.subject}:{key}" if place.subject else f"{place.level}:{key}"
    audit.write(
        tx,
        tenant=place.tenant,
        new_id=deps.new_id,
        actor=actor,
        action="config.set",
        thing=thing,
        before=before,
        after=after,
    )


def history(deps: Deps, place: Place, key: str | None = None, *, limit: int = 50) -> list[dict[str, Any]]:
    """What was set and unset in a place, newest first."""
    with reading(deps.engine) as tx:
        return rows.history(tx, place, key, limit=limit)
