"""Which source a run reads: its address, its mapping, and its password, which is stored only encrypted.

A run carries all three in its scope, so that whoever goes on with it needs nothing else; the tenant's settings remember
those that were synced last.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from sqlalchemy import Connection

from db.engine import reading
from remote.sources.address import absolute, has_password, scheme_of, shown
from remote.sources.base import BadSource, TimetableSource
from remote.sources.registry import open_source
from usecases import sealing, tenants
from usecases.deps import Deps

SEALED: Final = "sealed"
"""Where a scope keeps the encrypted address; nobody needs to see it."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A source by its whole address (paths from the root), and how its columns are read."""

    address: str = field(repr=False)
    mapping: Mapping[str, Any]

    @property
    def term(self) -> str:
        """The only term that the address asks for; blank where it asks for all there are."""
        said = dict(parse_qsl(self.address.partition("?")[2])) if scheme_of(self.address) else {}
        return said.get("xnxq") or said.get("term") or ""

    def open(self) -> TimetableSource:
        """The source. Raises BadSource when address or mapping cannot be used."""
        return open_source(self.address, self.mapping)


def choose(deps: Deps, address: str, mapping: Mapping[str, Any] | None) -> Chosen:
    """The source at `address`; without a mapping it keeps the one it was synced with last."""
    whole = absolute(address)
    if mapping is None:
        known = last(deps)
        mapping = known.mapping if known and known.address == whole else {}
    return Chosen(whole, mapping)


def last(deps: Deps) -> Chosen | None:
    """The source that was synced last; None before the first. Raises BadSource when its password does not open."""
    with reading(deps.engine) as tx:
        settings = tenants.settings(tx, tenant=deps.tenant)
    if settings.get("source") is None:
        return None
    return of_scope(deps, {**settings, SEALED: settings.get("source_sealed")})


def to_scope(deps: Deps, chosen: Chosen) -> dict[str, Any]:
    """What a run stores of its source: shown without the password."""
    scope: dict[str, Any] = {"source": shown(chosen.address)}
    if chosen.mapping:
        scope["mapping"] = dict(chosen.mapping)
    if has_password(chosen.address):
        scope[SEALED] = sealing.seal(chosen.address, encryption_keys=deps.encryption_keys, place=_place(deps))
    return scope


def of_scope(deps: Deps, scope: Mapping[str, Any]) -> Chosen:
    """The source of a run. Raises BadSource when its password does not open."""
    address = str(scope.get("source", ""))
    if sealed := scope.get(SEALED):
        try:
            address = sealing.unseal(str(sealed), encryption_keys=deps.encryption_keys, place=_place(deps))
        except sealing.CannotDecrypt as error:
            remedy = "Check OBSYNC_ENCRYPTION_KEYS on this machine, or sync again with the whole address"
            raise BadSource(address, f"its password cannot be read ({error})", remedy) from error
    return Chosen(address, scope.get("mapping") or {})


def as_settings(deps: Deps, chosen: Chosen) -> dict[str, Any]:
    """The tenant settings that remember the source."""
    return {"mapping": {}, "source_sealed": None} | {
        "source_sealed" if name == SEALED else name: value for name, value in to_scope(deps, chosen).items()
    }


def remember(connection: Connection, deps: Deps, chosen: Chosen) -> None:
    """Make it the source that was synced last."""
    tenants.change_settings(connection, tenant=deps.tenant, **as_settings(deps, chosen))


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
