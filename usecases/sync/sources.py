"""Which source a run reads: its address, its mapping, and its password, which is stored only encrypted.

A run carries all three in its scope, so that whoever goes on with it needs nothing else; the tenant's settings remember
those that were synced last. A tenant with named sources reads all that are enabled as one: its address is `sources:` then.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from sqlalchemy import Connection

from db import sources as rows
from db.engine import reading
from db.tables import AnyRow
from remote.sources.address import absolute, has_password, scheme_of, shown
from remote.sources.base import BadSource, TimetableSource
from remote.sources.registry import kind_of, open_source
from remote.sources.united import Member, United
from usecases import sealing, tenants
from usecases.deps import Deps

SEALED: Final = "sealed"
"""Where a scope keeps the encrypted address; nobody needs to see it."""
ALL: Final = "sources:"
"""How the address of all enabled sources begins; their names follow."""
MAIN: Final = "main"
"""What the source is called that was synced by its address."""
_MEMBERS: Final = "members"
_SILENT_H, _UNCHANGED_H = 24, 24 * 14


@dataclass(frozen=True, slots=True)
class Named:
    """One of several sources."""

    name: str
    number: int
    address: str = field(repr=False)
    mapping: Mapping[str, Any]

    def open(self) -> Member:
        """Raises BadSource when address or mapping cannot be used."""
        return Member(self.name, self.number, open_source(self.address, self.mapping))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A source by its whole address (paths from the root), and how its columns are read; or several, as `members`."""

    address: str = field(repr=False)
    mapping: Mapping[str, Any]
    members: tuple[Named, ...] = ()

    @property
    def term(self) -> str:
        """The only term that the address asks for; blank where it asks for all there are."""
        said = dict(parse_qsl(self.address.partition("?")[2])) if scheme_of(self.address) else {}
        return said.get("xnxq") or said.get("term") or ""

    def open(self) -> TimetableSource:
        """The source. Raises BadSource when address or mapping cannot be used."""
        if self.members:
            return United([member.open() for member in self.members])
        return open_source(self.address, self.mapping)


def choose(deps: Deps, address: str, mapping: Mapping[str, Any] | None) -> Chosen:
    """The source at `address`; without a mapping it keeps the one it was synced with last.

    Raises BadSource for a single address where the tenant has several sources: it would speak for them all.
    """
    several = named(deps)
    if several is not None:
        if address.startswith(ALL):
            return several
        remedy = "Sync without an address, or add it: `obsync sources add NAME ADDRESS`"
        listed = ", ".join(one.name for one in several.members)
        raise BadSource(shown(address), f"this tenant has sources of its own ({listed})", remedy)
    whole = absolute(address)
    if mapping is None:
        known = last(deps)
        mapping = known.mapping if known and known.address == whole else {}
    return Chosen(whole, mapping)


def named(deps: Deps) -> Chosen | None:
    """All enabled sources as one; None where the tenant has at most the one that is synced by its address.

    Raises BadSource when none is enabled, or when a password does not open.
    """
    with reading(deps.engine) as tx:
        found = rows.all_of(tx, tenant=deps.tenant)
    if all(row.source_no == 0 for row in found):
        return None
    members = tuple(of_row(deps, row) for row in found if row.enabled)
    if not members:
        raise BadSource(ALL, "none of the sources is enabled", "Switch one on: `obsync sources enable NAME`")
    return Chosen(f"{ALL}{','.join(one.name for one in members)}", {}, members)


def of_row(deps: Deps, row: AnyRow) -> Named:
    """A source with its whole address. Raises BadSource when its password does not open."""
    address = _unsealed(deps, row.sealed, row.address)
    return Named(row.name, row.source_no, address, rows.mapping_of(row))


def last(deps: Deps) -> Chosen | None:
    """The source to sync when nobody names one: all that are enabled, or the one synced last; None before the first.

    Raises BadSource when a password does not open.
    """
    several = named(deps)
    return several if several is not None else _remembered(deps)


def _remembered(deps: Deps) -> Chosen | None:
    with reading(deps.engine) as tx:
        return remembered_in(tx, deps)


