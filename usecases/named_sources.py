"""The sources of a tenant, as people look after them: make, list, test, switch on and off, remove; and look at them by itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from db import audit
from db import sources as rows
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain.changes import MOST_SOURCES
from observability.log import get_logger
from remote.sources.address import absolute
from remote.sources.base import BadSource
from remote.sources.mapping import read_mapping
from usecases import alarms
from usecases.deps import Deps
from usecases.sync import sources, uniting

log = get_logger("sources")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,29}")


class UnknownSource(Exception):
    """There is no source of that name. `known` are the names there are."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"there is no source {name!r}")
        self.known = known


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a source should be; None leaves it as it is."""

    address: str | None = None
    mapping: Mapping[str, Any] | None = None
    rank: int | None = None
    silent_h: int | None = None
    unchanged_h: int | None = None

    def columns(self) -> dict[str, Any]:
        """What of it are plain columns; 0 hours: never."""
        hours = {"silent_h": self.silent_h, "unchanged_h": self.unchanged_h}
        said = {name: value or None for name, value in hours.items() if value is not None}
        return said if self.rank is None else {**said, "rank": self.rank}


def add(deps: Deps, name: str, wanted: Wanted, *, actor: str) -> dict[str, Any]:
    """Make a source, or change the one of that name; twice is once. Nothing is read for it. Returns it as it is listed.

    Raises BadSource for a name, address or mapping that cannot be used.
    """
    if _NAME.fullmatch(name) is None:
        raise BadSource(name, "it is no name for a source", "Take up to 30 of a-z, 0-9 and -, such as `postgraduate`")
    read_mapping(wanted.mapping)

    def work(tx: Connection) -> None:
        _adopt(tx, deps)
        there = rows.get(tx, tenant=deps.tenant, name=name)
        before = None if there is None else _as_dict(there, ())
        _put(tx, deps, name, wanted, there)
        after = rows.get(tx, tenant=deps.tenant, name=name)
        assert after is not None
        _write_down(tx, deps, actor, "sources.add", name, before=before, after=_as_dict(after, ()))

    in_unit(deps.engine, work)
    return one(deps, name)


def _adopt(tx: Connection, deps: Deps) -> None:
    """The source that was synced by its address is the first of several: its classes stay."""
    known = sources.remembered_in(tx, deps)
    if known is not None:
        sources.remember_row(tx, deps, known)


def _put(tx: Connection, deps: Deps, name: str, wanted: Wanted, there: AnyRow | None) -> None:
    if there is None and wanted.address is None:
        raise BadSource(name, "a new source needs an address", "Give it: `obsync sources add NAME ADDRESS`")
    known = None if there is None else sources.of_row(deps, there)
    address = known.address if known is not None and wanted.address is None else absolute(str(wanted.address))
    mapping = known.mapping if known is not None and wanted.mapping is None else wanted.mapping or {}
    number = there.source_no if there is not None else rows.next_number(tx, tenant=deps.tenant)
    if number > MOST_SOURCES:
        raise BadSource(name, f"a tenant can have had {MOST_SOURCES} sources in all", "Change one that is there")
    sources.put(tx, deps, name=name, address=address, mapping=mapping, number=number, columns=wanted.columns())


def switch(deps: Deps, name: str, *, on: bool, actor: str) -> dict[str, Any]:
    """Read it, or no longer; the next import has its rows, or not. Raises UnknownSource."""

    def work(tx: Connection) -> None:
        before = _get(tx, deps, name)
        rows.change(tx, tenant=deps.tenant, name=name, enabled=on)
        said = {"enabled": before.enabled}, {"enabled": on}
        _write_down(tx, deps, actor, f"sources.{'enable' if on else 'disable'}", name, before=said[0], after=said[1])
        alarms.review(tx, deps)

    in_unit(deps.engine, work)
    return one(deps, name)


def remove(deps: Deps, name: str, *, actor: str) -> None:
    """Forget it. Its classes go with the next import, if a person confirms that. Raises UnknownSource."""

    def work(tx: Connection) -> None:
        before = _get(tx, deps, name)
        rows.remove(tx, tenant=deps.tenant, name=name)
        _write_down(tx, deps, actor, "sources.remove", name, before=_as_dict(before, ()), after=None)
        alarms.review(tx, deps)

    in_unit(deps.engine, work)


def test(deps: Deps, name: str) -> dict[str, Any]:
    """Look at it now: can it be read, and does it say something else? Raises UnknownSource, BadSource."""
    with reading(deps.engine) as tx:
        row = _get(tx, deps, name)
    try:
        seen = uniting.watch(deps, sources.of_row(deps, row))
        parts = list(seen.member.source.parts())
        seen.member.source.close()
    finally:
        in_unit(deps.engine, lambda tx: alarms.review(tx, deps))
    return {**one(deps, name), "parts": parts, "watermark": seen.watermark}


def check_all(deps: Deps) -> str:
    """Look at every enabled source, and raise or clear alarms. Returns what to say of it."""
    with reading(deps.engine) as tx:
        found = [row for row in rows.all_of(tx, tenant=deps.tenant) if row.enabled]
    silent = []
    for row in found:
        try:
            uniting.watch(deps, sources.of_row(deps, row)).member.source.close()
        except BadSource as bad:
            log.warning("sources.silent", source=row.name, reason=f"{bad.file}: {bad.problem}")
            silent.append(row.name)
    in_unit(deps.engine, lambda tx: alarms.review(tx, deps))
    told = f"{len(found)} looked at"
    return f"{told}; no answer: {', '.join(silent)}" if silent else told


def listing(deps: Deps) -> dict[str, Any]:
    """Every source in the order of precedence, with its open alarms; and all open alarms."""
    opened = alarms.listing(deps)
    with reading(deps.engine) as tx:
        found = rows.all_of(tx, tenant=deps.tenant)
    return {"items": [_as_dict(row, opened) for row in found], "alarms": opened}


def one(deps: Deps, name: str) -> dict[str, Any]:
    """One source as it is listed. Raises UnknownSource."""
    opened = alarms.listing(deps)
    with reading(deps.engine) as tx:
        row = _get(tx, deps, name)
        return {**_as_dict(row, opened), "mapping": rows.mapping_of(row), "now_ms": now_ms(tx)}


def _get(tx: Connection, deps: Deps, name: str) -> AnyRow:
    row = rows.get(tx, tenant=deps.tenant, name=name)
    if row is None:
        raise UnknownSource(name, [known.name for known in rows.all_of(tx, tenant=deps.tenant)])
    return row


def _as_dict(row: AnyRow, opened: Any) -> dict[str, Any]:
    shown = (
        "name", "rank", "kind", "address", "enabled", "silent_h", "unchanged_h", "checked_ms", "answered_ms",
        "changed_ms", "error",
    )  # fmt: skip
    mine = [one["sentence"] for one in opened if one["subject"] == row.name]
    return {**{name: getattr(row, name) for name in shown}, "alarms": mine}


def _write_down(tx: Connection, deps: Deps, actor: str, action: str, name: str, *, before: Any, after: Any) -> None:
    audit.write(
        tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action=action, thing=name, before=before, after=after
    )
