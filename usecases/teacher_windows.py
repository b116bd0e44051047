"""What a teacher says about when a class takes check-ins: start it now, keep it open longer, end it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from db import audit, rosters
from db.clock import now_ms
from db.engine import in_unit
from db.tables import AnyRow
from domain import verdicts
from domain.verdicts import MINUTE_MS, Window
from usecases import check_in_rules
from usecases import rosters as roster_work
from usecases.deps import Deps

START, EXTEND, END = "start", "extend", "end"


class UnknownClass(Exception):
    """There is no such session."""


class ClassOver(Exception):
    """The roster of the session is closed or cancelled: its window is not moved any more."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the class is {status}")
        self.status = status


def move(deps: Deps, session_id: str, act: str, *, actor: str, minutes: int = 5, now: int | None = None) -> Window:
    """Start, extend (by `minutes`, from now or from the end that was set) or end. Returns the window as it is then.

    Raises UnknownClass, ClassOver. `now` stands for the database's time.
    """
    if roster_work.make_one(deps.engine, session_id, tenant=deps.tenant) is None:
        raise UnknownClass(session_id)
    return in_unit(deps.engine, lambda tx: _move(deps, tx, session_id, act, actor, minutes, now))


def _move(deps: Deps, tx: Connection, session_id: str, act: str, actor: str, minutes: int, now: int | None) -> Window:
    found = rosters.find(tx, session_id, tenant=deps.tenant)
    assert found is not None
    row = rosters.of_sessions(tx, [session_id], tenant=deps.tenant, term=found.term, lock=True)[0]
    if row.status in (rosters.COMPLETED, rosters.CANCELLED):
        raise ClassOver(row.status)
    at_ms = now_ms(tx) if now is None else now
    values = _values(tx, row, act, at_ms, minutes)
    rosters.change(tx, session_id, tenant=deps.tenant, term=row.term, status=rosters.RUNNING, **values)
    before = {name: getattr(row, name) for name in values}
    audit.write(
        tx, tenant=deps.tenant, new_id=deps.new_id, actor=actor, action=f"class.{act}", thing=session_id, before=before,
        after=values,
    )  # fmt: skip
    return _window(tx, row, **values)


def _values(tx: Connection, row: AnyRow, act: str, at_ms: int, minutes: int) -> dict[str, Any]:
    if act == START:
        opened = at_ms if row.opened_ms is None else min(row.opened_ms, at_ms)
        return {"opened_ms": opened, "ended_ms": None}
    if act == END:
        return {"ended_ms": at_ms}
    closes = _window(tx, row, ended_ms=None).closes_ms
    return {"extended_ms": max(closes, at_ms) + minutes * MINUTE_MS, "ended_ms": None}


def _window(tx: Connection, row: AnyRow, **said: int | None) -> Window:
    rules = check_in_rules.of_courses(tx, [row.course_id], tenant=row.tenant_id)[row.course_id]
    as_is = {name: getattr(row, name) for name in ("opened_ms", "extended_ms", "ended_ms")}
    return verdicts.window(rules, start_ms=row.start_ms, **{**as_is, **said})
