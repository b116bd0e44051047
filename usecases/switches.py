"""Switches while the product runs: turned by a person, seen by every process within a second or so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from db import audit, rosters
from db import switches as rows
from db.clock import now_ms
from db.engine import in_unit, reading
from db.tables import AnyRow
from domain.switches import STATISTICS_OFF, TAKES_CHECK_INS, WORDS, Switch
from observability.log import get_logger
from usecases import standings
from usecases.deps import Deps

log = get_logger("switches")

FRESH_S: Final = 1.0  # how old what a process knows of its switches may be
_PAGE: Final = 500
_SESSIONS: Final = 50
_NOTE_CHARS: Final = 500
_NOTHING: Final[Mapping[str, Switch]] = {}


class UnknownSwitch(KeyError):
    """There is no such switch."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is no switch {self.name!r}"


class Switchboard:
    """The switches that are on, of any school, as of at most `FRESH_S` ago; while the database is away, as of then.

    Safe for threads: one asks the database, the others go on with what is known.
    """

    def __init__(self, engine: Engine, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._clock_s = engine, clock_s
        self._known: dict[str, tuple[float, Mapping[str, Switch]]] = {}
        self._asking = threading.Lock()

    def on(self, tenant: str) -> Mapping[str, Switch]:
        """The switches of a school that are on, by name. Never raises for a database that is away."""
        found = self._known.get(tenant)
        if found is not None and self._clock_s() - found[0] <= FRESH_S:
            return found[1]
        if not self._asking.acquire(blocking=found is None):
            return _NOTHING if found is None else found[1]
        try:
            return self._read(tenant)
        finally:
            self._asking.release()

    def forget(self, tenant: str) -> None:
        """Ask again before the next answer."""
        self._known.pop(tenant, None)

    def _read(self, tenant: str) -> Mapping[str, Switch]:
        known = self._known.get(tenant)
        try:
            with reading(self._engine) as tx:
                said = {row.name: _switch(row) for row in rows.all_of(tx, tenant=tenant) if row.is_on}
        except SQLAlchemyError as error:
            log.warning("switches.not_read", reason=str(error)[:200])
            said = dict(known[1]) if known is not None else {}
        self._known[tenant] = (self._clock_s(), said)
        return said


def _switch(row: AnyRow) -> Switch:
    said = ("name", "is_on", "check_ins", "until_ms", "note", "actor", "at_ms")
    return Switch(**{name: getattr(row, name) for name in said})


def shown(deps: Deps) -> list[Switch]:
    """Every switch of the school, on or off, by name."""
    with reading(deps.engine) as tx:
        said = {row.name: _switch(row) for row in rows.all_of(tx, tenant=deps.tenant)}
    return [said.get(name) or Switch(name, False, TAKES_CHECK_INS[name]) for name in sorted(WORDS)]


def turn(
    deps: Deps,
    name: str,
    is_on: bool,
    *,
    actor: str,
    until_ms: int | None = None,
    note: str = "",
    check_ins: bool | None = None,
) -> Switch:
    """Turn a switch on or off, or say something else about one that is on. Raises `UnknownSwitch`.

    `check_ins` None: as it is usual for this switch. What was said before is in the audit.
    """
    if name not in WORDS:
        raise UnknownSwitch(name)

    def work(tx: Connection) -> Switch:
        before = next((_switch(row) for row in rows.all_of(tx, tenant=deps.tenant) if row.name == name), None)
        taken = TAKES_CHECK_INS[name] if check_ins is None else check_ins
        made = Switch(name, is_on, taken, until_ms if is_on else None, note[:_NOTE_CHARS], actor, now_ms(tx))
        said = {one: getattr(made, one) for one in ("is_on", "check_ins", "until_ms", "note", "actor", "at_ms")}
        rows.put(tx, name, tenant=deps.tenant, **said)
        was = None if before is None else _told(before)
        audit.write(
            tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action="switch.on" if is_on else "switch.off",
            thing=name, before=was, after=_told(made),
        )  # fmt: skip
        return made

    return in_unit(deps.engine, work)


def _told(one: Switch) -> dict[str, Any]:
    return {"on": one.is_on, "check_ins": one.check_ins, "until_ms": one.until_ms, "note": one.note}


# --- statistics -------------------------------------------------------------------------------------------------------


def pay_statistics(engine: Engine, *, tenant: str, limit: int = _SESSIONS) -> int:
    """Bring into the statistics what they were spared while they were switched off. Returns how many sessions it was.

    Does nothing while they are. A process that dies in between leaves the rest to the next.
    """
    with reading(engine) as tx:
        found = rows.owed(tx, tenant=tenant, limit=limit)
        if not found or rows.is_on(tx, STATISTICS_OFF, tenant=tenant):
            return 0
    done = 0
    for row in found:
        after = ""
        while after := in_unit(engine, lambda tx, r=row, a=after: _pay_page(tx, r, a)):  # type: ignore[misc]
            pass
        done += in_unit(engine, lambda tx, r=row: rows.paid(tx, r))  # type: ignore[misc]
    return done


def _pay_page(tx: Connection, row: AnyRow, after: str) -> str:
    of = {"tenant": row.tenant_id, "term": row.term}
    codes = rosters.codes_after(tx, row.session_id, after=after, limit=_PAGE, **of)
    if codes:
        standings.work_out(tx, {row.session_id: codes}, **of)
    return codes[-1] if codes else ""
