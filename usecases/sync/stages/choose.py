"""What a run plans, where that is not everything: chosen once, a page at a time, and stored."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from db import scopes, timetable
from db.engine import in_unit, reading
from domain.layouts import PERSONAL
from usecases.sync.stages.base import Running
from usecases.sync.turns import scope_of

T = TypeVar("T")

_PAGE = 500


def everything_in_scope(on: Running) -> None:
    """All courses of the run's scope, and calendars there whose course is gone."""
    after: tuple[str, str, str] | None = ("courses", "", "")
    while after is not None:
        after = _choose(on, partial(scopes.choose_all, after=after))


def touched_in_scope(on: Running) -> None:
    """What changes have touched there, and no run has carried out yet."""
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        after = _choose(on, partial(scopes.choose_touched, after=after))


def courses_of_people(on: Running) -> None:
    """The courses that the people of the scope teach or take."""
    after: tuple[str, str] | None = ("", "")
    while after is not None:
        after = _choose(on, partial(scopes.choose_of_people, after=after))


def _choose(on: Running, page: Callable[..., T]) -> T:
    def work(tx: Connection) -> T:
        on.fence(tx)
        return page(tx, scope_of(on.run), tenant=on.deps.tenant, run_id=on.run_id, limit=_PAGE)

    return in_unit(on.deps.engine, work)


def forget(on: Running) -> None:
    """The run has carried out what it chose, as of its import."""
    _forget(on, 0 if _is_about_people(on) else on.import_no)


def unchoose(on: Running) -> None:
    """The run is through with what it chose, and what changes have touched there still waits: it only looked at people."""
    _forget(on, 0)


def _is_about_people(on: Running) -> bool:
    """Whether some calendars of a course were left out: in layout `personal` others than those named have it too."""
    with reading(on.deps.engine) as tx:
        personal = timetable.load_layout(tx, tenant=on.deps.tenant) == PERSONAL
    return personal and bool(scope_of(on.run).users)


def _forget(on: Running, up_to: int) -> None:
    """Of touched offerings, those that no import after `up_to` touched."""
    tenant = on.deps.tenant

    def work(tx: Connection) -> int:
        on.fence(tx)
        return scopes.forget(tx, tenant=tenant, run_id=on.run_id, up_to=up_to)

    while in_unit(on.deps.engine, work):
        pass