def remembered_in(connection: Connection, deps: Deps) -> Chosen | None:
    """The source synced last by its address. Raises BadSource when its password does not open."""
    settings = tenants.settings(connection, tenant=deps.tenant)
    if settings.get("source") is None:
        return None
    return of_scope(deps, {**settings, SEALED: settings.get("source_sealed")})


def to_scope(deps: Deps, chosen: Chosen) -> dict[str, Any]:
    """What a run stores of its source: shown without the password."""
    scope: dict[str, Any] = {"source": shown(chosen.address)}
    if chosen.mapping:
        scope["mapping"] = dict(chosen.mapping)
    if has_password(chosen.address):
        scope[SEALED] = sealed(deps, chosen.address)
    if chosen.members:
        scope[_MEMBERS] = [
            {"name": one.name, "number": one.number, "sealed": sealed(deps, one.address), "mapping": dict(one.mapping)}
            for one in chosen.members
        ]
    return scope


def of_scope(deps: Deps, scope: Mapping[str, Any]) -> Chosen:
    """The source of a run. Raises BadSource when its password does not open."""
    address = _unsealed(deps, scope.get(SEALED), str(scope.get("source", "")))
    members = tuple(
        Named(one["name"], one["number"], _unsealed(deps, one["sealed"], one["name"]), one["mapping"])
        for one in scope.get(_MEMBERS, ())
    )
    return Chosen(address, scope.get("mapping") or {}, members)


def sealed(deps: Deps, address: str) -> str:
    """The address, encrypted."""
    return sealing.seal(address, encryption_keys=deps.encryption_keys, place=_place(deps))


def _unsealed(deps: Deps, said: Any, address: str) -> str:
    if not said:
        return address
    try:
        return sealing.unseal(str(said), encryption_keys=deps.encryption_keys, place=_place(deps))
    except sealing.CannotDecrypt as error:
        remedy = "Check OBSYNC_ENCRYPTION_KEYS on this machine, or give the whole address again"
        raise BadSource(address, f"its password cannot be read ({error})", remedy) from error


def as_settings(deps: Deps, chosen: Chosen) -> dict[str, Any]:
    """The tenant settings that remember the source; none where sources have rows of their own."""
    if chosen.members:
        return {}
    return {"mapping": {}, "source_sealed": None} | {
        "source_sealed" if name == SEALED else name: value for name, value in to_scope(deps, chosen).items()
    }


def remember(connection: Connection, deps: Deps, chosen: Chosen) -> None:
    """Make it the source that was synced last, and the one that is looked after."""
    tenants.change_settings(connection, tenant=deps.tenant, **as_settings(deps, chosen))
    remember_row(connection, deps, chosen)


def remember_row(connection: Connection, deps: Deps, chosen: Chosen) -> None:
    """The row of the source that is synced by its address; nothing where there are others."""
    if chosen.members or any(row.source_no for row in rows.all_of(connection, tenant=deps.tenant)):
        return
    put(connection, deps, name=MAIN, address=chosen.address, mapping=chosen.mapping, number=0, columns={})


def put(
    connection: Connection,
    deps: Deps,
    *,
    name: str,
    address: str,
    mapping: Mapping[str, Any],
    number: int,
    columns: Mapping[str, Any],
) -> None:
    """Write a source; `columns` are others that change with it. Raises BadSource for an unknown kind of address."""
    said = {
        "kind": kind_of(address),
        "address": shown(address)[:500],
        "sealed": sealed(deps, address) if has_password(address) else None,
        "mapping": json.dumps(dict(mapping), ensure_ascii=False, sort_keys=True),
        **columns,
    }
    new = {"source_no": number, "rank": number, "silent_h": _SILENT_H, "unchanged_h": _UNCHANGED_H}
    rows.put(connection, tenant=deps.tenant, name=name, new=new, **said)


def read_mapping_file(text: bytes, *, file: str) -> Mapping[str, Any]:
    """The JSON object in a mapping file. Raises BadSource."""
    try:
        said = json.loads(text)
    except ValueError as error:
        raise BadSource(file, f"it is not JSON ({error})", "Mend it and run the command again") from error
    if not isinstance(said, dict):
        raise BadSource(file, "it is not a JSON object", 'Write it as {"meetings": {"kkh": "THEIR_COLUMN"}}')
    return said


def _place(deps: Deps) -> str:
    return f"{deps.tenant}/source"
